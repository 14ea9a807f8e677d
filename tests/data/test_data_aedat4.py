"""AEDAT4 files, made here bit by bit from the format's description."""

import re
import struct

import numpy as np
import pytest

from jaxspike.data import read_aedat4

pytest.importorskip("aedat")


def flat_table(identifier, *fields):
    """A FlatBuffers table behind its size; a field is (its struct format, its value) or bytes."""
    inline, heap, offsets, place = b"", b"", [], 4
    vtable = 4 + 2 * len(fields)
    begin = 8 + vtable + (-(8 + vtable)) % 8 + 4  # so that the fields are at a multiple of 8
    end = begin + 4 + sum(8 for _ in fields)
    for field in fields:
        offsets.append(place)
        if isinstance(field, bytes):
            heap += bytes(-(end + len(heap) + 4) % 8)
            at = end + len(heap)
            inline += struct.pack("<i4x", at - (begin + place))
            heap += field
        else:
            kind, value = field
            inline += struct.pack(kind, value).ljust(8, b"\0")
        place += 8
    table = struct.pack(f"<2H{len(fields)}H", vtable, 4 + 8 * len(fields), *offsets)
    pad = bytes(begin - 8 - len(table))
    content = struct.pack("<I", begin) + identifier + pad + table
    content += struct.pack("<i", len(table)) + inline + heap
    return struct.pack("<I", len(content)) + content


DV = '<dv version="2.0"><node name="outInfo" path="/mainloop/Recorder/outInfo/">{}</node></dv>'
STREAM = (
    '<node name="{0}" path="/mainloop/Recorder/outInfo/{0}/">'
    '<attr key="compression" type="string">NONE</attr>'
    '<attr key="typeIdentifier" type="string">EVTS</attr>'
    '<node name="info" path="/mainloop/Recorder/outInfo/{0}/info/">'
    '<attr key="sizeX" type="int">32</attr><attr key="sizeY" type="int">24</attr></node></node>'
)


def aedat4(packets, streams=(0,), table=-1):
    """The bytes of a file without compression: (stream, t, x, y, p) each packet."""
    info = DV.format("".join(STREAM.format(n) for n in streams)).encode()
    string = struct.pack("<I", len(info)) + info + b"\0"
    data = b"#!AER-DAT4.0\r\n" + flat_table(b"IOHE", ("<i", 0), ("<q", table), string)
    starts = []
    for stream, *columns in packets:
        starts.append(len(data))
        n = len(columns[0])
        vector = struct.pack("<I", n) + b"".join(
            struct.pack("<qhh?3x", *map(int, event)) for event in zip(*columns, strict=True)
        )
        content = flat_table(b"EVTS", vector)
        data += struct.pack("<iI", stream, len(content)) + content
    return data, [*starts, len(data)]


def changed(content, at, by):
    return content[:at] + by + content[at + len(by) :]


def test_events_of_several_packets(tmp_path):
    path, rng = tmp_path / "walk.aedat4", np.random.default_rng(0)
    t, p = 10**15 + np.arange(20), rng.integers(0, 2, 20)
    x, y = rng.integers(0, 24, (2, 20))
    columns = (t, x, y, p)
    first, second = ([0, *(c[part] for c in columns)] for part in (slice(12), slice(12, 20)))
    content, starts = aedat4([first, second])
    path.write_bytes(content)
    for got, column in zip(read_aedat4(path), columns, strict=True):
        assert got.dtype == np.int64
        np.testing.assert_array_equal(got, column)
    size, end = starts[2] - starts[1], len(content) - 5
    package = "the package aedat cannot read it ("
    announced = aedat4([first, second], table=starts[2])[0]
    for damaged, offset, why in (
        (changed(content, starts[1] + 16, b"FRME"), starts[1], package),
        (changed(content, starts[1] + 12, b"\xff"), starts[1], package),  # it panics
        (content[:-9], starts[1], f"the packet has {size - 9} of {size} bytes"),
        (content[: starts[1] + 3], starts[1], "the packet has 3 of 8 bytes"),
        (content[:200], 14, f"the packet has 186 of {starts[0] - 14} bytes"),
        (content[:30], 14, "its header cannot be read"),
        (changed(content, 200, b"\xff"), 14, "its header cannot be read"),
        (announced[:end], end, f"its header announces packets up to byte {starts[2]}"),
        (announced[: starts[1]], starts[1], "its header announces packets up to byte"),
    ):
        path.write_bytes(damaged)
        sentence = f"`{path}` is damaged or of another kind at byte {offset}: {why}"
        with pytest.raises(ValueError, match=f"^{re.escape(sentence)}"):
            read_aedat4(path)
    path.write_bytes(aedat4([first, [0, *np.array([[10**16], [31], [24], [0]])]])[0])
    outside = f"at byte {starts[1]}: the pixel x=31, y=24 is not on a sensor of 32 x 24"
    with pytest.raises(ValueError, match=outside):
        read_aedat4(path)
    path.write_bytes(announced + b"the table")
    assert len(read_aedat4(path).t) == 20
    path.write_bytes(aedat4([first, second], table=0)[0])
    with pytest.raises(ValueError, match=f"at byte {len(content)}: the package aedat"):
        read_aedat4(path)
    for cut in range(len(announced)):
        path.write_bytes(announced[:cut])
        with pytest.raises(ValueError, match="is damaged or of another kind at byte"):
            read_aedat4(path)


def test_several_streams(tmp_path):
    path = tmp_path / "two.aedat4"
    event = ([5], [6], [7], [1])
    path.write_bytes(aedat4([(1, *event), (2, *event)], streams=(1, 2))[0])
    with pytest.raises(ValueError, match="it has 2 streams of events, not one"):
        read_aedat4(path)
    path.write_bytes(aedat4([])[0])
    assert [len(column) for column in read_aedat4(path)] == [0, 0, 0, 0]
