"""`PostSpikeSTDP`: the rule of Diehl and Cook, which acts at output spikes only."""

from dataclasses import KW_ONLY

from .._types import Array, Param
from ..field import positive, static
from .plasticity import Pair, PlasticityRule
from .stdp import spike_trace


class PostSpikeSTDP(PlasticityRule):
    """Plasticity at output spikes only, in favor of inputs that were recently active.

    With the trace ``x = exp(-1 / tau) * x + pre`` of the input,

    ``dw = rate * (x - x_target) * f_plus(w) * post``

    so a spike of the neuron strengthens the inputs whose trace is above the target, and weakens the
    others.

    Args:
        tau: Time constant of the trace, in time steps, above zero.
        rate: Learning rate.
        x_target: Value of the trace at which a weight does not change.
        pairing: "all" or "nearest": whether spikes add up in the trace or set it to 1.
        weight_dependence: How changes depend on the weight, and its bounds. In the paper it is
            ``(w_max - w) ** mu``, the ``PowerLaw(w_max=w_max, mu_plus=mu)`` for a bound of 1.
        reduction: "sum" or "mean" over the samples of a batch.

    Raises:
        ValueError: If the time constant is not above zero.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> rule = js.learning.PostSpikeSTDP(rate=1.0, x_target=0.25)
        >>> w = jnp.zeros((2, 1))                                        # two inputs, one neuron
        >>> traces = rule.init_traces(w, (1, 2))
        >>> rule(traces, w, jnp.array([[1.0, 0.0]]), jnp.ones((1, 1)))[1]
        Array([[ 0.75],
               [-0.25]], dtype=float32)

    Source: Diehl, Cook, "Unsupervised learning of digit recognition using spike-timing-dependent
    plasticity", Frontiers in Computational Neuroscience 9 (2015), section 2.3.
    """

    tau: Param = positive(default=20.0)
    _: KW_ONLY
    rate: Param = 0.01
    x_target: Param = 0.0
    pairing: str = static(default="all", choices=("all", "nearest"))

    def at_rest(self, pre: Array, post: Array) -> Array:
        return pre

    def step(self, traces: Array, pre: Array, post: Array) -> tuple[Array, Pair, None]:
        _, x = spike_trace(traces, pre, self.tau, self.pairing)
        return x, (x - self.x_target, self.rate * post), None
