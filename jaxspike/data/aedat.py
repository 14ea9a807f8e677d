"""Recordings in the formats of jAER and DV, and the data sets that use them."""

import contextlib
import os
import shutil
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from .. import _check
from . import _file
from ._arrays import IntArray
from .events import Events, sensor

PACKET = 28  # bytes of a packet's header
POLARITY = 1  # type of a packet of polarity events
COMPRESSED = 0x8000  # flag in the type of a packet
QUIET = 100_000  # microseconds at the end of a gesture in which there may be no event


def read_aedat2(
    path: str | Path, *, x_bits: tuple[int, int], y_bits: tuple[int, int], p_bit: int
) -> Events:
    r"""Read an AEDAT 2.0 file, in which the meaning of an address depends on the camera.

    Lines that begin with ``#``; then, for each event, an address and a time in microseconds, 32
    bits each, big-endian. The clock may wrap around, after 72 minutes.

    Args:
        path: The file.
        x_bits: First bit and number of bits of the column in the address.
        y_bits: The same for the row.
        p_bit: The bit of the polarity.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is cut short, is not version 2, or the bits lie outside the address.

    Example:
        >>> import jaxspike.data, numpy as np, pathlib, tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "a.aedat"
        >>> event = np.array([1 | 5 << 1 | 6 << 8, 9], ">u4").tobytes()
        >>> _ = path.write_bytes(b"#!AER-DAT2.0\r\n" + event)
        >>> dvs128 = {"x_bits": (1, 7), "y_bits": (8, 7), "p_bit": 0}
        >>> [int(a[0]) for a in jaxspike.data.read_aedat2(path, **dvs128)]  # t, x, y, p
        [9, 5, 6, 1]

    The format: inivation, AEDAT file formats.
    """
    for name, (first, n) in (("x_bits", x_bits), ("y_bits", y_bits), ("p_bit", (p_bit, 1))):
        where, of = f"of `read_aedat2({name}=...)`", f", as bit {first} of 32 is the first"
        _check.integer(f"The first bit {where}", first, low=0, high=31)
        _check.integer(f"The number of bits {where}", n, low=1, high=32 - first, of=of)
    content = _file.read(path, b"#!AER-DAT2.0")
    start = _file.header(path, content, b"#")
    raw = _file.records(path, content, start, np.dtype((">u4", 2))).astype(np.int64)
    address, t = raw[:, 0], _file.unwrapped(raw[:, 1])

    def bits(first: int, n: int = 1) -> IntArray:
        return address >> first & (1 << n) - 1

    return _file.by_time(Events(t, bits(*x_bits), bits(*y_bits), bits(p_bit)))


def read_cifar10_dvs(path: str | Path) -> Events:
    r"""Read an ``.aedat`` file of CIFAR10-DVS, 128 x 128, upright.

    Args:
        path: The file.

    Raises:
        OSError: If the file cannot be read.
        ValueError: As in `read_aedat2`.

    Example:
        >>> import jaxspike.data, numpy as np, pathlib, tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "cifar10_airplane_0.aedat"
        >>> event = np.array([1 | 5 << 1 | 6 << 8, 9], ">u4").tobytes()
        >>> _ = path.write_bytes(b"#!AER-DAT2.0\r\n" + event)
        >>> [int(a[0]) for a in jaxspike.data.read_cifar10_dvs(path)]  # t, x, y, p
        [9, 121, 122, 0]

    Li et al., CIFAR10-DVS: an event-stream dataset for object classification, 2017; rotated and
    mirrored as in SpikingJelly 2.0.0.
    """
    e = read_aedat2(path, x_bits=(1, 7), y_bits=(8, 7), p_bit=0)
    return Events(e.t, 127 - e.y, 127 - e.x, 1 - e.p)


