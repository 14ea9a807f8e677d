"""Izhikevich's simple model of spiking neurons, with his parameters a, b, c and d."""

from dataclasses import KW_ONLY
from typing import NamedTuple

import jax
import jax.numpy as jnp

from .._types import Array, DType, Param, Shape
from ..field import count, greater_than, positive, static
from ..surrogate import Sigmoid, Surrogate, spike
from .base import Neuron
from .equations import at_rest, reset


class Izhikevich2003State(NamedTuple):
    """Membrane potential ``v`` in mV and recovery variable ``u``, ``[N, *]``."""

    v: Array
    u: Array


class Izhikevich2003(Neuron):
    """Izhikevich's simple model in his own parameters and units: mV and ms.

    ``v' = 0.04 v^2 + 5 v + 140 - u + x`` and ``u' = a (b v - u)``; spike where
    ``v >= v_threshold``; then ``v = c`` and ``u = u + d``.

    As in the program of the paper, a step of ``dt`` takes ``substeps`` Euler steps of ``v``, with
    ``u`` fixed, and then one of ``u``. `jaxspike.presets.izhikevich` has the cell types of the
    paper; the defaults are the regular spiking cell. `Izhikevich` is the same model in units of
    the threshold, with other names.

    The surrogate is a function of ``v - v_threshold`` in mV: to train, take one as wide as a few
    mV, such as ``js.surrogate.ATan(alpha=0.2)``.

    Args:
        a: Rate of the recovery, above zero, per ms.
        b: Sensitivity of the recovery to the membrane potential.
        c: Potential after a spike, in mV.
        d: Increase of the recovery by a spike.
        v_threshold: Peak of a spike, above ``c``, in mV.
        v_start: Potential at the start, in mV; the recovery starts at ``b * v_start``.
        dt: Length of a time step, above zero, in ms.
        substeps: Euler steps of the membrane in a time step, at least 1.
        surrogate: Derivative of the spike.
        detach_reset: Stop the gradient through the reset.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> neuron = js.Izhikevich2003()
        >>> state, spikes = js.scan(neuron, neuron.init_state((1,)), 10 * jnp.ones((200, 1)))
        >>> jnp.flatnonzero(spikes)                       # ms: the intervals grow
        Array([  3,  30,  78, 140, 194], dtype=int32)

    Source: Izhikevich, "Simple model of spiking neurons", IEEE Transactions on Neural Networks,
    2003.
    """

    a: Param = positive(default=0.02)
    _: KW_ONLY
    b: Param = 0.2
    c: Param = -65.0
    d: Param = 8.0
    v_threshold: Param = greater_than("c", default=30.0)
    v_start: Param = -65.0
    dt: Param = positive(default=1.0)
    substeps: int = count(default=2)
    surrogate: Surrogate = Sigmoid()
    detach_reset: bool = static(default=False, choices=(True, False))

    def init_state(self, shape: Shape, dtype: DType = jnp.float32) -> Izhikevich2003State:
        v = at_rest(self.v_start, shape, dtype, "v_start")
        return Izhikevich2003State(v, (self.b * v).astype(dtype))

    def step(self, state: Izhikevich2003State, x: Array) -> tuple[Izhikevich2003State, Array]:
        v, u = state
        for _ in range(self.substeps):
            v = v + self.dt / self.substeps * (0.04 * v**2 + 5 * v + 140 - u + x)
        s = spike(v - self.v_threshold, self.surrogate)
        event = jax.lax.stop_gradient(s) if self.detach_reset else s
        u = u + self.dt * self.a * (self.b * v - u) + self.d * event
        return Izhikevich2003State(reset(v, event, self.v_threshold, self.c, False), u), s
