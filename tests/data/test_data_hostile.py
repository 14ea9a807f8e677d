"""Files that were made or damaged to do harm: a clear error, at once, and little memory."""

import functools
import gzip
import os
import pathlib
import subprocess
import sys
import tracemalloc
import zipfile

import numpy as np
import pytest
from data_files import aedat4, changed, wav

import jaxspike as js
from jaxspike.data import _file

data = js.data
COUNT = int(os.environ.get("JAXSPIKE_DAMAGES", 200))


def refused(call, kind=ValueError):
    with pytest.raises(kind) as info:
        call()
    return str(info.value)


# clocks

WRAP = 2**32


@pytest.mark.parametrize(
    "true",
    [
        [0, 5, 2**31, WRAP - 1],
        [0, 2**31 + 1, 2**31 + 2],
        [7, WRAP - 3, WRAP - 1, WRAP, WRAP + 9, WRAP + 2**31, 2 * WRAP - 5, 2 * WRAP + 1],
        [WRAP - 5, WRAP + 2, WRAP - 3, WRAP + 4],
        [9, 4, 6],
        [],
    ],
    ids=["none", "a long pause", "two", "out of order at it", "out of order", "no events"],
)
@pytest.mark.parametrize("name", ["dat", "aedat2"])
def test_a_clock_that_begins_again(tmp_path, name, true):
    true = np.array(true, np.int64)
    path, words = tmp_path / name, np.stack([true % WRAP, 0 * true], 1)
    if name == "dat":
        content = b"% Version 2\n" + bytes([12, 8]) + words.astype("<u4").tobytes()
        read = data.read_dat
    else:
        content = b"#!AER-DAT2.0\r\n" + words[:, ::-1].astype(">u4").tobytes()
        read = functools.partial(data.read_aedat2, x_bits=(1, 7), y_bits=(8, 7), p_bit=0)
    path.write_bytes(content)
    np.testing.assert_array_equal(read(path).t, np.sort(true))


def test_a_clock_against_a_loop():
    rng = np.random.default_rng(0)
    for _ in range(50):
        steps = rng.integers(-1000, 2**31 - 1000, 40) * (rng.random(40) < 0.9)
        true = WRAP // 2 + np.cumsum(steps)
        true = true[: int(np.argmax(np.append(true < 0, True)))]
        read = _file.unwrapped(true % WRAP)
        expected, turns = [], 0
        for n, t in enumerate(true % WRAP):
            back = t - (true % WRAP)[n - 1] if n else 0
            turns = max(turns + (back < -(2**31)) - (back > 2**31), 0)
            expected.append(t + turns * WRAP)
        np.testing.assert_array_equal(read, expected)
        np.testing.assert_array_equal(read, true)


# headers


@pytest.mark.parametrize("number", ["9" * 5000, "1_0", "ten", "-3", "", "3.5"])
def test_a_number_in_the_header_of_a_dat_file(tmp_path, number):
    path = tmp_path / "a.dat"
    path.write_bytes(f"% Width 34\n% Height {number}\n".encode() + bytes([12, 8]))
    assert refused(lambda: data.read_dat(path)) == (
        f"`{path}` is damaged or of another format at byte 20: the Height is "
        f"{number[:20].encode()!r}, not a number of up to 18 digits."
    )


def idx(*shape, kind=8):
    return bytes([0, 0, kind, len(shape)]) + b"".join(n.to_bytes(4, "big") for n in shape)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("content", "why"),
    [
        (
            idx(2**32 - 1, 2**32 - 1) + bytes(9),
            "4: its header announces {} bytes of values, but",
        ),
        (idx(9) + bytes(8), "16: its header announces 9 bytes of values, but 8 follow"),
        (idx(9) + bytes(2**24), "17: its header announces 9 bytes of values, but more follow"),
        (idx(2**31 + 1) + bytes(9), "4: its header announces 2147483649 bytes of values, but at m"),
    ],
    ids=["huge", "short", "long", "limit"],
)
def test_an_idx_file_is_read_as_far_as_its_header_says(tmp_path, content, why, packed):
    path = tmp_path / "a"
    path.write_bytes(gzip.compress(content) if packed else content)
    tracemalloc.start()
    message = refused(lambda: data.read_idx(path))
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert f"at byte {why.format((2**32 - 1) ** 2)}" in message
    assert most < 2**22


