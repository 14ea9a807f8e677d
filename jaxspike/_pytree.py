"""The one data structure: a frozen dataclass that is a JAX pytree and hashes by identity.

Hashing by identity is what lets an instance be the body of ``jax.lax.scan`` under ``jax.grad``:
a dataclass that hashes its fields fails there, because a traced field cannot be hashed.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any, ClassVar, Self, dataclass_transform, get_args

import jax
import jax.numpy as jnp
import numpy as np


@dataclasses.dataclass(frozen=True)
class _Range:
    """What a field may be, how an error says it, and the way to an unconstrained number."""

    says: str
    holds: Callable[[Any], Any]
    to_raw: Callable[[Any], Any] = lambda value: value
    from_raw: Callable[[Any], Any] = lambda raw: raw


_ANY_NUMBER = _Range("a number", lambda value: value > -math.inf)


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

    Example:
        >>> import jaxspike as js
        >>> class Leak(js.Neuron):
        ...     tau: js.Param = js.greater_than(1.0, default=2.0)
        ...     def init_state(self, shape, dtype=jnp.float32):
        ...         return jnp.zeros(shape, dtype)
        ...     def step(self, state, x):
        ...         v = state - state / self.tau + x
        ...         return v, v
        >>> Leak(tau=0.5)
        Traceback (most recent call last):
        ValueError: `Leak(tau=...)` must be greater than 1, got 0.5.
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
    return _parameter(default, _ANY_NUMBER)


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
    return field.metadata.get("range", _ANY_NUMBER).to_raw(value)


def from_raw(field: dataclasses.Field[Any], raw: Any) -> Any:
    """The parameter behind an unconstrained number: the inverse of ``to_raw``."""
    return field.metadata.get("range", _ANY_NUMBER).from_raw(raw)


@dataclass_transform(
    frozen_default=True,
    eq_default=False,
    field_specifiers=(
        positive,
        negative,
        greater_than,
        between,
        learned,
        static,
        number,
        count,
        function,
    ),
)
@dataclasses.dataclass(frozen=True, eq=False)
class Pytree:
    """Base class: a subclass becomes a frozen dataclass pytree by being defined.

    Fields are numbers or arrays (leaves), other pytrees of this kind, or ``static`` values. They
    are checked when an instance is made by hand, never when JAX rebuilds one around tracers.
    """

    _data: ClassVar[tuple[str, ...]] = ()
    _meta: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        inherited = {f.name: f for f in dataclasses.fields(cls)}
        for name in inherited.keys() & vars(cls).keys() - cls.__annotations__.keys():
            raise TypeError(
                f"`{cls.__name__}.{name}` must be declared with a type to be a new default, "
                f"got `{name} = {vars(cls)[name]!r}`. Write `{name}: jaxspike.Param = ...`."
            )
        dataclasses.dataclass(frozen=True, eq=False)(cls)
        fields = dataclasses.fields(cls)
        for field in fields:  # a new default alone does not lift the limits of the field
            if not field.metadata and field.name in inherited:
                field.metadata = inherited[field.name].metadata
        cls._data = tuple(f.name for f in fields if not is_static(f))
        cls._meta = tuple(f.name for f in fields if is_static(f))
        jax.tree_util.register_pytree_with_keys(
            cls, _flatten_with_keys, _unflatten_as(cls), _flatten
        )

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Refuse an unknown field by naming the known ones."""
        for name in kwargs:
            if name not in cls._data + cls._meta:
                raise TypeError(
                    f"`{cls.__name__}({name}=...)` is not a field of `{cls.__name__}`. "
                    f"Use one of: {', '.join(f.name for f in dataclasses.fields(cls))}."
                )
        return super().__new__(cls)

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            where = f"`{type(self).__name__}({field.name}=...)`"
            check = _check_static if is_static(field) else _check_data
            object.__setattr__(self, field.name, check(where, field, value))


def _flatten(self: Pytree) -> tuple[list[Any], tuple[Any, ...]]:
    return [getattr(self, n) for n in self._data], tuple(getattr(self, n) for n in self._meta)


def _flatten_with_keys(self: Pytree) -> tuple[list[tuple[Any, Any]], tuple[Any, ...]]:
    values, meta = _flatten(self)
    return list(zip(map(jax.tree_util.GetAttrKey, self._data), values, strict=True)), meta


def _unflatten_as(cls: type[Pytree]) -> Callable[[Any, Any], Pytree]:
    def unflatten(meta, values):
        self: Pytree = object.__new__(cls)
        for name, value in zip((*cls._data, *cls._meta), (*values, *meta), strict=True):
            object.__setattr__(self, name, value)
        return self

    return unflatten


def _check_static(where: str, field: dataclasses.Field[Any], value: Any) -> Any:
    allowed = field.metadata["range"]
    if allowed is not None and not allowed.holds(value):
        raise ValueError(f"{where} must be {allowed.says}, got {value!r}.")
    return value


def _check_data(where: str, field: dataclasses.Field[Any], value: Any) -> Any:
    if isinstance(field.type, str) and isinstance(value, Pytree):
        return value  # annotations are text in that module: nothing to compare with
    types = [t for t in get_args(field.type) or (field.type,) if isinstance(t, type)]
    if value is None and (type(None) in types or "None" in str(field.type)):
        return value
    if kinds := [t for t in types if issubclass(t, Pytree)]:
        if not isinstance(value, tuple(kinds)):
            kind = " or ".join(t.__name__ for t in kinds)
            raise TypeError(
                f"{where} must be a {kind}, got {value!r}. Give an instance of `{kind}`."
            )
        return value
    if isinstance(value, bool) or not isinstance(
        value, int | float | np.ndarray | np.generic | jax.Array
    ):
        raise TypeError(
            f"{where} must be a number or an array, got {value!r}. Give a float or a jax.Array."
        )
    if isinstance(value, int | float):
        value = float(value)
    elif not jnp.issubdtype(value.dtype, jnp.floating):
        if not jnp.issubdtype(value.dtype, jnp.integer):
            raise TypeError(f"{where} must be real, got {value.dtype}. Give floats.")
        value = value.astype(jnp.float32)
    if not isinstance(value, jax.core.Tracer):  # the value of a tracer is not known yet
        allowed = field.metadata.get("range", _ANY_NUMBER)
        if not np.all(allowed.holds(np.asarray(value, np.float64))):
            raise ValueError(f"{where} must be {allowed.says}, got {value}.")
    return value
