"""Leaky integrate and analog fire."""

from collections.abc import Callable
from dataclasses import KW_ONLY
from typing import NamedTuple

import jax
import jax.numpy as jnp

from .._types import Array, DType, Param, Shape
from ..field import function, greater_than, static
from ..surrogate import Sigmoid, Surrogate
from .base import Neuron
from .equations import at_rest, fire, leaky_charge


class LIAFState(NamedTuple):
    """Membrane potential ``v``, ``[N, *]``."""

    v: Array


class LIAF(Neuron):
    """A `LIF` that fires internally: its output is an activation of the charged membrane.

    ``h`` is charged, and reset where it reaches ``v_threshold``, as in a `LIF`; the output is
    ``activation(h)``, or ``activation(h - v_threshold)`` with ``threshold_related``.

    Args:
        activation: Function of one array, elementwise, such as ``jax.nn.relu``. Pass a named
            function: each new lambda is compiled again.
        threshold_related: Whether the activation sees the distance to threshold.
        tau: Membrane time constant in time steps, above 1.
        decay_input: Whether the input is divided by ``tau`` too.
        v_threshold: Firing threshold, above ``v_reset``, or 0 if that is None, in units of the
            membrane potential.
        v_reset: Potential after a spike and at the start; None for a soft reset, starting at 0.
        surrogate: Derivative of the spike.
        detach_reset: Stop the gradient through the reset.

    Example:
        >>> import jax, jax.numpy as jnp, jaxspike as js
        >>> neuron = js.LIAF(jax.nn.relu, threshold_related=False)
        >>> state, y = js.scan(neuron, neuron.init_state((1,)), 1.5 * jnp.ones((4, 1)))
        >>> y[:, 0]
        Array([0.75 , 1.125, 0.75 , 1.125], dtype=float32)

    Source: SpikingJelly ``LIAFNode``; Wu et al., "LIAF-Net: leaky integrate and analog fire network
    for lightweight and efficient spatiotemporal information processing", 2021.
    """

    activation: Callable[[Array], Array] = function(default=jax.nn.relu)
    _: KW_ONLY
    threshold_related: bool = static(default=True, choices=(True, False))
    tau: Param = greater_than(1.0, default=2.0)
    decay_input: bool = static(default=True, choices=(True, False))
    v_threshold: Param = greater_than("v_reset", default=1.0)
    v_reset: Param | None = 0.0
    surrogate: Surrogate = Sigmoid()
    detach_reset: bool = static(default=False, choices=(True, False))

    def init_state(self, shape: Shape, dtype: DType = jnp.float32) -> LIAFState:
        return LIAFState(at_rest(self.v_reset, shape, dtype))

    def step(self, state: LIAFState, x: Array) -> tuple[LIAFState, Array]:
        h = leaky_charge(state.v, x, self.tau, self.v_reset, self.decay_input)
        y = self.activation(h - self.v_threshold if self.threshold_related else h)
        v, _ = fire(h, self.v_threshold, self.v_reset, self.surrogate, self.detach_reset)
        return LIAFState(v), y
