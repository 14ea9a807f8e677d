"""Events at other times: reversed, skewed, jittered."""

import numpy as np

from ... import _check
from ..events import TIME, Events
from ._events import checked, generator, in_order


def reverse_time(events: Events, *, flip_polarity: bool = True) -> Events:
    """Play the recording backward: ``t`` becomes ``t[0] + t[-1] - t``.

    What became brighter then becomes darker, so the polarities are swapped.

    Args:
        events: The events.
        flip_polarity: Whether to swap the polarities.

    Raises:
        TypeError: If ``events`` are not integers.
    """
    _check.one_of("`reverse_time(flip_polarity=...)`", flip_polarity, (True, False))
    e, _ = checked("reverse_time", events)
    if not len(e.t):
        return e
    e = e._replace(t=e.t[0] + e.t[-1] - e.t, p=1 - e.p if flip_polarity else e.p)
    return Events(*(a[::-1] for a in e))


def skew_time(events: Events, *, factor: float, offset: int = 0) -> Events:
    """Play the recording at another speed: ``t`` becomes ``factor * t + offset``, rounded.

    Args:
        events: The events.
        factor: The factor, above zero: 2 is half the speed.
        offset: What is added, in the unit of ``events.t``.

    Raises:
        TypeError: If ``events`` or ``offset`` are not integers.
        ValueError: If ``factor`` is not above zero, or a time becomes too large.
    """
    e, _ = checked("skew_time", events)
    factor = _check.number("`skew_time(factor=...)`", factor, above=0)
    offset = _check.integer("`skew_time(offset=...)`", offset, low=-TIME, high=TIME)
    t = np.rint(e.t.astype(np.float64) * factor)
    fits = not len(t) or np.abs(t).max() < TIME
    if not fits:
        raise ValueError("`skew_time` must give times below 2**62. Give smaller numbers.")
    return in_order("skew_time", e._replace(t=t.astype(np.int64) + offset))


def jitter_time(events: Events, *, std: float, rng: np.random.Generator) -> Events:
    """Move each event on its own by a normal time, rounded, and sort them again.

    Args:
        events: The events.
        std: Standard deviation in the unit of ``events.t``, above zero.
        rng: Source of random numbers.

    Raises:
        TypeError: If ``events`` are not integers, or ``rng`` is not a generator.
        ValueError: If ``std`` is not above zero.
    """
    e, _ = checked("jitter_time", events)
    std = _check.number("`jitter_time(std=...)`", std, above=0, below=2**60)
    noise = np.rint(generator("jitter_time", rng).normal(0, std, len(e.t))).astype(np.int64)
    return in_order("jitter_time", e._replace(t=e.t + noise))
