"""Reading and writing the rows of sequences in place, and walking over time in segments.

A sequence is never folded into blocks, sliced or concatenated: each costs a copy of it, and on some
XLA versions several times the run time. An index is a Python int where it is known while tracing.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

Array = jax.Array
Index = Any  # int or a traced integer


@dataclasses.dataclass(frozen=True)
class Window:
    """The part of every row that a loop works on: all of it, or ``size`` values from ``start``.

    A window with a start looks at sequences flattened to ``[T, N]`` and states flattened to
    ``[N]``. A buffer may also be a Python list of rows, filled at known indices.
    """

    start: Index | None = None
    size: int = 0

    def row(self, a: Array | list[Array], t: Index) -> Array:
        if isinstance(a, list):
            return a[t]
        if self.start is None:
            if isinstance(t, int):
                return lax.index_in_dim(a, t, 0, keepdims=False)
            return lax.squeeze(_slice(a, (t, *[0] * (a.ndim - 1)), (1, *a.shape[1:])), (0,))
        return lax.squeeze(_slice(a, (t, self.start), (1, self.size)), (0,))

    def rows(self, arrays: Sequence[Any], t: Index) -> list[Array]:
        return [self.row(a, t) for a in arrays]

    def put(self, buffers: list[Any], rows: Sequence[Array], t: Index) -> list[Any]:
        return [self._put(b, r, t) for b, r in zip(buffers, rows, strict=True)]

    def _put(self, buffer, row, t):
        if isinstance(buffer, list):
            return [*buffer[:t], row, *buffer[t + 1 :]]
        first = [0] * (buffer.ndim - 1) if self.start is None else [self.start]
        row = lax.expand_dims(row, (0,))
        return _write(buffer, row, (t, *first))

    def cut(self, arrays: Sequence[Array]) -> list[Array]:
        """The window of each state."""
        return [_slice(a, (self.start,), (self.size,)) if a.ndim else a for a in arrays]

    def paste(self, arrays: Sequence[Array], parts: Sequence[Array]) -> list[Array]:
        """The states with their window replaced."""
        return [_write(a, p, (self.start,)) for a, p in zip(arrays, parts, strict=True)]


def _slice(a, start, size):
    return lax.dynamic_slice(a, start, size, allow_negative_indices=False)


def _write(a, part, start):
    return lax.dynamic_update_slice(a, part, start, allow_negative_indices=False)


WHOLE = Window()


def buffer(length: int, like: Any) -> Array:
    """Room for ``length`` rows like ``like``, an array or its type; on the devices it is on."""
    like = jax.typeof(like) if isinstance(like, jax.Array) else like
    sharding = getattr(like, "sharding", None)  # a type has one under an explicit mesh only
    zeros = jnp.zeros_like(jax.ShapeDtypeStruct(like.shape, like.dtype, sharding=sharding))
    zeros = lax.broadcast(zeros, (length,))
    # under `shard_map` a type says over which axes its values vary (`ShapeDtypeStruct` shows it)
    manual = getattr(like, "manual_axis_type", None)
    varying = tuple(manual.varying) if manual else ()
    return lax.pcast(zeros, varying, to="varying") if varying else zeros


def finished(buffers: list[Any]) -> list[Array]:
    """The buffers as arrays."""
    return [jnp.stack(b) if isinstance(b, list) else b for b in buffers]


def on_all_cores(i: Index) -> Index:
    """The same index, of a loop that XLA for CPU runs operation by operation, each on all cores.

    From jaxlib 0.12 on an elementwise loop is one function on one core, however large it is (a call
    with ``xla_cpu_small_call`` in the compiled program), and one without vector loads for types of
    16 bits. A loop in which something is sorted is not.
    """
    return i + lax.sort(jnp.stack([i, jnp.zeros_like(i)]))[0]


def walk(
    length: int,
    segment: int,
    body: Callable[..., Any],
    carry: Any,
    *,
    reverse: bool = False,
    parallel: bool = False,
) -> Any:
    """Run ``carry = body(i, t, k, carry)`` over segments ``i`` of ``k`` steps from step ``t``.

    The first segment has what ``segment`` leaves over; a single segment is no loop at all.
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


def count(length: int, segment: int) -> int:
    """The number of segments that `walk` makes."""
    return -(-length // segment)
