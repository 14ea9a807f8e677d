"""Softmax cross-entropy, of rates, membranes and first spike times."""

import numpy as np

from .._check import one_of
from .._types import Array, Param
from ._labels import Readout, first_times, read, softmax


def cross_entropy(x: Array, labels: Array, readout: Readout | None = None) -> Array:
    """Softmax cross-entropy, of a readout or of each step.

    ``mean_n(-log softmax(readout(x))[n, labels[n]])``; without a readout
    ``mean_t,n(-log softmax(x[t])[n, labels[n]])``.

    Args:
        x: Spikes, membranes or other logits ``[T, N, C]``.
        labels: Classes ``[N]``, integers from 0 to C - 1, or their probabilities ``[N, C]``.
        readout: A function ``[T, N, *] -> [N, C]``, or None for the mean over the steps.

    Returns:
        A scalar, in nats.

    Raises:
        TypeError: If ``x`` is not real, or labels ``[N]`` are not integers.
        ValueError: If a shape does not fit or a label is no class.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> spikes = jnp.zeros((8, 2, 10)).at[:, 0, 3].set(1)
        >>> js.losses.cross_entropy(spikes, jnp.array([3, 5]), js.readout.count).round(4)
        Array(1.1528, dtype=float32)

    Source: snnTorch ``ce_rate_loss``, ``ce_count_loss``, ``ce_max_membrane_loss``.
    """
    return softmax("cross_entropy", read("cross_entropy", x, readout), labels)


def cross_entropy_temporal(spikes: Array, labels: Array, inverse: str = "negate") -> Array:
    """Softmax cross-entropy of first spike times: the class that fires first wins.

    The logits are ``-t`` or ``1 / (t + 1)`` with ``t`` the step of the first spike, T - 1 for an
    output that never fires. For the gradient see `jaxspike.readout.first_spike_time`. Outputs that
    are all silent cost ``log(C)`` and hardly learn: begin with weights that make them fire.

    Args:
        spikes: ``[T, N, C]``.
        labels: Classes ``[N]``, integers from 0 to C - 1, or their probabilities ``[N, C]``.
        inverse: ``"negate"`` or ``"reciprocal"``.

    Returns:
        A scalar, in nats.

    Raises:
        TypeError: If ``spikes`` is not real, or labels ``[N]`` are not integers.
        ValueError: If a shape does not fit, a label is no class, or ``inverse`` is unknown.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> spikes = jnp.zeros((8, 1, 3)).at[0, 0, 1].set(1)
        >>> js.losses.cross_entropy_temporal(spikes, jnp.array([1])).round(4)
        Array(0.0018, dtype=float32)

    Source: snnTorch ``ce_temporal_loss``, for the gradient too.
    """
    one_of("`cross_entropy_temporal(inverse=...)`", inverse, ("negate", "reciprocal"))
    time = read("cross_entropy_temporal", spikes, first_times)
    logits = -time if inverse == "negate" else 1 / (time + 1)
    return softmax("cross_entropy_temporal", logits, labels)


def tet(x: Array, labels: Array, *, lamb: float = 1e-3, means: Param = 1.0) -> Array:
    """Temporal efficient training: the cross-entropy of each step, not of their mean.

    ``(1 - lamb) * mean_t,n(-log softmax(x[t])[n, labels[n]]) + lamb * mean((x - means)^2)``.
    The second term keeps single steps from running away.

    Args:
        x: Outputs ``[T, N, C]``, usually before any spike.
        labels: Classes ``[N]``, integers from 0 to C - 1, or their probabilities ``[N, C]``.
        lamb: Weight of the second term, in ``[0, 1]``.
        means: What the second term draws outputs to, the threshold in the paper.

    Returns:
        A scalar.

    Raises:
        TypeError: If ``x`` is not real, or labels ``[N]`` are not integers.
        ValueError: If a shape does not fit, a label is no class, or the number ``lamb`` is
            out of range.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> js.losses.tet(jnp.ones((4, 2, 10)), jnp.array([3, 5]), lamb=0.05).round(4)
        Array(2.1875, dtype=float32)

    Source: Deng et al., "Temporal efficient training of spiking neural network via gradient
    re-weighting", ICLR 2022.
    """
    if isinstance(lamb, int | float | np.floating) and not 0 <= lamb <= 1:
        raise ValueError(f"`tet(lamb=...)` must be from 0 to 1, got {lamb}.")
    y = read("tet", x, None)
    return (1 - lamb) * softmax("tet", y, labels) + lamb * ((y - means) ** 2).mean()
