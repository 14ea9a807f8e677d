"""HDF5 files of unknown origin, made by h5py; what one that is refused holds is never read."""

import h5py
import numpy as np
import pytest

from jaxspike import _hdf5


@pytest.fixture
def path(tmp_path):
    return tmp_path / "file.h5"


def refusal(path):
    with pytest.raises(_hdf5.HDF5Error) as e:
        _hdf5.read(h5py, path)
    return str(e.value)


def test_values_are_what_was_written(path):
    rows = [np.arange(3, dtype=np.uint16), np.zeros(0, np.uint16), np.full(2, 7, np.uint16)]
    weight = np.arange(6, dtype=np.float32).reshape(2, 3)
    with h5py.File(path, "w") as file:
        stored = file.create_dataset("a/rows", 3, h5py.vlen_dtype(np.uint16))
        for i, row in enumerate(rows):
            stored[i] = row
        file["a/weight"], file["number"], file["flag"], file["word"] = weight, 3, True, "größer"
        file["again"] = file["a/weight"]  # a data set of two names
        file["words"] = np.array([["a", "bc"], ["d", ""]], object)
        file["fixed"] = np.array([b"ab", b"c"])
        file.create_dataset("packed", data=np.zeros((50, 100)), compression="gzip", chunks=(7, 9))
        file.create_group("empty")
        file["none"] = np.zeros((0, 3))
    tree = _hdf5.read(h5py, path)
    assert [r.tolist() for r in tree["a"]["rows"]] == [r.tolist() for r in rows]
    for name, value in ("again", weight), ("packed", np.zeros((50, 100))), ("fixed", [b"ab", b"c"]):
        np.testing.assert_array_equal(tree[name], value, strict=name != "fixed")
    np.testing.assert_array_equal(tree["a"]["weight"], weight, strict=True)
    assert (tree["number"], tree["flag"], tree["word"], tree["empty"]) == (3, True, "größer", {})
    assert tree["words"].tolist() == [[b"a", b"bc"], [b"d", b""]]
    assert tree["none"].shape == (0, 3)
    part = _hdf5.read(h5py, path, "a/rows", "number", "missing", "wor")
    assert (part.keys(), part["a"].keys()) == ({"a", "number"}, {"rows"})


def external_link(file):
    file["a/b"] = h5py.ExternalLink("/etc/passwd", "/x")


def soft_link(file):
    file["a/b"] = h5py.SoftLink("/a/b")


def loop(file):
    file.create_group("a/c")
    file["a/c/b"] = file["a"]


def root_again(file):
    file["a/b"] = file


def many_names(file):
    group = file
    for _ in range(60):  # 2 ** 60 paths
        group, last = group.create_group("a"), group
        last["b"] = group


def external_storage(file):
    file.create_dataset("a/b", (8,), "u1", external=[("/etc/passwd", 0, 8)])


def virtual(file):
    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = h5py.VirtualSource("elsewhere.h5", "x", (4,))
    file.create_virtual_dataset("a/b", layout)


def named_type(file):
    file["a/b"] = np.dtype("f4")


def reference(file):
    file["a/b"] = file.ref


def compound(file):
    file["a/b"] = np.zeros(2, [("x", "f4"), ("y", "f4")])


def no_value(file):
    file["a/b"] = h5py.Empty("f4")


def deep(file):
    group = file
    for _ in range(102):
        group = group.create_group("a")


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (external_link, "it has a link at 'a/b' (ExternalLink): copy the data"),
        (soft_link, "it has a link at 'a/b' (SoftLink): copy the data"),
        (loop, "it has a group at 'a/c/b' that has another name, as in a loop"),
        (root_again, "it has a group at 'a/b' that has another name, as in a loop"),
        (many_names, "it has a group at 'b' that has another name, as in a loop"),
        (external_storage, "it has the data of 'a/b' in another file: copy the data"),
        (virtual, "it has the data of 'a/b' in another file: copy the data"),
        (named_type, "it has neither a group nor a data set at 'a/b'"),
        (reference, "it has neither numbers nor strings at 'a/b' but object"),
        (compound, "it has neither numbers nor strings at 'a/b' but [('x', '<f4'), ('y', '<f4')]"),
        (no_value, "it has no value at 'a/b'"),
        (deep, "it has groups in groups, more than 100 deep"),
    ],
)
def test_what_leads_elsewhere_is_refused(make, why, path):
    with h5py.File(path, "w") as file:
        make(file)
    assert refusal(path) == why


