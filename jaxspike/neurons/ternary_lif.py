"""Leaky integrate and fire with spikes of both signs."""

from dataclasses import KW_ONLY
from typing import NamedTuple

import jax.numpy as jnp

from .._types import Array, DType, Param, Shape
from ..field import greater_than, positive, static
from ..surrogate import Sigmoid, Surrogate
from .base import Neuron
from .equations import at_rest, fire_ternary, leaky_charge, reset_below_threshold


class TernaryLIFState(NamedTuple):
    """Membrane potential ``v``, ``[N, *]``."""

    v: Array


class TernaryLIF(Neuron):
    """Leaky integrate and fire with spikes -1, 0 and 1.

    ``h`` is charged as in a `LIF`; then
    ``s = heaviside(h - v_threshold) - heaviside(-h - v_threshold)``; then reset to ``v_reset``
    where ``s`` is not 0, or subtract ``s * v_threshold`` if ``v_reset`` is None.

    Args:
        tau: Membrane time constant in time steps, above 1.
        decay_input: Whether the input is divided by ``tau`` too.
        v_threshold: Firing threshold of both signs, above zero, in units of the membrane potential.
        v_reset: Potential after a spike and at the start, closer to 0 than ``v_threshold``; None
            for a soft reset, starting at 0.
        surrogate: Derivative of the spike.
        detach_reset: Stop the gradient through the reset.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> neuron = js.TernaryLIF()
        >>> xs = jnp.array([[3.0], [-3.0], [1.0], [1.0], [-3.0]])
        >>> state, spikes = js.scan(neuron, neuron.init_state((1,)), xs)
        >>> spikes[:, 0]
        Array([ 1., -1.,  0.,  0., -1.], dtype=float32)

    Source: SpikingJelly ``TernaryLIFNode``; Guo et al., "Ternary spike: learning ternary spikes for
    spiking neural networks", AAAI 2024.
    """

    tau: Param = greater_than(1.0, default=2.0)
    _: KW_ONLY
    decay_input: bool = static(default=True, choices=(True, False))
    v_threshold: Param = positive(default=1.0)
    v_reset: Param | None = 0.0
    surrogate: Surrogate = Sigmoid()
    detach_reset: bool = static(default=False, choices=(True, False))

    def __post_init__(self) -> None:
        super().__post_init__()
        reset_below_threshold(self, of_both_signs=True)

    def init_state(self, shape: Shape, dtype: DType = jnp.float32) -> TernaryLIFState:
        return TernaryLIFState(at_rest(self.v_reset, shape, dtype))

    def step(self, state: TernaryLIFState, x: Array) -> tuple[TernaryLIFState, Array]:
        h = leaky_charge(state.v, x, self.tau, self.v_reset, self.decay_input)
        v, s = fire_ternary(h, self.v_threshold, self.v_reset, self.surrogate, self.detach_reset)
        return TernaryLIFState(v), s
