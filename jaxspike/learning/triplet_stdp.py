"""`TripletSTDP`: pairs and triplets of spikes change a weight."""

from dataclasses import KW_ONLY
from typing import NamedTuple

from .._types import Array, Param
from ..field import positive, static
from .plasticity import Pair, PlasticityRule
from .stdp import spike_trace


class TripletTraces(NamedTuple):
    """A fast and a slow trace of the input spikes, and of the output spikes."""

    pre: Array
    pre_slow: Array
    post: Array
    post_slow: Array


class TripletSTDP(PlasticityRule):
    """Spike-timing-dependent plasticity of triplets of spikes.

    The fast traces ``r1`` of the input and ``o1`` of the output, with the time constants
    ``tau_plus`` and ``tau_minus``, are those of `STDP`; the slow traces ``r2`` and ``o2``, with
    ``tau_x`` and ``tau_y``, scale its two sides:

    * ``dw = f_plus(w) * r1 * (a2_plus + a3_plus * o2) * post``
      ``- f_minus(w) * pre * (a2_minus + a3_minus * r2) * o1``

    So potentiation grows with the rate of the neuron. A spike reads the slow trace of its own side
    from before that spike; ``same_step`` applies to the fast traces, as in `STDP`.

    Diehl and Cook trained their digits with ``TripletSTDP(20.0, tau_minus=20.0, tau_y=40.0,
    a2_plus=0.0, a3_plus=0.01, a2_minus=1e-4, a3_minus=0.0, pairing="nearest", same_step=False)``
    and weights from 0 to 1.

    Args:
        tau_plus: Time constant of the fast input trace, in time steps, above zero.
        tau_minus: Time constant of the fast output trace.
        tau_x: Time constant of the slow input trace.
        tau_y: Time constant of the slow output trace.
        a2_plus: Amplitude of potentiation by a pair.
        a3_plus: Amplitude of potentiation by a triplet of two output spikes and an input spike.
        a2_minus: Amplitude of depression by a pair, positive to depress.
        a3_minus: Amplitude of depression by a triplet of two input spikes and an output spike.
        pairing, same_step, weight_dependence, reduction: As for `STDP`.

    Raises:
        ValueError: If a time constant is not above zero.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> rule, w, one = js.learning.TripletSTDP(), jnp.ones((1, 1)), jnp.ones((1, 1))
        >>> traces = rule.init_traces(w, (1, 1))
        >>> traces, dw = rule(traces, w, one, 0 * one)
        >>> traces, pair = rule(traces, w, 0 * one, one)
        >>> traces, triplet = rule(traces, w, 0 * one, one)              # the second output spike
        >>> bool(triplet > 1000 * pair > 0)
        True

    Source: Pfister, Gerstner, "Triplets of spikes in a model of spike timing-dependent plasticity",
    Journal of Neuroscience 26 (2006); the defaults are its fit to the visual cortex, all-to-all,
    with steps of 1 ms. Diehl, Cook, "Unsupervised learning of digit recognition using
    spike-timing-dependent plasticity", Frontiers in Computational Neuroscience 9 (2015), and its
    code.
    """

    tau_plus: Param = positive(default=16.8)
    _: KW_ONLY
    tau_minus: Param = positive(default=33.7)
    tau_x: Param = positive(default=101.0)
    tau_y: Param = positive(default=125.0)
    a2_plus: Param = 5e-10
    a3_plus: Param = 6.2e-3
    a2_minus: Param = 7e-3
    a3_minus: Param = 2.3e-4
    pairing: str = static(default="all", choices=("all", "nearest"))
    same_step: bool = static(default=True, choices=(True, False))

    def at_rest(self, pre: Array, post: Array) -> TripletTraces:
        return TripletTraces(pre, pre, post, post)

    def step(
        self, traces: TripletTraces, pre: Array, post: Array
    ) -> tuple[TripletTraces, Pair, Pair]:
        r1 = spike_trace(traces.pre, pre, self.tau_plus, self.pairing)
        r2 = spike_trace(traces.pre_slow, pre, self.tau_x, self.pairing)
        o1 = spike_trace(traces.post, post, self.tau_minus, self.pairing)
        o2 = spike_trace(traces.post_slow, post, self.tau_y, self.pairing)
        plus = r1[self.same_step], (self.a2_plus + self.a3_plus * o2[0]) * post
        minus = (self.a2_minus + self.a3_minus * r2[0]) * pre, o1[self.same_step]
        return TripletTraces(r1[1], r2[1], o1[1], o2[1]), plus, minus
