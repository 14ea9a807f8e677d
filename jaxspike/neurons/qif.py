"""Quadratic integrate and fire."""

from dataclasses import KW_ONLY
from typing import NamedTuple

import jax.numpy as jnp

from .._types import Array, DType, Param, Shape
from ..field import greater_than, positive, static
from ..surrogate import Sigmoid, Surrogate
from .base import Neuron
from .equations import at_rest, fire, quadratic


class QIFState(NamedTuple):
    """Membrane potential ``v``, ``[N, *]``."""

    v: Array


class QIF(Neuron):
    """Quadratic integrate and fire.

    ``h = v + (x + a0 * (v - v_rest) * (v - v_c)) / tau``; spike where ``h >= v_threshold``; then
    reset to ``v_reset``, or subtract ``v_threshold`` if ``v_reset`` is None.

    Below ``v_c`` the membrane decays to ``v_rest``; above it, it diverges into a spike.

    Args:
        tau: Membrane time constant in time steps, above 1.
        v_c: Critical potential.
        a0: Strength of the quadratic current, above zero, per unit of potential.
        v_threshold: Firing threshold, above ``v_reset``, or 0 if that is None, in units of the
            membrane potential.
        v_rest: Resting potential, the lower zero of the quadratic current.
        v_reset: Potential after a spike and at the start; None for a soft reset, starting at 0.
        surrogate: Derivative of the spike.
        detach_reset: Stop the gradient through the reset.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> neuron = js.QIF()
        >>> state, spikes = js.scan(neuron, neuron.init_state((1,)), 0.9 * jnp.ones((6, 1)))
        >>> spikes[:, 0]
        Array([0., 0., 1., 0., 0., 1.], dtype=float32)

    Source: SpikingJelly ``QIFNode``; Gerstner et al., "Neuronal Dynamics", 2014, section 5.3.
    """

    tau: Param = greater_than(1.0, default=2.0)
    _: KW_ONLY
    v_c: Param = 0.8
    a0: Param = positive(default=1.0)
    v_threshold: Param = greater_than("v_reset", default=1.0)
    v_rest: Param = 0.0
    v_reset: Param | None = -0.1
    surrogate: Surrogate = Sigmoid()
    detach_reset: bool = static(default=False, choices=(True, False))

    def init_state(self, shape: Shape, dtype: DType = jnp.float32) -> QIFState:
        return QIFState(at_rest(self.v_reset, shape, dtype))

    def step(self, state: QIFState, x: Array) -> tuple[QIFState, Array]:
        v = state.v
        h = v + (x + quadratic(v, self.a0, self.v_rest, self.v_c)) / self.tau
        v, s = fire(h, self.v_threshold, self.v_reset, self.surrogate, self.detach_reset)
        return QIFState(v), s
