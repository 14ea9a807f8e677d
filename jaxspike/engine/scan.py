"""`scan`: a step function over time."""

import sys
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp

from .._types import Tree

Step = Callable[[Any, Any], tuple[Any, Any]]


def scan(
    f: Step,
    state: Tree,
    xs: Tree = None,
    *,
    length: int | None = None,
    order: Literal["layer", "step"] = "layer",
    segment: int | Literal["sqrt"] | None = None,
    unroll: int | None = None,
) -> tuple[Tree, Tree]:
    """Run ``f(state, x) -> (state, y)`` over the leading axis of ``xs``, as `jax.lax.scan` does.

    Args:
        f: A neuron, a network, or any step function.
        state: The first state, any pytree of arrays; ``f`` keeps its structure, shapes and dtypes.
        xs: The inputs, any pytree of arrays with time as axis 0, ``[T, N, *]``; or None.
        length: The number of steps T; needed only if ``xs`` is None.
        order: How to walk the network, with equal results: ``"layer"``, every layer over all time
            steps before the next; ``"step"``, every time step through all layers before the next.
        segment: Keep for the gradient only the state at every ``segment``-th step and compute the
            rest again; ``"sqrt"`` is the square root of T. None chooses.
        unroll: How many steps one turn of the loop does. None chooses.

    Returns:
        The last state, and the outputs with time as axis 0.

    Raises:
        TypeError: If ``f`` is not callable, does not return a pair, or changes the structure, a
            shape or a dtype of the state.
        ValueError: If there is no time step, the sequences differ in length, or an option is not
            one of those above.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> lif = js.LIF()
        >>> state, spikes = js.scan(lif, lif.init_state((4, 8)), jnp.ones((10, 4, 8)))
        >>> spikes.shape
        (10, 4, 8)
    """
    steps = _check(f, xs, length, order, segment, unroll)
    try:
        # a fresh function: traces are cached by identity, and a Flax module would come back with
        # the parameters of its first trace
        return jax.lax.scan(lambda s, x: f(s, x), state, xs, length=steps, unroll=unroll or 1)
    except getattr(sys.modules.get("flax.errors"), "TraceContextError", ()) as e:
        name = getattr(f, "__name__", type(f).__name__)
        raise ValueError(
            f"`scan({name}, ...)` must have a step that changes no Flax variables, got one that "
            "does (BatchNorm or Dropout in training mode). Call the network on the whole sequence, "
            "`state, ys = net(state, x_seq)`, or freeze it with `net.eval()`."
        ) from e


def _check(f: Step, xs: Tree, length: Any, order: Any, segment: Any, unroll: Any) -> int:
    """Refuse bad arguments; return the number of steps."""
    if not callable(f):
        raise TypeError(
            f"`scan(f=...)` must be callable as `f(state, x) -> (state, y)`, got {f!r}. "
            "Give a neuron, a network or a function."
        )
    if order not in ("layer", "step"):
        raise ValueError(f'`scan(order=...)` must be "layer" or "step", got {order!r}.')
    if segment != "sqrt" and segment is not None and not _is_count(segment):
        raise ValueError(
            f'`scan(segment=...)` must be a positive integer, "sqrt" or None, got {segment!r}.'
        )
    if unroll is not None and not _is_count(unroll):
        raise ValueError(f"`scan(unroll=...)` must be a positive integer or None, got {unroll!r}.")
    if length is not None and not _is_count(length):
        raise ValueError(f"`scan(length=...)` must be a positive integer or None, got {length!r}.")
    shapes = [jnp.shape(a) for a in jax.tree.leaves(xs)]
    if () in shapes:
        raise ValueError(
            "`scan(xs=...)` must have time as axis 0 of every array, got an array of shape (). "
            "Give a number that is the same at every step to `f` by closure."
        )
    lengths = {s[0] for s in shapes} | ({length} - {None})
    if not lengths:
        raise ValueError("`scan(xs=...)` must be given, got None. Or give `length=T`.")
    if len(lengths) > 1:
        raise ValueError(
            f"`scan(xs=..., length=...)` must agree on the number of time steps, "
            f"got {sorted(lengths)}. Time is axis 0 of every array."
        )
    (steps,) = lengths
    if steps < 1:
        raise ValueError(f"`scan(xs=...)` must have at least one time step, got shapes {shapes}.")
    return steps


def _is_count(n: Any) -> bool:
    return isinstance(n, int) and not isinstance(n, bool) and n >= 1
