"""`scan`: a step function over time."""

import sys
from typing import Literal

import jax
import jax.export
import jax.numpy as jnp
from jax import lax

from .._pytree import Pytree
from .._types import Tree
from . import around, check, fission
from .check import Step
from .compat import effects
from .policy import Policy
from .trace import trace_step


def scan(
    f: Step,
    state: Tree,
    xs: Tree = None,
    *,
    length: int | None = None,
    order: Literal["layer", "step"] = "layer",
    segment: int | Literal["sqrt"] | None = None,
    unroll: int | None = None,
    policy: Policy | None = None,
) -> tuple[Tree, Tree]:
    """Run ``f(state, x) -> (state, y)`` over the leading axis of ``xs``, as `jax.lax.scan` does.

    Args:
        f: A neuron, a network, or any step function.
        state: The first state, any pytree of arrays; ``f`` keeps its structure, shapes and dtypes.
            A Python number becomes an array of the type that the step gives it.
        xs: The inputs, any pytree of arrays with time as axis 0, ``[T, N, *]``; or None.
        length: The number of steps T; needed only if ``xs`` is None.
        order: How to walk the network, with equal results: ``"layer"``, every layer over all time
            steps before the next; ``"step"``, every time step through all layers before the next.
        segment: Keep for the gradient only the state at every ``segment``-th step and compute the
            rest again; ``"sqrt"`` is the square root of T. None chooses.
        unroll: How many steps one turn of the loop does; a segment longer than that is a loop
            itself. None chooses.
        policy: The finer choices, a `jaxspike.engine.Policy`. None chooses.

    The step is traced once. In layer order its equations, and an edge from every new state to the
    state it becomes, are a graph. Its strongly connected components are the true recurrences: each
    becomes a loop of its own. All else is evaluated for all steps at once, a matrix product over
    T * N rows, a convolution over T * N images. In step order there is one loop.

    The gradient is that of `jax.lax.scan`. It keeps the inputs, the outputs of matrix products and
    convolutions inside a loop, and a state every few steps; a segment of more than 8 steps, such as
    ``"sqrt"``, keeps states only. Inference keeps nothing. Reverse mode works to any order, and
    forward mode over reverse mode (`jax.hessian`) if the step has no surrogate gradient, which is
    for reverse mode only; forward mode alone does not.

    Returns:
        The last state, and the outputs with time as axis 0.

    Raises:
        TypeError: If ``f`` is not callable, does not return a pair, or changes the structure, a
            shape or a dtype of the state; or in forward-mode differentiation (around a `jax.jit`
            JAX says it: "can't apply forward-mode autodiff (jvp) to a custom_vjp function").
        ValueError: If there is no time step, the sequences differ in length, an option is not one
            of those above, or ``f`` has side effects: in layer order any, in both orders a change
            of Flax variables (BatchNorm in training mode), and in a gradient one whose value is
            needed again.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> lif = js.LIF()
        >>> state, spikes = js.scan(lif, lif.init_state((4, 8)), jnp.ones((10, 4, 8)))
        >>> spikes.shape
        (10, 4, 8)

        Before and after: the products and loops in the jaxpr of two layers with a skip.

        >>> import jax
        >>> w = jnp.ones((8, 8))
        >>> def net(state, x):
        ...     a, y = lif(state[0], x @ w)
        ...     b, z = lif(state[1], y @ w + x)
        ...     return (a, b), z
        >>> def show(jaxpr, indent=""):
        ...     for eqn in jaxpr.eqns:
        ...         if eqn.primitive.name in ("dot_general", "scan"):
        ...             print(indent + eqn.primitive.name)
        ...         for inner in eqn.params.values():
        ...             inner = getattr(inner, "jaxpr", inner)
        ...             if hasattr(inner, "eqns"):
        ...                 show(inner, indent + "  " * (eqn.primitive.name == "scan"))
        >>> state, xs = (lif.init_state((4, 8)),) * 2, jnp.ones((10, 4, 8))
        >>> show(jax.make_jaxpr(lambda xs: jax.lax.scan(net, state, xs))(xs).jaxpr)
        scan
          dot_general
          dot_general
        >>> show(jax.make_jaxpr(lambda xs: js.scan(net, state, xs))(xs).jaxpr)
        dot_general
        scan
        dot_general
        scan
    """
    steps = check.arguments(f, xs, length, order, segment, unroll, policy)
    if jax.export.is_symbolic_dim(steps):  # exported for any length: there is nothing to plan with
        return lax.scan(lambda s, x: f(s, x), state, xs)  # fresh: see `trace.flatten`
    segment, unroll = check.plain(segment), check.plain(unroll)
    # a frozen pytree is an argument of a compiled function: no compilation per call or instance
    run = _compiled if isinstance(f, Pytree) else _run
    try:
        policy = policy or Policy()
        return run(f, state, xs, steps, order, segment, unroll, policy, around.network_loops())
    # the engine does not import Flax; a step that uses it has done so
    except getattr(sys.modules.get("flax.errors"), "TraceContextError", ()) as e:
        raise ValueError(
            f"`scan({check.name(f)}, ...)` must have a step that changes no Flax variables, got "
            "one that does (BatchNorm or Dropout in training mode). Call the network on the whole "
            "sequence, `state, ys = net(state, x_seq)`, or freeze it with `net.eval()`. "
            "A module with a state of its own cannot hold such layers in training mode."
        ) from e
    except TypeError as e:
        if "forward-mode" not in str(e):
            raise
        raise TypeError(
            f"`scan({check.name(f)}, ...)` must be differentiated in reverse mode (`jax.grad`, "
            "`jax.vjp`, `jax.jacrev`) first, got forward mode (`jax.jvp`, `jax.jacfwd`, "
            "`jax.linearize`). Use `jax.lax.scan` for forward mode. Surrogate gradients have "
            "reverse mode only."
        ) from e


