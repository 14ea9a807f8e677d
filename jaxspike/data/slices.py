"""A long recording as several short ones."""

import numpy as np

from .. import _check
from . import events as _events
from .events import Events

_ANYWHERE = (2**31, 2**31)


def slice_time(
    events: Events, duration: int, *, overlap: int = 0, incomplete: bool = False
) -> list[Events]:
    """Cut a recording into windows of equal duration, ``[start, start + duration)``.

    The first starts at the first event, each other one ``duration - overlap`` after the one before.

    Args:
        events: The events, sorted by time.
        duration: The length of a window, in the unit of ``events.t``, at least 1.
        overlap: The time that a window shares with the one before, less than ``duration``.
        incomplete: Whether to add a last window, in which the recording ends.

    Returns:
        The windows, which may have no events; none for a recording that has none.

    Raises:
        TypeError: If ``events`` or the times are not integers.
        ValueError: If a time is out of range.

    Example:
        >>> import numpy as np, jaxspike.data
        >>> zeros = np.zeros(4, int)
        >>> events = jaxspike.data.Events(t=np.array([0, 10, 20, 35]), x=zeros, y=zeros, p=zeros)
        >>> [window.t.tolist() for window in jaxspike.data.slice_time(events, 20)]
        [[0, 10]]
        >>> [w.t.tolist() for w in jaxspike.data.slice_time(events, 20, incomplete=True)]
        [[0, 10], [20, 35]]

    tonic ``SliceByTime``.
    """
    e = _events.check("slice_time", events, _ANYWHERE)
    duration = _check.integer("`slice_time(duration=...)`", duration, low=1)
    of = ", less than the duration"
    overlap = _check.integer("`slice_time(overlap=...)`", overlap, low=0, high=duration - 1, of=of)
    _check.one_of("`slice_time(incomplete=...)`", incomplete, (True, False))
    if not len(e.t):
        return []
    length, stride = int(e.t[-1] - e.t[0]) + 1, duration - overlap
    starts = e.t[0] + stride * np.arange(_n_windows(length, duration, stride, incomplete))
    return _windows(e, *(np.searchsorted(e.t, edge) for edge in (starts, starts + duration)))


def slice_count(
    events: Events, count: int, *, overlap: int = 0, incomplete: bool = False
) -> list[Events]:
    """Cut a recording into windows of equally many events.

    Args:
        events: The events, sorted by time.
        count: The number of events of a window, at least 1.
        overlap: The number of events that a window shares with the one before, less than ``count``.
        incomplete: Whether to add a last window, with fewer events.

    Returns:
        The windows.

    Raises:
        TypeError: If ``events`` or the numbers are not integers.
        ValueError: If a number is out of range.

    Example:
        >>> import numpy as np, jaxspike.data
        >>> zeros = np.zeros(5, int)
        >>> events = jaxspike.data.Events(t=np.arange(5), x=zeros, y=zeros, p=zeros)
        >>> [window.t.tolist() for window in jaxspike.data.slice_count(events, 3, overlap=1)]
        [[0, 1, 2], [2, 3, 4]]

    tonic ``SliceByEventCount``.
    """
    e = _events.check("slice_count", events, _ANYWHERE)
    count = _check.integer("`slice_count(count=...)`", count, low=1)
    of = ", less than the count"
    overlap = _check.integer("`slice_count(overlap=...)`", overlap, low=0, high=count - 1, of=of)
    _check.one_of("`slice_count(incomplete=...)`", incomplete, (True, False))
    stride = count - overlap
    starts = stride * np.arange(_n_windows(len(e.t), count, stride, incomplete))
    return _windows(e, starts, starts + count)


def _n_windows(length: int, width: int, stride: int, incomplete: bool) -> int:
    """The number of windows in a length; an incomplete one follows if they do not cover it."""
    complete = (length - width) // stride + 1 if length >= width else 0
    covered = (complete - 1) * stride + width if complete else 0
    return complete + (incomplete and covered < length)


def _windows(e: Events, starts, stops) -> list[Events]:
    return [Events(*(a[i:j] for a in e)) for i, j in zip(starts, stops, strict=True)]