@pytest.mark.parametrize(
    ("options", "what", "limit"),
    [
        ({"dtype": "f4"}, "plain", 1),
        ({"dtype": "f4", "chunks": (1024, 1024)}, "plain", 1),
        ({"dtype": "f4", "chunks": (1024, 1024), "compression": "gzip"}, "compressed", 1032),
        ({"dtype": "f4", "chunks": (1024, 1024), "fletcher32": True}, "compressed", 1032),
    ],
)
def test_more_than_a_file_can_hold_is_not_allocated(options, what, limit, path):
    with h5py.File(path, "w") as file:
        file.create_dataset("weight", (65536, 131072), **options)
    size = path.stat().st_size
    assert size < 20_000
    declared = f"it has {4 * 65536 * 131072} bytes of {what} data at 'weight': "
    assert refusal(path) == f"{declared}at most {limit * size} of a file of {size} bytes are read"


def test_a_chunk_is_as_large_as_it_is_not_as_what_is_used_of_it(path):
    with h5py.File(path, "w") as file:
        file.create_dataset("x", (1,), "u1", maxshape=(None,), chunks=(2**28,), compression="gzip")
    assert f"it has {2**28} bytes of compressed data at 'x'" in refusal(path)


def test_several_data_sets_count_together(path):
    with h5py.File(path, "w") as file:
        file["a"] = np.ones(2000)
        for i in range(9):
            file[f"b{i}"] = file["a"]
    assert "bytes of plain data at " in refusal(path)


def test_text_has_a_limit(path, monkeypatch):
    monkeypatch.setattr(_hdf5, "STRINGS", 1000)
    for value, why in (
        (np.array([b"x" * 600] * 2), "it has 1200 bytes of text data at 'text': at most 1000"),
        (np.array(["x" * 600] * 2, object), "it has more than 1000 bytes of text"),
        ("x" * 1001, "it has more than 1000 bytes of text"),
    ):
        with h5py.File(path, "w") as file:
            file["text"] = value
        assert why in refusal(path)


@pytest.mark.parametrize("kind", [h5py.vlen_dtype(np.uint8), h5py.string_dtype()])
def test_rows_that_are_all_the_same_one_are_not_read(kind, path):
    """Each row is a reference of 16 bytes: 1000 to the same megabyte make a gigabyte."""
    row = np.zeros(10**6, np.uint8) if kind.metadata["vlen"] is not str else "x" * 10**6
    with h5py.File(path, "w") as file:
        stored = file.create_dataset("rows", 1000, kind)
        stored[0] = row
        offset = stored.id.get_offset()
    content = bytearray(path.read_bytes())
    content[offset : offset + 16_000] = content[offset : offset + 16] * 1000
    path.write_bytes(content)
    assert refusal(path).startswith("it has more ")


def test_damaged_files_are_refused(path):
    path.write_bytes(b"hello")
    assert refusal(path).startswith("HDF5 cannot read it (")
    with h5py.File(path, "w") as file:
        file["x"] = np.ones(1000)
        file["text"] = np.array(["hello"], object)
    content = path.read_bytes()
    header = content.index(b"GCOL") + 16  # of the first string
    path.write_bytes(content[: header + 8] + b"\xff" + content[header + 9 :])
    assert refusal(path).startswith("it is damaged at byte ")  # HDF5 2.0 loops forever
    assert refusal(path).endswith(", in a heap of strings or rows")
    path.write_bytes(content[:5000])
    assert "truncated file" in refusal(path)
    path.write_bytes(content.replace(b"hello", b"\xff" * 5))
    assert _hdf5.read(h5py, path)["text"].tolist() == [b"\xff" * 5]


@pytest.mark.parametrize(
    ("at", "value"),
    [(0, b"\xff\xff\xff\xff"), (1, b"\1")],
    ids=["longer than the file", "of another length than in the heap"],
)
@pytest.mark.parametrize("chunks", [None, (2,)])
def test_references_are_checked(at, value, chunks, path):
    with h5py.File(path, "w") as file:
        rows = file.create_dataset("rows", 4, h5py.vlen_dtype(np.uint16), chunks=chunks)
        for i in range(4):
            rows[i] = np.arange(3, dtype=np.uint16)
        file.flush()
        offset = rows.id.get_chunk_info(1).byte_offset if chunks else rows.id.get_offset()
    assert all(row.tolist() == [0, 1, 2] for row in _hdf5.read(h5py, path)["rows"])
    content = bytearray(path.read_bytes())
    content[offset + at : offset + at + len(value)] = value
    path.write_bytes(content)
    short = "it is damaged at 'rows': it has no strings or rows there"
    assert refusal(path) == short if at == 0 else refusal(path).startswith("HDF5 cannot read it")


def test_a_type_of_rows_that_hdf5_does_not_know_is_refused(path):
    with h5py.File(path, "w") as file:
        rows = file.create_dataset("rows", 1, h5py.vlen_dtype(np.uint16))
        rows[0] = np.arange(3, dtype=np.uint16)
        kind = rows.id.get_type().encode()[2:6]
    content = path.read_bytes()
    assert content.count(kind) == 1
    path.write_bytes(content.replace(kind, kind[:1] + b"\3" + kind[2:]))
    assert refusal(path) == "it is damaged at 'rows': it has no strings or rows there"
