"""Axonal delay."""

from typing import NamedTuple

import jax.numpy as jnp

from .._delay_line import push
from .._state import compute_dtype
from .._types import Array, DType, Shape
from ..field import count
from .base import Neuron
from .equations import at_rest


class DelayState(NamedTuple):
    """The inputs in transit, a ring buffer ``[N, *, steps]``, and the position of the next one.

    Every neuron has its own position in ``next``, ``[N, *]``: whole numbers in at least float32.
    """

    buffer: Array
    next: Array


class Delay(Neuron):
    """An axon: its input comes out ``steps`` steps later, ``y[t] = x[t - steps]``.

    The first outputs are zeros. The state holds the inputs in transit, so a sequence can be run in
    pieces. One step reads and writes one value of it for each neuron; `jaxspike.scan` shifts a
    whole sequence at once, and where a delay is part of a recurrence its gradient stores one row
    per step.

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

    _computes = False  # else every step would convert the whole buffer

    def init_state(self, shape: Shape, dtype: DType = jnp.float32) -> DelayState:
        buffer = at_rest(None, (*shape, self.steps), dtype)
        return DelayState(buffer, jnp.zeros(shape, compute_dtype([buffer.dtype])))

    def step(self, state: DelayState, x: Array) -> tuple[DelayState, Array]:
        buffer, following, arriving = push(*state, x.astype(state.buffer.dtype))
        return DelayState(buffer, following), arriving
