"""Recordings of Prophesee cameras."""

import re
from pathlib import Path

import numpy as np

from . import _file
from .events import Events


def read_dat(path: str | Path) -> Events:
    r"""Read a Prophesee ``.dat`` file of contrast-detection (CD) events, N-Cars and Gen1 included.

    Lines that begin with ``%``; the type and the size of an event; then, for each event, 32 bits of
    microseconds, x (14), y (14) and polarity (4); little-endian. The clock may wrap around, after
    72 minutes.

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
    why = "the header is missing or has no end"
    _file.require(path, 0 < start <= len(content) - 2, start, why)
    kind, width = content[start], content[start + 1]
    why = f"events of type {kind}, {width} bytes, are not CD"
    _file.require(path, kind in (0, 12) and width == 8, start, why)
    raw = _file.records(path, content, start + 2, np.dtype(("<u4", 2))).astype(np.int64)
    t, word = _file.unwrapped(raw[:, 0]), raw[:, 1]
    events = Events(t, word & 0x3FFF, word >> 14 & 0x3FFF, (word >> 28 > 0).astype(np.int64))
    offsets = start + 2 + 8 * np.arange(len(t))
    found = re.finditer(rb"^% (Height|Width) ([^\r\n]*)", content[:start], re.MULTILINE)
    size = {m[1]: _file.whole_number(path, m[2], m.start(2), f"the {m[1].decode()}") for m in found}
    if len(size) == 2:
        _file.on_sensor(path, events, (size[b"Height"], size[b"Width"]), offsets)
    return _file.by_time(events)
