"""Exact counts up to 2**48, without 64-bit integers: an array ``[..., 2]`` of words.

A count is ``low + 2**16 * high`` with ``low < 2**16``. Floating-point sums would be wrong above
2**24, and JAX has no 64-bit integers unless they are switched on for the whole process.
"""

import jax
import jax.numpy as jnp
import numpy as np

from .._types import Array

LARGEST = 2**48
_BITS, _LOW = 16, 2**16 - 1


def constant(n: int) -> Array:
    """A count that is known."""
    return jnp.asarray([n & _LOW, n >> _BITS], jnp.uint32)


def total(x: Array) -> Array:
    """The sum of an array of uint32."""
    low, high = _sum(x & _LOW), _sum(x >> _BITS)
    return jnp.stack([low[0], low[1] + high[0] + (high[1] << _BITS)])


def number_of(mask: Array) -> Array:
    """How many entries are True."""
    n = mask.sum(dtype=jnp.uint32)
    return jnp.stack([n & _LOW, n >> _BITS])


def add(a: Array, b: Array) -> Array:
    """The sum of two counts."""
    low = a[..., 0] + b[..., 0]
    return jnp.stack([low & _LOW, a[..., 1] + b[..., 1] + (low >> _BITS)], axis=-1)


def total_over_steps(counts: Array) -> Array:
    """The sum of the counts ``[T, 2]`` of a loop."""
    low = _sum(counts[:, 0])
    return jnp.stack([low[0], counts[:, 1].sum(dtype=jnp.uint32) + low[1]])


def integer(counts: Array) -> int:
    """The sum of all counts as a Python integer."""
    return int(_objects(counts).sum())


def integers(counts: Array) -> list[int]:
    """Each of the counts ``[n, 2]`` as a Python integer."""
    return [int(n) for n in _objects(counts)]


def _objects(counts: Array) -> np.ndarray:
    if isinstance(counts, jax.core.Tracer):
        raise TypeError(
            "`Operations` must be read outside `jax.jit`, got a traced report. "
            "Return it from the compiled function first."
        )
    words = np.asarray(counts).astype(object)
    return np.asarray(words[..., 0] + 2**_BITS * words[..., 1])


def _sum(x: Array) -> Array:
    """The sum of numbers below 2**16, as a count."""
    x, high = x.ravel(), jnp.uint32(0)
    while x.size > 1:
        chunk = min(x.size, 2**_BITS)
        x = jnp.pad(x, (0, -x.size % chunk)).reshape(-1, chunk).sum(1, dtype=jnp.uint32)
        high += (x >> _BITS).sum(dtype=jnp.uint32)
        x &= _LOW
    return jnp.stack([x[0] if x.size else jnp.uint32(0), high])
