"""Leaky integrator."""

from typing import NamedTuple

import jax.numpy as jnp

from .._types import Array, DType, Param, Shape
from ..field import greater_than
from .base import Neuron
from .equations import at_rest


class LIState(NamedTuple):
    """Membrane potential ``v``, ``[N, *]``."""

    v: Array


class LI(Neuron):
    """Leaky integrator, a readout that does not spike: its output is the membrane potential.

    ``v = v + (x - v) / tau``.

    Args:
        tau: Membrane time constant in time steps, above 1.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> neuron = js.LI(tau=2.0)
        >>> state, v = js.scan(neuron, neuron.init_state((1,)), jnp.ones((3, 1)))
        >>> v[:, 0]
        Array([0.5  , 0.75 , 0.875], dtype=float32)

    Source: SpikingJelly ``NonSpikingLIFNode``.
    """

    tau: Param = greater_than(1.0, default=2.0)

    def init_state(self, shape: Shape, dtype: DType = jnp.float32) -> LIState:
        return LIState(at_rest(None, shape, dtype))

    def step(self, state: LIState, x: Array) -> tuple[LIState, Array]:
        v = state.v + (x - state.v) / self.tau
        return LIState(v), v
