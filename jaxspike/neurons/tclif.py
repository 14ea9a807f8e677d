"""Two compartments, leaky integrate and fire."""

from dataclasses import KW_ONLY
from typing import NamedTuple

import jax.numpy as jnp

from .._types import Array, DType, Param, Shape
from ..field import between, positive, static
from ..surrogate import Sigmoid, Surrogate
from .base import Neuron
from .equations import at_rest, fire, reset


class TCLIFState(NamedTuple):
    """Potential of the ``dendrite`` and of the soma, ``v``, both after reset, ``[N, *]``."""

    dendrite: Array
    v: Array


class TCLIF(Neuron):
    """A dendrite that remembers long and a soma that fires, each driving the other.

    ``d = dendrite - beta1 * v + x``; ``h = v + beta2 * d``; spike ``s`` where ``h >= v_threshold``;
    then soft resets, ``dendrite = d - gamma * s`` and ``v = h - v_threshold * s``.

    Neither compartment leaks by itself: memory fades because the soma inhibits the dendrite. The
    paper writes ``-beta1`` as beta 1. It draws the logits of both from values that differ between
    tasks.

    Args:
        beta1: Inhibition of the dendrite by the soma, from 0 to 1.
        beta2: Excitation of the soma by the dendrite, from 0 to 1.
        gamma: What a spike subtracts from the dendrite.
        v_threshold: Firing threshold, above zero, in units of the membrane potential.
        surrogate: Derivative of the spike.
        detach_reset: Stop the gradient through the reset.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> neuron = js.TCLIF()
        >>> state, spikes = js.scan(neuron, neuron.init_state((1,)), 0.6 * jnp.ones((9, 1)))
        >>> spikes[:, 0]
        Array([0., 0., 1., 1., 0., 1., 1., 0., 1.], dtype=float32)

    Source: Zhang et al., "TC-LIF: A two-compartment spiking neuron model for long-term sequential
    modelling", AAAI 2024; ``TCLIFNode`` of its code.
    """

    beta1: Param = between(0.0, 1.0, default=0.5)
    _: KW_ONLY
    beta2: Param = between(0.0, 1.0, default=0.5)
    gamma: Param = 0.5
    v_threshold: Param = positive(default=1.0)
    surrogate: Surrogate = Sigmoid()
    detach_reset: bool = static(default=False, choices=(True, False))

    def init_state(self, shape: Shape, dtype: DType = jnp.float32) -> TCLIFState:
        return TCLIFState(at_rest(None, shape, dtype), at_rest(None, shape, dtype))

    def step(self, state: TCLIFState, x: Array) -> tuple[TCLIFState, Array]:
        dendrite = state.dendrite - self.beta1 * state.v + x
        h = state.v + self.beta2 * dendrite
        v, s = fire(h, self.v_threshold, None, self.surrogate, self.detach_reset)
        dendrite = reset(dendrite, s, self.gamma, None, self.detach_reset)
        return TCLIFState(dendrite, v), s
