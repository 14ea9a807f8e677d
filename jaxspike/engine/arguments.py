"""Checks of `scan`: its arguments, and that a step fits its state."""

from collections.abc import Callable
from typing import Any

import jax
import jax.export
import numpy as np

from .._types import Tree
from .policy import Policy


def name(f: Callable[..., Any]) -> str:
    """The name of a step in errors."""
    return getattr(f, "__name__", type(f).__name__)


def check(f: Callable[..., Any], xs: Tree, length, order, segment, unroll, policy) -> int:
    """Check the arguments of `scan`; return the number of steps."""
    if isinstance(f, type):
        raise TypeError(
            "`scan(f=...)` must be callable as `f(state, x) -> (state, y)`, "
            f"got the class {f.__name__}. Give an instance: `{f.__name__}(...)`."
        )
    if not callable(f):
        raise TypeError(
            f"`scan(f=...)` must be callable as `f(state, x) -> (state, y)`, got {f!r}. "
            "Give a neuron, a network or a function."
        )
    if not isinstance(order, str) or order not in ("layer", "step"):
        raise ValueError(f'`scan(order=...)` must be "layer" or "step", got {order!r}.')
    if not (
        segment is None or is_count(segment) or (isinstance(segment, str) and segment == "sqrt")
    ):
        raise ValueError(
            f'`scan(segment=...)` must be a positive integer, "sqrt" or None, got {segment!r}.'
        )
    if unroll is not None and not is_count(unroll):
        raise ValueError(f"`scan(unroll=...)` must be a positive integer or None, got {unroll!r}.")
    if length is not None and not is_count(length):
        raise ValueError(f"`scan(length=...)` must be a positive integer or None, got {length!r}.")
    if not isinstance(policy, Policy | None):
        raise TypeError(f"`scan(policy=...)` must be a `jaxspike.Policy` or None, got {policy!r}.")
    shapes = [np.shape(a) for a in jax.tree.leaves(xs)]
    if () in shapes:
        raise ValueError(
            "`scan(xs=...)` must have time as axis 0 of every array, got an array of shape (). "
            "Give a number that is the same at every step to `f` by closure."
        )
    lengths = {s[0] for s in shapes} | ({as_int(length)} - {None})
    if not lengths:
        raise ValueError("`scan(xs=...)` must be given, got None. Or give `length=T`.")
    if len(lengths) > 1:
        raise ValueError(
            f"`scan(xs=..., length=...)` must agree on the number of time steps, "
            f"got {sorted(lengths)}. Time is axis 0 of every array."
        )
    (steps,) = lengths
    if not jax.export.is_symbolic_dim(steps) and steps < 1:
        raise ValueError(f"`scan(xs=...)` must have at least one time step, got shapes {shapes}.")
    return steps


def check_form(call: str, state: Tree, out: Tree, one: str = "xs[0]") -> None:
    """Refuse a step that does not return a pair or changes the form of its state.

    ``call`` is who got the step, and ``one`` the input of a time step, for errors.
    """
    if not isinstance(out, tuple | list) or len(out) != 2:
        got = "an array" if hasattr(out, "shape") else f"a {type(out).__name__}"
        if isinstance(out, tuple | list):
            got += f" of length {len(out)}"
        raise TypeError(
            f"`{call}` must have a step that returns a pair `(state, y)`, got {got}. "
            "Return the new state first."
        )
    before: Tree = jax.tree.structure(state)
    after: Tree = jax.tree.structure(out[0])
    if before != after:
        raise TypeError(
            f"`{call}` must have a step that keeps the structure of its state, "
            f"got {after} for {before}. Return a state like the one it is given."
        )
    for (path, a), b in zip(
        jax.tree_util.tree_leaves_with_path(state), jax.tree.leaves(out[0]), strict=True
    ):
        if a.shape != b.shape:
            raise TypeError(
                f"`{call}` must have a step that keeps the shapes of its state, got "
                f"{b.shape} for state{jax.tree_util.keystr(path)} of shape {a.shape}. "
                f"Build the state for the shape of one input, `{one}`."
            )


def check_dtypes(call: str, state: Tree, out: Tree) -> None:
    """Refuse a step that changes a dtype of its state."""
    for (path, a), b in zip(
        jax.tree_util.tree_leaves_with_path(state), jax.tree.leaves(out[0]), strict=True
    ):
        if a.dtype != b.dtype:
            raise TypeError(
                f"`{call}` must have a step that keeps the dtypes of its state, got "
                f"{b.dtype} for state{jax.tree_util.keystr(path)} of {a.dtype}. "
                "Cast it in the step."
            )


def is_count(n) -> bool:
    """Whether ``n`` is a positive integer."""
    return isinstance(n, int | np.integer) and not isinstance(n, bool) and bool(n >= 1)


def as_int(n):
    """A NumPy integer as a Python one."""
    return int(n) if isinstance(n, np.integer) else n
