"""What the augmentations of events share: checked events, their selection and their order."""

import numpy as np

from ... import _check
from .._arrays import Array
from ..events import TIME, Events, check, sensor

Size = tuple[int, ...]
_ANYWHERE = (2**31, 2**31)


def checked(call: str, events: Events, size: Size | None = None) -> tuple[Events, Size]:
    """Events as 64-bit integers, on a sensor of ``size`` or of any, and the size."""
    size = _ANYWHERE if size is None else sensor(call, size)
    return check(call, events, size), size


def rows(size: Size) -> int:
    """The height of a sensor; that of a cochlea is 1."""
    return size[0] if len(size) == 2 else 1


def select(events: Events, kept: Array) -> Events:
    """Some of the events."""
    return Events(*(a[kept] for a in events))


def on_sensor(events: Events, size: Size) -> Events:
    """The events that are on the sensor."""
    inside = (events.x >= 0) & (events.x < size[-1])
    return select(events, inside & (events.y >= 0) & (events.y < rows(size)))


def in_order(call: str, events: Events) -> Events:
    """The events by ascending time; simultaneous ones keep their order."""
    if len(events.t) and max(-int(events.t.min()), int(events.t.max())) >= TIME:
        raise ValueError(f"`{call}` must give times below 2**62. Give smaller numbers.")
    return select(events, np.argsort(events.t, kind="stable"))


def generator(call: str, rng: object) -> np.random.Generator:
    """A checked source of random numbers."""
    fix = "Give `np.random.default_rng(seed)`."
    _check.instance(f"`{call}(rng=...)`", rng, np.random.Generator, "a numpy Generator", fix)
    assert isinstance(rng, np.random.Generator)
    return rng


def share(call: str, value: float, name: str = "share") -> float:
    """A checked number from 0 to 1."""
    value = _check.number(f"`{call}({name}=...)`", value)
    _check.in_range(f"`{call}({name}=...)`", value, low=0, high=1)
    return value
