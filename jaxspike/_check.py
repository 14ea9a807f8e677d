"""Checks of arguments that several rooms share; each names the call, the value and the fix."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ._types import Array


def integer(where: str, value: Any, *, low: int, high: int | None = None) -> int:
    """``value`` as an int between ``low`` and ``high``, both included."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{where} must be an integer, got {value!r}. Give an int.")
    if value < low or (high is not None and value > high):
        limits = f"at least {low}" if high is None else f"from {low} to {high}"
        raise ValueError(f"{where} must be {limits}, got {value}.")
    return int(value)


def one_of(where: str, value: Any, choices: tuple[Any, ...]) -> None:
    """Refuse a ``value`` that is not one of ``choices``."""
    if value not in choices:
        raise ValueError(f"{where} must be one of {choices}, got {value!r}.")


def positive_number(where: str, value: Any) -> None:
    """Refuse a number that is not above zero; the values of an array are not looked at."""
    if isinstance(value, int | float | np.floating) and not value > 0:
        raise ValueError(f"{where} must be greater than 0, got {value}.")


def known_and(value: Any, holds: Callable[[Any], Any]) -> bool:
    """Whether all of ``value`` is as it should be; what is not known yet, a tracer, is taken so."""
    return isinstance(value, jax.core.Tracer) or bool(np.all(holds(np.asarray(value))))


def broadcasts(where: str, value: Any, shape: tuple[int, ...]) -> None:
    """Refuse an array that does not broadcast into ``shape``, or would widen it."""
    given = np.shape(value)
    pairs = zip(reversed(given), reversed(shape), strict=False)
    if len(given) > len(shape) or not all(n in (1, size) for n, size in pairs):
        raise ValueError(
            f"{where} must be a number or broadcast into the shape {shape}, got the shape {given}."
        )


def above_zero(where: str, value: Any) -> None:
    """Refuse a number or an array that is not above zero everywhere."""
    if not known_and(value, lambda value: value > 0):
        raise ValueError(f"{where} must be greater than 0, got {value}.")


def decay(where: str, value: Any) -> None:
    """Refuse a number or an array that is not from 0 to 1 everywhere."""
    if not known_and(value, lambda value: (value >= 0) & (value <= 1)):
        raise ValueError(f"{where} must be between 0 and 1, got {value}.")


def floating(where: str, x: Any) -> Array:
    """``x`` as an array, which must be floating point."""
    x = jnp.asarray(x)
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise TypeError(f"{where} must be floating point, got {x.dtype}. Convert it first.")
    return x


def key(where: str, value: Any) -> None:
    """Refuse what is not one random key."""
    dtype, shape = getattr(value, "dtype", None), getattr(value, "shape", None)
    typed = dtype is not None and jnp.issubdtype(dtype, jax.dtypes.prng_key) and shape == ()
    if not typed and not (dtype == jnp.uint32 and shape == (2,)):
        what = repr(value) if dtype is None else f"an array {dtype}{list(shape or ())}"
        raise TypeError(f"{where} must be a random key, got {what}. Give `jax.random.key(seed)`.")


def wide(x: Array) -> Array:
    """``x`` in at least float32."""
    return x if x.dtype == jnp.float64 else x.astype(jnp.float32)


def real(where: str, x: Any) -> Array:
    """``x`` as an array in at least float32: in bfloat16 a count would stop at 256."""
    x = jnp.asarray(x)
    if not (x.dtype == bool or jnp.issubdtype(x.dtype, jnp.integer)):
        x = floating(where, x)
    return wide(x)


def sequence(where: str, x: Any, layout: str = "[T, N, *]") -> Array:
    """``x`` in at least float32, which must have the axes of ``layout`` and a step in it."""
    x, axes = real(where, x), layout.count(",") + 1
    if not (x.ndim >= axes - 1 if layout.endswith("*]") else x.ndim == axes):
        raise ValueError(
            f"{where} must be {layout}, got the shape {x.shape}. Time is the first axis."
        )
    if not x.shape[0]:
        raise ValueError(f"{where} must have at least one time step, got the shape {x.shape}.")
    return x
