"""Synapse that turns spikes into a decaying current."""

from typing import NamedTuple

import jax.numpy as jnp

from .._types import Array, DType, Param, Shape
from ..field import greater_than
from .base import Neuron
from .equations import at_rest


class SynapseFilterState(NamedTuple):
    """Synaptic current ``i``, ``[N, *]``."""

    i: Array


class SynapseFilter(Neuron):
    """A synapse whose current decays in the absence of spikes; its output is that current.

    ``i = i - (1 - x) * i / tau + x`` for spikes ``x`` of 0 or 1.

    A learnable ``tau`` is ``js.nn.Spiking(js.SynapseFilter(), learn=("tau",))``.

    Args:
        tau: Time constant of the current in time steps, above 1.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> synapse = js.SynapseFilter(tau=2.0)
        >>> xs = jnp.array([[1.0], [0.0], [0.0], [1.0]])
        >>> state, i = js.scan(synapse, synapse.init_state((1,)), xs)
        >>> i[:, 0]
        Array([1.  , 0.5 , 0.25, 1.25], dtype=float32)

    Source: SpikingJelly ``layer.SynapseFilter``; Diehl & Cook, "Unsupervised learning of digit
    recognition using spike-timing-dependent plasticity", 2015.
    """

    tau: Param = greater_than(1.0, default=100.0)

    def init_state(self, shape: Shape, dtype: DType = jnp.float32) -> SynapseFilterState:
        return SynapseFilterState(at_rest(None, shape, dtype))

    def step(self, state: SynapseFilterState, x: Array) -> tuple[SynapseFilterState, Array]:
        i = state.i - (1 - x) * state.i / self.tau + x
        return SynapseFilterState(i), i
