"""Statistics of spike trains: rates, intervals and their variability.

They take spikes ``[T, *]``, time first, of any number of trains, and are pure functions that run
under `jax.jit` and `jax.vmap`. ``dt`` is the length of a time step: with ``dt=1e-3`` seconds, rates
are in Hz and intervals in seconds. What is not defined, such as the variability of a train with one
spike, is NaN: average with `jnp.nanmean`.
"""

import jax
import jax.numpy as jnp

from . import _check
from ._types import Array

__all__ = ("coefficient_of_variation", "fano_factor", "firing_rate", "interspike_intervals")


def __dir__() -> tuple[str, ...]:
    return __all__


def firing_rate(spikes: Array, dt: float = 1.0) -> Array:
    """Spikes per unit of time: ``sum_t(spikes[t]) / (T * dt)``.

    Args:
        spikes: ``[T, *]``.
        dt: Length of a time step, above zero.

    Returns:
        ``[*]``, in spikes per unit of ``dt``.

    Raises:
        TypeError: If ``spikes`` is not real.
        ValueError: If there is no time step, or ``dt`` is not above zero.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> js.statistics.firing_rate(jnp.array([1, 0, 0, 1]), dt=0.01)          # Hz
        Array(50., dtype=float32)
    """
    return _spikes("firing_rate", spikes).mean(0) / _dt("firing_rate", dt)


def interspike_intervals(spikes: Array, dt: float = 1.0) -> Array:
    """The time since the last spike, at every spike but the first of a train.

    Args:
        spikes: ``[T, *]``; whatever is not 0 is one spike.
        dt: Length of a time step, above zero.

    Returns:
        ``[T, *]``, in units of ``dt``; NaN where no interval ends. The intervals of all trains,
        outside of `jax.jit`, are ``intervals[~jnp.isnan(intervals)]``.

    Raises:
        TypeError: If ``spikes`` is not real.
        ValueError: If there is no time step, or ``dt`` is not above zero.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> js.statistics.interspike_intervals(jnp.array([0, 1, 0, 0, 1, 1]))
        Array([nan, nan, nan, nan,  3.,  1.], dtype=float32)
    """
    fired = _spikes("interspike_intervals", spikes) != 0
    dt = _dt("interspike_intervals", dt)
    step = jnp.arange(len(fired)).reshape(-1, *[1] * (fired.ndim - 1))
    latest = jax.lax.cummax(jnp.where(fired, step, -1))
    before = jnp.concatenate([jnp.full_like(latest[:1], -1), latest[:-1]])
    interval = (step - before).astype(jnp.float32) * dt
    return jnp.where(fired & (before >= 0), interval, jnp.nan)


def coefficient_of_variation(spikes: Array) -> Array:
    """The irregularity of a train: standard deviation of its intervals over their mean (CV).

    0 for a regular train, 1 for a Poisson process in continuous time; ``sqrt(1 - p)`` for spikes
    that are drawn with probability ``p`` at each step.

    Args:
        spikes: ``[T, *]``; whatever is not 0 is one spike.

    Returns:
        ``[*]``; NaN with fewer than two intervals.

    Raises:
        TypeError: If ``spikes`` is not real.
        ValueError: If there is no time step.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> js.statistics.coefficient_of_variation(jnp.array([1, 0, 1, 0, 0, 0, 1]))
        Array(0.33333334, dtype=float32)

    Source: Gerstner et al., "Neuronal Dynamics", 2014, section 7.3; the population's standard
    deviation, as in Elephant ``cv``.
    """
    spikes = _spikes("coefficient_of_variation", spikes)
    intervals = interspike_intervals(spikes)
    ends = ~jnp.isnan(intervals)
    mean, deviation = intervals.mean(0, where=ends), intervals.std(0, where=ends)
    return jnp.where(ends.sum(0) < 2, jnp.nan, deviation / mean)


def fano_factor(spikes: Array, window: int) -> Array:
    """The variability of a spike count: its variance over its mean, over windows of time.

    The counts are those of consecutive windows; a rest shorter than a window is left out. 1 for a
    Poisson process, near 0 for a regular train.

    Args:
        spikes: ``[T, *]``.
        window: Length of a window in time steps, at most T.

    Returns:
        ``[*]``; NaN for a silent train.

    Raises:
        TypeError: If ``spikes`` is not real, or ``window`` is not an integer.
        ValueError: If there is no time step, or ``window`` is not from 1 to T.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> js.statistics.fano_factor(jnp.array([1, 0, 1, 1, 0, 0, 1, 0]), window=2)
        Array(0.5, dtype=float32)

    Source: Gerstner et al., "Neuronal Dynamics", 2014, section 7.3.
    """
    spikes = _spikes("fano_factor", spikes)
    window = _check.integer("`fano_factor(window=...)`", window, low=1, high=len(spikes))
    n = len(spikes) // window
    counts = spikes[: n * window].reshape(n, window, *spikes.shape[1:]).sum(1)
    mean = counts.mean(0)
    return jnp.where(mean > 0, counts.var(0) / mean, jnp.nan)


def _spikes(name: str, spikes: Array) -> Array:
    return _check.sequence(f"`{name}(spikes=...)`", spikes, "[T, *]")


def _dt(name: str, dt: float) -> float:
    return _check.number(f"`{name}(dt=...)`", dt, above=0)
