"""A delay line: a ring buffer of n rows, in which each row comes out n steps after it went in."""

import jax
import jax.numpy as jnp
from jax import lax

from ._state import placed_with
from ._types import Array


@jax.jit
def push(buffer: Array, following: Array, x: Array) -> tuple[Array, Array, Array]:
    """Take out what has waited longest, and put ``x`` in its place.

    The engine knows the equations of this function: in a sequence it shifts all of ``x`` at once,
    and in a loop it stores one row per step, not the buffer.

    Args:
        buffer: The waiting rows, ``[*, n]``.
        following: The positions, in the last axis, of what has waited longest, ``[*]``: whole
            numbers of any dtype.
        x: What goes in, ``[*]``.

    Returns:
        The new buffer, the new positions, and what comes out: the ``x`` of n steps ago.
    """
    buffer, following = placed_with(buffer, x), placed_with(following, x)
    where = jax.typeof(buffer).sharding, jax.typeof(following).sharding
    if not any(any(s.spec) for s in where):
        return _push(buffer, following, x)
    # a mesh of explicit axes, on which a scatter cannot say where its result is
    return jax.sharding.auto_axes(_push, out_sharding=(*where, where[1]))(buffer, following, x)


def _push(buffer, following, x):
    place, out = _read(buffer, following.astype(jnp.int32)[..., None])
    buffer = jnp.put_along_axis(buffer, place, x[..., None], -1, inplace=False, mode="clip")
    return buffer, after(following, 1, buffer.shape[-1]), out[..., 0]


def _read(buffer: Array, place: Array) -> tuple[Array, Array]:
    """The places and what is there. The places come out so that a write at them comes later.

    If nothing orders the two, XLA:CPU copies the whole buffer. It ignores a barrier in some
    versions, but not a branch.
    """

    def read(place):
        return place, jnp.take_along_axis(buffer, place, -1, mode="clip")

    if jax.default_backend() != "cpu":
        return read(place)

    def other(place):
        return place + 1, jnp.zeros_like(buffer[..., : place.shape[-1]])

    return lax.cond(jnp.all(place >= 0), read, other, place)


def insert(buffer: Array, following: Array, x: Array) -> tuple[Array, Array]:
    """Put ``x`` in the place of what has waited longest; the new buffer and positions.

    Args:
        buffer: The waiting rows, ``[*, n]``.
        following: As in `push`.
        x: What goes in, ``[*]``.
    """
    place = following.astype(jnp.int32)[..., None]
    buffer = jnp.put_along_axis(buffer, place, x[..., None], -1, inplace=False, mode="clip")
    return buffer, after(following, 1, buffer.shape[-1])


def look_back(buffer: Array, following: Array, ages: Array) -> Array:
    """What went in some steps ago.

    Args:
        buffer: The waiting rows, ``[*, n]``.
        following: Their positions, after the last `insert`.
        ages: Whole numbers from 0, the last to go in, to n - 1. They broadcast into ``[*, k]``.

    Returns:
        The values, ``[*, k]``.
    """
    n = buffer.shape[-1]
    last = following.astype(jnp.int32)[..., None] + (n - 1)
    places = lax.rem(*jnp.broadcast_arrays(last - ages.astype(jnp.int32), jnp.int32(n)))
    return jnp.take_along_axis(buffer, places, -1, mode="clip")


def after(following: Array, steps: int, n: int) -> Array:
    """The positions after some steps, of n; they have no gradient."""
    place = following.astype(jnp.int32) + steps % n
    return lax.rem(place, jnp.full_like(place, n)).astype(following.dtype)


def rows(buffer: Array, following: Array) -> Array:
    """The waiting rows, ``[n, *]``, in the order in which they come out."""
    return jnp.moveaxis(_turned(buffer, following), -1, 0)


def ring(rows: Array, following: Array) -> Array:
    """The inverse of `rows`: the buffer in which the first row to come out is at ``following``."""
    return _turned(jnp.moveaxis(rows, 0, -1), -following)


def _turned(buffer: Array, by: Array) -> Array:
    n = buffer.shape[-1]
    row = lax.broadcasted_iota(jnp.int32, (1,) * by.ndim + (n,), by.ndim)
    places = jnp.remainder(by.astype(jnp.int32)[..., None] + row, n)
    return jnp.take_along_axis(buffer, places, -1, mode="clip")