def test_hdf5_leads_nowhere_else(tmp_path):
    h5py = pytest.importorskip("h5py")
    secret, path = tmp_path / "secret.h5", tmp_path / "a.h5"
    rows = {"spikes/times": np.zeros((1, 2)), "spikes/units": np.zeros((1, 2), int), "labels": [7]}

    def write(path, **other):
        with h5py.File(path, "w") as file:
            for name, value in rows.items():
                if name not in other:
                    file[name] = value
            for name, make in other.items():
                make(file, name)

    write(secret)
    write(path)
    assert data.read_shd(path)[1].tolist() == [7]
    layout = h5py.VirtualLayout((1,), "i8")
    layout[:] = h5py.VirtualSource(secret, "labels", (1,))

    def link(to):
        return lambda file, name: file.__setitem__(name, to)

    def external(file, name):
        file.create_dataset(name, (1,), "i8", external=[(str(secret), 0, 8)])

    def huge(file, name):
        file.create_dataset(name, (2**33,), "i8")

    for make, why in (
        (
            lambda file, name: file.__setitem__(name, h5py.ExternalLink(secret, name)),
            "ExternalLink",
        ),
        (link(h5py.SoftLink("/spikes/units")), "SoftLink"),
        (external, "it has the data of 'labels' in another file"),
        (lambda file, name: file.create_virtual_dataset(name, layout), "in another file"),
        (huge, "it has 68719476736 bytes of plain data at 'labels'"),
    ):
        write(path, labels=make)
        message = refused(lambda: data.read_shd(path))
        assert message.startswith(f"`{path}` is damaged or of another format at byte 0: it has ")
        assert why in message


# memory


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda e: data.to_frames(e, (128, 128), duration=1),
            "`to_frames` must fit into memory, got the shape (10000000, 128, 128, 2), "
            "2.44e+03 GiB. Give fewer `steps` or a longer `duration`.",
        ),
        (
            lambda e: data.to_frames(e, (2**31, 2**31), steps=1),
            "`to_frames` must fit into memory, got the shape (1, 2147483648, 2147483648, 2), "
            "6.87e+10 GiB. Give fewer `steps` or a longer `duration`.",
        ),
        (
            lambda e: data.to_voxels(e, (128, 128), steps=10**7),
            "`to_voxels` must fit into memory, got the shape (10000000, 128, 128, 2), "
            "2.44e+03 GiB. Give fewer `steps`.",
        ),
        (
            lambda e: data.pad([np.ones((1, 10**6))], steps=10**6),
            "`pad` must fit into memory, got the shape (1000000, 1, 1000000), 7.45e+03 GiB. "
            "Give fewer sequences or `steps`.",
        ),
        (
            lambda e: data.mask([0, 5], 10**13),
            "`mask` must fit into memory, got the shape (10000000000000, 2), 1.86e+04 GiB. "
            "Give fewer `steps`.",
        ),
    ],
)
@pytest.mark.parametrize("known", [True, False])
def test_what_does_not_fit_into_memory(monkeypatch, call, message, known):
    def full(shape, dtype):
        raise MemoryError

    if not known:  # as on Windows: the memory is asked for
        monkeypatch.setattr("jaxspike.data._arrays.memory", lambda: float("inf"))
        monkeypatch.setattr(np, "zeros", full)
    else:
        monkeypatch.setattr("jaxspike.data._arrays.memory", lambda: 2.0**37)
    t, none = np.array([0, 10**7]), np.array([0, 0])
    assert refused(lambda: call(data.Events(t, none, none, none))) == message


# the cache


def count_bytes(path):
    return np.array([len(pathlib.Path(path).read_bytes())])


@pytest.fixture
def entry(tmp_path):
    (tmp_path / "a.bin").write_bytes(b"123")
    data.cached(count_bytes, tmp_path / "a.bin", tmp_path / "cache")
    (entry,) = (tmp_path / "cache").iterdir()
    return entry


def again(entry):
    return data.cached(count_bytes, entry.parent.parent / "a.bin", entry.parent)


@pytest.mark.parametrize("damage", ["header", "zip", "pickle", "longer", "empty", "huge"])
def test_a_damaged_entry(entry, damage):
    content = entry.read_bytes()
    if damage == "header":  # a bracket that is not closed raised a TokenError
        entry.write_bytes(content.replace(b"}", b"("))
    elif damage == "zip":
        np.savez(entry.with_suffix(".npz"), np.zeros(3))
        entry.with_suffix(".npz").replace(entry)
        assert zipfile.is_zipfile(entry)
    elif damage == "pickle":
        np.save(entry, np.array([{}]))
    elif damage == "longer":
        entry.write_bytes(content + b"\0")
    elif damage == "huge":
        entry.write_bytes(content.replace(b"(1,)", b"(2**62,)".replace(b"2**62", b"9" * 14)))
    else:
        entry.write_bytes(b"")
    start = f"`{entry}` is damaged or of another format at byte 0: delete this entry of the cache ("
    assert refused(lambda: again(entry)).startswith(start)


def test_an_entry_that_may_not_be_read_is_not_called_damaged(entry, monkeypatch):
    def forbidden(path, *args, **options):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(pathlib.Path, "open", forbidden)
    assert refused(lambda: again(entry), PermissionError) == (
        f"[Errno 13] Permission denied: '{entry}'"
    )


@pytest.mark.skipif(sys.platform == "win32", reason="other users are no matter of modes there")
def test_others_may_read_an_entry(entry):
    before = os.umask(0o022)
    os.umask(before)
    assert entry.stat().st_mode & 0o777 == 0o666 & ~before


