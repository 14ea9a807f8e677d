"""Losses of a recorded output, and the accuracies that match them.

A loss takes the output of every step, ``[T, N, C]``, and labels ``[N]``, and returns the mean over
the batch as a scalar in at least float32. A label that is no class is an error, or NaN where labels
are traced and cannot be looked at. What is made of the time axis is a *readout*: a function
``[T, N, C] -> [N, C]`` of `jaxspike.readout`, or your own; without one each step counts by itself.

==================================================  ===============================================
here                                                elsewhere
==================================================  ===============================================
``cross_entropy(spikes, y)``                        snnTorch ``ce_rate_loss``, SpikingJelly TET
``cross_entropy(v, y)``                             per-step cross-entropy of a membrane
``cross_entropy(spikes, y, count)``                 snnTorch ``ce_count_loss``
``cross_entropy(spikes, y, rate)``                  SpikingJelly ``F.cross_entropy(out_fr, y)``
``cross_entropy(v, y, maximum)``                    snnTorch ``ce_max_membrane_loss``
``cross_entropy_temporal(spikes, y)``               snnTorch ``ce_temporal_loss``
``mse(v, y, correct=..., incorrect=...)``           snnTorch ``mse_membrane_loss``
``mse(spikes, y, rate)``                            SpikingJelly ``F.mse_loss(out_fr, onehot)``
``mse_count(spikes, y, ...)``                       snnTorch ``mse_count_loss``
``mse_temporal(spikes, y, ...)``                    snnTorch ``mse_temporal_loss``
``accuracy(spikes, y)``                             snnTorch ``accuracy_rate``
``accuracy(spikes, y, earliest)``                   snnTorch ``accuracy_temporal``, with
                                                    ``earliest = lambda s: -first_spike_time(s)``
``f(spikes, y, votes)``                             snnTorch ``population_code=True``, with
                                                    ``votes = lambda s: k * voting(count(s), C)``
==================================================  ===============================================
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ._check import broadcasts, known_and, one_of, positive_number, sequence
from ._types import Array, Param, Tree
from .readout import count, first_spike_time

Readout = Callable[[Array], Array]


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
    return _softmax("cross_entropy", _read("cross_entropy", x, readout), labels)


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
    time = _read("cross_entropy_temporal", spikes, _time)
    logits = -time if inverse == "negate" else 1 / (time + 1)
    return _softmax("cross_entropy_temporal", logits, labels)


def mse(
    x: Array,
    labels: Array,
    readout: Readout | None = None,
    *,
    correct: float = 1.0,
    incorrect: float = 0.0,
) -> Array:
    """Mean squared error to a target for the right class and another for the wrong ones.

    ``mean((readout(x) - target)^2)`` over samples and outputs, and over the steps without a
    readout; ``target[n, c] = correct if c == labels[n] else incorrect``.

    Args:
        x: Spikes or membranes ``[T, N, C]``.
        labels: Classes ``[N]``, integers from 0 to C - 1, or the targets themselves: ``[N, C]``, or
            ``[T, N, C]`` without a readout.
        readout: A function ``[T, N, *] -> [N, C]``, such as `jaxspike.readout.rate`, or None to
            compare each step.
        correct: Target of the right class, in the units of what is read out.
        incorrect: Target of the others.

    Returns:
        A scalar, in those units squared.

    Raises:
        TypeError: If ``x`` is not real, or labels ``[N]`` are not integers.
        ValueError: If a shape does not fit or a label is no class.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> spikes = jnp.ones((8, 1, 2))
        >>> js.losses.mse(spikes, jnp.array([0]), js.readout.rate, correct=0.75)
        Array(0.53125, dtype=float32)

    Source: snnTorch ``mse_membrane_loss``; SpikingJelly's examples, with the rate.
    """
    y = _read("mse", x, readout)
    _not_both("mse", labels, correct, incorrect, (1.0, 0.0))
    return ((y - _targets("mse", y, labels, correct, incorrect)) ** 2).mean()


def mse_count(
    spikes: Array, labels: Array, correct_rate: float = 1.0, incorrect_rate: float = 0.0
) -> Array:
    """Mean squared error of spike counts, divided by the number of steps.

    ``mean((count - target)^2) / T`` over samples and outputs, with the target
    ``int(T * correct_rate)`` for the right class and ``int(T * incorrect_rate)`` for the others.
    Mind the whole numbers: ``int(100 * 0.29)`` is 28.

    Args:
        spikes: ``[T, N, C]``.
        labels: Classes ``[N]``, integers from 0 to C - 1.
        correct_rate: Spikes per step wanted of the right class, at least 0; at most 1, or k if each
            output is the sum of k neurons.
        incorrect_rate: The same for the other classes.

    Returns:
        A scalar.

    Raises:
        TypeError: If ``spikes`` is not real, or labels ``[N]`` are not integers.
        ValueError: If a shape does not fit, a label is no class, or a rate is not a number
            of at least 0.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> js.losses.mse_count(jnp.ones((10, 1, 2)), jnp.array([0]), 0.8, 0.2)
        Array(3.4, dtype=float32)

    Source: Shrestha & Orchard, "SLAYER: spike layer error reassignment in time", NeurIPS 2018;
    snnTorch ``mse_count_loss``.
    """
    for name, value in (("correct_rate", correct_rate), ("incorrect_rate", incorrect_rate)):
        if not isinstance(value, int | float | np.floating) or not value >= 0:
            raise ValueError(
                f"`mse_count({name}=...)` must be a Python number of at least 0, got {value!r}."
            )
    labels = _classes("mse_count", labels)
    number, steps = _read("mse_count", spikes, count), len(spikes)
    target = int(steps * correct_rate), int(steps * incorrect_rate)
    return ((number - _targets("mse_count", number, labels, *target)) ** 2).mean() / steps


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
        tolerance: A time nearer to its target than this many steps costs nothing.

    Returns:
        A scalar.

    Raises:
        TypeError: If ``spikes`` is not real, or labels ``[N]`` are not integers.
        ValueError: If a shape does not fit or a label is no class.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> spikes = jnp.zeros((10, 1, 2)).at[3, 0, 0].set(1)
        >>> js.losses.mse_temporal(spikes, jnp.array([0])).round(4)
        Array(0.045, dtype=float32)

    Source: snnTorch ``mse_temporal_loss``, for the gradient too. (Its default target for wrong
    classes, -1, is lost on the way and acts as 0; here it is the last step, as it documents.)
    """
    time, steps = _read("mse_temporal", spikes, _time), len(spikes)
    _not_both("mse_temporal", labels, correct, incorrect, (0, -1))
    target = _targets("mse_temporal", time, labels, correct, incorrect)
    error = time - jnp.where(target < 0, steps + target, target)
    return (jnp.where(jnp.abs(error) < tolerance, 0, error / steps) ** 2).mean()


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
    y = _read("tet", x, None)
    return (1 - lamb) * _softmax("tet", y, labels) + lamb * ((y - means) ** 2).mean()


