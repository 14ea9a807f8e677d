"""Leaky integrate and fire with a learned gain."""

from dataclasses import KW_ONLY
from typing import NamedTuple

import jax
import jax.numpy as jnp

from .._types import Array, DType, Param, Shape
from ..field import greater_than, positive, static
from ..surrogate import Sigmoid, Surrogate, spike
from .base import Neuron
from .equations import at_rest, leaky_charge, reset


class KLIFState(NamedTuple):
    """Membrane potential ``v``, ``[N, *]``."""

    v: Array


class KLIF(Neuron):
    """Leaky integrate and fire with a gain ``k`` and a rectifier between charging and firing.

    ``h = relu(k * g)`` with ``g`` the charged membrane of a `LIF`; spike where
    ``h >= v_threshold``; then reset ``h``, as a `LIF` does, or with ``scale_reset`` reset
    ``h / k``, where a soft reset subtracts ``v_threshold / k``.

    The gain is meant to be learned: ``js.nn.Spiking(js.KLIF(), learn=("k",))``.

    Args:
        tau: Membrane time constant in time steps, above 1.
        scale_reset: Whether the gain is undone before the reset.
        decay_input: Whether the input is divided by ``tau`` too.
        k: Gain of the membrane, above zero.
        v_threshold: Firing threshold, above zero and ``v_reset``, in units of the membrane
            potential.
        v_reset: Potential after a spike and at the start; None for a soft reset, starting at 0.
        surrogate: Derivative of the spike.
        detach_reset: Stop the gradient through the reset.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> neuron = js.KLIF(k=2.0)
        >>> state, spikes = js.scan(neuron, neuron.init_state((1,)), 0.8 * jnp.ones((6, 1)))
        >>> spikes[:, 0]
        Array([0., 1., 0., 1., 0., 1.], dtype=float32)

    Source: SpikingJelly ``KLIFNode``; Jiang & Zhang, "KLIF: an optimized spiking neuron unit for
    tuning surrogate gradient slope and membrane potential", 2023.
    """

    tau: Param = greater_than(1.0, default=2.0)
    _: KW_ONLY
    scale_reset: bool = static(default=False, choices=(True, False))
    decay_input: bool = static(default=True, choices=(True, False))
    k: Param = positive(default=1.0)
    v_threshold: Param = greater_than(0.0, "v_reset", default=1.0)
    v_reset: Param | None = 0.0
    surrogate: Surrogate = Sigmoid()
    detach_reset: bool = static(default=False, choices=(True, False))

    def init_state(self, shape: Shape, dtype: DType = jnp.float32) -> KLIFState:
        return KLIFState(at_rest(self.v_reset, shape, dtype))

    def step(self, state: KLIFState, x: Array) -> tuple[KLIFState, Array]:
        h = leaky_charge(state.v, x, self.tau, self.v_reset, self.decay_input)
        h, v_threshold = jax.nn.relu(self.k * h), self.v_threshold
        s = spike(h - v_threshold, self.surrogate)
        if self.scale_reset:
            h, v_threshold = h / self.k, v_threshold / self.k
        return KLIFState(reset(h, s, v_threshold, self.v_reset, self.detach_reset)), s
