"""The delay lines of a loop: ring buffers of n rows, which come out in turn at steps ``t % n``."""

from collections.abc import Sequence

import jax.numpy as jnp
from jax import lax

from ..._types import Array
from .. import device
from ..program.compat import barrier
from .buffers import EVERYTHING, Index

#: For the gradient: the first rows of a line, and those that have entered it, ``[T, *]``.
Past = tuple[Array, Array]


def read(lines: Sequence[Array], t: Index) -> tuple[list[Array], list[Array], list[Index]]:
    """The lines, the row that comes out of each at step ``t``, and the place of each to `write`."""
    if not lines:
        return [], [], []
    places, rows = zip(*[_read(a, _place(a, t)) for a in lines], strict=True)
    kept, rows = barrier((list(lines), list(rows)))
    return kept, rows, list(places)


def write(lines: Sequence[Array], rows: Sequence[Array], places: Sequence[Index]) -> list[Array]:
    """The lines after a row has entered each at its place."""
    triples = zip(lines, rows, places, strict=True)
    return [EVERYTHING.write([a], [row], i)[0] for a, row, i in triples]


def in_order(line: Array, t: int) -> Array:
    """The rows of a line at step ``t``, the next to come out first."""
    return jnp.roll(line, -(t % len(line)), 0)


def in_ring(rows: Array, t: int) -> Array:
    """The inverse of `in_order`."""
    return jnp.roll(rows, t % len(rows), 0)


def read_past(past: Sequence[Past], t: Index) -> list[Array]:
    """The row that came out of each line at step ``t``."""
    return [_read_past(*line, t) for line in past]


def _read_past(first: Array, went_in: Array, t: Index) -> Array:
    n = len(first)
    if isinstance(t, int):
        return first[t] if t < n else went_in[t - n]
    (old,) = EVERYTHING.read([first], lax.min(t, lax.full_like(t, n - 1)))
    if len(went_in) <= n:
        return old
    (new,) = EVERYTHING.read([went_in], lax.max(t - n, lax.full_like(t, 0)))
    return lax.select(t < n, old, new)


def _place(line: Array, t: Index) -> Index:
    n = len(line)
    return t % n if isinstance(t, int) else lax.rem(t, lax.full_like(t, n))


def _read(line: Array, i: Index) -> tuple[Index, Array]:
    def read(i):
        return i, EVERYTHING.read([line], i)[0]

    if isinstance(i, int) or not device.on_cpu() or device.jaxlib_minor() >= (0, 11):
        return read(i)
    # jaxlib 0.10 copies a buffer for each row that one operation reads and another writes, unless
    # the place to write comes from the reading
    return lax.cond(i >= 0, read, lambda i: (i + 1, jnp.zeros_like(line[0])), i)
