"""Recordings of Prophesee cameras as they left the sensor: EVT 2.0 and EVT 3.0."""

import re
from pathlib import Path

import numpy as np

from . import _file
from ._arrays import Array, IntArray
from .events import Events

_NAMES = {b"EVT2": "read_evt2", b"EVT21": "no reader", b"EVT3": "read_evt3"}


def read_evt2(path: str | Path) -> Events:
    r"""Read a Prophesee ``.raw`` file of format EVT 2.0.

    After lines that begin with ``%``, words of 32 bits, little-endian, with their type in the upper
    4 bits: an event, off (0) or on (1), with the lower 6 bits of its time, x (11) and y (11), or
    the upper 28 bits of the time (8), in microseconds. Triggers (10) and the words of vendors (14,
    15) are skipped, and so are events before the first time. The clock may wrap around, after
    4.7 hours.

    Args:
        path: The file.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is cut short, is of another format, or an event is outside the height and
            width in its header.

    Example:
        >>> import jaxspike.data, numpy as np, pathlib, tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "a.raw"
        >>> words = np.array([8 << 28 | 1, 1 << 28 | 7 << 22 | 5 << 11 | 6], "<u4")
        >>> _ = path.write_bytes(b"% evt 2.0\n% end\n" + words.tobytes())
        >>> [int(a[0]) for a in jaxspike.data.read_evt2(path)]  # t, x, y, p
        [71, 5, 6, 1]

    The format: Prophesee's documentation of ``EVT 2.0``.
    """
    content, start, size = _header(path, b"EVT2")
    words = _file.records(path, content, start, "<u4").astype(np.int64)
    kinds = words >> 28
    _known(path, kinds, (0, 1, 8, 10, 14, 15), start, 4)
    is_time = kinds == 8
    high, known = _held(words & 0xFFFFFFF, is_time)
    high = _unwrapped(high, is_time, 28)
    event = known & (kinds < 2)
    w = words[event]
    t = high[event] << 6 | w >> 22 & 0x3F
    events = Events(t, w >> 11 & 0x7FF, w & 0x7FF, kinds[event])
    return _checked(path, events, size, start + 4 * np.flatnonzero(event))


def read_evt3(path: str | Path) -> Events:
    r"""Read a Prophesee ``.raw`` file of format EVT 3.0.

    After lines that begin with ``%``, words of 16 bits, little-endian, with their type in the upper
    4 bits. A word changes what later events have in common, or is events: y (0); an event with its
    polarity and x (2); polarity and x of the next vector (3); a vector of 12 (4) or 8 (5) pixels
    from there, a bit each; the lower (6) and the upper (8) 12 bits of the time in microseconds.
    Triggers (10) and the words of vendors (7, 14, 15) are skipped, and so are events before the
    first time, y or x of a vector. The clock wraps around every 17 seconds.

    Args:
        path: The file.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is cut short, is of another format, or an event is outside the height and
            width in its header.

    Example:
        >>> import jaxspike.data, numpy as np, pathlib, tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "a.raw"
        >>> words = [8 << 12 | 1, 6 << 12 | 7, 0 << 12 | 6, 3 << 12 | 1 << 11 | 40, 5 << 12 | 0b101]
        >>> _ = path.write_bytes(b"% evt 3.0\n% end\n" + np.array(words, "<u2").tobytes())
        >>> events = jaxspike.data.read_evt3(path)
        >>> events.t.tolist(), events.x.tolist(), events.y.tolist(), events.p.tolist()
        ([4103, 4103], [40, 42], [6, 6], [1, 1])

    The format: Prophesee's documentation of ``EVT 3.0``.
    """
    content, start, size = _header(path, b"EVT3")
    words = _file.records(path, content, start, "<u2").astype(np.int64)
    kinds = words >> 12
    _known(path, kinds, (0, 2, 3, 4, 5, 6, 7, 8, 10, 14, 15), start, 2)
    t, has_time = _times_of_evt3(words & 0xFFF, kinds)
    y, has_y = _held(words & 0x7FF, kinds == 0)
    vector, has_vector = _held(words & 0xFFF, kinds == 3)
    width = np.select([kinds == 4, kinds == 5], [12, 8], 0)
    before = np.cumsum(width) - width
    offset = before - _held(before, kinds == 3)[0]
    single = np.flatnonzero((kinds == 2) & has_time & has_y)
    at = np.flatnonzero((width > 0) & has_time & has_y & has_vector)
    lit = (words[at, None] >> np.arange(12) & 1).astype(bool) & (np.arange(12) < width[at, None])
    row, bit = np.nonzero(lit)
    place = np.concatenate([single, at[row]])
    x = np.concatenate([words[single] & 0x7FF, (vector & 0x7FF)[at[row]] + offset[at[row]] + bit])
    p = np.concatenate([words[single] >> 11 & 1, (vector >> 11)[at[row]]])
    order = np.argsort(place, kind="stable")  # as in the file
    place, x, p = place[order], x[order], p[order]
    return _checked(path, Events(t[place], x, y[place], p), size, start + 2 * place)


