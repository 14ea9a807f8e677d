"""Splitting lists of values by flags, such as what needs a gradient and what does not."""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import TypeVar

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