def _run(f, state, xs, steps, order, segment, unroll, policy, loops):
    state, xs = jax.tree.map(jnp.asarray, state), jax.tree.map(jnp.asarray, xs)
    x = jax.tree.map(lambda a: a[0], xs)
    step, consts, out = trace_step(f, state, x)
    check.form(check.name(f), state, out)
    if any(jax.typeof(a).weak_type for a in jax.tree.leaves(state)):
        # a Python number takes the type of its step
        state = jax.tree.map(_as_strong, state, out[0])
        step, consts, out = trace_step(f, state, x)
    if any(map(_is_split_by, *map(jax.tree.leaves, (state, out[0])))):
        # a state at rest is split over a mesh of explicit axes as its input is
        state = jax.tree.map(_as_split, state, out[0])
        step, consts, out = trace_step(f, state, x)
    check.dtypes(check.name(f), state, out)
    if order == "layer" and (found := sorted({str(x) for e in step.eqns for x in effects(e)})):
        raise ValueError(
            f'`scan({check.name(f)}, order="layer")` must have a step without side effects, '
            f'got {found}. Use `order="step"`.'
        )
    leaves, treedef = jax.tree.flatten(state)
    last, ys = fission.run(
        step,
        consts,
        leaves,
        jax.tree.leaves(xs),
        steps,
        split=order == "layer",
        segment=segment,
        unroll=unroll,
        policy=policy,
        loops=loops,
    )
    ys = jax.tree.unflatten(jax.tree.structure(out[1]), ys)
    return jax.tree.unflatten(treedef, last), ys


_compiled = jax.jit(_run, static_argnums=(3, 4, 5, 6, 7, 8))


def _is_split_by(a, out):
    split = out.sharding is not None and any(out.sharding.spec)
    return split and not any(jax.typeof(a).sharding.spec)


def _as_split(a, out):
    return jax.sharding.reshard(a, out.sharding) if _is_split_by(a, out) else a


def _as_strong(a, out):
    if not jax.typeof(a).weak_type:
        return a
    return lax.convert_element_type(a, jnp.result_type(a, out.dtype))
