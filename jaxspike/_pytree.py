"""The one data structure: a frozen dataclass that is a JAX pytree and hashes by identity.

Hashing by identity is what lets an instance be the body of ``jax.lax.scan`` under ``jax.grad``:
a dataclass that hashes its fields fails there, because a traced field cannot be hashed.
"""

import dataclasses
import functools
import re
from collections.abc import Callable
from typing import ClassVar, Self, dataclass_transform, get_args

import jax
import jax.numpy as jnp
import numpy as np

from . import field as _field
from .field import Value, depends_on_others, is_static, range_of


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
@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Pytree:
    """Base class whose subclasses become frozen dataclass pytrees when they are defined.

    Fields are numbers or arrays (leaves), other pytrees of this kind, or ``static`` values. They
    are checked when an instance is made by hand, never when JAX rebuilds one around tracers.
    """

    _data: ClassVar[tuple[str, ...]] = ()
    _meta: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls, **kwargs: Value) -> None:
        super().__init_subclass__(**kwargs)
        inherited = {f.name: f for f in dataclasses.fields(cls)}
        for name in inherited.keys() & vars(cls).keys() - cls.__annotations__.keys():
            raise TypeError(
                f"`{cls.__name__}.{name}` must be declared with a type to be a new default, "
                f"got `{name} = {vars(cls)[name]!r}`. Write `{name}: jaxspike.Param = ...`."
            )
        dataclasses.dataclass(frozen=True, eq=False, repr=False)(cls)
        fields = dataclasses.fields(cls)
        for field in fields:  # a new default alone does not lift the limits of the field
            if not field.metadata and field.name in inherited:
                field.metadata = inherited[field.name].metadata
        cls._data = tuple(f.name for f in fields if not is_static(f))
        cls._meta = tuple(f.name for f in fields if is_static(f))
        jax.tree_util.register_pytree_with_keys(
            cls, _flatten_with_keys, _unflatten_as(cls), _flatten
        )

    def __new__(cls, *args: Value, **kwargs: Value) -> Self:
        """Refuse an unknown field by naming the known ones."""
        name, fields = cls.__name__, dataclasses.fields(cls)
        by_position = [f.name for f in fields if not f.kw_only]
        known = [f.name for f in fields]
        for unknown in (key for key in kwargs if key not in known):
            raise TypeError(
                f"`{name}({unknown}=...)` is not a field of `{name}`. "
                f"Use one of: {', '.join(known)}."
            )
        if len(args) > len(by_position):
            raise TypeError(
                f"`{name}(...)` must have at most {len(by_position)} of its fields by position, "
                f"got {len(args)}. Give `{name}({', '.join(by_position)}, ...)`, the rest by name."
            )
        return super().__new__(cls)

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            where = f"`{type(self).__name__}({field.name}=...)`"
            check = _check_static if is_static(field) else _check_data
            object.__setattr__(self, field.name, check(where, field, value))
        for field in sorted(dataclasses.fields(self), key=depends_on_others):
            _check_range(self, field)

    def replace(self, **changes: Value) -> Self:
        """A copy with new values for some fields, checked as in a call of the class.

        Args:
            **changes: The new values, by the names of their fields.

        Raises:
            TypeError: If there is no field of that name, or the value is of another type.
            ValueError: If a value is outside the range of its field.

        Example:
            >>> import jaxspike as js
            >>> js.LIF().replace(tau=3.0, v_reset=None)
            LIF(tau=3.0, v_reset=None)
        """
        return dataclasses.replace(self, **changes)

    def __dir__(self) -> list[str]:
        """The names that completion shows: none that are private."""
        names = super().__dir__()
        return [name for name in names if name.startswith("__") or not name.startswith("_")]

    def __repr__(self) -> str:
        """The fields that differ from their defaults."""
        values = {f: getattr(self, f.name) for f in dataclasses.fields(self)}
        shown = [
            f"{f.name}={_in_short(value)}"
            for f, value in values.items()
            if not _is_default(value, f.default)
        ]
        return f"{type(self).__name__}({', '.join(shown)})"


def _flatten(self: Pytree) -> tuple[list[Value], tuple[Value, ...]]:
    return [getattr(self, n) for n in self._data], tuple(getattr(self, n) for n in self._meta)


def _flatten_with_keys(
    self: Pytree,
) -> tuple[list[tuple[Value, Value]], tuple[Value, ...]]:
    values, meta = _flatten(self)
    return list(zip(map(jax.tree_util.GetAttrKey, self._data), values, strict=True)), meta


def _unflatten_as(cls: type[Pytree]) -> Callable[..., Pytree]:
    def unflatten(meta, values):
        self: Pytree = object.__new__(cls)
        for name, value in zip((*cls._data, *cls._meta), (*values, *meta), strict=True):
            object.__setattr__(self, name, value)
        return self

    return unflatten


def _check_static(where: str, field: dataclasses.Field[Value], value: Value) -> Value:
    if (check := field.metadata["check"]) is not None:
        check(where, value)
    return value


def _check_data(where: str, field: dataclasses.Field[Value], value: Value) -> Value:
    if isinstance(field.type, str):  # annotations are text in that module
        types, optional = [], bool({"None", "Optional"} & set(re.findall(r"\w+", field.type)))
        kinds = [type(value)] if isinstance(value, Pytree) else []
    else:
        types = [t for t in get_args(field.type) or (field.type,) if isinstance(t, type)]
        optional, kinds = type(None) in types, [t for t in types if issubclass(t, Pytree)]
    if value is None and optional:
        return value
    if kinds:
        if not isinstance(value, tuple(kinds)):
            kind = " or ".join(t.__name__ for t in kinds)
            raise TypeError(
                f"{where} must be a {kind}, got {value!r}. Give an instance of `{kind}`."
            )
        return value
    return _as_parameter(where, value)


def _check_range(self: Pytree, field: dataclasses.Field[Value]) -> None:
    value = getattr(self, field.name)
    known = not isinstance(value, jax.core.Tracer)  # the value of a tracer is not known yet
    if is_static(field) or value is None or isinstance(value, Pytree) or not known:
        return
    allowed = range_of(field, functools.partial(getattr, self))
    if not np.all(allowed.holds(np.asarray(value, np.float64))):
        where = f"`{type(self).__name__}({field.name}=...)`"
        raise ValueError(f"{where} must be {allowed.requirement}, got {value}.")


def _as_parameter(where: str, value: Value) -> Value:
    """A number as a float, integers in an array as float32."""
    if isinstance(value, bool) or not isinstance(
        value, int | float | np.ndarray | np.generic | jax.Array
    ):
        raise TypeError(
            f"{where} must be a number or an array, got {value!r}. Give a float or a jax.Array."
        )
    if isinstance(value, int | float):
        return float(value)
    if jnp.issubdtype(value.dtype, jnp.floating):
        return value
    if not jnp.issubdtype(value.dtype, jnp.integer):
        raise TypeError(f"{where} must be real, got {value.dtype}. Give floats.")
    return value.astype(jnp.float32)


def _is_default(value: Value, default: Value) -> bool:
    if isinstance(value, Pytree):
        return type(value) is type(default) and all(
            _is_default(getattr(value, f.name), getattr(default, f.name))
            for f in dataclasses.fields(value)
        )
    return value is default or (isinstance(value, int | float | str) and value == default)


def _in_short(value: Value) -> str:
    """An array, which may be traced, as its dtype and shape; a function as its name."""
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return jax.core.ShapedArray(value.shape, value.dtype).str_short(short_dtypes=True)
    if callable(value) and hasattr(value, "__name__"):
        return value.__name__
    return repr(value)
