"""Adaptive leaky integrate and fire, parametrized like a state-space model."""

from dataclasses import KW_ONLY
from typing import NamedTuple

import jax.numpy as jnp

from .._types import Array, DType, Param, Shape
from ..field import positive, static
from ..surrogate import Sigmoid, Surrogate
from .base import Neuron
from .equations import at_rest, fire


class SiLIFState(NamedTuple):
    """Membrane potential ``v`` after reset, and the next adaptation current ``w``, ``[N, *]``."""

    v: Array
    w: Array


class SiLIF(Neuron):
    """An `AdLIF` whose decays come from rates and a step length, as in state-space models.

    With ``r = exp(-v_rate * dt)``: ``h = r * v + (1 - r) * (x - w)``; spike ``s`` where
    ``h >= v_threshold``; then ``v = h - v_threshold * s`` and
    ``w = exp(-w_rate * dt) * w + a * h + b * s``, the current of the next step.

    Rates and step length are learned as their logarithms, and a step length per neuron rescales its
    time. In the paper the neurons of a layer start with values that are drawn uniformly, for rates
    in their logarithm: ``v_rate`` from 10 to 250 per second, ``w_rate`` from 2.5 to 10 per second,
    ``dt`` of 4 ms, ``a`` from 0 to 1, ``b`` from 0 to 2.

    Args:
        v_rate: Rate at which the membrane potential decays, above zero, per unit of time.
        w_rate: Rate at which the adaptation current decays, above zero, per unit of time.
        dt: Length of a step in units of time, above zero.
        a: Adaptation per step to the membrane potential.
        b: Adaptation by a spike.
        v_threshold: Firing threshold, above zero, in units of the membrane potential.
        surrogate: Derivative of the spike.
        detach_reset: Stop the gradient through the reset.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> neuron = js.SiLIF(200.0)
        >>> state, spikes = js.scan(neuron, neuron.init_state((1,)), 4.0 * jnp.ones((9, 1)))
        >>> spikes[:, 0]
        Array([1., 1., 0., 0., 0., 0., 0., 0., 0.], dtype=float32)

    Source: Fabre, Dudchenko, Neftci, "Structured state space model dynamics and parametrization for
    spiking neural networks", 2025 (arXiv 2506.06374); ``SiLIFLayer`` of its code.
    """

    v_rate: Param = positive(default=50.0)
    _: KW_ONLY
    w_rate: Param = positive(default=5.0)
    dt: Param = positive(default=0.004)
    a: Param = 0.5
    b: Param = 1.0
    v_threshold: Param = positive(default=1.0)
    surrogate: Surrogate = Sigmoid()
    detach_reset: bool = static(default=False, choices=(True, False))

    def init_state(self, shape: Shape, dtype: DType = jnp.float32) -> SiLIFState:
        return SiLIFState(at_rest(None, shape, dtype), at_rest(None, shape, dtype))

    def step(self, state: SiLIFState, x: Array) -> tuple[SiLIFState, Array]:
        v_decay, w_decay = jnp.exp(-self.v_rate * self.dt), jnp.exp(-self.w_rate * self.dt)
        h = v_decay * state.v + (1 - v_decay) * (x - state.w)
        v, s = fire(h, self.v_threshold, None, self.surrogate, self.detach_reset)
        return SiLIFState(v, w_decay * state.w + self.a * h + self.b * s), s
