"""The kinds of fields that a model may have: what each allows, and how it is learned.

>>> import jaxspike as js
>>> class Leak(js.Neuron):
...     tau: js.Param = js.field.greater_than(1.0, default=2.0)
...     def init_state(self, shape, dtype=jnp.float32):
...         return jnp.zeros(shape, dtype)
...     def step(self, state, x):
...         v = state - state / self.tau + x
...         return v, v
>>> Leak(tau=0.5)
Traceback (most recent call last):
ValueError: `Leak(tau=...)` must be greater than 1, got 0.5.
"""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from . import _check
from ._types import Param

__all__ = [
    "between",
    "count",
    "function",
    "greater_than",
    "learned",
    "negative",
    "number",
    "positive",
    "static",
]


def __dir__() -> list[str]:
    return __all__


#: The default of a field, and what a type checker takes the field for.
Value = Any


@dataclasses.dataclass(frozen=True)
class Range:
    """The values that a parameter may have, and the way to an unconstrained number and back."""

    requirement: str
    holds: Callable[[Value], Value]
    to_raw: Callable[[Param], Param] = lambda value: value
    from_raw: Callable[[Param], Param] = lambda raw: raw


#: The value of another field of the same model by its name; None for a field that is None.
Others = Callable[[str], Param | None]

_ANY_NUMBER = Range("a number", lambda value: value > -math.inf)


def _parameter(default: Value, allowed: Range | Callable[[Others], Range]) -> Value:
    return dataclasses.field(default=default, metadata={"range": allowed})


def positive(*, default: Value = dataclasses.MISSING) -> Value:
    """A parameter above zero; learned as its logarithm.

    Args:
        default: The default of the field; without one, the field is required.
    """
    return greater_than(0.0, default=default)


def negative(*, default: Value = dataclasses.MISSING) -> Value:
    """A parameter below zero; learned as ``log(-value)``.

    Args:
        default: The default of the field; without one, the field is required.
    """
    below = Range("less than 0", lambda v: v < 0, lambda v: jnp.log(-v), lambda r: -jnp.exp(r))
    return _parameter(default, below)


def greater_than(*bounds: float | str, default: Value = dataclasses.MISSING) -> Value:
    """A parameter above ``bounds``; learned as ``log(value - bound)``, so it stays above.

    Args:
        *bounds: The lower ends of the range, themselves not allowed; the greatest counts. Numbers,
            or the names of other fields of the model: a field that is None sets no bound, and if
            there is none, the bound is 0.
        default: The default of the field; without one, the field is required.

    Example:
        >>> import jaxspike as js
        >>> class Floor(js.IF):
        ...     v_floor: js.Param = -1.0
        ...     v_threshold: js.Param = js.field.greater_than("v_floor", default=1.0)
        >>> Floor(v_floor=-70.0, v_threshold=-80.0)
        Traceback (most recent call last):
        ValueError: `Floor(v_threshold=...)` must be greater than v_floor=-70.0, got -80.0.
    """
    named = any(isinstance(bound, str) for bound in bounds)
    above = functools.partial(_above, bounds)
    return _parameter(default, above if named else above(lambda name: None))


def _above(bounds: tuple[float | str, ...], others: Others) -> Range:
    given = ((b, others(b)) if isinstance(b, str) else ("", b) for b in bounds)
    limits = [(name, limit) for name, limit in given if limit is not None] or [("", 0.0)]

    def highest(value):
        return functools.reduce(_greater, [_like(limit, value) for _, limit in limits])

    return Range(
        "greater than " + " and ".join(f"{n}={b}" if n else f"{b:g}" for n, b in limits),
        lambda v: all(_check.all_known(b, functools.partial(_exceeds, v)) for _, b in limits),
        lambda v: jnp.log(v - highest(v)),
        lambda r: jnp.exp(r) + highest(r),
    )


def _exceeds(value: Value, limit: Value) -> Value:
    return value > (limit if _check.fits(limit.shape, value.shape) else limit.max())


