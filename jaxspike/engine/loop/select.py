"""Splitting lists of values by flags; a flag that is mapped as other values are."""

import dataclasses
import functools
from collections.abc import Iterable, Sequence
from typing import TypeVar

import jax.numpy as jnp

from ..._types import Array

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class NeedsGrad:
    """Which arguments of a loop need a gradient, and which of its outputs have a cotangent."""

    consts: list[bool]
    state: list[bool]
    xs: list[bool]
    ys: list[bool]
    lines: list[bool]


def select(flags: Sequence[bool], values: Iterable[T], which: bool = True) -> list[T]:
    """The values whose flag is ``which``."""
    return [v for f, v in zip(flags, values, strict=True) if f == which]


def combine(flags: Sequence[bool], yes: Iterable[T], no: Iterable[T]) -> list[T]:
    """The inverse of `select`: the values of both flags in one list."""
    from_yes, from_no = iter(yes), iter(no)
    return [next(from_yes) if f else next(from_no) for f in flags]


def nothing_of(arrays: Iterable[Array]) -> Array:
    """False, which `jax.vmap` maps if it maps any of ``arrays``."""
    return functools.reduce(jnp.logical_or, map(_nothing, arrays))


def _nothing(a: Array) -> Array:
    none = (a if a.ndim else a[None])[:0]
    return (none != none).any()