def _times_of_evt3(payload: IntArray, kinds: IntArray) -> tuple[IntArray, Array]:
    """The time at each word, and whether it is known; another upper part sets the lower to 0."""
    is_high = kinds == 8
    high, known = _held(payload, is_high)
    previous = np.concatenate([high[:1] * 0 - 1, high[:-1]])
    low, _ = _held(np.where(is_high, 0, payload), (kinds == 6) | (is_high & (high != previous)))
    return _unwrapped(high, is_high, 12) << 12 | low, known


def _held(values: IntArray, at: Array) -> tuple[IntArray, Array]:
    """For each word the last value at or before it, and whether there is one."""
    last = np.maximum.accumulate(np.where(at, np.arange(len(at)), -1))
    return np.where(last >= 0, values[np.maximum(last, 0)], 0), last >= 0


def _unwrapped(high: IntArray, at: Array, bits: int) -> IntArray:
    """Upper parts of a clock of ``bits`` bits that starts again, where they change ``at``."""
    back = np.diff(high, prepend=high[:1])
    return high + (np.cumsum(at & (back <= -(2 ** (bits - 1)))) << bits)


def _known(path: str | Path, kinds: IntArray, known: tuple[int, ...], start: int, size: int):
    odd = ~np.isin(kinds, known)
    at = int(np.argmax(odd)) if odd.any() else 0
    why = f"a word of type {int(kinds[at]) if len(kinds) else 0}"
    _file.require(path, not odd.any(), start + size * at, why)


def _checked(
    path: str | Path, events: Events, size: tuple[int, int] | None, offsets: IntArray
) -> Events:
    if size is not None:
        _file.on_sensor(path, events, size, offsets)
    return _file.by_time(events)


def _header(path: str | Path, want: bytes) -> tuple[bytes, int, tuple[int, int] | None]:
    """The content, where its data begin, and the height and width in its header, if there."""
    content, start = Path(path).read_bytes(), 0
    while content.startswith(b"% ", start):
        end = content.find(b"\n", start)
        _file.require(path, end >= 0, start, "the header has no end")
        line, start = content[start + 2 : end].strip(), end + 1
        if line == b"end":
            break
    text = content[:start]
    _file.require(path, start > 0, 0, "it does not begin with a header of lines with %")
    found = re.search(rb"^% (?:evt (\d)\.(\d)|format (\w+))", text, re.MULTILINE)
    _file.require(path, found is not None, 0, "its header has no format")
    assert found is not None
    given = found[3] or b"EVT" + found[1] + (b"" if found[2] == b"0" else found[2])
    reader = _NAMES.get(given, "no reader")
    _file.require(path, given == want, found.start(), f"it is {given.decode()}: {reader}")
    big = re.search(rb"endianness[ =]big", text)
    _file.require(path, big is None, big.start() if big else 0, "it is big-endian: no reader")
    geometry = re.search(rb"^% geometry (\d{1,5})x(\d{1,5})", text, re.MULTILINE)
    named = re.search(rb"height=(\d{1,5});width=(\d{1,5})", text)
    if geometry is not None:
        return content, start, (int(geometry[2]), int(geometry[1]))
    return content, start, (int(named[1]), int(named[2])) if named is not None else None
