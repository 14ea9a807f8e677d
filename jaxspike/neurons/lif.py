"""Leaky integrate and fire."""

from dataclasses import KW_ONLY
from typing import NamedTuple

import jax.numpy as jnp

from .._types import Array, DType, Param, Shape
from ..field import greater_than, static
from ..surrogate import Sigmoid, Surrogate, spike
from .base import Neuron
from .equations import at_rest, leaky_charge, reset


class LIFState(NamedTuple):
    """Membrane potential ``v``, ``[N, *]``."""

    v: Array


class LIF(Neuron):
    """Leaky integrate and fire.

    With ``decay_input``: ``h = v + (x - (v - v_rest)) / tau``, else
    ``h = v - (v - v_rest) / tau + x``. Spike where ``h >= v_threshold``; then reset to ``v_reset``,
    or subtract ``v_threshold - v_rest`` if it is None.

    With ``decay_input``, the default, a constant input settles at ``v = v_rest + x``: below
    threshold it never fires.

    Args:
        tau: Membrane time constant in time steps, above 1.
        v_threshold: Firing threshold, above ``v_rest`` and ``v_reset``, in units of the membrane
            potential.
        v_reset: Potential after a spike; None for a soft reset.
        v_rest: Potential that the membrane leaks to and starts at; None for ``v_reset``, or for 0
            if that is None too.
        surrogate: Derivative of the spike.
        decay_input: Whether the input is divided by ``tau`` too.
        detach_reset: Stop the gradient through the reset.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> neuron = js.LIF(tau=2.0)
        >>> state, spikes = js.scan(neuron, neuron.init_state((1,)), 1.5 * jnp.ones((6, 1)))
        >>> spikes[:, 0]
        Array([0., 1., 0., 1., 0., 1.], dtype=float32)

    In physical units, such as mV, with a step of 1 ms and a current in nA through 10 megaohms:

        >>> neuron = js.LIF(tau=20.0, v_rest=-65.0, v_threshold=-50.0, v_reset=-70.0)
        >>> state, spikes = js.scan(neuron, neuron.init_state((1,)), 10 * 2.0 * jnp.ones((100, 1)))
        >>> spikes.sum(), state.v.round(2)
        (Array(3., dtype=float32), Array([-61.59], dtype=float32))

    A learnable ``tau`` makes it the parametric LIF: ``js.nn.Spiking(js.LIF(), learn=("tau",))``.

    Source: SpikingJelly ``LIFNode``; Fang et al., ICCV 2021, for the learnable ``tau``.
    """

    tau: Param = greater_than(1.0, default=2.0)
    _: KW_ONLY
    v_threshold: Param = greater_than("v_rest", "v_reset", default=1.0)
    v_reset: Param | None = 0.0
    v_rest: Param | None = None
    surrogate: Surrogate = Sigmoid()
    decay_input: bool = static(default=True, choices=(True, False))
    detach_reset: bool = static(default=False, choices=(True, False))

    def init_state(self, shape: Shape, dtype: DType = jnp.float32) -> LIFState:
        rest, field = (self.v_reset, "v_reset") if self.v_rest is None else (self.v_rest, "v_rest")
        return LIFState(at_rest(rest, shape, dtype, field))

    def step(self, state: LIFState, x: Array) -> tuple[LIFState, Array]:
        v_rest = self.v_reset if self.v_rest is None else self.v_rest
        h = leaky_charge(state.v, x, self.tau, v_rest, self.decay_input)
        s = spike(h - self.v_threshold, self.surrogate)
        height = self.v_threshold if self.v_rest is None else self.v_threshold - self.v_rest
        return LIFState(reset(h, s, height, self.v_reset, self.detach_reset)), s