def van_rossum(spikes: Array, targets: Array, tau: Param) -> Array:
    """The squared van Rossum distance of spike trains, mean over samples and neurons.

    ``D^2 = 1/tau * sum_t(a[t]^2)`` with the trace of the difference
    ``a[t] = exp(-1/tau) * a[t-1] + spikes[t] - targets[t]``. For large ``tau`` one spike too many
    costs 1/2, and a spike moved by ``d`` steps ``1 - exp(-d / tau)``.

    Args:
        spikes: ``[T, N, *]``.
        targets: Spike trains of the same shape.
        tau: Time constant in steps, above 0, that says how near is near; a number or an array that
            broadcasts against one step.

    Returns:
        A scalar.

    Raises:
        TypeError: If ``spikes`` or ``targets`` is not real.
        ValueError: If the shapes differ or the number ``tau`` is not above 0.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> a, b = jnp.zeros((200, 1)).at[50].set(1), jnp.zeros((200, 1)).at[60].set(1)
        >>> js.losses.van_rossum(a, b, tau=10.0).round(3)
        Array(0.697, dtype=float32)

    Source: van Rossum, "A novel spike distance", 2001; as a loss Zenke & Ganguli, "SuperSpike",
    2018.
    """
    x = _some("`van_rossum(spikes=...)`", spikes)
    y = sequence("`van_rossum(targets=...)`", targets)
    positive_number("`van_rossum(tau=...)`", tau)
    broadcasts("`van_rossum(tau=...)`", tau, x.shape[1:])
    if x.shape != y.shape:
        raise ValueError(
            f"`van_rossum(targets=...)` must have the shape of the spikes, {x.shape}, "
            f"got {y.shape}."
        )
    decay = jnp.exp(-1 / jnp.asarray(tau, x.dtype))

    def step(trace, difference):
        trace = decay * trace + difference
        return trace, trace

    _, traces = jax.lax.scan(step, jnp.zeros_like(x[0]), x - y)
    return ((traces**2).sum(0) / tau).mean()


