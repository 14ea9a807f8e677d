"""Axonal delay."""

from typing import NamedTuple

import jax.numpy as jnp

from .._types import Array, DType, Shape
from ..field import count
from .base import Neuron
from .equations import at_rest


class DelayState(NamedTuple):
    """The inputs in transit, the next to arrive first: ``steps`` arrays ``[N, *]``."""

    queue: tuple[Array, ...]


class Delay(Neuron):
    """An axon: its input comes out ``steps`` steps later, ``y[t] = x[t - steps]``.

    The first outputs are zeros. The state holds the inputs in transit, so a sequence can be run in
    pieces.

    Args:
        steps: Length of the delay in time steps, at least 1.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> axon = js.Delay(steps=2)
        >>> xs = jnp.array([[1.0], [2.0], [3.0], [4.0]])
        >>> state, y = js.scan(axon, axon.init_state((1,)), xs)
        >>> y[:, 0]
        Array([0., 0., 1., 2.], dtype=float32)

    Source: SpikingJelly ``layer.Delay``.
    """

    steps: int = count(default=1)

    def init_state(self, shape: Shape, dtype: DType = jnp.float32) -> DelayState:
        return DelayState(tuple(at_rest(None, shape, dtype) for _ in range(self.steps)))

    def step(self, state: DelayState, x: Array) -> tuple[DelayState, Array]:
        arriving, *rest = state.queue
        return DelayState((*rest, x)), arriving