def _like(limit: Param, value: Param) -> Param:
    """``limit``, or its greatest entry where it would widen ``value``."""
    if isinstance(limit, float | int):
        return limit
    limit = jnp.asarray(limit, jnp.result_type(value))
    return limit if _check.fits(limit.shape, np.shape(value)) else jnp.max(limit)


def _greater(a: Param, b: Param) -> Param:
    return jnp.maximum(a, b) if isinstance(a, jax.Array) or isinstance(b, jax.Array) else max(a, b)


def between(low: float, high: float, *, default: Value = dataclasses.MISSING) -> Value:
    """A parameter from ``low`` to ``high``, such as a decay; learned as its logit.

    The ends are allowed, but only as constants: a learned parameter starts inside the range and
    stays there.

    Args:
        low: The smallest value.
        high: The largest value.
        default: The default of the field; without one, the field is required.

    Raises:
        ValueError: If ``high`` is not greater than ``low``.
    """
    _check.in_range("`between(high=...)`", high, above=low)
    inside = Range(
        f"between {low:g} and {high:g}",
        lambda v: (v >= low) & (v <= high),
        lambda v: jnp.log((v - low) / (high - v)),
        lambda r: low + (high - low) * jax.nn.sigmoid(r),
    )
    return _parameter(default, inside)


def depending(on: Callable[[Others], Range], *, default: Value = dataclasses.MISSING) -> Value:
    """A parameter whose range is a function of the other fields."""
    return _parameter(default, on)


def number(*, default: Value = dataclasses.MISSING) -> Value:
    """A parameter that may be any number: in a subclass, it lifts the limits of a field.

    Args:
        default: The default of the field; without one, the field is required.
    """
    return _parameter(default, _ANY_NUMBER)


def learned() -> Value:
    """An array that is learned wherever the model is a layer, like the kernel of a Flax layer."""
    return dataclasses.field(metadata={"learned": True})


def static(*, default: Value = dataclasses.MISSING, choices: tuple[object, ...] = ()) -> Value:
    """A field of the structure, such as a switch: hashable, and not a number to differentiate.

    Args:
        default: The default of the field; without one, the field is required.
        choices: The values allowed; any value if empty.
    """
    return _structure(
        default, functools.partial(_check.one_of, choices=choices) if choices else None
    )


def count(*, default: Value = dataclasses.MISSING) -> Value:
    """A `static` field that counts something: an integer of at least 1.

    Args:
        default: The default of the field; without one, the field is required.
    """
    return _structure(default, functools.partial(_check.integer, low=1))


def function(*, default: Value = dataclasses.MISSING) -> Value:
    """A `static` field that is a function, compared by identity: give a named one, not a lambda.

    Args:
        default: The default of the field; without one, the field is required.
    """
    return _structure(default, _check.function)


def _structure(default: Value, check: Callable[..., object] | None) -> Value:
    return dataclasses.field(default=default, metadata={"static": True, "check": check})


def is_static(field: dataclasses.Field[Value]) -> bool:
    """Whether ``field`` belongs to the structure and not to the parameters."""
    return field.metadata.get("static", False)


def is_learned(field: dataclasses.Field[Value]) -> bool:
    """Whether ``field`` is an array that is always learned."""
    return field.metadata.get("learned", False)


def range_of(field: dataclasses.Field[Value], others: Others) -> Range:
    """The values that ``field``, a parameter, may have, given those of the ``others``."""
    allowed = field.metadata.get("range", _ANY_NUMBER)
    return allowed if isinstance(allowed, Range) else allowed(others)


def depends_on_others(field: dataclasses.Field[Value]) -> bool:
    """Whether the range of ``field`` depends on other fields."""
    return callable(field.metadata.get("range"))


def to_raw(field: dataclasses.Field[Value], value: Param, others: Others) -> Param:
    """The unconstrained number that an optimizer may move freely."""
    return range_of(field, others).to_raw(value)


def from_raw(field: dataclasses.Field[Value], raw: Param, others: Others) -> Param:
    """The parameter for an unconstrained number: the inverse of ``to_raw``."""
    return range_of(field, others).from_raw(raw)
