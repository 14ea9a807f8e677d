"""N-MNIST and N-Caltech101."""

from pathlib import Path

import numpy as np

from . import _file
from .events import Events, sensor

OVERFLOW = 240  # as y: not an event, but an overflow of the clock
PERIOD = 2**13


def read_nmnist(path: str | Path, *, size: tuple[int, int] = (34, 34)) -> Events:
    """Read a ``.bin`` file of N-MNIST; or, with ``size=(180, 240)``, of N-Caltech101.

    An event has 40 bits: x (8), y (8), polarity (1), microseconds (23); big-endian.

    Args:
        path: The file.
        size: Height and width of the sensor; an event outside raises.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If the file is cut short or is of another format; the error names the byte.

    Example:
        >>> import jaxspike.data, pathlib, tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "00002.bin"
        >>> _ = path.write_bytes(bytes([3, 4, 0x80, 0, 9]))
        >>> events = jaxspike.data.read_nmnist(path)
        >>> [int(a[0]) for a in events]  # t, x, y, p
        [9, 3, 4, 1]

    Orchard et al., Converting static image datasets to spiking neuromorphic datasets using
    saccades, 2015; the overflow mark is that of its Matlab reader.
    """
    h, w = sensor("read_nmnist", size, axes=(2,))
    raw = _file.records(path, Path(path).read_bytes(), 0, (np.uint8, 5)).astype(np.int64)
    x, y, p = raw[:, 0], raw[:, 1], raw[:, 2] >> 7
    t = (raw[:, 2] & 127) << 16 | raw[:, 3] << 8 | raw[:, 4]
    overflow = (y == OVERFLOW) & (h <= OVERFLOW)
    t = t + PERIOD * np.cumsum(overflow)
    keep = ~overflow
    offsets = 5 * np.flatnonzero(keep)
    events = Events(t[keep], x[keep], y[keep], p[keep])
    return _file.by_time(_file.on_sensor(path, events, (h, w), offsets))
