"""Adaptive exponential integrate and fire."""

from dataclasses import KW_ONLY
from typing import NamedTuple

import jax.numpy as jnp

from .._types import Array, DType, Param, Shape
from ..field import greater_than, positive, static
from ..surrogate import Sigmoid, Surrogate
from .base import Neuron
from .equations import adapt, at_rest, exponential, fire


class AdExState(NamedTuple):
    """Membrane potential ``v`` and adaptation current ``w``, ``[N, *]``."""

    v: Array
    w: Array


class AdEx(Neuron):
    """Exponential integrate and fire with an adaptation current.

    ``h = v + (x + v_rest - v + delta_T * exp((v - theta_rh) / delta_T) - w) / tau``; spike ``s``
    where ``h >= v_threshold``; ``w = w + (a * (v - v_rest) - w) / tau_w + b * s``; then reset to
    ``v_reset``, or subtract ``v_threshold`` if ``v_reset`` is None.

    Everything is in time steps and units of the membrane potential. A model in physical units, with
    the capacitance ``C``, the leak conductance ``g`` and steps of ``dt``, is
    ``tau = C / (g * dt)``, ``x = I / g``, ``a / g``, ``b / g`` and ``tau_w / dt``, potentials
    unchanged. The paper's neuron at 0.1 ms, in mV: ``tau=93.7, delta_T=2.0, theta_rh=-50.4,
    v_rest=-70.6, v_reset=-70.6, v_threshold=20.0, tau_w=1440.0, a=0.133, b=2.68``; ``x`` of 1 nA is
    33.3.

    Args:
        tau: Membrane time constant in time steps, above 1.
        delta_T: Sharpness of the upswing, above zero, in units of the membrane potential.
        theta_rh: Rheobase threshold, at which the upswing starts.
        v_threshold: Potential at which the upswing counts as a spike, above ``v_reset``, or 0 if
            that is None.
        v_rest: Resting potential.
        v_reset: Potential after a spike and at the start; None for a soft reset, starting at 0.
        w_rest: Adaptation current at the start.
        tau_w: Time constant of the adaptation in time steps, above zero.
        a: Adaptation to the membrane potential.
        b: Adaptation by a spike.
        surrogate: Derivative of the spike.
        detach_reset: Stop the gradient through the reset.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> neuron = js.AdEx(tau_w=20.0, b=0.5)
        >>> state, spikes = js.scan(neuron, neuron.init_state((1,)), 1.5 * jnp.ones((9, 1)))
        >>> spikes[:, 0]
        Array([0., 1., 0., 1., 0., 0., 1., 0., 0.], dtype=float32)

    Source: Brette & Gerstner, "Adaptive exponential integrate-and-fire model as an effective
    description of neuronal activity", J. Neurophysiology 2005, in forward Euler steps.
    """

    tau: Param = greater_than(1.0, default=2.0)
    _: KW_ONLY
    delta_T: Param = positive(default=1.0)  # noqa: N815 (the name of the field)
    theta_rh: Param = 0.8
    v_threshold: Param = greater_than("v_reset", default=1.0)
    v_rest: Param = 0.0
    v_reset: Param | None = -0.1
    w_rest: Param = 0.0
    tau_w: Param = positive(default=2.0)
    a: Param = 0.0
    b: Param = 0.0
    surrogate: Surrogate = Sigmoid()
    detach_reset: bool = static(default=False, choices=(True, False))

    def init_state(self, shape: Shape, dtype: DType = jnp.float32) -> AdExState:
        v, w = (at_rest(value, shape, dtype) for value in (self.v_reset, self.w_rest))
        return AdExState(v, w)

    def step(self, state: AdExState, x: Array) -> tuple[AdExState, Array]:
        v, w = state
        upswing = exponential(v, self.delta_T, self.theta_rh)
        h = v + (x + self.v_rest - v + upswing - w) / self.tau
        v, s = fire(h, self.v_threshold, self.v_reset, self.surrogate, self.detach_reset)
        # by the membrane before charging: at the peak of the upswing h is unbounded
        w = adapt(w, state.v, s, self.v_rest, self.tau_w, self.a, self.b)
        return AdExState(v, w), s
