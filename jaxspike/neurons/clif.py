"""Complementary leaky integrate and fire."""

from dataclasses import KW_ONLY
from typing import NamedTuple

import jax
import jax.numpy as jnp

from .._types import Array, DType, Param, Shape
from ..field import greater_than, positive
from ..surrogate import Rect, Surrogate, spike
from .base import Neuron
from .equations import at_rest, leaky_charge, reset


class CLIFState(NamedTuple):
    """Membrane potential ``v`` and complementary potential ``m``, ``[N, *]``."""

    v: Array
    m: Array


class CLIF(Neuron):
    """Complementary leaky integrate and fire: a second path for gradients through time.

    ``h = v - v / tau + x``; spike ``s`` where ``h >= v_threshold``;
    ``m = m * sigmoid(h / tau) + s``; then a soft reset that grows with recent firing,
    ``v = h - s * (v_threshold + sigmoid(m))``.

    Args:
        tau: Membrane time constant in time steps, above 1.
        v_threshold: Firing threshold, above zero, in units of the membrane potential.
        surrogate: Derivative of the spike.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> neuron = js.CLIF()
        >>> state, spikes = js.scan(neuron, neuron.init_state((1,)), 0.9 * jnp.ones((6, 1)))
        >>> spikes[:, 0]
        Array([0., 1., 0., 1., 0., 1.], dtype=float32)

    Source: SpikingJelly ``ComplementaryLIFNode``; Huang et al., "CLIF: complementary leaky
    integrate-and-fire neuron for spiking neural networks", ICML 2024.
    """

    tau: Param = greater_than(1.0, default=2.0)
    _: KW_ONLY
    v_threshold: Param = positive(default=1.0)
    surrogate: Surrogate = Rect()

    def init_state(self, shape: Shape, dtype: DType = jnp.float32) -> CLIFState:
        return CLIFState(at_rest(None, shape, dtype), at_rest(None, shape, dtype))

    def step(self, state: CLIFState, x: Array) -> tuple[CLIFState, Array]:
        h = leaky_charge(state.v, x, self.tau, v_rest=None, decay_input=False)
        s = spike(h - self.v_threshold, self.surrogate)
        m = state.m * jax.nn.sigmoid(h / self.tau) + s
        v = reset(h, s, self.v_threshold + jax.nn.sigmoid(m), v_reset=None, detach_reset=False)
        return CLIFState(v, m), s
