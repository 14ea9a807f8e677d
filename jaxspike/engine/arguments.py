"""Checks of the arguments of `scan`."""

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
    if not isinstance(order, str) or order not in ("layer", "step", "parallel"):
        raise ValueError(f'`scan(order=...)` must be "layer", "step" or "parallel", got {order!r}.')
    if not (
        segment is None or is_count(segment) or (isinstance(segment, str) and segment == "sqrt")
    ):
        raise ValueError(
            f'`scan(segment=...)` must be a positive integer, "sqrt" or None, got {segment!r}.'
        )
    if order == "parallel" and segment is not None:
        raise ValueError(
            f'`scan(order="parallel", segment=...)` must be None, got {segment!r}. Parallel order '
            'stores the state of every step. Use `order="layer"` or `order="step"`.'
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


def is_count(n) -> bool:
    """Whether ``n`` is a positive integer."""
    return isinstance(n, int | np.integer) and not isinstance(n, bool) and bool(n >= 1)


def as_int(n):
    """A NumPy integer as a Python one."""
    return int(n) if isinstance(n, np.integer) else n
