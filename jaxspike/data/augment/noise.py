"""Events of other polarity, and events that no light caused."""

import numpy as np

from ... import _check
from ..events import Events
from ._events import Size, checked, generator, in_order, rows


def flip_polarity(events: Events) -> Events:
    """Swap on and off.

    Args:
        events: The events.

    Raises:
        TypeError: If ``events`` are not integers.
    """
    e, _ = checked("flip_polarity", events)
    return e._replace(p=1 - e.p)


def uniform_noise(events: Events, size: Size, n: int, *, rng: np.random.Generator) -> Events:
    """Add events at random pixels and times, from the first event to the last.

    Args:
        events: The events, at least one.
        size: The sensor, ``(H, W)`` or ``(channels,)``.
        n: The number of events to add.
        rng: Source of random numbers.

    Raises:
        TypeError: If ``events`` or ``n`` are not integers, or ``rng`` is not a generator.
        ValueError: If an event is outside the sensor, there is none, or ``n`` is negative.
    """
    e, size = checked("uniform_noise", events, size)
    n = _check.integer("`uniform_noise(n=...)`", n, low=0)
    rng = generator("uniform_noise", rng)
    pixels = rng.integers(0, rows(size) * size[-1], n)
    return _with("uniform_noise", e, size, pixels, rng.integers(0, 2, n), rng)


def hot_pixels(
    events: Events, size: Size, pixels: int, *, each: int, rng: np.random.Generator
) -> Events:
    """Let some random pixels fire all the time.

    Args:
        events: The events, at least one.
        size: The sensor, ``(H, W)`` or ``(channels,)``.
        pixels: The number of hot pixels, at most that of the sensor.
        each: The number of events of each, all of one polarity, at random times from the first
            event to the last.
        rng: Source of random numbers.

    Raises:
        TypeError: If ``events`` or the numbers are not integers, or ``rng`` is not a generator.
        ValueError: If an event is outside the sensor, there is none, or a number is out of range.
    """
    e, size = checked("hot_pixels", events, size)
    there = rows(size) * size[-1]
    pixels = _check.integer("`hot_pixels(pixels=...)`", pixels, low=0, high=there)
    each = _check.integer("`hot_pixels(each=...)`", each, low=1)
    rng = generator("hot_pixels", rng)
    chosen = rng.choice(there, pixels, replace=False)
    polarity = rng.integers(0, 2, pixels)
    return _with("hot_pixels", e, size, chosen.repeat(each), polarity.repeat(each), rng)


def _with(call: str, e: Events, size: Size, pixels, p, rng: np.random.Generator) -> Events:
    """Events and others at ``pixels``, counted row by row, at random times."""
    if not len(e.t):
        raise ValueError(f"`{call}(events=...)` must be at least one event, got none.")
    t = rng.integers(e.t[0], e.t[-1] + 1, len(pixels))
    noise = Events(t, pixels % size[-1], pixels // size[-1], p)
    both = Events(*(np.concatenate(pair) for pair in zip(e, noise, strict=True)))
    return in_order(call, both)
