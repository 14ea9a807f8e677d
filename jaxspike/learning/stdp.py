"""`STDP`: pairs of spikes change a weight by the time between them."""

from dataclasses import KW_ONLY
from typing import NamedTuple

import jax.numpy as jnp

from .._types import Array, Param
from ..field import positive, static
from .plasticity import Pair, PlasticityRule


def spike_trace(trace: Array, spikes: Array, tau: Param, pairing: str) -> tuple[Array, Array]:
    """A trace before and after the spikes of a step: it decays by ``exp(-1 / tau)``, then rises.

    Args:
        trace: The trace of the previous step.
        spikes: The spikes of this step.
        tau: Time constant in time steps.
        pairing: "all" adds the spikes to the trace, "nearest" sets it to them where there are any.
    """
    before = jnp.exp(-1.0 / jnp.asarray(tau, trace.dtype)) * trace
    after = before + spikes if pairing == "all" else jnp.where(spikes != 0, spikes, before)
    return before, after


class STDPTraces(NamedTuple):
    """A trace of the input spikes, and one of the output spikes."""

    pre: Array
    post: Array


class STDP(PlasticityRule):
    """Spike-timing-dependent plasticity of pairs of spikes.

    A weight grows by ``a_plus * exp(-dt / tau_plus)`` if the neuron spikes ``dt`` time steps after
    its input, and shrinks by ``a_minus * exp(-dt / tau_minus)`` if it spikes ``dt`` steps before.
    Each step, with the traces ``x`` of the input and ``y`` of the output,

    * ``x = exp(-1 / tau_plus) * x + pre``, ``y = exp(-1 / tau_minus) * y + post``
    * ``dw = a_plus * f_plus(w) * x * post - a_minus * f_minus(w) * pre * y``

    Two spikes in the same step change the weight by ``a_plus - a_minus``. In a network of this
    library an input spike drives the neuron within its step, so if the neuron is to learn from
    that, choose an ``a_plus`` above ``a_minus``. With ``same_step=False`` the traces are read
    before the spikes of the step are added, and the pair does not count.

    Args:
        tau_plus: Time constant of potentiation, in time steps, above zero; of the input trace.
        tau_minus: Time constant of depression, in time steps, above zero; of the output trace.
        a_plus: Amplitude of potentiation: a number, or one per neuron that the layer feeds.
        a_minus: Amplitude of depression, positive to depress.
        pairing: "all": each spike pairs with all earlier ones of the other side, and the trace adds
            spikes up. "nearest": only with the last one, and a spike sets the trace to 1.
        same_step: Whether two spikes in the same step are a pair.
        weight_dependence: How changes depend on the weight, and its bounds.
        reduction: "sum" or "mean" over the samples of a batch.

    Raises:
        ValueError: If a time constant is not above zero.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> rule = js.learning.STDP(a_plus=1.0, a_minus=0.5)
        >>> w = jnp.ones((1, 1))                                         # one input, one neuron
        >>> traces = rule.init_traces(w, (1, 1))
        >>> traces, dw = rule(traces, w, jnp.ones((1, 1)), jnp.zeros((1, 1)))
        >>> traces, dw = rule(traces, w, jnp.zeros((1, 1)), jnp.ones((1, 1)))
        >>> dw                                                           # exp(-1 / 20)
        Array([[0.95122945]], dtype=float32)

    Source: Song, Miller, Abbott, "Competitive Hebbian learning through spike-timing-dependent
    synaptic plasticity", Nature Neuroscience 3 (2000), with these amplitudes; Morrison, Diesmann,
    Gerstner, "Phenomenological models of synaptic plasticity based on spike timing", Biological
    Cybernetics 98 (2008), for the pairings.
    """

    tau_plus: Param = positive(default=20.0)
    _: KW_ONLY
    tau_minus: Param = positive(default=20.0)
    a_plus: Param = 0.005
    a_minus: Param = 0.00525
    pairing: str = static(default="all", choices=("all", "nearest"))
    same_step: bool = static(default=True, choices=(True, False))

    def at_rest(self, pre: Array, post: Array) -> STDPTraces:
        return STDPTraces(pre, post)

    def step(self, traces: STDPTraces, pre: Array, post: Array) -> tuple[STDPTraces, Pair, Pair]:
        xs = spike_trace(traces.pre, pre, self.tau_plus, self.pairing)
        ys = spike_trace(traces.post, post, self.tau_minus, self.pairing)
        plus = xs[self.same_step], self.a_plus * post
        minus = pre, self.a_minus * ys[self.same_step]
        return STDPTraces(xs[1], ys[1]), plus, minus
