"""The passes over time on one tile of neurons at a time, whose state stays in the cache.

Only for loops that are elementwise over their neurons, on one device: a loop over tiles would
gather a sharded layer onto every device.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import TypeVar

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend.core import JaxprEqn, Var

from ..._types import Array, Shape
from ..program.elementwise import evaluate_elementwise
from ..program.jaxpr import Atom
from ..program.step import Step
from .buffers import Window, buffer, n_segments, on_all_cores

C = TypeVar("C")


def differentiate_as(fast: Callable[..., C], exact: Callable[..., C]) -> Callable[..., C]:
    """``fast``, with the derivatives of ``exact``, which computes the same."""

    @jax.custom_jvp
    def call(*args):
        return fast(*args)

    call.defjvp(functools.partial(jax.jvp, exact))
    return call


class Tiles:
    """A layer of shape ``shape`` cut into tiles of about ``size`` neurons.

    The last tile overlaps the one before it if no suitable size divides the layer. ``parallel`` is
    that of `Plan`.
    """

    def __init__(self, shape: Shape, size: int, parallel: bool):
        self.shape, self.n, self.parallel = shape, math.prod(shape), parallel
        size = min(size, self.n)
        self.size = next((s for s in range(size, size // 2, -1) if self.n % s == 0), size)
        self.overlap, self.single = self.n % self.size != 0, self.size == self.n

    def flat(self, arrays: Sequence[Array]) -> list[Array]:
        """Sequences ``[T, *shape]`` as ``[T, n]``."""
        return [a.reshape(a.shape[0], self.n) for a in arrays]

    def flat_state(self, arrays: Sequence[Array]) -> list[Array]:
        """States, and constants that broadcast against them, as ``[n]``; scalars as they are."""
        return [a if a.ndim == 0 else jnp.broadcast_to(a, self.shape).reshape(-1) for a in arrays]

    def unflat(self, arrays: Sequence[Array]) -> list[Array]:
        """Sequences ``[T, n]`` as ``[T, *shape]``."""
        if self.single:  # a reshape fused with what writes the last rows would make a copy
            arrays = [lax.optimization_barrier(a) for a in arrays]
        return [a.reshape(a.shape[0], *self.shape) for a in arrays]

    def unflat_state(self, arrays: Sequence[Array]) -> list[Array]:
        """States ``[n]`` as ``shape``."""
        return [a.reshape(self.shape) for a in arrays]

    def each(self, body: Callable[[Window, C], C], carry: C) -> C:
        """Run ``carry = body(window, carry)`` over the tiles."""
        if self.single:
            return body(Window(0, self.n), carry)

        def one(i, carry):
            i = on_all_cores(i) if self.parallel else i
            start = jnp.minimum(i * self.size, self.n - self.size)
            return body(Window(start, self.size), carry)

        return lax.fori_loop(0, n_segments(self.n, self.size), one, carry)

    def function(
        self, invars: Sequence[Var], outvars: Sequence[Atom], eqns: Sequence[JaxprEqn]
    ) -> Callable[..., list[Array]]:
        """Equations as a function of tiles; not for differentiation."""
        return lambda *args: evaluate_elementwise(invars, outvars, eqns, args, (self.size,))

    def step(self, step: Step) -> Callable[..., tuple[list[Array], list[Array]]]:
        """A step as a function of tiles; not for differentiation."""
        invars, outvars = [*step.consts, *step.state, *step.xs], [*step.new_state, *step.ys]
        f, n = self.function(invars, outvars, step.eqns), len(step.state)

        def tiled(consts, state, x):
            out = f(*consts, *state, *x)
            return out[:n], out[n:]

        return tiled

    def buffers(self, length: int, dtypes: Sequence[jnp.dtype]) -> list[Array]:
        """Room for ``length`` flat rows of each dtype."""
        return [buffer(length, jax.ShapeDtypeStruct((self.n,), d)) for d in dtypes]
