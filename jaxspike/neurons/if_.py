"""Integrate and fire."""

from dataclasses import KW_ONLY
from typing import NamedTuple

import jax.numpy as jnp

from .._types import Array, DType, Param, Shape
from ..field import greater_than, static
from ..surrogate import Sigmoid, Surrogate
from .base import Neuron
from .equations import at_rest, fire


class IFState(NamedTuple):
    """Membrane potential ``v``, ``[N, *]``."""

    v: Array


class IF(Neuron):
    """Integrate and fire.

    ``h = v + x``; spike where ``h >= v_threshold``; then reset to ``v_reset``, or subtract
    ``v_threshold`` if ``v_reset`` is None.

    Args:
        v_threshold: Firing threshold, above ``v_reset``, or 0 if that is None, in units of the
            membrane potential.
        v_reset: Potential after a spike and at the start; None for a soft reset, starting at 0.
        surrogate: Derivative of the spike.
        detach_reset: Stop the gradient through the reset.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> neuron = js.IF()
        >>> state, spikes = js.scan(neuron, neuron.init_state((1,)), 0.4 * jnp.ones((6, 1)))
        >>> spikes[:, 0]
        Array([0., 0., 1., 0., 0., 1.], dtype=float32)

    Source: SpikingJelly ``IFNode``.
    """

    v_threshold: Param = greater_than("v_reset", default=1.0)
    _: KW_ONLY
    v_reset: Param | None = 0.0
    surrogate: Surrogate = Sigmoid()
    detach_reset: bool = static(default=False, choices=(True, False))

    def init_state(self, shape: Shape, dtype: DType = jnp.float32) -> IFState:
        return IFState(at_rest(self.v_reset, shape, dtype))

    def step(self, state: IFState, x: Array) -> tuple[IFState, Array]:
        h = state.v + x
        v, s = fire(h, self.v_threshold, self.v_reset, self.surrogate, self.detach_reset)
        return IFState(v), s
