"""Sequences as buffers that are read and written in place, and the loop over their segments.

Sequences are never reshaped into blocks, sliced or concatenated: each of these copies the whole
sequence, and on some versions of XLA takes several times as long. An index is a Python int wherever
it is known while tracing.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend.core import Literal

from ..._types import Array, Shape, Tree
from ..program.compat import varying_axes
from ..program.jaxpr import Atom

Index = int | Array
#: Rows over time: an array ``[T, *]``, or a Python list of rows where all indices are known.
Buffer = Tree
C = TypeVar("C")


class Span(NamedTuple):
    """``length`` steps from step ``start``."""

    start: Index
    length: int


@dataclasses.dataclass(frozen=True)
class Window:
    """The part of every row that a loop works on: all of it, or ``size`` values from ``start``.

    A window with a start works on sequences flattened to ``[T, N]`` and states flattened to
    ``[N]``.
    """

    start: Index | None = None
    size: int = 0

    def read(self, buffers: Sequence[Buffer], t: Index) -> list[Array]:
        """Row ``t`` of each sequence."""
        return [self._read(b, t) for b in buffers]

    def write(self, buffers: Sequence[Buffer], rows: Sequence[Array], t: Index) -> list[Buffer]:
        """The sequences with row ``t`` replaced."""
        return [self._write(b, r, t) for b, r in zip(buffers, rows, strict=True)]

    def read_state(self, arrays: Sequence[Array]) -> list[Array]:
        """The window of each state; scalars as they are."""
        return [_slice(a, (self.start,), (self.size,)) if a.ndim else a for a in arrays]

    def write_state(self, arrays: Sequence[Array], parts: Sequence[Array]) -> list[Array]:
        """The states with their window replaced."""
        return [_update(a, p, (self.start,)) for a, p in zip(arrays, parts, strict=True)]

    def _read(self, buffer: Buffer, t: Index) -> Array:
        if isinstance(buffer, list):
            return buffer[t]
        if self.start is None:
            if isinstance(t, int):
                return lax.index_in_dim(buffer, t, 0, keepdims=False)
            start, size = (t, *[0] * (buffer.ndim - 1)), (1, *buffer.shape[1:])
            return lax.squeeze(_slice(buffer, start, size), (0,))
        return lax.squeeze(_slice(buffer, (t, self.start), (1, self.size)), (0,))

    def _write(self, buffer: Buffer, row: Array, t: Index) -> Buffer:
        if isinstance(buffer, list):
            return [*buffer[:t], row, *buffer[t + 1 :]]
        first = [0] * (buffer.ndim - 1) if self.start is None else [self.start]
        return _update(buffer, lax.expand_dims(row, (0,)), (t, *first))


EVERYTHING = Window()


def _slice(a: Array, start, size: Shape) -> Array:
    return lax.dynamic_slice(a, start, size, allow_negative_indices=False)


def _update(a: Array, part: Array, start) -> Array:
    return lax.dynamic_update_slice(a, part, start, allow_negative_indices=False)


def buffer(length: int, like) -> Array:
    """Room for ``length`` rows like ``like``, an array or its type, on the devices it is on."""
    like = jax.typeof(like) if isinstance(like, jax.Array) else like
    sharding = getattr(like, "sharding", None)  # a type has one under an explicit mesh only
    zeros = jnp.zeros_like(jax.ShapeDtypeStruct(like.shape, like.dtype, sharding=sharding))
    zeros = lax.broadcast(zeros, (length,))
    varying = varying_axes(like)
    return lax.pcast(zeros, varying, to="varying") if varying else zeros


def buffers(length: int, segment: int, atoms: Sequence[Atom]) -> list[Buffer]:
    """Room for a sequence of each of ``atoms``: lists where the loop is fully unrolled."""
    if length <= segment:
        return [[None] * length for _ in atoms]
    return [buffer(length, jax.typeof(v.val) if isinstance(v, Literal) else v.aval) for v in atoms]


def as_arrays(buffers: Sequence[Buffer]) -> list[Array]:
    """The buffers as arrays."""
    return [jnp.stack(b) if isinstance(b, list) else b for b in buffers]


def on_all_cores(i: Array) -> Array:
    """The same index, in a loop that XLA:CPU then runs operation by operation, each on all cores.

    From jaxlib 0.12 on an elementwise loop of any size is one function on one core (a call with
    ``xla_cpu_small_call`` in the compiled program), without vector loads for types of 16 bits. A
    loop that contains a sort is not.
    """
    return i + lax.sort(jnp.stack([i, jnp.zeros_like(i)]))[0]


def segment_loop(
    length: int,
    segment: int,
    body: Callable[[Index, Index, int, C], C],
    carry: C,
    *,
    reverse: bool = False,
    parallel: bool,
) -> C:
    """Run ``carry = body(i, t, k, carry)`` over segments ``i`` of ``k`` steps from step ``t``.

    The remainder of ``length`` is in the first segment. A single segment is not a loop.
    ``parallel`` is that of `Plan`.
    """
    if length <= segment:
        return body(0, 0, length, carry)
    n, rest = divmod(length, segment)
    first = 1 if rest else 0
    if rest and not reverse:
        carry = body(0, 0, rest, carry)

    def one(i, carry):
        i = on_all_cores(i) if parallel else i
        i = n - 1 - i if reverse else i
        return body(i + first, rest + segment * i, segment, carry)

    carry = lax.fori_loop(0, n, one, carry)
    if rest and reverse:
        carry = body(0, 0, rest, carry)
    return carry


def n_segments(length: int, segment: int) -> int:
    """The number of segments in a `segment_loop`."""
    return -(-length // segment)
