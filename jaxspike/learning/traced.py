"""The step of a learning rule as equations, and the checks that it must pass."""

from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import Var

from .. import _check
from .._types import Array, Tree
from ..engine.device import portable
from ..engine.program import Step, flatten, location, prune, trace_context_error, type_of, unique
from .flow import Flow

Traced = tuple[Step, list[Array], Tree]


def trace(call: str, step: Callable[..., Any], params: Tree, state: Tree, x: Tree) -> Traced:
    """``step(params, state, x)`` as equations.

    Returns:
        The step, whose last constants are the parameters; the values of its other constants; and
        the shapes that it returned.
    """
    try:
        with portable():  # a sparse layer is a product, which rules can follow
            jaxpr, consts, out = flatten(step, params, state, x)
    except trace_context_error() as e:
        raise ValueError(
            f"`{call}(step)` must have a step that changes no Flax variables, got one that does "
            "(BatchNorm in training mode). Call `net.eval()`."
        ) from e
    before = jax.eval_shape(lambda s: s, state)
    _check.step_form(f"{call}(step=...)", before, out, "x")
    _check.step_dtypes(f"{call}(step=...)", before, out)
    n_consts, n_state = len(consts) + len(jax.tree.leaves(params)), len(jax.tree.leaves(state))
    invars, outvars = jaxpr.invars, jaxpr.outvars
    rest = invars[n_consts:]
    eqns = prune(jaxpr.eqns, outvars)
    new, ys = outvars[:n_state], outvars[n_state:]
    traced = Step(invars[:n_consts], rest[:n_state], rest[n_state:], new, ys, eqns)
    _check_samples(call, traced)
    return traced, consts, out


def _check_samples(call: str, step: Step) -> None:
    """Refuse states of samples normalized by statistics over the batch."""
    stateful = {id(e) for e in prune(step.eqns, step.new_state, effects=False)}
    varies, statistics = {*step.state, *step.xs}, set[Var]()
    for e in step.eqns:
        if not any(v in varies for v in unique(e.invars)):
            continue
        varies.update(e.outvars)
        outs = [v for v in e.outvars if type_of(v).shape]
        read = [v for v in unique(e.invars) if v in statistics]
        if e.primitive.name == "reduce_sum" and 0 in e.params["axes"]:
            statistics.update(outs)
        elif read and e.primitive.name in ("rsqrt", "sqrt") and id(e) in stateful:
            raise ValueError(
                f"`{call}(step)` must have a step that treats every sample alone, got statistics "
                f"over samples in {location(e)}, as of a BatchNorm in training mode. Call "
                "`net.eval()`, or use `jaxspike.nn.WSLinear`."
            )
        elif read:  # what normalizes has no batch axis
            most = max(type_of(v).size for v in read)
            statistics.update(v for v in outs if type_of(v).size <= most)


def check_loss(call: str, out: Tree, *, has_aux: bool) -> None:
    """Refuse a loss that is not a differentiable scalar."""
    form = "(loss, aux)" if has_aux else "loss"
    if has_aux and (not isinstance(out, tuple | list) or len(out) != 2):
        raise TypeError(
            f"`{call}(step, has_aux=True)` must have a step that returns `(state, {form})`, got "
            f"{_kinds(out)} beside the state. Return `(state, (loss, aux))`."
        )
    (*leaves,) = jax.tree.leaves(out[0] if has_aux else out)
    if len(leaves) != 1 or leaves[0].shape or not jnp.issubdtype(leaves[0].dtype, jnp.floating):
        raise TypeError(
            f"`{call}(step)` must have a step that returns `(state, {form})` with a scalar loss, "
            f"got {_kinds(out[0] if has_aux else out)}. Take its mean."
        )


def _kinds(tree: Tree) -> str:
    return ", ".join(f"{a.dtype.name}{list(a.shape)}" for a in jax.tree.leaves(tree)) or "None"


def paths(name: str, tree: Tree) -> list[str]:
    """The path of every leaf, as in Python."""
    return [name + jax.tree_util.keystr(p) for p, _ in jax.tree_util.tree_leaves_with_path(tree)]


def check_params(call: str, params: Tree) -> None:
    """Refuse parameters that have no gradient."""
    for path, a in zip(paths("params", params), jax.tree.leaves(params), strict=True):
        if not jnp.issubdtype(jnp.result_type(a), jnp.floating):
            raise TypeError(
                f"`{call}(params, ...)` must be floating point, got {path} of "
                f"{jnp.result_type(a)}. Close over it instead."
            )


def check_places(where: str, flow: Flow, names: list[str], states: Iterable[int]) -> None:
    """Refuse a step that moves the memory of a state between neurons."""
    for k in states:
        moved_by = flow.moved_by(k)
        if moved_by:
            raise ValueError(
                f"{where} must have a step in which every neuron keeps its own memory, got "
                f"{names[k]}, which {moved_by} moves. Use the credit "
                '"full" or "none".'
            )
