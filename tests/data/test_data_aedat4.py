"""AEDAT4 files, made here bit by bit from the format's description."""

import re

import numpy as np
import pytest
from data_files import aedat4, changed

from jaxspike.data import read_aedat4

pytest.importorskip("aedat")


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
        sentence = f"`{path}` is damaged or of another format at byte {offset}: {why}"
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
        with pytest.raises(ValueError, match="is damaged or of another format at byte"):
            read_aedat4(path)


def test_several_streams(tmp_path):
    path = tmp_path / "two.aedat4"
    event = ([5], [6], [7], [1])
    path.write_bytes(aedat4([(1, *event), (2, *event)], streams=(1, 2))[0])
    with pytest.raises(ValueError, match="it has 2 streams of events, not one"):
        read_aedat4(path)
    path.write_bytes(aedat4([])[0])
    assert [len(column) for column in read_aedat4(path)] == [0, 0, 0, 0]