def rate_band(spikes: Tree, low: Param, high: Param) -> Array:
    """A penalty on neurons that fire too little or too much: a band for firing rates.

    ``mean_i(max(0, low - r_i)^2 + max(0, r_i - high)^2)``, with ``r_i`` the rate of neuron i over
    all steps and samples. With ``low == high`` it draws every rate to that target.

    Args:
        spikes: ``[T, N, *]``, or a pytree of these, such as the record of all layers; each neuron
            counts alike.
        low: Lower edge of the band, in spikes per step.
        high: Upper edge, not below ``low``.

    Returns:
        A scalar.

    Raises:
        TypeError: If ``spikes`` is not real.
        ValueError: If a shape does not fit, there is no array, or the numbers are not in order.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> spikes = jnp.ones((10, 4, 2)).at[..., 1].set(0)
        >>> js.losses.rate_band(spikes, low=0.25, high=0.5)
        Array(0.15625, dtype=float32)

    Source: Bellec et al., "Long short-term memory and learning-to-learn in networks of spiking
    neurons", NeurIPS 2018 (one target); Zenke & Vogels, 2021 (two bounds).
    """
    if (
        isinstance(low, int | float | np.floating)
        and isinstance(high, int | float | np.floating)
        and not low <= high
    ):
        raise ValueError(f"`rate_band(high=...)` must be at least low = {low}, got {high}.")
    layers = _layers("rate_band", spikes)
    rates = jnp.concatenate([x.mean((0, 1)).ravel() for x in layers])
    return (jnp.maximum(0, low - rates) ** 2 + jnp.maximum(0, rates - high) ** 2).mean()


def sparsity(spikes: Tree) -> Array:
    """The mean firing rate, a penalty on every spike alike.

    ``mean(|s|)`` over steps, samples and neurons. A silent step has the gradient of a spike.

    Args:
        spikes: ``[T, N, *]``, or a pytree of these, such as the record of all layers; each neuron
            counts alike.

    Returns:
        A scalar, in spikes per step. Times the number of entries it is snnTorch's
        ``l1_rate_sparsity``.

    Raises:
        TypeError: If ``spikes`` is not real.
        ValueError: If a shape does not fit or there is no array.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> js.losses.sparsity({"lif1": jnp.ones((5, 2, 3)), "lif2": jnp.zeros((5, 2, 1))})
        Array(0.75, dtype=float32)

    Source: snnTorch ``l1_rate_sparsity``, as a mean.
    """
    layers = _layers("sparsity", spikes)
    size = sum(x[0, 0].size for x in layers)
    rates = [jnp.where(x < 0, -x, x).mean((0, 1)) for x in layers]
    return jnp.stack([r.sum() for r in rates]).sum() / size


def accuracy(x: Array, labels: Array, readout: Readout = count) -> Array:
    """The share of samples whose largest readout is that of their class.

    Args:
        x: Spikes or membranes ``[T, N, C]``.
        labels: Classes ``[N]``, integers from 0 to C - 1.
        readout: A function ``[T, N, *] -> [N, C]``; of equal outputs the first wins.

    Returns:
        A scalar in ``[0, 1]``.

    Raises:
        TypeError: If ``x`` is not real or ``labels`` are not integers.
        ValueError: If a shape does not fit or a label is no class.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> spikes = jnp.zeros((8, 2, 10)).at[:, 0, 3].set(1)
        >>> js.losses.accuracy(spikes, jnp.array([3, 5]))
        Array(0.5, dtype=float32)

    Source: snnTorch ``accuracy_rate``, ``accuracy_temporal``.
    """
    y, labels = _read("accuracy", x, readout), _classes("accuracy", labels)
    _check_labels("accuracy", y, labels)
    right = (jnp.argmax(y, -1) == labels).astype(y.dtype)
    return _or_nan(right, labels, y.shape[-1]).mean()


# ---- what they share


