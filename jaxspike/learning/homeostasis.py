"""Homeostasis: rules that keep the firing rate of a neuron, or the sum of its weights, constant."""

from dataclasses import KW_ONLY

import jax.numpy as jnp

from .. import _check
from .._types import Array, Param
from ..field import positive, static
from .plasticity import Pair, PlasticityRule
from .weight_dependence import Proportional, WeightDependence


def normalize(w: Array, total: Param, axis: int | tuple[int, ...] | None = None) -> Array:
    """Weights scaled so that the absolute weights of each neuron sum to ``total``.

    Args:
        w: The weights, with the neurons as the last axis, as in the kernels of Flax.
        total: The sum: a number, or one per neuron.
        axis: The axes to sum over; None for all but the last.

    Returns:
        The scaled weights; if all weights of a neuron are zero, they stay zero.

    Raises:
        TypeError: If the weights are not floating point.
        ValueError: If ``total`` is not above zero.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> js.learning.normalize(jnp.array([[1.0, 2.0], [3.0, 0.0]]), 1.0)
        Array([[0.25, 1.  ],
               [0.75, 0.  ]], dtype=float32)
    """
    w = _check.floating("`normalize(w=...)`", w)
    _check.in_range("`normalize(total=...)`", total, above=0)
    axis = tuple(range(w.ndim - 1)) if axis is None else axis
    sums = jnp.abs(w).sum(axis, keepdims=True)
    return w * (jnp.asarray(total, w.dtype) / jnp.where(sums == 0, 1, sums))


class SynapticScaling(PlasticityRule):
    """Scales the weights of a neuron up while it fires below its target rate, and down above it.

    With the running mean ``a = d * a + (1 - d) * post`` of the spikes of the neuron,
    ``d = exp(-1 / tau)``,

    ``dw = rate * (target - a) * w``

    for each of its weights; for a convolution, summed over positions. Add the change to that of
    another rule.

    Args:
        target: Firing rate to reach, in spikes per time step.
        tau: Time constant of the running mean, in time steps, above zero.
        rate: Learning rate.
        weight_dependence: How changes depend on the weight, and its bounds.
        reduction: "mean" or "sum" over the samples of a batch.

    Raises:
        ValueError: If the time constant is not above zero.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> rule, w = js.learning.SynapticScaling(target=0.5, rate=0.1), jnp.array([[1.0], [3.0]])
        >>> traces = rule.init_traces(w, (1, 2))
        >>> rule(traces, w, jnp.zeros((1, 2)), jnp.zeros((1, 1)))[1]     # a silent neuron
        Array([[0.05],
               [0.15]], dtype=float32)

    Source: van Rossum, Bi, Turrigiano, "Stable Hebbian learning from spike timing-dependent
    plasticity", Journal of Neuroscience 20 (2000), without its integral term.
    """

    target: Param = 0.1
    _: KW_ONLY
    tau: Param = positive(default=1000.0)
    rate: Param = 1e-3
    weight_dependence: WeightDependence = Proportional()
    reduction: str = static(default="mean", choices=("mean", "sum"))

    def at_rest(self, pre: Array, post: Array) -> Array:
        return post

    def step(self, traces: Array, pre: Array, post: Array) -> tuple[Array, Pair, None]:
        decay = jnp.exp(-1.0 / jnp.asarray(self.tau, post.dtype))
        mean = decay * traces + (1 - decay) * post
        return mean, (jnp.ones_like(pre), self.rate * (self.target - mean)), None
