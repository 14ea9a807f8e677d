"""Events left out: at random, in an interval of time, in an area."""

import numpy as np

from ..events import Events, sensor
from ._events import Size, checked, generator, select, share as checked_share


def drop(events: Events, share: float, *, rng: np.random.Generator) -> Events:
    """Drop a share of the events, chosen at random; their number is rounded.

    Args:
        events: The events.
        share: The share to drop, from 0 to 1.
        rng: Source of random numbers.

    Raises:
        TypeError: If ``events`` are not integers, or ``rng`` is not a generator.
        ValueError: If ``share`` is out of range.
    """
    e, _ = checked("drop", events)
    share = checked_share("drop", share)
    n = len(e.t)
    kept = np.ones(n, bool)
    kept[generator("drop", rng).choice(n, int(share * n + 0.5), replace=False)] = False
    return select(e, kept)


def drop_time(events: Events, share: float, *, rng: np.random.Generator) -> Events:
    """Drop the events in an interval, a share of the duration, at a random place.

    Args:
        events: The events.
        share: The share of the duration, from 0 to 1.
        rng: Source of random numbers.

    Raises:
        TypeError: If ``events`` are not integers, or ``rng`` is not a generator.
        ValueError: If ``share`` is out of range.
    """
    e, _ = checked("drop_time", events)
    share = checked_share("drop_time", share)
    rng = generator("drop_time", rng)
    if not len(e.t):
        return e
    since = e.t - e.t[0]
    long = share * since[-1]
    start = rng.uniform(0, since[-1] - long)
    return select(e, (since < start) | (since > start + long))


def drop_area(events: Events, size: Size, share: float, *, rng: np.random.Generator) -> Events:
    """Drop the events in a rectangle, a share of the height and width, at a random place.

    Args:
        events: The events.
        size: The sensor, ``(H, W)``.
        share: The share of each side, from 0 to 1; the sides are rounded down.
        rng: Source of random numbers.

    Raises:
        TypeError: If ``events`` are not integers, or ``rng`` is not a generator.
        ValueError: If an event is outside the sensor, or ``share`` is out of range.
    """
    e, size = checked("drop_area", events, sensor("drop_area", size, axes=(2,)))
    share = checked_share("drop_area", share)
    rng = generator("drop_area", rng)
    h, w = (int(n * share) for n in size)
    top, left = rng.integers(0, size[0] - h + 1), rng.integers(0, size[1] - w + 1)
    inside = (e.y >= top) & (e.y < top + h) & (e.x >= left) & (e.x < left + w)
    return select(e, ~inside)


def event_drop(events: Events, size: Size, *, rng: np.random.Generator) -> Events:
    """Drop nothing, by time, by area or at random, with equal probability: EventDrop.

    A share of 0.1 to 0.9 of the time or of the events, or of 0.05 to 0.25 of each side of the area,
    in steps of 0.1 and 0.05.

    Args:
        events: The events.
        size: The sensor, ``(H, W)``.
        rng: Source of random numbers.

    Raises:
        TypeError: If ``events`` are not integers, or ``rng`` is not a generator.
        ValueError: If an event is outside the sensor.

    Source: Gu, Sng, Hu, Yu, "EventDrop: data augmentation for event-based learning", IJCAI 2021;
    tonic ``EventDrop``.
    """
    rng = generator("event_drop", rng)
    choice, share = rng.integers(4), rng.integers(1, 10) / 10
    if choice == 1:
        return drop_time(events, share, rng=rng)
    if choice == 2:
        return drop_area(events, size, rng.integers(1, 6) / 20, rng=rng)
    if choice == 3:
        return drop(events, share, rng=rng)
    return checked("event_drop", events, size)[0]
