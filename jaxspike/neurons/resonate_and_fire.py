"""Resonate and fire."""

from dataclasses import KW_ONLY
from typing import NamedTuple

import jax.numpy as jnp

from .._types import Array, DType, Param, Shape
from ..field import greater_than, negative, positive, static
from ..surrogate import Sigmoid, Surrogate
from .base import Neuron
from .equations import at_rest, fire


class ResonateAndFireState(NamedTuple):
    """Membrane potential ``v`` and current-like variable ``u``, ``[N, *]``."""

    v: Array
    u: Array


class ResonateAndFire(Neuron):
    """A damped oscillator that is driven by its inputs and fires at its peak.

    With ``r = exp(b * dt)`` and the angle ``p = omega * dt``:
    ``u = r * (u * cos(p) - v * sin(p)) + x``; ``h = r * (u_before * sin(p) + v * cos(p))``; spike
    where ``h >= v_threshold``; then reset ``v`` to ``v_reset``, or subtract ``v_threshold`` if
    ``v_reset`` is None. ``u`` is not reset.

    Args:
        b: Damping per unit of time, below zero.
        omega: Angular frequency in radians per unit of time, above zero.
        dt: Length of a step in units of time, above zero.
        v_threshold: Firing threshold, above zero and ``v_reset``, in units of the membrane
            potential.
        v_reset: Potential after a spike and at the start; None for a soft reset, starting at 0.
        surrogate: Derivative of the spike.
        detach_reset: Stop the gradient through the reset.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> neuron = js.ResonateAndFire()
        >>> state, spikes = js.scan(neuron, neuron.init_state((1,)), jnp.ones((6, 1)))
        >>> spikes[:, 0]
        Array([0., 0., 1., 0., 1., 0.], dtype=float32)

    Source: SpikingJelly ``RAFNode``; Izhikevich, "Resonate-and-fire neurons", 2001.
    """

    b: Param = negative(default=-0.2)
    _: KW_ONLY
    omega: Param = positive(default=1.0)
    dt: Param = positive(default=1.0)
    v_threshold: Param = greater_than(0.0, "v_reset", default=1.0)
    v_reset: Param | None = 0.0
    surrogate: Surrogate = Sigmoid()
    detach_reset: bool = static(default=False, choices=(True, False))

    def init_state(self, shape: Shape, dtype: DType = jnp.float32) -> ResonateAndFireState:
        return ResonateAndFireState(
            at_rest(self.v_reset, shape, dtype), at_rest(None, shape, dtype)
        )

    def step(self, state: ResonateAndFireState, x: Array) -> tuple[ResonateAndFireState, Array]:
        v, u = state
        r, angle = jnp.exp(self.b * self.dt), self.omega * self.dt
        cos, sin = jnp.cos(angle), jnp.sin(angle)
        u, h = r * (u * cos - v * sin) + x, r * (u * sin + v * cos)
        v, s = fire(h, self.v_threshold, self.v_reset, self.surrogate, self.detach_reset)
        return ResonateAndFireState(v, u), s