def read_aedat3(path: str | Path, *, size: tuple[int, int] | None = None) -> Events:
    r"""Read the polarity events of an AEDAT 3.1 file, such as those of DVS128 Gesture.

    Header lines, then packets: a packet header of 28 bytes, and the events, each 32 bits with x
    (from bit 17), y (from bit 2), polarity (bit 1) and valid (bit 0), then 32 bits of microseconds;
    little-endian. Other packets and invalid events are skipped.

    Args:
        path: The file.
        size: Height and width of the sensor; an event outside raises. None means no limit.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is cut short, is not of version 3, or is compressed.

    Example:
        >>> import jaxspike.data, numpy as np, pathlib, tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "user01.aedat"
        >>> packet = np.array([1, 8, 4, 0, 1, 1, 1], "<u4").tobytes()
        >>> event = np.array([5 << 17 | 6 << 2 | 3, 9], "<u4").tobytes()
        >>> _ = path.write_bytes(b"#!AER-DAT3.1\r\n#!END-HEADER\r\n" + packet + event)
        >>> [int(a[0]) for a in jaxspike.data.read_aedat3(path)]  # t, x, y, p
        [9, 5, 6, 1]

    The format: inivation, AEDAT file formats.
    """
    if size is not None:
        sensor("read_aedat3", size, axes=(2,))
    content, parts, end = _file.read(path, b"#!AER-DAT3"), [], b"#!END-HEADER\r\n"
    _file.require(path, end in content, 0, "the header has no end")
    at = content.index(end) + len(end)
    while at < len(content):
        _file.complete(path, at, len(content) - at, PACKET)
        kind = int.from_bytes(content[at : at + 2], "little")
        width, _, overflow, capacity, number, _ = np.frombuffer(content, "<u4", 6, at + 4).tolist()
        begin, length = at + PACKET, capacity * width
        _file.complete(path, begin, len(content) - begin, length)
        _file.require(path, not kind & COMPRESSED, at, "compressed packets are not read")
        if kind == POLARITY:
            why = f"events of {width} bytes are not polarity events"
            _file.require(path, width == 8 and number <= capacity, at, why)
            raw = np.frombuffer(content, "<u4", 2 * number, begin).astype(np.int64)
            word, t = raw[0::2], raw[1::2] | overflow << 31
            offsets = begin + 8 * np.arange(number)
            parts.append(np.stack([word, t, offsets])[:, word & 1 == 1])
        at = begin + length
    word, t, offsets = np.concatenate(parts, 1) if parts else np.zeros((3, 0), np.int64)
    events = Events(t, word >> 17, word >> 2 & 0x7FFF, word >> 1 & 1)
    return _file.by_time(_file.on_sensor(path, events, size, offsets) if size else events)


def read_dvs128_gesture(
    path: str | Path, labels: str | Path | None = None
) -> tuple[list[Events], IntArray]:
    r"""Read a recording of DVS128 Gesture, cut into its gestures; 128 x 128, 11 classes.

    Args:
        path: Such as ``user01_fluorescent.aedat``.
        labels: The table of class, start and end in microseconds; None means
            ``user01_fluorescent_labels.csv`` in the same folder.

    Returns:
        The gestures, in the order of the table, and their classes, counted from 0. A gesture covers
        ``[start, end)``, and may end 0.1 seconds after the last event.

    Raises:
        OSError: If a file cannot be read.
        ValueError: As in `read_aedat3`; or if the table is malformed, or extends past the
            recording.

    Example:
        >>> import jaxspike.data, numpy as np, pathlib, tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "user01.aedat"
        >>> packet = np.array([1, 8, 4, 0, 1, 1, 1], "<u4").tobytes()
        >>> event = np.array([5 << 17 | 6 << 2 | 3, 9], "<u4").tobytes()
        >>> _ = path.write_bytes(b"#!AER-DAT3.1\r\n#!END-HEADER\r\n" + packet + event)
        >>> table = "class,startTime_usec,endTime_usec\n3,0,10\n"
        >>> _ = path.with_name("user01_labels.csv").write_text(table)
        >>> gestures, classes = jaxspike.data.read_dvs128_gesture(path)
        >>> len(gestures[0].t), classes.tolist()
        (1, [2])

    Amir et al., A low power, fully event-based gesture recognition system, CVPR 2017.
    """
    path = Path(path)
    table = path.with_name(f"{path.stem}_labels.csv") if labels is None else Path(labels)
    rows = _table(table)
    e, gestures = read_aedat3(path, size=(128, 128)), []
    for n, (_, start, end) in enumerate(rows):
        why = f"the recording ends before gesture {n} of {table.name}, which ends at {end}"
        _file.require(path, len(e.t) > 0 and end <= e.t[-1] + QUIET, path.stat().st_size, why)
        a, b = np.searchsorted(e.t, (start, end))
        gestures.append(Events(*(field[a:b] for field in e)))
    return gestures, np.array([number - 1 for number, *_ in rows], np.int64)


