"""Helpers of the readers: a file is read whole, and errors name it and the byte."""

import re
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from ._arrays import Array, IntArray
from .events import Events


def damaged(path: str | Path, offset: int, why: str) -> ValueError:
    """The error for a file that is not what it should be."""
    return ValueError(f"`{path}` is damaged or of another format at byte {offset}: {why}.")


def require(path: str | Path, holds: bool | np.bool_, offset: int, why: str) -> None:
    """Refuse a file unless ``holds`` is true."""
    if not holds:
        raise damaged(path, offset, why)


def complete(path: str | Path, offset: int, there: int, size: int, what: str = "packet") -> None:
    """Refuse a file that has only ``there`` of ``size`` bytes of something at ``offset``."""
    require(path, there >= size, offset, f"the {what} has {there} of {size} bytes")


def read(path: str | Path, begin: bytes) -> bytes:
    """The content of a file, which must begin with ``begin``."""
    content = Path(path).read_bytes()
    why = f"it does not begin with {begin.decode().rstrip()}"
    require(path, content.startswith(begin), 0, why)
    return content


def records(path: str | Path, content: bytes, start: int, dtype: DTypeLike) -> Array:
    """All records of one type from byte ``start`` to the end; the last must be complete."""
    size = np.dtype(dtype).itemsize
    if rest := (len(content) - start) % size:
        complete(path, len(content) - rest, rest, size, "last record")
    return np.frombuffer(content, dtype, offset=start)


def header(path: str | Path, content: bytes, mark: bytes) -> int:
    """The offset after the lines that begin with ``mark``."""
    at = 0
    while content.startswith(mark, at):
        end = content.find(b"\n", at)
        require(path, end >= 0, at, "the header has no end")
        at = end + 1
    return at


def whole_number(path: str | Path, text: bytes, offset: int, what: str) -> int:
    """The number in ``text``: only digits, and no more than a clock needs."""
    why = f"{what} is {text[:20]!r}, not a number of up to 18 digits"
    require(path, re.fullmatch(rb"[0-9]{1,18}", text) is not None, offset, why)
    return int(text)


def unwrapped(t: IntArray) -> IntArray:
    """Times of a 32-bit clock that may wrap around: a step back by more than half of its range.

    Events near that moment may be out of order. A pause is assumed to be shorter than half the
    range.
    """
    back = np.diff(t, prepend=t[:1])
    turns = np.cumsum((back < -(2**31)).astype(np.int64) - (back > 2**31))
    return t + (turns - np.minimum.accumulate(np.minimum(turns, 0)) << 32)


def on_sensor(
    path: str | Path, events: Events, size: tuple[int, int], offsets: ArrayLike
) -> Events:
    """``events``, whose pixels must lie on the sensor; ``offsets`` are the bytes of the records."""
    h, w = size
    outside = (events.x >= w) | (events.y >= h) | (events.x < 0) | (events.y < 0)
    if outside.any():
        n = int(np.argmax(outside))
        why = f"the pixel x={events.x[n]}, y={events.y[n]} is not on a sensor of {w} x {h}"
        raise damaged(path, int(np.asarray(offsets)[n]), why)
    return events


def by_time(events: Events) -> Events:
    """``events`` sorted by time; simultaneous ones keep the order of the file."""
    if not np.any(np.diff(events.t) < 0):
        return events
    order = np.argsort(events.t, kind="stable")
    return Events(*(a[order] for a in events))
