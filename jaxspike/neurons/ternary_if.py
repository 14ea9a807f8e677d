"""Integrate and fire with spikes of both signs."""

from dataclasses import KW_ONLY
from typing import NamedTuple

import jax.numpy as jnp

from .._types import Array, DType, Param, Shape
from ..field import positive, static
from ..surrogate import Sigmoid, Surrogate
from .base import Neuron
from .equations import at_rest, fire_ternary, reset_below_threshold


class TernaryIFState(NamedTuple):
    """Membrane potential ``v``, ``[N, *]``."""

    v: Array


class TernaryIF(Neuron):
    """Integrate and fire with spikes -1, 0 and 1.

    ``h = v + x``; ``s = heaviside(h - v_threshold) - heaviside(-h - v_threshold)``; then
    reset to ``v_reset`` where ``s`` is not 0, or subtract ``s * v_threshold`` if ``v_reset`` is
    None.

    Args:
        v_threshold: Firing threshold of both signs, above zero, in units of the membrane potential.
        v_reset: Potential after a spike and at the start, closer to 0 than ``v_threshold``; None
            for a soft reset, starting at 0.
        surrogate: Derivative of the spike.
        detach_reset: Stop the gradient through the reset.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> neuron = js.TernaryIF()
        >>> xs = jnp.array([[1.5], [-1.5], [0.5], [0.5], [-1.0]])
        >>> state, spikes = js.scan(neuron, neuron.init_state((1,)), xs)
        >>> spikes[:, 0]
        Array([ 1., -1.,  0.,  1., -1.], dtype=float32)

    Source: SpikingJelly ``TernaryIFNode``; Guo et al., "Ternary spike: learning ternary spikes for
    spiking neural networks", AAAI 2024.
    """

    v_threshold: Param = positive(default=1.0)
    _: KW_ONLY
    v_reset: Param | None = 0.0
    surrogate: Surrogate = Sigmoid()
    detach_reset: bool = static(default=False, choices=(True, False))

    def __post_init__(self) -> None:
        super().__post_init__()
        reset_below_threshold(self, of_both_signs=True)

    def init_state(self, shape: Shape, dtype: DType = jnp.float32) -> TernaryIFState:
        return TernaryIFState(at_rest(self.v_reset, shape, dtype))

    def step(self, state: TernaryIFState, x: Array) -> tuple[TernaryIFState, Array]:
        h = state.v + x
        v, s = fire_ternary(h, self.v_threshold, self.v_reset, self.surrogate, self.detach_reset)
        return TernaryIFState(v), s
