"""`jaxspike.data`: every event is counted once, and damaged files are refused at the byte."""

import functools
import gzip
import io
import os
import pathlib
import re
import subprocess
import sys
import wave

import numpy as np
import pytest
from data_files import wav

import jaxspike as js

data = js.data
ROOT = pathlib.Path(js.__file__).parent.parent
SIZE = (5, 7)


def recording(seed, n, *, end=1000, size=SIZE):
    rng = np.random.default_rng(seed)
    t = np.sort(rng.integers(-100, end, n))
    x, y, p = (rng.integers(0, high, n) for high in (size[-1], size[0], 2))
    return data.Events(t, x, y if len(size) == 2 else 0 * y, p)


def counted(events, steps, step, size=SIZE):
    """Frames, an event at a time."""
    frames = np.zeros((steps, *size, 2))
    for k, x, y, p in zip(step, events.x, events.y, events.p, strict=True):
        frames[(k, y, x, p) if len(size) == 2 else (k, x, p)] += 1
    return frames


# frames


def test_frames_by_time_and_by_count():
    for seed in range(40):
        n, steps = seed % 23, 1 + seed % 9
        e = recording(seed, n, end=(3, 50, 1000)[seed % 3])
        for split_by, where in (("time", e.t - min(e.t, default=0)), ("count", range(n))):
            long = max((max(where, default=0) if split_by == "time" else n) // steps, 1)
            step = [min(int(w) // long, steps - 1) for w in where]
            frames = data.to_frames(e, SIZE, steps=steps, split_by=split_by)
            assert frames.dtype == np.float32
            assert np.array_equal(frames, counted(e, steps, step))
            assert frames.sum() == n


def test_frames_of_a_duration():
    for seed in range(40):
        e, long = recording(seed, seed % 19), 1 + 37 * (seed % 5)
        frames = data.to_frames(e, SIZE, duration=long)
        span = int(e.t[-1] - e.t[0]) if len(e.t) else 0
        assert len(frames) == max(1, -(-span // long))
        step = [min(int(t - e.t[0]) // long, len(frames) - 1) for t in e.t]
        assert np.array_equal(frames, counted(e, len(frames), step))


def test_the_last_event_is_in_the_last_frame_and_bins_may_be_empty():
    t, zeros = np.array([0, 1, 2, 100]), np.zeros(4, int)
    e = data.Events(t, zeros, zeros, zeros)
    per_step = data.to_frames(e, (1, 1), steps=10).sum((1, 2, 3))
    assert per_step.tolist() == [3, 0, 0, 0, 0, 0, 0, 0, 0, 1]
    assert data.to_frames(e, (1, 1), duration=50).sum((1, 2, 3)).tolist() == [3, 1]
    assert data.to_frames(e, (1, 1), steps=2, start=-100).sum((1, 2, 3)).tolist() == [0, 4]


def test_channels_polarities_and_dtypes():
    e = recording(3, 30, size=(9,))
    both = data.to_frames(e, (9,), steps=4, dtype=np.uint8)
    assert both.shape == (4, 9, 2)
    assert both.dtype == np.uint8
    assert np.array_equal(data.to_frames(e, (9,), steps=4, polarity=False), both.sum(-1))


def test_voxels_share_an_event_between_two_steps():
    for seed in range(20):
        e, steps = recording(seed, seed), 1 + seed % 6
        voxels = data.to_voxels(e, SIZE, steps=steps)
        expected = np.zeros((steps, *SIZE, 2))
        for t, x, y, p in zip(*e, strict=True):
            s = (steps - 1) * (t - e.t[0]) / max(e.t[-1] - e.t[0], 1)
            for k in range(steps):
                expected[k, y, x, p] += max(0, 1 - abs(s - k))
        np.testing.assert_allclose(voxels, expected, atol=1e-6)
        np.testing.assert_allclose(voxels.sum(), len(e.t), rtol=1e-6)


def events(t=(0, 5), x=(1, 2), y=(0, 0), p=(0, 1)):
    return data.Events(*(np.array(a) for a in (t, x, y, p)))


def count_bytes(path, plus=0):
    return np.array([len(path.read_bytes()) + plus])


def returned(value, dtype=None, path=None):
    return value if path is None else np.array(value, dtype)


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (
            lambda: data.to_frames(events(x=(1, 7)), SIZE, steps=2),
            ValueError,
            "`to_frames(events.x)` must be from 0 to 6 on a sensor of size (5, 7), got 7.",
        ),
        (
            lambda: data.to_frames(events(p=(-1, 1)), SIZE, steps=2),
            ValueError,
            "`to_frames(events.p)` must be from 0 to 1, got -1.",
        ),
        (
            lambda: data.to_voxels(events(y=(0, 1)), (7,), steps=2),
            ValueError,
            "`to_voxels(events.y)` must be from 0 to 0 on a sensor of size (7,), got 1.",
        ),
        (
            lambda: data.to_frames(events(t=(5, 0)), SIZE, steps=2),
            ValueError,
            "`to_frames(events.t)` must be ascending, got 0 after 5 at event 1. "
            "Sort the events by time.",
        ),
        (
            lambda: data.to_frames(events(t=(0.5, 1)), SIZE, steps=2),
            TypeError,
            "`to_frames(events.t)` must be integers, got float64. "
            "Time stamps are integers too, such as microseconds.",
        ),
        (
            lambda: data.to_frames(events(t=(0, 1, 2)), SIZE, steps=2),
            ValueError,
            "`to_frames(events=...)` must have equally many t, x, y and p, got [3, 2, 2, 2].",
        ),
        (
            lambda: data.to_frames(events(), SIZE),
            TypeError,
            "`to_frames` must have either `steps` or `duration`, got None and None.",
        ),
        (
            lambda: data.to_frames(events(), SIZE, duration=3, split_by="count"),
            TypeError,
            '`to_frames(split_by="count")` needs `steps`, and no `start`.',
        ),
        (
            lambda: data.to_frames(events(), SIZE, steps=2, start=1),
            ValueError,
            "`to_frames(start=...)` must be at most 0, the first event, got 1.",
        ),
        (
            lambda: data.to_frames(events(), [5, 7], steps=2),
            TypeError,
            "`to_frames(size=...)` must be (H, W) or (channels,), got [5, 7].",
        ),
        (
            lambda: data.to_frames(recording(0, 300, size=(1, 1)), (1, 1), steps=1, dtype="int8"),
            ValueError,
            "`to_frames(dtype=...)` must hold counts up to 159, got int8. Give a wider one.",
        ),
        (
            lambda: data.pad([np.zeros((2, 3)), np.zeros((2, 4))]),
            ValueError,
            "`pad(sequences=...)` must differ in the first axis only, "
            "got float64 [3] and float64 [4].",
        ),
        (
            lambda: data.to_frames(np.zeros((4, 3), int), SIZE, steps=2),
            TypeError,
            "`to_frames(events=...)` must be `Events(t, x, y, p)`, got a ndarray. For a structured "
            'array e, pass `Events(e["t"], e["x"], e["y"], e["p"])`.',
        ),
        (
            lambda: data.to_frames(events(t=np.array([1, 2**63], "u8")), SIZE, steps=2),
            ValueError,
            "`to_frames(events.t)` must be from -4611686018427387904 to 4611686018427387903, "
            "got 9223372036854775808.",
        ),
        (
            lambda: data.to_frames(
                data.Events(*np.zeros((4, 2049), int)), SIZE, steps=1, dtype=np.float16
            ),
            ValueError,
            "`to_frames(dtype=...)` must hold counts up to 2049, got float16. Give a wider one.",
        ),
        (
            lambda: data.to_frames(events(), SIZE, steps=1, dtype=bool),
            TypeError,
            "`to_frames(dtype=...)` must be integers or floats, got bool.",
        ),
        (
            lambda: data.read_nmnist("a", size=34),
            TypeError,
            "`read_nmnist(size=...)` must be (H, W), got 34.",
        ),
        (
            lambda: data.read_aedat2("a", x_bits=(26, 7), y_bits=(8, 7), p_bit=0),
            ValueError,
            "The number of bits of `read_aedat2(x_bits=...)` must be from 1 to 6, as bit 26 of 32 "
            "is the first, got 7.",
        ),
        (
            lambda: data.pad([np.zeros((5, 3))], steps=4),
            ValueError,
            "`pad(steps=...)` must be at least 5, the longest sequence, got 4.",
        ),
        (
            lambda: data.pad([]),
            ValueError,
            "`pad(sequences=...)` must be at least one array [t, *].",
        ),
        (
            lambda: data.mask([1, 5], 4),
            ValueError,
            "`mask(lengths=...)` must be between 0 and 4, got [1 5].",
        ),
        (
            lambda: data.batches((np.zeros(3), np.zeros(4)), 2),
            ValueError,
            "`batches(arrays=...)` must have equally many rows, got [3, 4].",
        ),
        (
            lambda: data.batches((np.zeros(3),), 4, drop_last=True),
            ValueError,
            "`batches(size=...)` must be from 1 to 3, the number of rows, got 4.",
        ),
        (
            lambda: data.batches(np.zeros((3, 4)), 2),
            TypeError,
            "`batches(arrays=...)` must be a tuple of arrays, got a ndarray. "
            "For a single array, pass `(x,)`.",
        ),
        (
            lambda: data.batches((np.zeros(()),), 2),
            ValueError,
            "`batches(arrays=...)` must have equally many rows, got [0].",
        ),
        (
            lambda: data.batches((np.zeros(5),), 2, start=4),
            ValueError,
            "`batches(start=...)` must be from 0 to 3, got 4.",
        ),
        (
            lambda: data.batches((np.zeros(5),), 2, start=3, drop_last=True),
            ValueError,
            "`batches(start=...)` must be from 0 to 2, got 3.",
        ),
        (
            lambda: data.mask([1], 1.5),
            TypeError,
            "`mask(steps=...)` must be an integer, got 1.5. Give an int.",
        ),
        (
            lambda: data.cochlea(1j * np.zeros(9), 8000),
            TypeError,
            "`cochlea(audio=...)` must be real numbers, got complex128.",
        ),
        (
            lambda: data.cochlea(np.zeros(9), 999, high=300),
            ValueError,
            "`cochlea(rate=...)` must be at least 1000, got 999.",
        ),
        (
            lambda: data.cochlea(np.zeros(9), 8000, level=1.5),
            ValueError,
            "`cochlea(level=...)` must be greater than 0 and at most 1, got 1.5.",
        ),
        (
            lambda: data.cochlea(np.zeros(9), 8000, high=5000),
            ValueError,
            "`cochlea(high=...)` must be greater than 100 and less than 4000, half of the rate, "
            "got 5000.",
        ),
        (
            lambda: data.cochlea([0, np.nan], 8000),
            ValueError,
            "`cochlea(audio=...)` must be finite, got a NaN or an infinity.",
        ),
        (
            lambda: data.cached(lambda path: np.zeros(3), __file__, "."),
            TypeError,
            "`cached(transform=...)` must be a function of a module, or functools.partial of one "
            "with plain arguments, got <function",
        ),
        (
            lambda: data.cached(data.Events._make, __file__, "."),
            TypeError,
            "`cached(transform=...)` must be a function of a module, or functools.partial of one "
            "with plain arguments, got <bound method",
        ),
        (
            lambda: data.cached(count_bytes, "/", "."),
            IsADirectoryError,
            "`cached(path=...)` must be a file, got the folder `/`.",
        ),
        *(
            (
                lambda call=call: data.cached(call, __file__, "."),
                TypeError,
                "`cached(transform=...)` must return a NumPy array of a type that .npy files "
                f"support, got a {got}.",
            )
            for call, got in (
                (functools.partial(returned, [3]), "list of no dtype"),
                (functools.partial(returned, 3, "bfloat16"), "ndarray of bfloat16"),
                (functools.partial(returned, 3, "O"), "ndarray of object"),
            )
        ),
    ],
)
def test_errors(call, kind, message):
    with pytest.raises(kind) as info:
        call()
    assert str(info.value).startswith(message)


# batches


def test_padding_and_its_mask():
    rng = np.random.default_rng(0)
    parts = [rng.normal(size=(n, 2, 3)) for n in (3, 0, 5)]
    batch, lengths = data.pad(parts, steps=6)
    assert batch.shape == (6, 3, 2, 3)
    real = data.mask(lengths, 6)
    assert real.sum(0).tolist() == lengths.tolist() == [3, 0, 5]
    for n, part in enumerate(parts):
        assert np.array_equal(batch[real[:, n], n], part)
    assert not batch[~real].any()


def test_batches_are_resumed_and_every_row_is_met_once():
    x, y = np.arange(20).reshape(10, 2), np.arange(10)
    for epoch in range(3):
        all_of_it = list(data.batches((x, y), 4, seed=1, epoch=epoch))
        assert sorted(np.concatenate([b for _, b in all_of_it])) == list(range(10))
        assert all(np.array_equal(a[:, 0], 2 * b) for a, b in all_of_it)
        rest = list(data.batches((x, y), 4, seed=1, epoch=epoch, start=1))
        assert [b.tolist() for _, b in rest] == [b.tolist() for _, b in all_of_it[1:]]
    orders = {
        tuple(np.concatenate([b for (b,) in data.batches((y,), 4, seed=s, epoch=e)]))
        for s in (0, 1)
        for e in (0, 1)
    }
    assert len(orders) == 4


def text_of(path, *args, **options):
    return np.array([str((args, options))])


def other_text_of(path, *args, **options):
    return np.array(["other"])


def test_a_cache_tells_names_arguments_and_versions_apart(tmp_path):
    path, folder = tmp_path / "a.txt", tmp_path / "cache"
    path.write_text("1 2 3")
    partial = functools.partial
    calls = [
        text_of,
        other_text_of,
        partial(text_of, ("plus", 1)),
        partial(text_of, ["plus", 1]),
        partial(text_of, "plus", 1),
        partial(text_of, plus=1),
        partial(text_of, plus=1.0),
        partial(text_of, plus={1: 2}),
        partial(text_of, plus=count_bytes),
        partial(text_of, plus=int),
        np.loadtxt,
    ]
    for call in calls:
        assert np.array_equal(data.cached(call, path, folder), call(path))
    data.cached(text_of, path, folder, version="2")
    assert len(list(folder.iterdir())) == len(calls) + 1
    for call in calls:
        assert np.array_equal(data.cached(call, path, folder), call(path))
    two = [partial(text_of, a=1, b=2), partial(text_of, b=2, a=1)]
    assert len({str(data.cached(call, path, folder)) for call in two}) == 1
    with pytest.raises(TypeError, match="plain arguments, got <object object"):
        data.cached(partial(text_of, object()), path, folder)


def test_the_code_of_a_transform_is_not_in_the_key(tmp_path):
    path, folder = tmp_path / "a.txt", tmp_path / "cache"
    path.write_text("1 2 3")

    def transform(number):
        space = {"__name__": "script"}
        exec(f"import numpy as np\ndef f(path):\n    return np.array([{number}])", space)
        return space["f"]

    assert data.cached(transform(1), path, folder) == 1
    assert data.cached(transform(2), path, folder) == 1
    assert data.cached(transform(2), path, folder, version="2") == 2


def test_a_cache_is_found_by_another_process(tmp_path):
    path, folder = tmp_path / "a.txt", tmp_path / "cache"
    path.write_text("1 2 3")
    script = (
        "import functools, sys, jaxspike.data as data, numpy as np\n"
        "read = functools.partial(np.loadtxt, dtype=int, delimiter=' ')\n"
        "data.cached(read, *sys.argv[1:])"
    )
    env = {**os.environ, "PYTHONHASHSEED": "1", "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", script, path, folder], check=True, env=env)
    read = functools.partial(np.loadtxt, delimiter=" ", dtype=int)
    assert data.cached(read, path, folder).tolist() == [1, 2, 3]
    assert len(list(folder.iterdir())) == 1


@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("size", [3, 5, 10])
@pytest.mark.parametrize("start", [0, 1])
def test_the_number_of_batches_is_known(size, start, drop_last):
    walk = data.batches((np.arange(10),), size, start=start, drop_last=drop_last)
    assert len(walk) == sum(1 for _ in walk)


def test_a_cache_knows_its_transform_and_its_file(tmp_path):
    path, folder = tmp_path / "a.bin", tmp_path / "cache"
    path.write_bytes(b"123")
    assert data.cached(count_bytes, path, folder) == 3
    assert data.cached(functools.partial(count_bytes, plus=1), path, folder) == 4
    path.write_bytes(b"12345")
    assert data.cached(count_bytes, path, folder) == 5
    entries = sorted(folder.iterdir())
    assert len(entries) == 3
    for entry in entries:
        np.save(entry, [9])
    assert data.cached(count_bytes, path, folder) == 9  # it is read
    for entry in entries:
        entry.write_bytes(entry.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"at byte 0: delete this entry of the cache \("):
        data.cached(count_bytes, path, folder)


def test_a_write_that_fails_leaves_no_entry(tmp_path, monkeypatch):
    path, folder = tmp_path / "a.bin", tmp_path / "cache"
    path.write_bytes(b"123")

    def interrupted(file, value):
        file.write(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as m, pytest.raises(KeyboardInterrupt):
        m.setattr(np, "save", interrupted)
        data.cached(count_bytes, path, folder)
    assert not list(folder.iterdir())


# files

REAL = recording(7, 20, end=5000, size=(34, 34))
TRUE = data.Events(REAL.t + 200, *REAL[1:])


def nmnist(e):
    rows = np.stack([e.x, e.y, e.p << 7 | e.t >> 16, e.t >> 8 & 255, e.t & 255], 1)
    return rows.astype(np.uint8).tobytes()


def dat(e, kind=12):
    words = np.stack([e.t, e.x | e.y << 14 | e.p << 28], 1).astype("<u4").tobytes()
    return b"% Height 34\n% Width 34\n% Version 2\n" + bytes([kind, 8]) + words


def aedat2(e):
    words = np.stack([e.p | e.x << 1 | e.y << 8, e.t], 1).astype(">u4").tobytes()
    return b"#!AER-DAT2.0\r\n# a comment\r\n" + words


def aedat3(e, spare=2):
    words = np.stack([e.x << 17 | e.y << 2 | e.p << 1 | 1, e.t], 1).astype("<u4")
    out = b"#!AER-DAT3.1\r\n#Format: RAW\r\n#!END-HEADER\r\n"
    special = np.array([0, 8, 4, 0, 1, 1, 1, 0, 0], "<u4").tobytes()
    for part in np.split(words, [len(words) // 3]):
        n = len(part)
        head = np.array([1, 8, 4, 0, n + spare, n, n], "<u4").tobytes()
        out += head + part.tobytes() + bytes(8 * spare) + special
    return out


def evt2(e):
    words = np.stack([8 << 28 | e.t >> 6, e.p << 28 | (e.t & 63) << 22 | e.x << 11 | e.y], 1)
    return b"% evt 2.0\n% geometry 34x34\n% end\n" + words.astype("<u4").tobytes()


def evt3(e):
    times = [8 << 12 | e.t >> 12, 6 << 12 | e.t & 4095]
    words = np.stack([*times, e.y, 2 << 12 | e.p << 11 | e.x, 0 * e.x + (10 << 12)], 1)
    return b"% format EVT3;height=34;width=34\n" + words.astype("<u2").tobytes()


DVS128 = functools.partial(data.read_aedat2, x_bits=(1, 7), y_bits=(8, 7), p_bit=0)
FORMATS = {
    "nmnist": (nmnist, data.read_nmnist),
    "dat": (dat, data.read_dat),
    "aedat2": (aedat2, DVS128),
    "aedat3": (aedat3, data.read_aedat3),
    "evt2": (evt2, data.read_evt2),
    "evt3": (evt3, data.read_evt3),
}


@pytest.mark.parametrize("name", FORMATS)
def test_readers(tmp_path, name):
    write, read = FORMATS[name]
    path = tmp_path / "a.bin"
    content = write(TRUE)
    path.write_bytes(content)
    for read_in, true in zip(read(path), TRUE, strict=True):
        assert np.array_equal(read_in, true)
    for cut in (1, 3):
        path.write_bytes(content[:-cut])
        with pytest.raises(ValueError, match=r"^`.*a\.bin` is damaged .* at byte \d"):
            read(path)
    order = np.arange(20)[::-1]
    path.write_bytes(write(data.Events(*(a[order] for a in TRUE))))
    assert np.array_equal(read(path).t, TRUE.t)
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "gone")


@pytest.mark.parametrize(
    ("read", "content", "problem"),
    [
        (data.read_nmnist, nmnist(TRUE)[:-2], "95: the last record has 3 of 5 bytes"),
        (
            data.read_nmnist,
            nmnist(TRUE)[:15] + bytes([40, 3, 0, 0, 0]),
            "15: the pixel x=40, y=3 is not on a sensor of 34 x 34",
        ),
        (data.read_dat, b"", "0: the header is missing or has no end"),
        (data.read_dat, dat(TRUE, 14), "35: events of type 14, 8 bytes, are not CD"),
        (data.read_dat, dat(TRUE)[:-4], "189: the last record has 4 of 8 bytes"),
        (data.read_dat, b"% Version 2", "0: the header has no end"),
        (DVS128, b"#!AER-DAT3.1\r\n", "0: it does not begin with #!AER-DAT2.0"),
        (data.read_aedat3, aedat2(TRUE), "0: it does not begin with #!AER-DAT3"),
        (data.read_aedat3, b"#!AER-DAT3.1\r\n", "0: the header has no end"),
        (data.read_aedat3, aedat3(TRUE) + b"\1", "362: the packet has 1 of 28 bytes"),
        (data.read_aedat3, aedat3(TRUE)[:-40], "198: the packet has 124 of 128 bytes"),
        (data.read_aedat4, b"#!AER-DAT3.1\r\n", "0: it does not begin with #!AER-DAT4.0"),
        (
            data.read_aedat4,
            b"#!AER-DAT4.0\r\nand nothing",
            "14: its header cannot be read.",
        ),
        (data.read_idx, b"\0\0\x08\1\0\0", "6: its 1 lengths are cut short"),
        (data.read_shd, b"no HDF5", "0: HDF5 cannot read it ("),
        (data.read_wav, b"RIFF....WAVE", "0: it is not a WAV file of integers: "),
    ],
)
def test_damaged_files(tmp_path, read, content, problem):
    if read is data.read_aedat4:
        pytest.importorskip("aedat")
    if read is data.read_shd:
        pytest.importorskip("h5py")
    path = tmp_path / "a.bin"
    path.write_bytes(content)
    with pytest.raises(ValueError) as info:
        read(path)
    assert str(info.value).startswith(f"`{path}` is damaged or of another format at byte {problem}")


IDX = bytes([0, 0, 8, 2, 0, 0, 0, 3, 0, 0, 0, 2, 1, 2, 3, 4, 5, 6])
PACKED = gzip.compress(IDX, mtime=0)
HEADS = {"nmnist": 0, "dat": 37, "aedat2": 14}  # and then events, without their number


@pytest.mark.parametrize("name", [*list(FORMATS)[:4], "idx", "idx.gz", "wav"])
def test_a_file_cut_anywhere_is_refused_or_ends_with_a_whole_record(tmp_path, name):
    if name in FORMATS:
        content, read = FORMATS[name][0](TRUE), FORMATS[name][1]
    else:
        files = {
            "idx": IDX,
            "idx.gz": PACKED,
            "wav": wav(bytes(24), channels=2),
        }
        content, read = files[name], data.read_wav if name == "wav" else data.read_idx
    path, silent = tmp_path / "a", []
    for cut in range(len(content)):
        path.write_bytes(content[:cut])
        try:
            read(path)
            silent.append(cut)
        except ValueError as e:
            at = re.match(rf"`{path}` is damaged or of another format at byte (\d+): .*\.$", str(e))
            assert at, e
            assert int(at[1]) <= cut
    if name == "aedat3":
        assert silent == [42, 134, 170, 326]  # between packets
    elif name in HEADS:
        size = 5 if name == "nmnist" else 8
        start = len(content) - 20 * size
        assert silent == sorted({HEADS[name], *range(start, len(content), size)})
    else:
        assert not silent


@pytest.mark.parametrize(
    ("read", "content", "problem"),
    [
        (data.read_wav, wav(bytes(5)), "48: the last sample has 1 of 2 bytes"),
        (data.read_wav, wav(bytes(4), rate=0), "0: it has 0 samples per second"),
        (data.read_wav, wav(bytes(8), bits=64), "0: samples of 64 bits are not read"),
        (data.read_wav, b"RIFF" + bytes(4) + b"WAVEfmt " + b"\xff" * 9, "0: it is not a WAV"),
        (data.read_idx, PACKED[:-9], "27: the .gz data is cut short"),
        (
            data.read_idx,
            PACKED[:-8] + bytes(8),
            "0: the .gz data cannot be dec",
        ),
        (
            data.read_idx,
            bytes([0, 0, 8, 70, *[0, 0, 0, 1] * 70, 1]),
            "4: its 70 lengths are not those of an array (",
        ),
        (
            data.read_aedat3,
            aedat3(TRUE)[:43] + b"\x80" + aedat3(TRUE)[44:],
            "42: compressed packets are not read",
        ),
        (
            functools.partial(data.read_aedat3, size=(34, 30)),
            aedat3(data.Events(*(np.array([n]) for n in (5, 31, 2, 1))), spare=0),
            "134: the pixel x=31, y=2 is not on a sensor of 30 x 34",
        ),
    ],
)
def test_damage_inside_a_file(tmp_path, read, content, problem):
    path = tmp_path / "a"
    path.write_bytes(content)
    with pytest.raises(ValueError) as info:
        read(path)
    assert str(info.value).startswith(f"`{path}` is damaged or of another format at byte {problem}")


def test_the_clock_of_nmnist_begins_again(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(bytes([1, 2, 0, 0, 9, 0, 240, 0, 0, 0, 3, 4, 0x80, 0, 1]))
    assert [a.tolist() for a in data.read_nmnist(path)] == [[9, 8193], [1, 3], [2, 4], [0, 1]]


def test_cifar10_dvs_is_turned_upright(tmp_path):
    path = tmp_path / "cifar10_airplane_0.aedat"
    path.write_bytes(aedat2(TRUE))
    e = data.read_cifar10_dvs(path)
    for got, true in zip(e, (TRUE.t, 127 - TRUE.y, 127 - TRUE.x, 1 - TRUE.p), strict=True):
        assert np.array_equal(got, true)


def test_gestures(tmp_path):
    path, table = tmp_path / "user01_led.aedat", tmp_path / "user01_led_labels.csv"
    path.write_bytes(aedat3(TRUE))
    middle = int(TRUE.t[8])
    last = int(TRUE.t[-1])
    for end in (last + 1, last + 100_000):
        table.write_text(f"class,startTime_usec,endTime_usec\n2,0,{middle}\n11,{middle},{end}\n")
        (first, second), classes = data.read_dvs128_gesture(path)
        assert classes.tolist() == [1, 10]
        assert [len(first.t), len(second.t)] == [8, 12]
        assert np.array_equal(np.r_[first.x, second.x], TRUE.x)
    table.write_text(f"2,0,{middle}\n11,{middle},99999\n")
    with pytest.raises(ValueError, match="at byte 0: it does not begin with class,"):
        data.read_dvs128_gesture(path)
    for start, end in ((0, last + 100_001), (9_000_000, 9_000_001)):
        table.write_text(f"class,startTime_usec,endTime_usec\n2,0,7\n3,{start},{end}\n")
        ends = f"at byte {path.stat().st_size}: the recording ends before gesture 1 of {table.name}"
        with pytest.raises(ValueError, match=f"{ends}, which ends at {end}."):
            data.read_dvs128_gesture(path)
    for cell in ("1_0", "+3", " 3", "3.0", "", "\u0663", "9" * 5000):
        table.write_text(f"class,startTime_usec,endTime_usec\n{cell},0,7\n")
        with pytest.raises(ValueError, match=r"at byte 34: the class is b'.*', not a number of up"):
            data.read_dvs128_gesture(path)
    table.write_text("class,startTime_usec,endTime_usec\n2,0,7\n12,0,5\n")
    with pytest.raises(ValueError, match="at byte 40: a line is not a class from 1 to 11, start,"):
        data.read_dvs128_gesture(path)


def test_spoken_digits_in_hdf5(tmp_path):
    h5py, path = pytest.importorskip("h5py"), tmp_path / "shd.h5"
    times, units = ([0.25, 0.0101], [0.5]), ([699, 0], [3])
    with h5py.File(path, "w") as file:
        for name, kind, rows in (("times", "f2", times), ("units", "u2", units)):
            stored = file.create_dataset(f"spikes/{name}", 2, h5py.vlen_dtype(kind))
            for n, row in enumerate(rows):
                stored[n] = np.array(row, kind)
        file["labels"] = [7, 19]
    (first, second), labels = data.read_shd(path)
    assert (first.t.tolist(), first.x.tolist()) == ([10101, 250000], [0, 699])
    assert (second.t.tolist(), labels.tolist()) == ([500000], [7, 19])
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    half = f"at byte {len(content) // 2}: HDF5 cannot read it"
    with pytest.raises(ValueError, match=half):
        data.read_shd(path)
    for name, value, why in (
        ("labels", [7.5, 19], r"labels must be a list of integers, not float64\[2\]"),
        ("labels", [[7], [19]], r"labels must be a list of integers, not int64\[2, 1\]"),
        ("labels", 7, "it has no labels, or no list of them"),
        ("labels", [7], "it has 2 times, 2 units and 1 labels"),
        ("labels", [7, -1], "labels must be from 0 to 2.14748e\\+09, not -1"),
        ("labels", [7, 2**40], f"labels must be from 0 to 2.14748e\\+09, not {2**40}"),
        ("labels", np.array([7, 2**64 - 1], "u8"), f"labels must be .*, not {2**64 - 1}"),
        ("labels", [b"7", b"19"], r"labels must be a list of integers, not object\[2\]"),
        ("times", [1e300], r"spikes/times\[1\] must be from 0 to 4.61169e\+12, not 1e\+300"),
        ("times", [np.nan], r"spikes/times\[1\] must be from 0 to 4.61169e\+12, not nan"),
        ("times", [-1e-3], r"spikes/times\[1\] must be from 0 to 4.61169e\+12, not -0.001"),
        ("units", [700], r"spikes/units\[1\] must be from 0 to 699, not 700"),
        ("units", [3, 3], "recording 1 has 1 times and 2 units"),
        (
            "spikes/times",
            np.zeros((2, 1, 1)),
            r"spikes/times\[0\] must .*, not float64\[1, 1\]",
        ),
        ("spikes/times", np.zeros((2, 1), complex), "it has neither numbers nor strings"),
        ("spikes/times", np.zeros((2, 1), "i4,f4"), "it has neither numbers nor strings"),
        ("spikes/times", [b"0.5", b"1"], r"spikes/times\[0\] must be a list of numbers"),
        ("spikes/units", np.zeros((2, 1)), r"spikes/units\[0\] must be a list of integers, not fl"),
        ("spikes/units", 3, "it has no spikes/units, or no list of them"),
    ):
        with h5py.File(io.BytesIO(content), "r+") as file:
            if name == "labels" or "/" in name:
                del file[name]
                file[name] = value
            else:
                kind = "f8" if name == "times" else "u2"
                before = file[f"spikes/{name}"][:]
                del file[f"spikes/{name}"]
                stored = file.create_dataset(f"spikes/{name}", 2, h5py.vlen_dtype(kind))
                stored[0], stored[1] = before[0], np.array(value, kind)
            file.flush()
            path.write_bytes(file.id.get_file_image())
        with pytest.raises(ValueError, match=f"at byte 0: {why}"):
            data.read_shd(path)


@pytest.mark.parametrize("dtype", ["u1", "i1", ">i2", ">i4", ">f4", ">f8"])
def test_idx_of_every_type(tmp_path, dtype):
    codes = {"u1": 8, "i1": 9, ">i2": 11, ">i4": 12, ">f4": 13, ">f8": 14}
    values = np.arange(12).reshape(3, 2, 2).astype(dtype)
    path = tmp_path / "a-idx3"
    head = bytes([0, 0, codes[dtype], 3, 0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 0, 2])
    path.write_bytes(head + values.tobytes())
    read = data.read_idx(path)
    assert np.array_equal(read, values)
    assert read.dtype.isnative


@pytest.mark.parametrize("width", [1, 2, 3, 4])
@pytest.mark.parametrize("channels", [1, 2])
def test_sound(tmp_path, width, channels):
    path, levels = tmp_path / "a.wav", np.array([[0, 0.5], [-1, 0.25], [-0.5, 0.75]])[:, :channels]
    raw = np.round(levels * 2 ** (8 * width - 1)) + 128 * (width == 1)
    with wave.open(str(path), "wb") as file:
        file.setparams((channels, width, 8000, 0, "NONE", ""))
        whole = (int(n).to_bytes(width, "little", signed=width > 1) for n in raw.flat)
        file.writeframes(b"".join(whole))
    sound, rate = data.read_wav(path)
    assert rate == 8000
    assert np.array_equal(sound, levels if channels == 2 else levels[:, 0])
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    problem = f"at byte {len(content) - 1}"
    with pytest.raises(ValueError, match=f"{problem}: its header announces"):
        data.read_wav(path)


def test_a_cochlea_resolves_the_pitch_and_emits_changes():
    def tone(hertz, scale=1.0):
        t = np.arange(4000) / 8000
        return np.concatenate([np.zeros(800), scale * np.sin(2 * np.pi * hertz * t)])

    for hertz in (200, 800, 2400):
        e = data.cochlea(tone(hertz), 8000, channels=32)
        assert e.t.min() >= 100_000
        end = np.bincount(e.x, 2 * e.p - 1, 32)  # levels above silence at the end
        bands = np.log10(1 + 0.00437 * np.array([100, hertz, 3600]))
        assert abs(end.argmax() - 31 * (bands[1] - bands[0]) / (bands[2] - bands[0])) < 1
        assert end.max() in (9, 10)
        frames = data.to_frames(e, (32,), duration=10_000)
        assert frames.sum() == len(e.t)
    louder = data.cochlea(tone(2400, 7), 8000, channels=32)
    assert all(np.array_equal(a, b) for a, b in zip(e, louder, strict=True))
    for scale in (1e-30, 1e300):
        assert len(data.cochlea(tone(2400, scale), 8000, channels=32).t) == len(e.t)
    assert len(data.cochlea(np.zeros(4000), 8000).t) == len(data.cochlea([], 8000).t) == 0


def test_a_cochlea_does_not_take_the_start_of_a_recording_for_a_sound():
    noise = 0.003 * np.random.default_rng(0).standard_normal(8000)
    tone = np.sin(2 * np.pi * 800 * np.arange(3200) / 8000)
    e = data.cochlea(np.concatenate([noise[:1600], noise[1600:4800] + tone, noise[4800:]]), 8000)
    assert e.t.min() >= 195_000 and len(e.t) > 200
    for n in (1, 2, 8):  # shorter than a millisecond, and than the filters
        assert len(data.cochlea(noise[:n], 8000).t) == 0


@pytest.mark.parametrize(
    ("package", "read"), [("h5py", data.read_shd), ("aedat", data.read_aedat4)]
)
def test_a_package_that_is_missing(monkeypatch, package, read):
    monkeypatch.setitem(sys.modules, package, None)
    message = (
        f"`{read.__name__}` needs the package {package}. "
        "Install it: `pip install 'jaxspike[data]'`."
    )
    with pytest.raises(ImportError, match=re.escape(message)):
        read("a")
