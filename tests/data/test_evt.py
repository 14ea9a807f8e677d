"""EVT 2.0 and 3.0, beyond what all readers have in common: vectors, clocks, headers."""

import numpy as np
import pytest

from jaxspike import data


def write(path, version, words):
    words = np.array(words, "<u4" if version == b"2.0" else "<u2")
    path.write_bytes(b"% evt " + version + b"\n% end\n" + words.tobytes())
    return path


def test_vectors_advance_and_everything_else_is_skipped(tmp_path):
    high, low, y, single, base, twelve, eight = (kind << 12 for kind in (8, 6, 0, 2, 3, 4, 5))
    words = [
        *(y | 9, single | 3),  # before the first time
        *(high | 1, low | 5, y | 7, 10 << 12 | 1, 7 << 12, 14 << 12 | 3, 15 << 12),
        eight | 0xFF,  # before the first base
        *(base | 1 << 11 | 100, twelve | 0b100000000001, eight | 0b10000010),
        *(low | 6, single | 50, eight | 1),  # an event on its own does not move the base
        high | 2,  # the lower part starts again
        single | 1 << 11 | 51,
        *(high | 2, low | 9, high | 2, single | 52),  # and does not if the upper stays
    ]
    t, x, y, p = data.read_evt3(write(tmp_path / "a.raw", b"3.0", words))
    assert x.tolist() == [100, 111, 113, 119, 50, 120, 51, 52]
    assert t.tolist() == [4101] * 4 + [4102] * 2 + [8192, 8201]
    assert p.tolist() == [1, 1, 1, 1, 0, 1, 1, 0]
    assert set(y) == {7}


def test_clocks_start_again(tmp_path):
    high = [4094, 4095, 0, 1, 0, 2048, 4095, 1]  # 0 after 1 is out of order
    words = [0 << 12 | 1, *(w for h in high for w in (8 << 12 | h, 2 << 12 | h % 2048))]
    t = data.read_evt3(write(tmp_path / "a.raw", b"3.0", words)).t >> 12
    assert t.tolist() == sorted([4094, 4095, 4096, 4097, 4096, 6144, 8191, 8193])
    top = 2**28 - 1
    words = [w for h in (top, 0, 3) for w in (8 << 28 | h, 1 << 28 | 2 << 22)]
    t = data.read_evt2(write(tmp_path / "b.raw", b"2.0", [0, *words])).t
    assert t.tolist() == [(h << 6) + 2 for h in (top, top + 1, top + 4)]


@pytest.mark.parametrize(
    ("read", "content", "problem"),
    [
        (data.read_evt2, b"", "0: it does not begin with a header of lines with %"),
        (data.read_evt2, b"% evt 2.0", "0: the header has no end"),
        (data.read_evt2, b"% date 1\n% end\n", "0: its header has no format"),
        (data.read_evt2, b"% evt 3.0\n% end\n", "0: it is EVT3: read_evt3"),
        (data.read_evt3, b"% date 1\n% format EVT21\n", "9: it is EVT21: no reader"),
        (data.read_evt3, b"% evt 3.0\n% endianness big\n", "12: it is big-endian: no reader"),
        (data.read_evt3, b"% evt 3.0\n\0\0\0\x10", "12: a word of type 1"),
        (
            data.read_evt2,
            b"% evt 2.0\n% geometry 8x4\n" + np.array([8 << 28, 9 << 11 | 3], "<u4").tobytes(),
            "29: the pixel x=9, y=3 is not on a sensor of 8 x 4",
        ),
    ],
)
def test_damaged(tmp_path, read, content, problem):
    path = tmp_path / "a.raw"
    path.write_bytes(content)
    with pytest.raises(ValueError) as caught:
        read(path)
    assert str(caught.value) == f"`{path}` is damaged or of another format at byte {problem}."