def test_what_killed_writes_left_is_removed_after_an_hour(tmp_path):
    folder, (path, old, new) = tmp_path / "cache", (tmp_path / n for n in ("a.bin", "old", "new"))
    folder.mkdir()
    path.write_bytes(b"123")
    old, new, other = (folder / name for name in ("a.1.part", "b.2.part", "notes.txt"))
    for file in (old, new, other):
        file.write_bytes(b"half")
    for file in (old, other):
        os.utime(file, (0, 0))
    data.cached(count_bytes, path, folder)
    assert not old.exists()
    assert {new, other} < {*folder.iterdir()}


def test_a_panic_of_the_decoder_is_not_printed(tmp_path):
    pytest.importorskip("aedat")
    path = tmp_path / "a.aedat4"
    content, starts = aedat4([(0, *np.arange(12).reshape(4, 3) % 2)])
    path.write_bytes(changed(content, starts[0] + 12, b"\xff"))
    script = (
        "import os, sys, jaxspike.data as data\n"
        "try: data.read_aedat4(sys.argv[1])\n"
        "except ValueError as e: print(e)\n"
        "os.write(2, b'printed')"
    )
    run = functools.partial(subprocess.run, capture_output=True, text=True)
    done = run([sys.executable, "-c", script, path])
    assert done.stdout.startswith(f"`{path}` is damaged or of another format at byte {starts[0]}: ")
    assert done.stderr == "printed"


# any damage


N = np.arange(6)
PACKET = np.array([1, 8, 4, 0, 6, 6, 6], "<u4").tobytes()
EVENTS = {
    "dat": np.stack([N, N | N << 14], 1).astype("<u4").tobytes(),
    "aedat2": np.stack([N << 1 | N << 8, N], 1).astype(">u4").tobytes(),
    "aedat3": np.stack([N << 17 | N << 2 | 1, N], 1).astype("<u4").tobytes(),
}
SAMPLES = {
    "nmnist": (np.stack([N] * 5, 1).astype("u1").tobytes(), data.read_nmnist),
    "dat": (b"% Height 34\n% Width 34\n" + bytes([12, 8]) + EVENTS["dat"], data.read_dat),
    "aedat2": (b"#!AER-DAT2.0\r\n" + EVENTS["aedat2"], data.read_cifar10_dvs),
    "aedat3": (b"#!AER-DAT3.1\r\n#!END-HEADER\r\n" + PACKET + EVENTS["aedat3"], data.read_aedat3),
    "idx": (idx(2, 3) + bytes(6), data.read_idx),
    "idx.gz": (gzip.compress(idx(2, 3) + bytes(6), mtime=0), data.read_idx),
    "wav": (wav(bytes(24), channels=2), data.read_wav),
    "gestures": (b"class,startTime_usec,endTime_usec\n2,0,3\n3,3,5\n", None),
    "aedat4": (aedat4([(0, *np.arange(12).reshape(4, 3) % 2)])[0], data.read_aedat4),
}


def damages(content, rng, n):
    """Flipped bits, other bytes, what is cut, doubled, or replaced by large numbers."""
    for _ in range(n):
        at, end = sorted(rng.integers(0, len(content) + 1, 2).tolist())
        size = int(rng.choice([1, 2, 4, 8]))
        other = rng.choice([b"\xff" * size, b"\x7f" + b"\xff" * (size - 1), bytes(size), b"9" * 50])
        flipped = bytearray(content)
        for bit in rng.integers(0, 8 * len(content), rng.integers(1, 4)):
            flipped[bit // 8] ^= 1 << bit % 8
        yield rng.choice(
            np.array(
                [
                    bytes(flipped),
                    content[:at],
                    content[:at] + content[end:],
                    content[:end] + content[at:],
                    content[:at] + bytes(other) + content[at + size :],
                ],
                object,
            )
        )


@pytest.mark.parametrize("name", SAMPLES)
def test_any_damage_is_a_sentence_that_names_the_file(tmp_path, name):
    if name == "aedat4":
        pytest.importorskip("aedat")
    content, read = SAMPLES[name]
    path = tmp_path / "a"
    if name == "gestures":
        recording = tmp_path / "a.aedat"
        recording.write_bytes(SAMPLES["aedat3"][0])
        read = functools.partial(data.read_dvs128_gesture, recording)
    path.write_bytes(content)
    read(path)
    tracemalloc.start()
    for damaged in damages(content, np.random.default_rng(0), COUNT):
        path.write_bytes(damaged)
        try:
            read(path)
        except ValueError as e:
            files = (str(path), str(tmp_path / "a.aedat"))
            assert str(e).startswith(tuple(f"`{file}` is damaged or of another" for file in files))
    assert tracemalloc.get_traced_memory()[1] < 2**23
    tracemalloc.stop()
