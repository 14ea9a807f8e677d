"""Leaky integrate and fire."""

from dataclasses import KW_ONLY
from typing import NamedTuple

import jax.numpy as jnp

from .._types import Array, DType, Param, Shape
from ..field import greater_than, positive, static
from ..surrogate import Sigmoid, Surrogate
from .base import Neuron
from .equations import at_rest, fire, leaky_charge


class LIFState(NamedTuple):
    """Membrane potential ``v``, ``[N, *]``."""

    v: Array


class LIF(Neuron):
    """Leaky integrate and fire.

    With ``decay_input``: ``h = v + (x - (v - v_reset)) / tau``, else
    ``h = v - (v - v_reset) / tau + x``; the leak is towards 0 if ``v_reset`` is None. Spike where
    ``h >= v_threshold``; then reset to ``v_reset``, or subtract ``v_threshold`` if it is None.

    With ``decay_input``, the default, a constant input settles at ``v = x``: below threshold
    it never fires.

    Args:
        tau: Membrane time constant in time steps, above 1.
        v_threshold: Firing threshold, above zero, in units of the membrane potential.
        v_reset: Potential after a spike and at the start; None for a soft reset, starting at 0.
        surrogate: Derivative of the spike.
        decay_input: Whether the input is divided by ``tau`` too.
        detach_reset: Stop the gradient through the reset.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> neuron = js.LIF(tau=2.0)
        >>> state, spikes = js.scan(neuron, neuron.init_state((1,)), 1.5 * jnp.ones((6, 1)))
        >>> spikes[:, 0]
        Array([0., 1., 0., 1., 0., 1.], dtype=float32)

    A learnable ``tau`` makes it the parametric LIF: ``js.nn.Spiking(js.LIF(), learn=("tau",))``.

    Source: SpikingJelly ``LIFNode``; Fang et al., ICCV 2021, for the learnable ``tau``.
    """

    tau: Param = greater_than(1.0, default=2.0)
    _: KW_ONLY
    v_threshold: Param = positive(default=1.0)
    v_reset: Param | None = 0.0
    surrogate: Surrogate = Sigmoid()
    decay_input: bool = static(default=True, choices=(True, False))
    detach_reset: bool = static(default=False, choices=(True, False))

    def init_state(self, shape: Shape, dtype: DType = jnp.float32) -> LIFState:
        return LIFState(at_rest(self.v_reset, shape, dtype))

    def step(self, state: LIFState, x: Array) -> tuple[LIFState, Array]:
        h = leaky_charge(state.v, x, self.tau, self.v_reset, self.decay_input)
        v, s = fire(h, self.v_threshold, self.v_reset, self.surrogate, self.detach_reset)
        return LIFState(v), s
