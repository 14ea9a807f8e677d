"""Recordings of Prophesee cameras."""

import re
from pathlib import Path

import numpy as np

from . import _file
from .events import Events


def read_dat(path: str | Path) -> Events:
    r"""Read a Prophesee ``.dat`` file of contrast-detection (CD) events, N-Cars and Gen1 included.

    Lines that begin with ``%``; the type and the size of an event; then, for each event, 32 bits of
    microseconds, x (14), y (14) and polarity (4); little-endian.

    Args:
        path: The file.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is cut short, is of another format, or an event is outside the height and
            width in its header.

    Example:
        >>> import jaxspike.data, numpy as np, pathlib, tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "a_td.dat"
        >>> event = np.array([7, 5 | 6 << 14 | 1 << 28], "<u4").tobytes()
        >>> _ = path.write_bytes(b"% Version 2\n" + bytes([12, 8]) + event)
        >>> [int(a[0]) for a in jaxspike.data.read_dat(path)]  # t, x, y, p
        [7, 5, 6, 1]

    The format: Prophesee's toolbox for its automotive data sets (``dat_events_tools.py``).
    """
    content = Path(path).read_bytes()
    start = _file.header(path, content, b"%")
    if start == 0 or len(content) < start + 2:
        raise _file.damaged(path, start, "the header is missing or has no end")
    kind, size = content[start], content[start + 1]
    if kind not in (0, 12) or size != 8:
        raise _file.damaged(path, start, f"events of type {kind}, {size} bytes, are not CD")
    raw = _file.records(path, content, start + 2, "<u4").astype(np.int64)
    if len(raw) % 2:
        raise _file.damaged(path, len(content) - 4, "the last record has 4 of 8 bytes")
    t, word = raw[0::2], raw[1::2]
    events = Events(t, word & 0x3FFF, word >> 14 & 0x3FFF, (word >> 28 > 0).astype(np.int64))
    offsets = start + 2 + 8 * np.arange(len(t))
    sizes = dict(re.findall(rb"% (Height|Width) (\d+)", content[:start]))
    if len(sizes) == 2:
        _file.on_sensor(path, events, (int(sizes[b"Height"]), int(sizes[b"Width"])), offsets)
    return _file.by_time(events)