def _time(spikes: Array) -> Array:
    """First spike times as snnTorch has them: a silent neuron fires at the last step."""
    return first_spike_time(spikes, silent=len(spikes) - 1)


def _read(owner: str, x: Any, readout: Readout | None) -> Array:
    """``[N, C]`` of a readout, or ``[T, N, C]`` without one."""
    name = "spikes" if owner.endswith(("_temporal", "_count")) else "x"
    x = _some(f"`{owner}({name}=...)`", x, "[T, N, C]")
    if readout is None:
        return x
    if not callable(readout):
        raise TypeError(
            f"`{owner}(readout=...)` must be a function, got {readout!r}. "
            "Give one of `jaxspike.readout`, such as `rate`."
        )
    y = readout(x)
    if y.ndim != 2 or len(y) != x.shape[1]:
        raise ValueError(
            f"`{owner}(readout=...)` must give [N, C], got the shape {y.shape} from {x.shape}."
        )
    return y


def _some(where: str, x: Any, layout: str = "[T, N, *]") -> Array:
    """A sequence with something in it: the mean of nothing is NaN."""
    x = sequence(where, x, layout)
    if not x.size:
        raise ValueError(f"{where} must not be empty, got the shape {x.shape}.")
    return x


def _classes(owner: str, labels: Any) -> Array:
    labels = jnp.asarray(labels)
    if labels.ndim != 1:
        raise ValueError(f"`{owner}(labels=...)` must be [N], got the shape {labels.shape}.")
    return labels


def _check_labels(owner: str, y: Array, labels: Array) -> None:
    """Labels are ``[N]`` integers, or numbers in the shape of one step or of all of ``y``."""
    if labels.ndim == 1 and not jnp.issubdtype(labels.dtype, jnp.integer):
        raise TypeError(
            f"`{owner}(labels=...)` must be integers, got {labels.dtype}. Give class indices."
        )
    if labels.shape not in (y.shape[-2:-1], y.shape[-2:], y.shape):
        raise ValueError(
            f"`{owner}(labels=...)` must be [N] or as the outputs [N, C], got the shape "
            f"{labels.shape} for outputs of the shape {y.shape}."
        )
    if labels.ndim == 1 and not known_and(labels, lambda n: (n >= 0) & (n < y.shape[-1])):
        raise ValueError(
            f"`{owner}(labels=...)` must be classes from 0 to {y.shape[-1] - 1}, "
            f"got {labels.min()} to {labels.max()}. Leave out samples that have no class."
        )


def _not_both(owner: str, labels: Any, correct: float, incorrect: float, default: Any) -> None:
    if jnp.ndim(labels) != 1 and (correct, incorrect) != default:
        raise ValueError(
            f"`{owner}(correct=..., incorrect=...)` must be left out if `labels` are the targets "
            f"themselves, got {correct} and {incorrect}. Give labels [N], or targets alone."
        )


def _or_nan(values: Array, labels: Array, classes: int) -> Array:
    """NaN for labels that are no class, which cannot be refused while they are traced."""
    return jnp.where((labels >= 0) & (labels < classes), values, jnp.nan)


def _softmax(owner: str, logits: Array, labels: Any) -> Array:
    labels = jnp.asarray(labels)
    _check_labels(owner, logits, labels)
    if labels.ndim == 1:
        labels = jnp.broadcast_to(labels, logits.shape[:-1])
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
        return _or_nan(losses, labels, logits.shape[-1]).mean()
    return optax.softmax_cross_entropy(logits, labels.astype(logits.dtype)).mean()


def _targets(owner: str, y: Array, labels: Any, correct: float, incorrect: float) -> Array:
    labels = jnp.asarray(labels)
    _check_labels(owner, y, labels)
    if labels.ndim == 1:
        right = jax.nn.one_hot(labels, y.shape[-1], dtype=bool)
        target = jnp.where(right, correct, incorrect).astype(y.dtype)
        return _or_nan(target, labels[:, None], y.shape[-1])
    return labels.astype(y.dtype)


def _layers(owner: str, spikes: Tree) -> list[Array]:
    layers = [_some(f"`{owner}(spikes=...)`", x) for x in jax.tree.leaves(spikes)]
    if not layers:
        raise ValueError(f"`{owner}(spikes=...)` must hold an array, got {spikes!r}.")
    return layers
