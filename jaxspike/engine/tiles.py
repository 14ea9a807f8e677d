"""The same passes over time, a tile of neurons at a time, so that its state stays in cache.

Only for cycles that are elementwise over their neurons, on one device: the loop over tiles would
gather a sharded layer onto every device.
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from .pointwise import evaluate
from .rows import Window, buffer, count, on_all_cores

Array = jax.Array


def twin(fast: Callable[..., Any], exact: Callable[..., Any]) -> Callable[..., Any]:
    """``fast``, differentiated as ``exact``, which computes the same."""

    @jax.custom_jvp
    def call(*args):
        return fast(*args)

    call.defjvp(functools.partial(jax.jvp, exact))
    return call


class Tiles:
    """A layer of shape ``shape`` cut into tiles of about ``size`` neurons.

    The last tile overlaps the one before it where no good size divides the layer. ``parallel`` is
    that of `Plan`.
    """

    def __init__(self, shape: tuple[int, ...], size: int, parallel: bool):
        self.shape, self.n, self.parallel = shape, math.prod(shape), parallel
        size = min(size, self.n)
        self.size = next((s for s in range(size, size // 2, -1) if self.n % s == 0), size)
        self.overlap, self.whole = self.n % self.size != 0, self.size == self.n

    def flat(self, arrays: list[Array]) -> list[Array]:
        """Sequences ``[T, *shape]`` as ``[T, n]``."""
        return [a.reshape(a.shape[0], self.n) for a in arrays]

    def flat_state(self, arrays: list[Array]) -> list[Array]:
        """States, and constants that meet states, as ``[n]``; numbers stay as they are."""
        return [a if a.ndim == 0 else jnp.broadcast_to(a, self.shape).reshape(-1) for a in arrays]

    def unflat(self, arrays: list[Array]) -> list[Array]:
        """Sequences ``[T, n]`` as ``[T, *shape]``."""
        if self.whole:  # a reshape that is fused with what writes the last rows would make a copy
            arrays = [lax.optimization_barrier(a) for a in arrays]
        return [a.reshape(a.shape[0], *self.shape) for a in arrays]

    def unflat_state(self, arrays: list[Array]) -> list[Array]:
        """States ``[n]`` as ``shape``."""
        return [a.reshape(self.shape) for a in arrays]

    def each(self, body: Callable[[Window, Any], Any], carry: Any) -> Any:
        """Run ``carry = body(window, carry)`` over the tiles."""
        if self.whole:
            return body(Window(0, self.n), carry)

        def one(i, carry):
            i = on_all_cores(i) if self.parallel else i
            start = jnp.minimum(i * self.size, self.n - self.size)
            return body(Window(start, self.size), carry)

        return lax.fori_loop(0, count(self.n, self.size), one, carry)

    def function(
        self, invars: list[Any], outvars: list[Any], eqns: list[Any]
    ) -> Callable[..., Any]:
        """Equations as a function of tiles; not to be differentiated."""
        return lambda *args: evaluate(invars, outvars, eqns, args, (self.size,))

    def rows(self, length: int, dtypes: list[Any]) -> list[Array]:
        """Room for ``length`` flat rows."""
        return [buffer(length, jax.ShapeDtypeStruct((self.n,), d)) for d in dtypes]
