"""Exponential integrate and fire."""

from dataclasses import KW_ONLY
from typing import NamedTuple

import jax.numpy as jnp

from .._types import Array, DType, Param, Shape
from ..field import greater_than, positive, static
from ..surrogate import Sigmoid, Surrogate
from .base import Neuron
from .equations import at_rest, exponential, fire


class EIFState(NamedTuple):
    """Membrane potential ``v``, ``[N, *]``."""

    v: Array


class EIF(Neuron):
    """Exponential integrate and fire.

    ``h = v + (x + v_rest - v + delta_T * exp((v - theta_rh) / delta_T)) / tau``; spike where
    ``h >= v_threshold``; then reset to ``v_reset``, or subtract ``v_threshold`` if it is None.

    Args:
        tau: Membrane time constant in time steps, above 1.
        delta_T: Sharpness of the upswing, above zero, in units of the membrane potential.
        theta_rh: Rheobase threshold, at which the upswing starts.
        v_threshold: Firing threshold, above ``v_reset``, or 0 if that is None, in units of the
            membrane potential.
        v_rest: Resting potential.
        v_reset: Potential after a spike and at the start; None for a soft reset, starting at 0.
        surrogate: Derivative of the spike.
        detach_reset: Stop the gradient through the reset.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> neuron = js.EIF()
        >>> state, spikes = js.scan(neuron, neuron.init_state((1,)), 0.9 * jnp.ones((6, 1)))
        >>> spikes[:, 0]
        Array([0., 1., 0., 1., 0., 1.], dtype=float32)

    Source: SpikingJelly ``EIFNode``; Gerstner et al., "Neuronal Dynamics", 2014, section 5.2.
    """

    tau: Param = greater_than(1.0, default=2.0)
    _: KW_ONLY
    delta_T: Param = positive(default=1.0)  # noqa: N815 (the name of the field)
    theta_rh: Param = 0.8
    v_threshold: Param = greater_than("v_reset", default=1.0)
    v_rest: Param = 0.0
    v_reset: Param | None = -0.1
    surrogate: Surrogate = Sigmoid()
    detach_reset: bool = static(default=False, choices=(True, False))

    def init_state(self, shape: Shape, dtype: DType = jnp.float32) -> EIFState:
        return EIFState(at_rest(self.v_reset, shape, dtype))

    def step(self, state: EIFState, x: Array) -> tuple[EIFState, Array]:
        v = state.v
        h = v + (x + self.v_rest - v + exponential(v, self.delta_T, self.theta_rh)) / self.tau
        v, s = fire(h, self.v_threshold, self.v_reset, self.surrogate, self.detach_reset)
        return EIFState(v), s
