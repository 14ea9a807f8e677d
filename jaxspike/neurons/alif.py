"""Leaky integrate and fire with an adaptive threshold."""

import math
from dataclasses import KW_ONLY
from typing import NamedTuple

import jax.numpy as jnp

from .._types import Array, DType, Param, Shape
from ..field import between, greater_than, static
from ..surrogate import Sigmoid, Surrogate, spike
from .base import Neuron
from .equations import at_rest, reset


class ALIFState(NamedTuple):
    """Membrane potential ``v`` after leak and reset, and threshold adaptation ``a``, ``[N, *]``."""

    v: Array
    a: Array


class ALIF(Neuron):
    """Leaky integrate and fire with a threshold that rises with every spike.

    ``h = v + x``; spike ``s`` where ``h >= v_threshold + beta * a``; then leak and reset,
    ``v = v_decay * h - s * v_threshold`` (or to ``v_reset`` if that is given), and
    ``a = a_decay * a + s``. As in the paper, the reset subtracts the threshold at rest, not
    the raised one, and does not leak.

    A time constant ``tau`` in time steps is the decay ``exp(-1 / tau)``: the defaults are 20 ms
    for the membrane and 200 ms for the threshold at steps of 1 ms.

    Args:
        v_decay: Fraction of the membrane potential kept after a step, from 0 to 1.
        a_decay: Fraction of the adaptation kept after a step, from 0 to 1.
        beta: Rise of the threshold with each spike, in units of the membrane potential.
        v_threshold: Firing threshold at rest, above zero and ``v_reset``, in units of the membrane
            potential.
        v_reset: Potential after a spike and at the start; None for a soft reset, starting at 0.
        surrogate: Derivative of the spike.
        detach_reset: Stop the gradient through the reset.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> neuron = js.ALIF(beta=0.5)
        >>> state, spikes = js.scan(neuron, neuron.init_state((1,)), 0.6 * jnp.ones((9, 1)))
        >>> spikes[:, 0]
        Array([0., 1., 0., 0., 1., 0., 0., 1., 0.], dtype=float32)

    Source: Bellec et al., "A solution to the learning dilemma for recurrent networks of spiking
    neurons", Nature Communications 2020; "Long short-term memory and learning-to-learn in networks
    of spiking neurons", NeurIPS 2018, has ``(1 - a_decay) * s`` in place of ``s``.
    """

    v_decay: Param = between(0.0, 1.0, default=math.exp(-1 / 20))
    _: KW_ONLY
    a_decay: Param = between(0.0, 1.0, default=math.exp(-1 / 200))
    beta: Param = 0.2
    v_threshold: Param = greater_than(0.0, "v_reset", default=1.0)
    v_reset: Param | None = None
    surrogate: Surrogate = Sigmoid()
    detach_reset: bool = static(default=False, choices=(True, False))

    def init_state(self, shape: Shape, dtype: DType = jnp.float32) -> ALIFState:
        return ALIFState(at_rest(self.v_reset, shape, dtype), at_rest(None, shape, dtype))

    def step(self, state: ALIFState, x: Array) -> tuple[ALIFState, Array]:
        h = state.v + x
        s = spike(h - (self.v_threshold + self.beta * state.a), self.surrogate)
        v = reset(self.v_decay * h, s, self.v_threshold, self.v_reset, self.detach_reset)
        return ALIFState(v, self.a_decay * state.a + s), s
