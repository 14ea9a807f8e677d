"""Leaky integrate and fire with an adaptation current."""

import math
from dataclasses import KW_ONLY
from typing import NamedTuple

import jax.numpy as jnp

from .._types import Array, DType, Param, Shape
from ..field import between, positive, static
from ..surrogate import Sigmoid, Surrogate
from .base import Neuron
from .equations import at_rest, fire


class AdLIFState(NamedTuple):
    """Membrane potential ``v`` after reset, and the next adaptation current ``w``, ``[N, *]``."""

    v: Array
    w: Array


class AdLIF(Neuron):
    """Leaky integrate and fire with an adaptation current that follows membrane and spikes.

    ``h = v_decay * v + (1 - v_decay) * (x - w)``; spike ``s`` where ``h >= v_threshold``; then
    ``v = h - v_threshold * s`` and ``w = w_decay * w + a * h + b * s``, the current of the next
    step. With ``a`` above 0 the membrane may oscillate. `SEAdLIF` is the same model, discretized
    in another way; `SiLIF` has the same equations with decays given by rates and a step length.

    In the paper the neurons of a layer start with values drawn uniformly: time constants of 5 to 25
    steps for the membrane and 30 to 120 for the adaptation, ``exp(-1 / tau)`` as decays, ``a`` from
    -1 to 1, ``b`` from 0 to 2. The defaults are near the middle of these.

    Args:
        v_decay: Fraction of the membrane potential kept after a step, from 0 to 1.
        w_decay: Fraction of the adaptation current kept after a step, from 0 to 1.
        a: Adaptation per step to the membrane potential.
        b: Adaptation by a spike.
        v_threshold: Firing threshold, above zero, in units of the membrane potential.
        surrogate: Derivative of the spike.
        detach_reset: Stop the gradient through the reset.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> neuron = js.AdLIF(0.5)
        >>> state, spikes = js.scan(neuron, neuron.init_state((1,)), 2.5 * jnp.ones((9, 1)))
        >>> spikes[:, 0]
        Array([1., 0., 1., 0., 0., 0., 0., 0., 0.], dtype=float32)

    Source: Bittar & Garner, "A surrogate gradient spiking baseline for speech command recognition",
    Frontiers in Neuroscience 2022; ``adLIFLayer`` of sparch.
    """

    v_decay: Param = between(0.0, 1.0, default=math.exp(-1 / 10))
    _: KW_ONLY
    w_decay: Param = between(0.0, 1.0, default=math.exp(-1 / 60))
    a: Param = 0.0
    b: Param = 1.0
    v_threshold: Param = positive(default=1.0)
    surrogate: Surrogate = Sigmoid()
    detach_reset: bool = static(default=False, choices=(True, False))

    def init_state(self, shape: Shape, dtype: DType = jnp.float32) -> AdLIFState:
        return AdLIFState(at_rest(None, shape, dtype), at_rest(None, shape, dtype))

    def step(self, state: AdLIFState, x: Array) -> tuple[AdLIFState, Array]:
        h = self.v_decay * state.v + (1 - self.v_decay) * (x - state.w)
        v, s = fire(h, self.v_threshold, None, self.surrogate, self.detach_reset)
        return AdLIFState(v, self.w_decay * state.w + self.a * h + self.b * s), s
