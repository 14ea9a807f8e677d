"""Leaky integrate and fire with learned gates."""

from dataclasses import KW_ONLY
from typing import NamedTuple

import jax.numpy as jnp

from .._types import Array, DType, Param, Shape
from ..field import between
from ..surrogate import Sigmoid, Surrogate, spike
from .base import Neuron
from .equations import at_rest


class GatedLIFState(NamedTuple):
    """Membrane potential ``v`` before reset and the last spikes ``s``, ``[N, *]``."""

    v: Array
    s: Array


class GatedLIF(Neuron):
    """Leaky integrate and fire with gates between two ways to leak, to receive input and to reset.

    With the last spikes ``s`` and ``kept = (1 - alpha * (1 - tau)) * v``::

        v = kept - (1 - alpha) * linear_decay + (1 - beta * (1 - conduct)) * x
        v = v - gamma * kept * s - (1 - gamma) * v_subreset * s

    Then spike where ``v >= v_threshold``. The reset takes effect one step after the spike.

    Every parameter is from 0 to 1 and learned as its logit. The model of the paper has one value
    per channel:
    ``js.nn.Spiking(js.GatedLIF(tau=jnp.full(C, 0.25), ...), learn=("alpha", "tau", ...))``.

    SpikingJelly's has one ``conduct`` for each of T steps, with T fixed at construction; a step
    function does not know its time, so one value serves all steps here. The numbers agree where
    SpikingJelly's values are equal, as they are initially. Its gates start at random values near
    0.5, and its ``linear_decay`` at ``v_threshold / (2 T)``; the default here is that of T = 4.

    Args:
        tau: Fraction of the membrane that the multiplicative leak keeps after a step.
        alpha: Gate of the leak: 0 subtracts ``linear_decay``, 1 multiplies by ``tau``.
        beta: Gate of the input: 0 passes it unchanged, 1 multiplies it by ``conduct``.
        gamma: Gate of the reset: 0 subtracts ``v_subreset``, 1 clears the membrane.
        v_threshold: Firing threshold, in units of the membrane potential.
        linear_decay: Amount that the subtractive leak takes from the membrane per step.
        v_subreset: Amount that the subtractive reset takes from the membrane.
        conduct: Fraction of the input that the gate lets through.
        surrogate: Derivative of the spike.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> neuron = js.GatedLIF()
        >>> state, spikes = js.scan(neuron, neuron.init_state((1,)), 0.5 * jnp.ones((6, 1)))
        >>> spikes[:, 0]
        Array([0., 1., 0., 1., 0., 1.], dtype=float32)

    Source: SpikingJelly ``GatedLIFNode``; Yao et al., "GLIF: a unified gated leaky
    integrate-and-fire neuron for spiking neural networks", NeurIPS 2022.
    """

    tau: Param = between(0.0, 1.0, default=0.25)
    _: KW_ONLY
    alpha: Param = between(0.0, 1.0, default=0.5)
    beta: Param = between(0.0, 1.0, default=0.5)
    gamma: Param = between(0.0, 1.0, default=0.5)
    v_threshold: Param = between(0.0, 1.0, default=0.5)
    linear_decay: Param = between(0.0, 1.0, default=0.0625)
    v_subreset: Param = between(0.0, 1.0, default=0.5)
    conduct: Param = between(0.0, 1.0, default=0.5)
    surrogate: Surrogate = Sigmoid()

    def init_state(self, shape: Shape, dtype: DType = jnp.float32) -> GatedLIFState:
        return GatedLIFState(at_rest(None, shape, dtype), at_rest(None, shape, dtype))

    def step(self, state: GatedLIFState, x: Array) -> tuple[GatedLIFState, Array]:
        kept = (1 - self.alpha * (1 - self.tau)) * state.v
        current = x * (1 - self.beta * (1 - self.conduct))
        v = kept - (1 - self.alpha) * self.linear_decay + current
        v = v - kept * self.gamma * state.s - (1 - self.gamma) * self.v_subreset * state.s
        s = spike(v - self.v_threshold, self.surrogate)
        return GatedLIFState(v, s), s
