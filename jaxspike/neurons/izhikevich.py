"""Izhikevich's neuron: quadratic integrate and fire with adaptation."""

from dataclasses import KW_ONLY
from typing import NamedTuple

import jax.numpy as jnp

from .._types import Array, DType, Param, Shape
from ..field import greater_than, positive, static
from ..surrogate import Sigmoid, Surrogate
from .base import Neuron
from .equations import adapt, at_rest, fire, quadratic


class IzhikevichState(NamedTuple):
    """Membrane potential ``v`` and adaptation current ``w``, ``[N, *]``."""

    v: Array
    w: Array


class Izhikevich(Neuron):
    """Quadratic integrate and fire with an adaptation current.

    ``h = v + (x + a0 * (v - v_rest) * (v - v_c) - w) / tau``; spike ``s`` where
    ``h >= v_threshold``; ``w = w + (a * (h - v_rest) - w) / tau_w + b * s``; then reset to
    ``v_reset``, or subtract ``v_threshold`` if ``v_reset`` is None.

    Everything is in time steps and units of the membrane potential. The regular spiking neuron of
    the paper (``v' = 0.04 v^2 + 5 v + 140 - u + I``) has two zeros of the quadratic, ``v_rest`` and
    ``v_c``, and ``a0 = 0.04 * tau``. With the defaults ``a = b = 0`` nothing adapts.
    `Izhikevich2003` is that model in the paper's own parameters, units and steps.

    Args:
        tau: Membrane time constant in time steps, above 1.
        v_c: Critical potential.
        a0: Strength of the quadratic current, above zero, per unit of potential.
        v_threshold: Firing threshold, above ``v_reset``, or 0 if that is None, in units of the
            membrane potential.
        v_reset: Potential after a spike and at the start; None for a soft reset, starting at 0.
        v_rest: Resting potential, the lower zero of the quadratic current.
        w_rest: Adaptation current at the start.
        tau_w: Time constant of the adaptation in time steps, above zero.
        a: Adaptation to the membrane potential.
        b: Adaptation by a spike.
        surrogate: Derivative of the spike.
        detach_reset: Stop the gradient through the reset.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> neuron = js.Izhikevich(tau_w=20.0, b=0.3)
        >>> state, spikes = js.scan(neuron, neuron.init_state((1,)), 1.5 * jnp.ones((9, 1)))
        >>> spikes[:, 0]
        Array([0., 1., 0., 1., 0., 0., 1., 0., 0.], dtype=float32)

    Source: SpikingJelly ``IzhikevichNode``; Izhikevich, "Simple model of spiking neurons", 2003.
    """

    tau: Param = greater_than(1.0, default=2.0)
    _: KW_ONLY
    v_c: Param = 0.8
    a0: Param = positive(default=1.0)
    v_threshold: Param = greater_than("v_reset", default=1.0)
    v_reset: Param | None = 0.0
    v_rest: Param = -0.1
    w_rest: Param = 0.0
    tau_w: Param = positive(default=2.0)
    a: Param = 0.0
    b: Param = 0.0
    surrogate: Surrogate = Sigmoid()
    detach_reset: bool = static(default=False, choices=(True, False))

    def init_state(self, shape: Shape, dtype: DType = jnp.float32) -> IzhikevichState:
        v, w = (at_rest(value, shape, dtype) for value in (self.v_reset, self.w_rest))
        return IzhikevichState(v, w)

    def step(self, state: IzhikevichState, x: Array) -> tuple[IzhikevichState, Array]:
        v, w = state
        h = v + (x + quadratic(v, self.a0, self.v_rest, self.v_c) - w) / self.tau
        v, s = fire(h, self.v_threshold, self.v_reset, self.surrogate, self.detach_reset)
        return IzhikevichState(v, adapt(w, h, s, self.v_rest, self.tau_w, self.a, self.b)), s
