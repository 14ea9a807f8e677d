"""`scan`: a step function over time."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.export
import jax.numpy as jnp
from jax import lax

from .. import _check
from .._pytree import Pytree
from .._types import Array, Tree
from . import arguments
from .network_size import n_loops_of_network
from .order.fission import execute
from .order.graph import Graph
from .order.partition import partition
from .order.segments import in_segments, near_divisor
from .policy import LONGEST, Options, Policy
from .program import delay_lines
from .program.compat import api_boundary, effects, trace_context_error, varying_axes
from .program.step import Step, trace_step


def scan(
    f: Callable[[Any, Any], tuple[Any, Any]],
    state: Tree,
    xs: Tree = None,
    *,
    length: int | None = None,
    order: Literal["layer", "step", "parallel"] = "layer",
    segment: int | Literal["sqrt"] | None = None,
    unroll: int | None = None,
    policy: Policy | None = None,
) -> tuple[Tree, Tree]:
    """Run ``f(state, x) -> (state, y)`` over the leading axis of ``xs``, as `jax.lax.scan` does.

    Args:
        f: A neuron, a network, or any step function.
        state: The first state, any pytree of arrays; ``f`` keeps its structure, shapes and dtypes.
            A Python number becomes an array of the dtype that the step returns.
        xs: The inputs, any pytree of arrays with time as axis 0, ``[T, N, *]``; or None.
        length: The number of steps T; needed only if ``xs`` is None.
        order: How to traverse the network, with equal results: ``"layer"`` runs every layer over
            all time steps before the next layer; ``"step"`` runs every time step through all layers
            before the next step; ``"parallel"`` is layer order without loops where there can be
            none.
        segment: Store for the gradient only the state at every ``segment``-th step and recompute
            the rest; ``"sqrt"`` is about the square root of T. Chosen automatically by default. In
            parallel order all states are stored.
        unroll: How many steps one turn of the loop does; a longer segment is a loop itself. Chosen
            automatically by default.
        policy: The finer choices, a `jaxspike.Policy`. Chosen automatically by default.

    The step is traced once. In layer order its equations, and an edge from every new state to the
    state it becomes, form a graph. Its strongly connected components are the true recurrences, and
    each becomes a loop of its own. Everything else is evaluated for all steps at once: a matrix
    product over T * N rows, a convolution over T * N images. In step order there is one loop.

    In parallel order a recurrence that is affine in its state, neuron by neuron, has no loop, but
    about 2 log2(T) passes over all steps (`jax.lax.associative_scan`): a synapse, a leaky
    integrator, a resonator, any neuron without a reset, a diagonal state-space layer. It is found
    in the equations. A recurrence that is affine once its spikes are known, as with a reset, is
    solved for a guess of all spikes; the solution decides the next guess, until it repeats, which
    only the spikes of the loop do. If a guess falls behind a loop, as it does where neurons spike
    more often than about every 4 log2(T) steps, a loop takes its place. All other recurrences are
    loops as in layer order: those with another nonlinearity, with recurrent weights, with a delay
    inside, or with a state of 16 bits or of integers. Results equal those of the other orders to
    rounding, and spikes are equal unless a potential is within rounding of the threshold. On CPUs
    layer order is faster; the factors of a recurrence that grows must not overflow when multiplied
    over T steps.

    The gradient is that of `jax.lax.scan`. It stores the inputs, the outputs of matrix products and
    convolutions and the inputs of a `jaxspike.Delay` inside a loop, and a state every few steps.
    With a ``segment`` of more than 8 steps, such as ``"sqrt"``, it stores no products, and layer
    order walks a network in segments, so that nothing is stored between the layers either; then
    every delay is a state of all its steps. Inference stores nothing.
    Reverse mode works to any order; a function with a rule of its own (`jax.custom_vjp`) has its
    second derivatives from the rule, as JAX takes them. So does forward mode over reverse mode
    (`jax.hessian`), unless the step has a surrogate gradient, which is for reverse mode only, or
    the order is parallel. Forward mode alone does not work.

    A `jax.pure_callback` gets all steps at once, as its ``vmap_method`` says, where layer order
    evaluates it for all steps at once; without a ``vmap_method`` it gets step by step. What comes
    out of a loop beside what is differentiated has a gradient of zeros: where `jax.lax.scan` leaves
    it without one, give it to a callback or a `jax.lax.while_loop` through `jax.lax.stop_gradient`.

    Returns:
        The last state, and the outputs with time as axis 0.

    Raises:
        TypeError: If ``f`` is not callable, does not return a pair, or changes the structure, a
            shape or a dtype of the state; or in forward-mode differentiation (around a `jax.jit`
            the message is JAX's: "can't apply forward-mode autodiff (jvp) to a custom_vjp
            function").
        ValueError: If there is no time step, the sequences differ in length, an option is not one
            of those above, or ``f`` has side effects: except in step order any, in all orders a
            change of Flax variables (BatchNorm in training mode), and in a gradient one whose value
            is needed again.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> lif = js.LIF()
        >>> state, spikes = js.scan(lif, lif.init_state((4, 8)), jnp.ones((10, 4, 8)))
        >>> spikes.shape
        (10, 4, 8)

        Before and after: the matrix products and loops in the jaxpr of two layers with a skip.

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

        In parallel order a filter of such a step is not a loop.

        >>> filtered = lambda v, x: (0.9 * v + x @ w, v)
        >>> rest = jnp.zeros((4, 8))
        >>> show(jax.make_jaxpr(lambda xs: js.scan(filtered, rest, xs, order="parallel"))(xs).jaxpr)
        dot_general
    """
    steps = arguments.check(f, xs, length, order, segment, unroll, policy)
    if jax.export.is_symbolic_dim(steps):  # exported for any length: there is nothing to plan with
        return lax.scan(lambda s, x: f(s, x), state, xs)  # a fresh function: see `flatten`
    cut, name = (arguments.as_int(segment), arguments.as_int(unroll)), arguments.name(f)
    options = Options(*cut, policy or Policy(), n_loops_of_network(), order == "parallel")
    # a frozen pytree is an argument of a compiled function: no compilation per call or instance
    run = _compiled if isinstance(f, Pytree) else _call
    try:
        return run(f, state, xs, steps, order, options)
    except trace_context_error() as e:
        raise ValueError(
            f"`scan({name}, ...)` must have a step that changes no Flax variables, got "
            "one that does (BatchNorm or Dropout in training mode). Call the network on the whole "
            "sequence, `state, ys = net(state, x_seq)`, or freeze it with `net.eval()`. "
            "A module with a state of its own cannot hold such layers in training mode."
        ) from e
    except TypeError as e:
        if "forward-mode" not in str(e):
            raise
        raise TypeError(
            f"`scan({name}, ...)` must be differentiated in reverse mode (`jax.grad`, "
            "`jax.vjp`, `jax.jacrev`) first, got forward mode (`jax.jvp`, `jax.jacfwd`, "
            "`jax.linearize`). Use `jax.lax.scan` for forward mode. Surrogate gradients have "
            "reverse mode only."
        ) from e


def _run(f, state, xs, length, order, options):
    step, consts, state, xs, out = _trace(f, state, xs, order)
    step, lines = delay_lines.read(step)
    graph = Graph(step)
    # what is fused into a loop might not be affine in its state
    fuse = order == "layer" and options.policy.fuse is not False
    parts = partition(graph, split=order != "step", fuse=fuse)

    def walk(options, length, first, xs):
        last, ys = execute(graph, parts, (consts, lines.open(first), xs), length, options)
        return lines.close(first, last, length), ys

    first, xs, segment = jax.tree.leaves(state), jax.tree.leaves(xs), options.segment_of(length)
    over_time = [part for part in parts if part.kind != "invariant"]
    if order == "layer" and len(over_time) > 1 and segment and LONGEST < segment < length:
        segment = near_divisor(segment, length) if options.segment == "sqrt" else segment
        whole = functools.partial(walk, dataclasses.replace(options, segment=None))
        last, ys = in_segments(whole, segment, length, first, xs)
    else:
        last, ys = walk(options, length, first, xs)
    trees = map(jax.tree.structure, (state, out[1]))
    return tuple(map(jax.tree.unflatten, trees, (last, ys)))


_call, _compiled = api_boundary(_run), jax.jit(_run, static_argnums=(3, 4, 5))


def _trace(
    f: Callable[..., Any], state: Tree, xs: Tree, order: str
) -> tuple[Step, list[Array], Tree, Tree, Tree]:
    """The step as equations, its constants, its arguments as arrays, and the shapes it returns.

    The state takes the types of its first step, which is then traced again, until they no longer
    change: a Python number its dtype, and on a mesh of explicit axes a state at rest its sharding.
    Inside `jax.shard_map` the state and the inputs vary over all the axes that anything in the step
    varies over.
    """
    state, xs = jax.tree.map(jnp.asarray, state), jax.tree.map(jnp.asarray, xs)
    x, name = _first(xs), arguments.name(f)
    step, consts, out = trace_step(f, state, x)
    _check.step_form(f"scan({name}, ...)", state, out)
    for changes, change in ((_is_weak, _as_strong), (_is_unsharded, _as_sharded)):
        while any(map(changes, jax.tree.leaves(state), jax.tree.leaves(out[0]))):
            state = jax.tree.map(change, state, out[0])
            step, consts, out = trace_step(f, state, x)
    axes = {n for a in jax.tree.leaves((consts, state, xs)) for n in varying_axes(jax.typeof(a))}
    if any(axes - set(varying_axes(jax.typeof(a))) for a in jax.tree.leaves((state, xs))):
        state, xs = jax.tree.map(lambda a: _varying_over(axes, a), (state, xs))
        step, consts, out = trace_step(f, state, _first(xs))
    _check.step_dtypes(f"scan({name}, ...)", state, out)
    if order != "step" and (found := sorted({str(x) for e in step.eqns for x in effects(e)})):
        raise ValueError(
            f'`scan({name}, order="{order}")` must have a step without side effects, '
            f'got {found}. Use `order="step"`.'
        )
    return step, consts, state, xs, out


def _is_weak(a, out):
    return jax.typeof(a).weak_type


def _as_strong(a, out):
    return lax.convert_element_type(a, jnp.result_type(a, out.dtype)) if _is_weak(a, out) else a


def _is_unsharded(a, out):
    sharded = out.sharding is not None and any(out.sharding.spec)
    return sharded and not any(jax.typeof(a).sharding.spec)


def _first(xs: Tree) -> Tree:
    return jax.tree.map(lambda a: a[0], xs)


def _varying_over(axes: set[str], a: Array) -> Array:
    missing = tuple(sorted(axes - set(varying_axes(jax.typeof(a)))))
    return lax.pcast(a, missing, to="varying") if missing else a


def _as_sharded(a, out):
    return jax.sharding.reshard(a, out.sharding) if _is_unsharded(a, out) else a