def _table(path: Path) -> list[list[int]]:
    """Class, start and end of each gesture."""
    first, *lines = _file.read(path, b"class,").splitlines(keepends=True)
    rows, at = [], len(first)
    for line in lines:
        cells, names = line.rstrip(b"\r\n").split(b","), ("the class", "the start", "the end")
        _file.require(path, len(cells) == 3, at, "a line is not a class, start, end")
        row = [_file.whole_number(path, c, at, what) for c, what in zip(cells, names, strict=True)]
        holds = 1 <= row[0] <= 11 and row[1] <= row[2]
        _file.require(path, holds, at, "a line is not a class from 1 to 11, start, end")
        rows.append(row)
        at += len(line)
    return rows


def read_aedat4(path: str | Path) -> Events:
    """Read the events of an AEDAT4 file of DV, which must have a single stream of events.

    Args:
        path: The file.

    Raises:
        ImportError: Without ``pip install 'jaxspike[data]'``.
        OSError: If the file cannot be read.
        ValueError: If it is damaged, or does not have exactly one stream of events, or if an event
            is outside the sensor; the error names the byte of its packet.

    Example:
        >>> import jaxspike.data
        >>> events = jaxspike.data.read_aedat4("a.aedat4")  # doctest: +SKIP

    Decoded by the package ``aedat``.
    """
    aedat = _check.package("`read_aedat4`", "aedat", "data")
    starts = _packets(path, _file.read(path, b"#!AER-DAT4.0\r\n"))
    parts, offsets, read = [], [], -1  # the first to be read is the header
    try:
        with _panics_not_printed():
            decoder = aedat.Decoder(str(path))
            read = 0
            kinds = decoder.id_to_stream()
            streams = [n for n, kind in kinds.items() if kind["type"] == "events"]
            for packet in decoder:
                read += 1
                if packet["stream_id"] in streams and "events" in packet:
                    parts.append(packet["events"])
                    offsets.append(np.full(len(parts[-1]), starts[read]))
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as e:  # the package panics, which is not an Exception
        at = starts[min(read + 1, len(starts) - 1)]
        raise _file.damaged(path, at, f"the package aedat cannot read it ({e})") from e
    _file.require(path, len(streams) == 1, 14, f"it has {len(streams)} streams of events, not one")
    raw = np.concatenate(parts) if parts else np.zeros(0, "<u8, <u2, <u2, ?")
    t, x, y, p = (raw[name].astype(np.int64) for name in raw.dtype.names or ())
    size = kinds[streams[0]]["height"], kinds[streams[0]]["width"]
    where = np.concatenate(offsets) if offsets else offsets
    return _file.by_time(_file.on_sensor(path, Events(t, x, y, p), size, where))


@contextlib.contextmanager
def _panics_not_printed() -> Iterator[None]:
    """Keep back what code in Rust prints as it panics, which is in the exception as well.

    It goes to the file descriptor of the errors, past `sys.stderr`. Without a panic, what was
    printed meanwhile follows.
    """
    try:
        errors = os.dup(2)
    except OSError:  # there is none, as under pythonw
        yield
        return
    with tempfile.TemporaryFile() as kept, os.fdopen(errors, "wb") as printed:
        os.dup2(kept.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(errors, 2)
        kept.seek(0)
        shutil.copyfileobj(kept, printed)


def _packets(path: str | Path, content: bytes) -> list[int]:
    """The offsets of the header of an AEDAT4 file and of its packets, which must be complete.

    The package takes a cut at some bytes for the end of the file, and crashes on some damaged
    headers.
    """
    at, begin = 14, 18
    try:
        size, root = struct.unpack_from("<II", content, at)
        root += begin
        (fields,) = struct.unpack_from("<i", content, root)
        length, _, _, second = struct.unpack_from("<4H", content, max(root - fields, 0))
        table = 0  # where the packets end, if that is known
        if length > 6 and second:
            (table,) = struct.unpack_from("<q", content, root + second)
        header = content[begin : begin + size]
        header[header.find(b"<") : header.rfind(b">") + 1].decode()
    except (struct.error, UnicodeDecodeError) as e:
        raise _file.damaged(path, at, "its header cannot be read") from e
    end = len(content) if table <= 0 else table
    why = f"its header announces packets up to byte {end}"
    _file.require(path, end <= len(content), len(content), why)
    starts, head = [at], 4  # then 8: the number of the stream, the size
    while at < end:
        _file.complete(path, at, end - at, head)
        size = head + int.from_bytes(content[at + head - 4 : at + head], "little")
        _file.complete(path, at, end - at, size)
        at, head = at + size, 8
        starts.append(at)
    return starts
