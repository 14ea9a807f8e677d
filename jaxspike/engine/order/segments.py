"""A walk in segments of time: the gradient stores the states between them, no more."""

import functools
import math
from collections.abc import Callable

import jax
from jax import lax

from ..._types import Array

Walk = Callable[[int, list[Array], list[Array]], tuple[list[Array], list[Array]]]


def in_segments(
    walk: Walk, segment: int, length: int, state: list[Array], xs: list[Array]
) -> tuple[list[Array], list[Array]]:
    """The last state and the outputs of ``walk``, ``segment`` steps at a time.

    A segment is walked layer by layer, so its products are still those of many steps, and what it
    writes between the layers fits in the cache. The gradient walks it once more.

    Args:
        walk: ``walk(length, state, xs)`` returns the last state and the outputs.
        segment: The number of steps of a segment. If some are left over, they come first, and the
            inputs and outputs of the others are copied.
        length: The number of steps T.
        state: The first state.
        xs: The inputs, ``[T, *]`` each.
    """
    n, rest = divmod(length, segment)
    first: list[Array] = []
    if rest:
        of_rest = jax.checkpoint(functools.partial(walk, rest))
        state, first = of_rest(state, [x[:rest] for x in xs])
    cut = [x[rest:].reshape(n, segment, *x.shape[1:]) for x in xs]
    # in a loop nothing is computed once for both passes anyway
    of_segment = jax.checkpoint(functools.partial(walk, segment), prevent_cse=False)
    state, ys = lax.scan(lambda state, xs: of_segment(state, xs), state, cut, length=n)
    ys = [y.reshape(n * segment, *y.shape[2:]) for y in ys]
    return state, [lax.concatenate(pair, 0) for pair in zip(first, ys, strict=True)] if rest else ys


def near_divisor(segment: int, length: int) -> int:
    """The nearest number, from half to double of it, that leaves no step over, if there is one."""
    even = [n for n in range(-(-segment // 2), 2 * segment + 1) if length % n == 0]
    return min(even, key=lambda n: abs(math.log(n / segment)), default=segment)
