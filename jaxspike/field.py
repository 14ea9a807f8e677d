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
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

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


@dataclasses.dataclass(frozen=True)
class _Range:
    """What a field may be, how an error says it, and the way to an unconstrained number."""

    says: str
    holds: Callable[[Any], Any]
    to_raw: Callable[[Any], Any] = lambda value: value
    from_raw: Callable[[Any], Any] = lambda raw: raw


ANY_NUMBER = _Range("a number", lambda value: value > -math.inf)


def _parameter(default: Any, allowed: _Range) -> Any:
    return dataclasses.field(default=default, metadata={"range": allowed})


def positive(*, default: Any = dataclasses.MISSING) -> Any:
    """A parameter above zero; learned as its logarithm."""
    return greater_than(0.0, default=default)


def negative(*, default: Any = dataclasses.MISSING) -> Any:
    """A parameter below zero; learned as ``log(-value)``."""
    below = _Range("less than 0", lambda v: v < 0, lambda v: jnp.log(-v), lambda r: -jnp.exp(r))
    return _parameter(default, below)


def greater_than(bound: float, *, default: Any = dataclasses.MISSING) -> Any:
    """A parameter above ``bound``; learned as ``log(value - bound)``, so it cannot leave its range.

    Args:
        bound: The excluded lower end of the range.
        default: The value of the field where none is given.
    """
    above = _Range(
        f"greater than {bound:g}",
        lambda v: v > bound,
        lambda v: jnp.log(v - bound),
        lambda r: jnp.exp(r) + bound,
    )
    return _parameter(default, above)


def between(low: float, high: float, *, default: Any = dataclasses.MISSING) -> Any:
    """A parameter from ``low`` to ``high``, such as a decay; learned as its logit.

    The ends are allowed, as constants: a learned parameter starts inside the range and stays there.

    Args:
        low: The least value.
        high: The greatest value.
        default: The value of the field where none is given.
    """
    inside = _Range(
        f"between {low:g} and {high:g}",
        lambda v: (v >= low) & (v <= high),
        lambda v: jnp.log((v - low) / (high - v)),
        lambda r: low + (high - low) * jax.nn.sigmoid(r),
    )
    return _parameter(default, inside)


def learned() -> Any:
    """An array that is learned wherever the model is a layer, as the kernel of a Flax layer is."""
    return dataclasses.field(metadata={"learned": True})


def static(*, default: Any = dataclasses.MISSING, choices: tuple[Any, ...] = ()) -> Any:
    """A field of the structure, such as a switch: hashable, not a number to differentiate.

    Args:
        default: The value of the field where none is given.
        choices: The values allowed; anything if empty.
    """

    def holds(value):
        return any(value is c or (type(value) is type(c) and value == c) for c in choices)

    return _structure(default, _Range(f"one of {choices}", holds) if choices else None)


def number(*, default: Any = dataclasses.MISSING) -> Any:
    """A parameter that may be any number: in a subclass it lifts the limits of a field."""
    return _parameter(default, ANY_NUMBER)


def count(*, default: Any = dataclasses.MISSING) -> Any:
    """A `static` field that counts something: an integer of at least 1."""

    def holds(value):
        return isinstance(value, int) and not isinstance(value, bool) and value >= 1

    return _structure(default, _Range("an integer of at least 1", holds))


def function(*, default: Any = dataclasses.MISSING) -> Any:
    """A `static` field that is a function, compared by identity: give a named one, not a lambda."""
    return _structure(default, _Range("a function", callable))


def _structure(default: Any, allowed: _Range | None) -> Any:
    return dataclasses.field(default=default, metadata={"static": True, "range": allowed})


def is_static(field: dataclasses.Field[Any]) -> bool:
    """Whether ``field`` belongs to the structure and not to the parameters."""
    return field.metadata.get("static", False)


def is_learned(field: dataclasses.Field[Any]) -> bool:
    """Whether ``field`` is an array that is always learned."""
    return field.metadata.get("learned", False)


def to_raw(field: dataclasses.Field[Any], value: Any) -> Any:
    """The unconstrained number that an optimizer may move freely."""
    return field.metadata.get("range", ANY_NUMBER).to_raw(value)


def from_raw(field: dataclasses.Field[Any], raw: Any) -> Any:
    """The parameter behind an unconstrained number: the inverse of ``to_raw``."""
    return field.metadata.get("range", ANY_NUMBER).from_raw(raw)
