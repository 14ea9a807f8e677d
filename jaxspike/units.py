"""Physical units: numbers of a paper or a data sheet as the parameters of a neuron.

Neurons count time in steps. A time and the length of a step ``dt`` may be in any unit, the same for
both: milliseconds, seconds. Potentials need no conversion: a `LIF` works in millivolts as well.

============  ==========================================================================
`tau`         a time constant as a number of steps: the ``tau`` of `LIF`, `LI`, `AdEx`
`decay`       a time constant as a decay: the ``v_decay`` of `ALIF`, `CubaLIF`, `AdLIF`
`steps`       a time as a whole number of steps: `Delay`, `Refractory`, frames
`per_step`    a rate as a probability per step, for Poisson spikes
============  ==========================================================================
"""

import math

from . import _check

__all__ = ("decay", "per_step", "steps", "tau")


def __dir__() -> tuple[str, ...]:
    return __all__


def tau(time: float, dt: float) -> float:
    """A time constant in time steps, ``time / dt``.

    Args:
        time: The time constant, above zero.
        dt: Length of a step in the same unit, above zero.

    Raises:
        TypeError: If an argument is not a number.
        ValueError: If an argument is not above zero.

    Example:
        >>> import jaxspike as js
        >>> js.LIF(tau=js.units.tau(20.0, dt=0.5))                     # ms
        LIF(tau=40.0)
    """
    where = "`tau({}=...)`"
    time = _check.number(where.format("time"), time, above=0)
    return time / _check.number(where.format("dt"), dt, above=0)


def decay(time: float, dt: float) -> float:
    """The fraction that is kept after a step of an exponential decay, ``exp(-dt / time)``.

    Args:
        time: The time constant, above zero.
        dt: Length of a step in the same unit, above zero.

    Raises:
        TypeError: If an argument is not a number.
        ValueError: If an argument is not above zero.

    Example:
        >>> import jaxspike as js
        >>> neuron = js.ALIF(js.units.decay(20.0, dt=1.0), a_decay=js.units.decay(200.0, dt=1.0))
    """
    where = "`decay({}=...)`"
    time = _check.number(where.format("time"), time, above=0)
    return math.exp(-_check.number(where.format("dt"), dt, above=0) / time)


def steps(time: float, dt: float) -> int:
    """A time as a whole number of steps.

    Args:
        time: The time, at least 0, a multiple of ``dt`` to one part in a million.
        dt: Length of a step in the same unit, above zero.

    Raises:
        TypeError: If an argument is not a number.
        ValueError: If ``time`` is negative or not a multiple of ``dt``, or ``dt`` not above zero.

    Example:
        >>> import jaxspike as js
        >>> js.Refractory(js.LIF(), steps=js.units.steps(2.0, dt=0.5)).steps
        4
    """
    time = _check.number("`steps(time=...)`", time)
    _check.in_range("`steps(time=...)`", time, low=0)
    n = time / _check.number("`steps(dt=...)`", dt, above=0)
    if abs(n - round(n)) > 1e-6 * max(n, 1):
        fix = f"Give {round(n) * dt:g}, or a shorter step."
        raise ValueError(f"`steps(time=...)` must be a multiple of dt={dt:g}, got {time:g}. {fix}")
    return round(n)


def per_step(rate: float, dt: float) -> float:
    """A rate as the probability of a spike in a step, ``rate * dt``.

    Args:
        rate: Spikes per unit of time, at least 0, at most one per step.
        dt: Length of a step in that unit, above zero.

    Raises:
        TypeError: If an argument is not a number.
        ValueError: If ``rate`` is negative or above one per step, or ``dt`` not above zero.

    Example:
        >>> import jax, jax.numpy as jnp, jaxspike as js
        >>> p = js.units.per_step(50.0, dt=0.001)                      # 50 Hz, 1 ms
        >>> spikes = js.encode.poisson(jax.random.key(0), jnp.full((1, 8), p), steps=100)
    """
    dt = _check.number("`per_step(dt=...)`", dt, above=0)
    rate = _check.number("`per_step(rate=...)`", rate)
    _check.in_range("`per_step(rate=...)`", rate, low=0, high=1 / dt)
    return rate * dt
