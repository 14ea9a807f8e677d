"""Integer leaky integrate and fire."""

from dataclasses import KW_ONLY
from typing import NamedTuple

import jax.numpy as jnp

from .._types import Array, DType, Param, Shape
from ..field import count, greater_than, positive, static
from ..surrogate import Surrogate, Window, spike_count
from .base import Neuron
from .equations import at_rest, leaky_charge, reset


class ILIFState(NamedTuple):
    """Membrane potential ``v``, ``[N, *]``."""

    v: Array


class ILIF(Neuron):
    """Leaky integrate and fire with integer outputs: it may spike several times per step.

    ``h = v - v / tau + x``; ``s = round(clip(h / v_threshold, 0, max_spike_count))``, with
    ties to even; then ``v = h - s * v_threshold``. In the backward pass the count is a straight
    line inside the window of the surrogate (see `jaxspike.surrogate.spike_count`).

    Args:
        tau: Membrane time constant in time steps, above 1.
        v_threshold: Potential of one spike, above zero, in units of the membrane potential.
        max_spike_count: Maximum number of spikes per step, at least 1.
        surrogate: Derivative of the count, a function of ``h / (v_threshold * max_spike_count)``.
        detach_reset: Stop the gradient through the reset.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> neuron = js.ILIF()
        >>> state, spikes = js.scan(neuron, neuron.init_state((1,)), 1.2 * jnp.ones((6, 1)))
        >>> spikes[:, 0]
        Array([1., 1., 1., 1., 1., 1.], dtype=float32)

    Source: SpikingJelly ``ILIFNode``; Luo et al., "Integer-valued training and spike-driven
    inference spiking neural network for high-performance and energy-efficient object detection",
    ECCV 2024.
    """

    tau: Param = greater_than(1.0, default=4 / 3)
    _: KW_ONLY
    v_threshold: Param = positive(default=1.0)
    max_spike_count: int = count(default=4)
    surrogate: Surrogate = Window()
    detach_reset: bool = static(default=False, choices=(True, False))

    def init_state(self, shape: Shape, dtype: DType = jnp.float32) -> ILIFState:
        return ILIFState(at_rest(None, shape, dtype))

    def step(self, state: ILIFState, x: Array) -> tuple[ILIFState, Array]:
        h = leaky_charge(state.v, x, self.tau, v_rest=None, decay_input=False)
        s = spike_count(h / self.v_threshold, self.max_spike_count, self.surrogate)
        return ILIFState(reset(h, s, self.v_threshold, None, self.detach_reset)), s
