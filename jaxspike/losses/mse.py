"""Mean squared error to a target for the right class and another for the wrong ones."""

import jax.numpy as jnp

from .. import _check
from .._types import Array
from ..readout import count
from ._labels import Readout, check_targets_alone, classes, first_times, read, targets


def mse(
    x_seq: Array,
    labels: Array,
    readout: Readout | None = None,
    *,
    correct: float = 1.0,
    incorrect: float = 0.0,
) -> Array:
    """Mean squared error to a target for the right class and another for the wrong ones.

    ``mean((readout(x_seq) - target)^2)`` over samples and outputs, and over steps if there is no
    readout; ``target[n, c] = correct if c == labels[n] else incorrect``.

    Args:
        x_seq: Spikes or membranes ``[T, N, C]``.
        labels: Classes ``[N]``, integers from 0 to C - 1, or the targets themselves: ``[N, C]``, or
            ``[T, N, C]`` without a readout.
        readout: A function ``[T, N, *] -> [N, C]``, such as `jaxspike.readout.rate`, or None to
            compare each step.
        correct: Target of the right class, in the units of what is read out.
        incorrect: Target of the others.

    Returns:
        A scalar, in those units squared.

    Raises:
        TypeError: If ``x_seq`` is not real, or labels ``[N]`` are not integers.
        ValueError: If a shape does not fit or a label is not a class.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> spikes = jnp.ones((8, 1, 2))
        >>> js.losses.mse(spikes, jnp.array([0]), js.readout.rate, correct=0.75)
        Array(0.53125, dtype=float32)

    Source: snnTorch ``mse_membrane_loss``; SpikingJelly's examples, with the rate.
    """
    y = read("mse", x_seq, readout)
    check_targets_alone("mse", labels, correct, incorrect, (1.0, 0.0))
    target = targets("mse", y, labels, correct, incorrect)
    return ((y - jnp.broadcast_to(target, y.shape)) ** 2).mean()


def mse_count(
    spikes: Array, labels: Array, correct_rate: float = 1.0, incorrect_rate: float = 0.0
) -> Array:
    """Mean squared error of spike counts, divided by the number of steps.

    ``mean((count - target)^2) / T`` over samples and outputs, with the target
    ``int(T * correct_rate)`` for the right class and ``int(T * incorrect_rate)`` for the others.
    Note the truncation: ``int(100 * 0.29)`` is 28.

    Args:
        spikes: ``[T, N, C]``.
        labels: Classes ``[N]``, integers from 0 to C - 1.
        correct_rate: Target spikes per step of the right class, at least 0; at most 1, or k if each
            output is the sum of k neurons.
        incorrect_rate: The same for the other classes.

    Returns:
        A scalar.

    Raises:
        TypeError: If ``spikes`` is not real, or labels ``[N]`` are not integers.
        ValueError: If a shape does not fit, a label is not a class, or a rate is
            below 0.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> js.losses.mse_count(jnp.ones((10, 1, 2)), jnp.array([0]), 0.8, 0.2)
        Array(3.4, dtype=float32)

    Source: Shrestha & Orchard, "SLAYER: spike layer error reassignment in time", NeurIPS 2018;
    snnTorch ``mse_count_loss``.
    """
    for name, value in (("correct_rate", correct_rate), ("incorrect_rate", incorrect_rate)):
        _check.in_range(f"`mse_count({name}=...)`", value, low=0)
    labels = classes("mse_count", labels)
    number, steps = read("mse_count", spikes, count), len(spikes)
    target = int(steps * correct_rate), int(steps * incorrect_rate)
    return ((number - targets("mse_count", number, labels, *target)) ** 2).mean() / steps


def mse_temporal(
    spikes: Array,
    labels: Array,
    *,
    correct: float = 0,
    incorrect: float = -1,
    tolerance: float = 0,
) -> Array:
    """Mean squared error of first spike times, as fractions of the sequence.

    ``mean(((t - target) / T)^2)`` over samples and outputs, with ``t`` the step of the first spike,
    T - 1 for an output that never fires. For the gradient see
    `jaxspike.readout.first_spike_time`.

    Args:
        spikes: ``[T, N, C]``.
        labels: Classes ``[N]``, integers from 0 to C - 1, or the target times ``[N, C]``.
        correct: Target time of the right class in steps; a negative one counts from the end.
        incorrect: Target time of the others.
        tolerance: A time closer to its target than this many steps costs nothing.

    Returns:
        A scalar.

    Raises:
        TypeError: If ``spikes`` is not real, or labels ``[N]`` are not integers.
        ValueError: If a shape does not fit or a label is not a class.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> spikes = jnp.zeros((10, 1, 2)).at[3, 0, 0].set(1)
        >>> js.losses.mse_temporal(spikes, jnp.array([0])).round(4)
        Array(0.045, dtype=float32)

    Source: snnTorch ``mse_temporal_loss``, for the gradient too. (Its default target for wrong
    classes, -1, is dropped internally and acts as 0; here it is the last step, as documented
    there.)
    """
    time, steps = read("mse_temporal", spikes, first_times), len(spikes)
    check_targets_alone("mse_temporal", labels, correct, incorrect, (0, -1))
    target = targets("mse_temporal", time, labels, correct, incorrect)
    error = time - jnp.where(target < 0, steps + target, target)
    return (jnp.where(jnp.abs(error) < tolerance, 0, error / steps) ** 2).mean()
