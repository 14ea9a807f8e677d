"""The one data structure: a frozen dataclass that is a JAX pytree and hashes by identity.

Hashing by identity is what lets an instance be the body of ``jax.lax.scan`` under ``jax.grad``:
a dataclass that hashes its fields fails there, because a traced field cannot be hashed.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar, Self, dataclass_transform, get_args

import jax
import jax.numpy as jnp
import numpy as np

from . import field as _field


@dataclass_transform(
    frozen_default=True,
    eq_default=False,
    field_specifiers=(
        _field.positive,
        _field.negative,
        _field.greater_than,
        _field.between,
        _field.learned,
        _field.static,
        _field.number,
        _field.count,
        _field.function,
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
        cls._data = tuple(f.name for f in fields if not _field.is_static(f))
        cls._meta = tuple(f.name for f in fields if _field.is_static(f))
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
            check = _check_static if _field.is_static(field) else _check_data
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
        allowed = field.metadata.get("range", _field.ANY_NUMBER)
        if not np.all(allowed.holds(np.asarray(value, np.float64))):
            raise ValueError(f"{where} must be {allowed.says}, got {value}.")
    return value
