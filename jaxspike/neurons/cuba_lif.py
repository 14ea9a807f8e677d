"""Current-based leaky integrate and fire."""

from dataclasses import KW_ONLY
from typing import NamedTuple

import jax.numpy as jnp

from .._types import Array, DType, Param, Shape
from ..field import between, greater_than, static
from ..surrogate import Rect, Surrogate
from .base import Neuron
from .equations import at_rest, fire


class CubaLIFState(NamedTuple):
    """Membrane potential ``v`` and synaptic current ``c``, ``[N, *]``."""

    v: Array
    c: Array


class CubaLIF(Neuron):
    """Leaky integrate and fire with a synaptic current that decays on its own.

    ``c = c_decay * c + x``; ``h = v_decay * v + c``; spike where ``h >= v_threshold``; then reset
    to ``v_reset``, or subtract ``v_threshold`` if ``v_reset`` is None. The leak is toward 0.

    A time constant ``tau`` in time steps is the decay ``exp(-1 / tau)``.

    Args:
        c_decay: Fraction of the current kept after a step, from 0 to 1.
        v_decay: Fraction of the membrane potential kept after a step, from 0 to 1.
        v_threshold: Firing threshold, above zero and ``v_reset``, in units of the membrane
            potential.
        v_reset: Potential after a spike and at the start; None for a soft reset, starting at 0.
        surrogate: Derivative of the spike.
        detach_reset: Stop the gradient through the reset.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> neuron = js.CubaLIF()
        >>> state, spikes = js.scan(neuron, neuron.init_state((1,)), 0.2 * jnp.ones((6, 1)))
        >>> spikes[:, 0]
        Array([0., 0., 1., 0., 1., 0.], dtype=float32)

    Source: SpikingJelly ``CUBALIFNode``.
    """

    c_decay: Param = between(0.0, 1.0, default=0.5)
    _: KW_ONLY
    v_decay: Param = between(0.0, 1.0, default=0.75)
    v_threshold: Param = greater_than(0.0, "v_reset", default=0.5)
    v_reset: Param | None = 0.0
    surrogate: Surrogate = Rect()
    detach_reset: bool = static(default=False, choices=(True, False))

    def init_state(self, shape: Shape, dtype: DType = jnp.float32) -> CubaLIFState:
        return CubaLIFState(at_rest(self.v_reset, shape, dtype), at_rest(None, shape, dtype))

    def step(self, state: CubaLIFState, x: Array) -> tuple[CubaLIFState, Array]:
        c = state.c * self.c_decay + x
        h = state.v * self.v_decay + c
        v, s = fire(h, self.v_threshold, self.v_reset, self.surrogate, self.detach_reset)
        return CubaLIFState(v, c), s
