"""Files of recordings, made bit by bit from the descriptions of their formats."""

import struct


def wav(data, channels=1, rate=8000, bits=16):
    size = channels * bits // 8
    kind = struct.pack("<IHHIIHH", 16, 1, channels, rate, rate * size, size, bits)
    rest = b"WAVEfmt " + kind + b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(rest)) + rest


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
