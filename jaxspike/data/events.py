"""The events of an event camera or an artificial cochlea."""

from typing import NamedTuple

import numpy as np

from .. import _check
from ._arrays import Array, IntArray

TIME = 2**62  # so that a difference of two times is a 64-bit integer


class Events(NamedTuple):
    """Events of one recording: four integer arrays of equal length.

    Attributes:
        t: Time stamps in microseconds, in ascending order.
        x: Column of the pixel, counted from 0; or the channel of a cochlea.
        y: Row of the pixel, counted from 0.
        p: Polarity, 0 (off, darker) or 1 (on, brighter).

    Example:
        >>> import numpy as np, jaxspike.data
        >>> zeros = np.zeros(3, int)
        >>> events = jaxspike.data.Events(t=np.array([10, 20, 40]), x=zeros, y=zeros, p=zeros)
        >>> len(events.t)
        3
    """

    t: IntArray
    x: IntArray
    y: IntArray
    p: IntArray


def sensor(call: str, size: tuple[int, ...], *, axes: tuple[int, ...] = (1, 2)) -> tuple[int, ...]:
    """The size of a sensor; ``axes`` are the numbers of axes that it may have."""
    if not isinstance(size, tuple) or len(size) not in axes:
        layout = "(H, W)" if axes == (2,) else "(H, W) or (channels,)"
        raise TypeError(f"`{call}(size=...)` must be {layout}, got {size!r}.")
    return tuple(_check.integer(f"`{call}(size=...)`", n, low=1) for n in size)


def check(call: str, events: Events, size: tuple[int, ...]) -> Events:
    """``events`` as 64-bit integers, checked to lie on a sensor of ``size``."""
    given = Events(*events) if isinstance(events, tuple) and len(events) == 4 else events
    fix = 'For a structured array e, pass `Events(e["t"], e["x"], e["y"], e["p"])`.'
    what = "`Events(t, x, y, p)`"
    _check.instance(f"`{call}(events=...)`", given, Events, what, fix, _check.kind)
    arrays: list[Array] = [np.asarray(a) for a in events]
    for name, a in zip(Events._fields, arrays, strict=True):
        fix = "Time stamps are integers too, such as microseconds."
        _check.array(f"`{call}(events.{name})`", a, "events", kinds="iub", fix=fix)
    lengths = [len(a) for a in arrays]
    if len(set(lengths)) > 1:
        raise ValueError(
            f"`{call}(events=...)` must have equally many t, x, y and p, got {lengths}."
        )
    rows = size[0] if len(size) == 2 else 1
    limits = ((-TIME, TIME), (0, size[-1]), (0, rows), (0, 2))
    for name, a, (low, end) in zip(Events._fields, arrays, limits, strict=True):
        of = f" on a sensor of size {size}" if name in "xy" else ""
        for extreme in (a.min(), a.max()) if len(a) else ():
            where = f"`{call}(events.{name})`"
            _check.integer(where, int(extreme), low=low, high=end - 1, of=of)
    t, x, y, p = (a.astype(np.int64) for a in arrays)
    if np.any(np.diff(t) < 0):
        at = int(np.argmax(np.diff(t) < 0)) + 1
        raise ValueError(
            f"`{call}(events.t)` must be ascending, got {t[at]} after {t[at - 1]} at event {at}. "
            "Sort the events by time."
        )
    return Events(t, x, y, p)
