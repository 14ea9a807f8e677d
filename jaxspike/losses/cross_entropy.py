"""Softmax cross-entropy of rates, membranes and first spike times."""

from .. import _check
from .._types import Array, Param
from ._labels import Readout, first_times, read, softmax


def cross_entropy(x_seq: Array, labels: Array, readout: Readout | None = None) -> Array:
    """Softmax cross-entropy of a readout, or of each step.

    ``mean_n(-log softmax(readout(x_seq))[n, labels[n]])``; without a readout
    ``mean_t,n(-log softmax(x_seq[t])[n, labels[n]])``.

    Args:
        x_seq: Spikes, membranes or other logits ``[T, N, C]``.
        labels: Classes ``[N]``, integers from 0 to C - 1, or their probabilities ``[N, C]``.
        readout: A function ``[T, N, *] -> [N, C]``, or None for the mean over the steps.

    Returns:
        A scalar, in nats.

    Raises:
        TypeError: If ``x_seq`` is not real, or labels ``[N]`` are not integers.
        ValueError: If a shape does not fit or a label is not a class.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> spikes = jnp.zeros((8, 2, 10)).at[:, 0, 3].set(1)
        >>> js.losses.cross_entropy(spikes, jnp.array([3, 5]), js.readout.count).round(4)
        Array(1.1528, dtype=float32)

    Source: snnTorch ``ce_rate_loss``, ``ce_count_loss``, ``ce_max_membrane_loss``.
    """
    return softmax("cross_entropy", read("cross_entropy", x_seq, readout), labels)


def cross_entropy_temporal(spikes: Array, labels: Array, inverse: str = "negate") -> Array:
    """Softmax cross-entropy of first spike times: the class that fires first wins.

    The logits are ``-t`` or ``1 / (t + 1)`` with ``t`` the step of the first spike, T - 1 for an
    output that never fires. For the gradient see `jaxspike.readout.first_spike_time`. If all
    outputs are silent, the loss is ``log(C)`` and hardly learns: start with weights that make them
    fire.

    Args:
        spikes: ``[T, N, C]``.
        labels: Classes ``[N]``, integers from 0 to C - 1, or their probabilities ``[N, C]``.
        inverse: ``"negate"`` or ``"reciprocal"``.

    Returns:
        A scalar, in nats.

    Raises:
        TypeError: If ``spikes`` is not real, or labels ``[N]`` are not integers.
        ValueError: If a shape does not fit, a label is not a class, or ``inverse`` is unknown.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> spikes = jnp.zeros((8, 1, 3)).at[0, 0, 1].set(1)
        >>> js.losses.cross_entropy_temporal(spikes, jnp.array([1])).round(4)
        Array(0.0018, dtype=float32)

    Source: snnTorch ``ce_temporal_loss``, for the gradient too.
    """
    _check.one_of("`cross_entropy_temporal(inverse=...)`", inverse, ("negate", "reciprocal"))
    time = read("cross_entropy_temporal", spikes, first_times)
    logits = -time if inverse == "negate" else 1 / (time + 1)
    return softmax("cross_entropy_temporal", logits, labels)


def tet(x_seq: Array, labels: Array, *, lamb: float = 1e-3, means: Param = 1.0) -> Array:
    """Temporal efficient training: the cross-entropy of each step, not of their mean.

    ``(1 - lamb) * mean_t,n(-log softmax(x[t])[n, labels[n]]) + lamb * mean((x - means)^2)`` for
    ``x = x_seq``. The second term keeps single steps from diverging.

    Args:
        x_seq: Outputs ``[T, N, C]``, usually membranes or currents, not spikes.
        labels: Classes ``[N]``, integers from 0 to C - 1, or their probabilities ``[N, C]``.
        lamb: Weight of the second term, in ``[0, 1]``.
        means: The value that the second term pulls outputs toward; the threshold in the paper.

    Returns:
        A scalar.

    Raises:
        TypeError: If ``x_seq`` is not real, or labels ``[N]`` are not integers.
        ValueError: If a shape does not fit, a label is not a class, or ``lamb`` is out of
            range.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> js.losses.tet(jnp.ones((4, 2, 10)), jnp.array([3, 5]), lamb=0.05).round(4)
        Array(2.1875, dtype=float32)

    Source: Deng et al., "Temporal efficient training of spiking neural network via gradient
    re-weighting", ICLR 2022.
    """
    _check.in_range("`tet(lamb=...)`", lamb, low=0, high=1)
    y = read("tet", x_seq, None)
    return (1 - lamb) * softmax("tet", y, labels) + lamb * ((y - means) ** 2).mean()
