"""Choices that change speed and memory, never results."""

import dataclasses
import math


@dataclasses.dataclass(frozen=True)
class Plan:
    """How one loop over time is cut.

    Attributes:
        segment: Steps written out in one turn of the loop; a state is kept at the start of each.
        outer: If given, only states ``outer`` steps apart are kept, and everything between is
            computed again in the backward pass.
        tile: Neurons that one turn of a loop around the loop over time works on; None is all.
        barrier: Whether to keep XLA from computing a chain of steps again for each of its uses.
    """

    segment: int
    outer: int | None = None
    tile: int | None = None
    barrier: bool = True


def plan(step, length, segment, unroll, n_loops):
    if segment == "sqrt":
        segment = math.isqrt(length - 1) + 1 if length > 1 else 1
    k = segment or unroll
    if k is None:
        k = length if length <= 8 else 4
    k = min(k, length)
    outer = None
    if k > 8:
        outer, k = k, min(unroll or 4, k)
    return Plan(k, outer, None, k < length)
