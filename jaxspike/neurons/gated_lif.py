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
    """Leaky integrate and fire with gates between two ways to leak, to take input and to reset.

    With the last spikes ``s`` and ``keep = 1 - alpha * (1 - tau)``:
    ``v = keep * v * (1 - gamma * s) - (1 - alpha) * linear_decay - (1 - gamma) * v_subreset * s
    + (1 - beta * (1 - conduct)) * x``; then spike where ``v >= v_threshold``. The reset is at work
    one step after the spike.

    Every field is from 0 to 1 and learned as its logit. One value a channel is the model of the
    paper: ``js.nn.Spiking(js.GatedLIF(tau=jnp.full(C, 0.25), ...), learn=("alpha", "tau", ...))``.

    SpikingJelly's has one ``conduct`` for each of T steps, fixed when it is made; a step function
    does not know its time, so here one value serves all steps. Where SpikingJelly's are equal, as
    they are at its start, the numbers are. Its gates start at random near 0.5, its
    ``linear_decay`` at ``v_threshold / (2 T)``, here at that of T = 4.

    Args:
        tau: What the multiplying leak leaves of the membrane after a step.
        alpha: Gate of the leak: 0 subtracts ``linear_decay``, 1 multiplies by ``tau``.
        beta: Gate of the input: 0 takes it whole, 1 multiplies it by ``conduct``.
        gamma: Gate of the reset: 0 subtracts ``v_subreset``, 1 forgets the membrane.
        v_threshold: Firing threshold, in units of the membrane potential.
        linear_decay: What the subtracting leak takes from the membrane in a step.
        v_subreset: What the subtracting reset takes from the membrane.
        conduct: What the gated input keeps.
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
