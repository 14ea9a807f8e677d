"""The gradient of an expected loss by the score function: REINFORCE."""

import jax

from .. import _check
from .._types import Array, Param


def score_function(losses: Array, log_prob: Array, baseline: Param = 0.0) -> Array:
    """The mean of losses of random spikes; its gradient is unbiased for the expected loss.

    The value is ``mean_n(losses[n])``. The gradient is that of
    ``mean_n(losses[n] + (losses[n] - baseline[n]) * log_prob[n])`` with the factor in brackets held
    constant: ``d E[L] = E[dL + (L - baseline) d log p]``, the first term at given spikes.

    All that is random must be in ``log_prob``: where a `Stochastic` neuron with a straight-through
    gradient takes part, the result is biased by it. It must also be independent: give each batch a
    state from `jaxspike.neurons.reseed`. A baseline that is near the loss makes the
    variance smaller, and the gradient stays unbiased if it does not depend on what the same sample
    has drawn: a running mean of earlier losses, or, where no layer mixes samples, the mean of the
    others in the batch, ``(losses.sum() - losses) / (N - 1)``.

    Args:
        losses: The loss of each sample, ``[N]``, not their mean.
        log_prob: Log-probability of what each sample has drawn, ``[N]``, from
            `jaxspike.neurons.log_prob`.
        baseline: What the losses are compared with, a number or ``[N]``; it gets no gradient.

    Returns:
        A scalar, the mean of the losses.

    Raises:
        TypeError: If an array is not real.
        ValueError: If a shape does not fit, or there is no sample.

    Example:
        >>> import jax, jax.numpy as jnp, jaxspike as js
        >>> neuron, n = js.Stochastic(js.IF(), gradient="score"), 10_000
        >>> def loss(x):                                           # E = p(x) = sigmoid(4 (x - 1))
        ...     state, spikes = neuron(neuron.init_state((n, 1)), jnp.full((n, 1), x))
        ...     return js.losses.score_function(spikes[:, 0], js.neurons.log_prob(state), 0.5)
        >>> bool(abs(jax.grad(loss)(1.0) - 1.0) < 0.05)            # p' = 4 p (1 - p)
        True

    Source: Williams, "Simple statistical gradient-following algorithms for connectionist
    reinforcement learning", 1992; for spikes, Jang, Simeone, Gardner, Gruening, "An introduction to
    probabilistic spiking neural networks", 2019.
    """
    losses = _check.as_real("`score_function(losses=...)`", losses)
    _check.axes("`score_function(losses=...)`", losses, "N", fix="Give one loss per sample.")
    if not losses.size:
        raise ValueError("`score_function(losses=...)` must not be empty, got the shape (0,).")
    log_prob = _check.as_real("`score_function(log_prob=...)`", log_prob)
    fix = "Give `jaxspike.neurons.log_prob(state)`."
    _check.axes("`score_function(log_prob=...)`", log_prob, *losses.shape, fix=fix)
    _check.broadcasts("`score_function(baseline=...)`", baseline, losses.shape)
    weight = jax.lax.stop_gradient(losses - baseline)
    score = log_prob - jax.lax.stop_gradient(log_prob)  # zero, with a gradient
    return (losses + weight * score).mean()
