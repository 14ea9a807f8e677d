"""From sequences to answers: readouts, pure functions ``[T, N, *] -> [N, *]``.

====================  =====================================================================
here                  elsewhere
====================  =====================================================================
`count`               snnTorch ``spk_rec.sum(0)``
`rate`                SpikingJelly ``out_fr``; of a membrane its ``"mean-mem"``
`maximum`             SpikingJelly ``"max-mem"``, snnTorch ``ce_max_membrane_loss``
`last`                SpikingJelly ``"last-mem"``
`first_spike_time`    snnTorch's temporal losses
`voting`              SpikingJelly ``VotingLayer``; snnTorch ``population_code``, which sums
====================  =====================================================================

They take spikes, a membrane or any other recording, and compute and return at least float32: in
bfloat16 a count would stop at 256.
"""

import jax
import jax.numpy as jnp

from . import _check
from ._types import Array

__all__ = ("count", "first_spike_time", "last", "maximum", "rate", "voting")


def __dir__() -> tuple[str, ...]:
    return __all__


def count(x_seq: Array) -> Array:
    """The number of spikes: the sum over time.

    Args:
        x_seq: Spikes ``[T, N, *]``.

    Returns:
        ``[N, *]``, spikes per T steps.

    Raises:
        TypeError: If ``x_seq`` is not real.
        ValueError: If ``x_seq`` has no time step.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> js.readout.count(jnp.array([[1.0, 0.0], [1.0, 1.0], [0.0, 0.0]]))
        Array([2., 1.], dtype=float32)
    """
    return _check.sequence("`count(x_seq=...)`", x_seq, "[T, *]").sum(0)


def rate(x_seq: Array) -> Array:
    """The mean over time: the firing rate of spikes, or the mean of a membrane.

    Args:
        x_seq: ``[T, N, *]``.

    Returns:
        ``[N, *]``; for spikes, in spikes per step.

    Raises:
        TypeError: If ``x_seq`` is not real.
        ValueError: If ``x_seq`` has no time step.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> js.readout.rate(jnp.array([[1.0, 0.0], [1.0, 1.0]]))
        Array([1. , 0.5], dtype=float32)
    """
    return _check.sequence("`rate(x_seq=...)`", x_seq, "[T, *]").mean(0)


def maximum(x_seq: Array) -> Array:
    """The largest value over time, such as the peak of a membrane.

    The gradient goes to the step of the maximum, in equal parts if several steps share it.

    Args:
        x_seq: ``[T, N, *]``.

    Returns:
        ``[N, *]``, in the units of ``x_seq``.

    Raises:
        TypeError: If ``x_seq`` is not real.
        ValueError: If ``x_seq`` has no time step.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> js.readout.maximum(jnp.array([[0.2, 0.9], [0.7, -1.0]]))
        Array([0.7, 0.9], dtype=float32)

    Source: Zenke, "SpyTorch", 2018.
    """
    return _check.sequence("`maximum(x_seq=...)`", x_seq, "[T, *]").max(0)


def last(x_seq: Array) -> Array:
    """The value at the last step, such as the final membrane of a leaky integrator.

    Args:
        x_seq: ``[T, N, *]``.

    Returns:
        ``[N, *]``, in the units of ``x_seq``.

    Raises:
        TypeError: If ``x_seq`` is not real.
        ValueError: If ``x_seq`` has no time step.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> js.readout.last(jnp.array([[0.2, 0.9], [0.7, -1.0]]))
        Array([ 0.7, -1. ], dtype=float32)
    """
    return _check.sequence("`last(x_seq=...)`", x_seq, "[T, *]")[-1]


def first_spike_time(spikes: Array, silent: float | None = None) -> Array:
    """The step of the first spike, counted from 0.

    The gradient is an estimate, ``dt/ds = -1`` at the step of the first spike and 0 elsewhere: more
    drive, an earlier spike. For a neuron that never fires it goes to the last step.

    Args:
        spikes: ``[T, N, *]``; anything above 0 is a spike.
        silent: The time assigned to a neuron that never fires; None means T, one past the end.

    Returns:
        Times ``[N, *]`` in steps.

    Raises:
        TypeError: If ``spikes`` is not real.
        ValueError: If ``spikes`` has no time step.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> js.readout.first_spike_time(jnp.array([[0.0, 1.0, 0.0], [1.0, 1.0, 0.0]]))
        Array([1., 0., 2.], dtype=float32)

    Source: snnTorch's temporal losses, for the gradient too; there a silent neuron fires at
    ``T - 1``.
    """
    x = _check.sequence("`first_spike_time(spikes=...)`", spikes, "[T, *]")
    steps, fired = len(x), x > 0
    at = jnp.where(fired.any(0), jnp.argmax(fired, 0), steps - 1)
    time = jnp.where(fired.any(0), at, steps if silent is None else silent).astype(x.dtype)
    drive = jnp.take_along_axis(x, at[None], 0)[0]
    return time - (drive - jax.lax.stop_gradient(drive))  # the parenthesis is zero


def voting(x: Array, classes: int) -> Array:
    """The mean over each class's group of neighboring outputs: a population vote.

    ``y[..., c] = mean(x[..., c * k : (c + 1) * k])``, with k outputs per class. It works
    along the last axis only: apply it to ``[T, N, C * k]`` or to a readout of it.

    Args:
        x: ``[N, *, C * k]``.
        classes: Number of classes C, which divides the last axis.

    Returns:
        ``[N, *, C]``. Multiplied by k, it is snnTorch's population code.

    Raises:
        TypeError: If ``x`` is not real or ``classes`` is not an integer.
        ValueError: If ``classes`` does not divide the last axis.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> js.readout.voting(jnp.array([[1.0, 0.0, 0.0, 0.0, 1.0, 1.0]]), classes=2)
        Array([[0.33333334, 0.6666667 ]], dtype=float32)

    Source: SpikingJelly ``layer.VotingLayer``.
    """
    x = _check.as_real("`voting(x=...)`", x)
    classes = _check.integer("`voting(classes=...)`", classes, low=1)
    size = x.shape[-1] if x.ndim else 0
    if not size or size % classes:
        raise ValueError(
            f"`voting(classes=...)` must divide the last axis of {x.shape}, got {classes}."
        )
    return x.reshape(*x.shape[:-1], classes, size // classes).mean(-1)
