"""Picking values by flags: what is differentiated, and what is not."""

import dataclasses
from collections.abc import Sequence
from typing import Any


@dataclasses.dataclass(frozen=True)
class Wanted:
    """Which constants, states and inputs are differentiated, and which outputs have a cotangent."""

    consts: list[bool]
    state: list[bool]
    xs: list[bool]
    ys: list[bool]


def chosen(flags: Sequence[bool], values: Sequence[Any], which: bool = True) -> list[Any]:
    """The values whose flag is ``which``."""
    return [v for f, v in zip(flags, values, strict=True) if f == which]


def merge(flags: Sequence[bool], yes: Sequence[Any], no: Sequence[Any]) -> list[Any]:
    """The values that `chosen` took apart, together again."""
    from_yes, from_no = iter(yes), iter(no)
    return [next(from_yes) if f else next(from_no) for f in flags]
