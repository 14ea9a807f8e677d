"""What an event camera or an artificial cochlea records."""

from typing import Any, NamedTuple

import numpy as np

IntArray = np.ndarray[Any, np.dtype[np.integer[Any]]]


class Events(NamedTuple):
    """Events of one recording: four integer arrays of one length.

    Attributes:
        t: Time stamps in microseconds, which never fall.
        x: Column of the pixel, counted from 0; the channel of a cochlea.
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


def check(call: str, events: Events, size: tuple[int, ...]) -> Events:
    """``events`` as 64-bit integers, which must lie on a sensor of ``size``."""
    arrays = [np.asarray(a) for a in events]
    for name, a in zip(Events._fields, arrays, strict=True):
        if a.ndim != 1 or (len(a) and a.dtype.kind not in "iub"):
            raise TypeError(
                f"`{call}(events.{name})` must be a flat array of integers, got {a.dtype} "
                f"{list(a.shape)}. Time stamps are integers too: microseconds, say."
            )
    lengths = [len(a) for a in arrays]
    if len(set(lengths)) > 1:
        raise ValueError(f"`{call}(events=...)` must have as many t as x, y and p, got {lengths}.")
    t, x, y, p = (a.astype(np.int64) for a in arrays)
    rows = size[0] if len(size) == 2 else 1
    for name, a, end in (("x", x, size[-1]), ("y", y, rows), ("p", p, 2)):
        if len(a) and (a.min() < 0 or a.max() >= end):
            wrong = a.min() if a.min() < 0 else a.max()
            raise ValueError(
                f"`{call}(events.{name})` must be from 0 to {end - 1}, got {wrong}. "
                f"The size of the sensor is {size}."
            )
    if np.any(np.diff(t) < 0):
        at = int(np.argmax(np.diff(t) < 0)) + 1
        raise ValueError(
            f"`{call}(events.t)` must not fall, got {t[at]} after {t[at - 1]} at event {at}. "
            "Sort the events by time."
        )
    return Events(t, x, y, p)
