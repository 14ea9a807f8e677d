"""`python -m jaxspike.demo` as a user runs it: it learns, and it fails in one sentence."""

import contextlib
import gzip
import io
import re
import shutil
import subprocess
import sys
from importlib import resources
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxspike import demo
from jaxspike.demo import checkpoint, data, train
from jaxspike.demo.__main__ import main

NAMES = list(data.IDX_NAMES.values())
QUICK = ["--epochs", "1", "--hidden", "8", "--steps", "2"]


def digit_set(train=50, test=23, size=28):
    """Random arrays in the form of MNIST; the numbers divide by no batch."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (train + test, size, size), np.uint8)
    y = np.arange(train + test).astype(np.uint8) % 10
    return {"x_train": x[:train], "y_train": y[:train], "x_test": x[train:], "y_test": y[train:]}


def idx(array):
    """The bytes of an IDX file, by its specification."""
    header = bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
    return header + array.tobytes()


def write_idx(folder, arrays, *, dot=False, pack=lambda content: content, end=""):
    folder.mkdir()
    for key, name in data.IDX_NAMES.items():
        name = name.replace("-idx", ".idx") if dot else name
        (folder / (name + end)).write_bytes(pack(idx(arrays[key])))
    return folder


def write_npz(path, **arrays):
    np.savez(path, **arrays)
    return path


def run(*args):
    """Run the command; its exit code and what it printed."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([str(a) for a in args])
    return code, out.getvalue(), err.getvalue()


def files(folder):
    return {p: p.read_bytes() for p in Path(folder).rglob("*") if p.is_file()}


# what it does


@pytest.fixture(scope="module")
def default_run(tmp_path_factory):
    """The output folder and the printed text of the command without options but the folder."""
    out = tmp_path_factory.mktemp("demo") / "output"
    code, text, _ = run("--out", out)
    assert code == 0
    return out, text


def test_it_learns_and_it_spikes(default_run):
    _, text = default_run
    accuracy = float(re.search(r"accuracy +([\d.]+)% of 360 test digits, last epoch", text)[1])
    assert accuracy >= 95
    rates = re.search(r"firing rate +hidden layer ([\d.]+)%, output layer ([\d.]+)%", text)
    assert all(0.5 < float(rate) < 90 for rate in rates.groups())


def test_it_tells_every_epoch(default_run):
    _, text = default_run
    row = r"^ +(\d+) +[\d.]+ +([\d.]+)% +([\d.]+)% +([\d.]+)% +[\d.]+ s$"
    rows = re.findall(row, text, re.MULTILINE)
    assert [int(number) for number, *_ in rows] == list(range(1, 31))
    assert rows[-1][1] == re.search(r"accuracy +([\d.]+)%", text)[1]  # the last, not the best
    assert re.search(r"time +[\d.]+ s an epoch", text)


def test_the_checkpoint_gives_the_same_accuracy(default_run):
    out, text = default_run
    net, config = demo.load(out / "checkpoint")
    digits = data.digits()
    steps = config["steps"]
    score = train.evaluate(net, digits.x_test, digits.y_test, steps=steps, batch=32)
    assert score.accuracy == config["test_accuracy"]
    assert f"{score.accuracy:.2%}" in text
    assert f"demo.load({str(out / 'checkpoint')!r})" in text


def test_the_picture_is_a_png(default_run):
    out, text = default_run
    assert (out / "picture.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert f"picture      {out / 'picture.png'}" in text
    assert sorted(p.name for p in out.iterdir()) == ["checkpoint", "picture.png"]


def test_the_digits():
    digits = data.digits()
    x, y = np.concatenate([digits.x_train, digits.x_test]), np.r_[digits.y_train, digits.y_test]
    assert x.shape == (1797, 8, 8)
    assert np.array_equal(np.bincount(y), [178, 182, 177, 183, 181, 182, 181, 179, 174, 180])
    assert x.min() == 0
    assert x.max() == 1
    assert len(digits.x_test) == 360
    rows = {image.tobytes() for image in digits.x_train}
    assert not any(image.tobytes() in rows for image in digits.x_test)  # none is in both parts


def test_the_digits_are_small_and_attributed():
    folder = resources.files("jaxspike.demo")
    assert len((folder / "digits.npz").read_bytes()) < 200_000
    text = (folder / "DIGITS.md").read_text()
    assert all(part in text for part in ("Alpaydin", "Kaynak", "10.24432/C50P49", "CC BY 4.0"))


@pytest.mark.parametrize("batch", [7, 100, 360])
def test_every_test_digit_counts(batch):
    digits = data.digits()
    x, y = digits.x_test, digits.y_test
    net = train.network(64, 16, rngs=nnx.Rngs(0))
    hidden, output = train.activity(net, train.constant_current(x, 3))
    score = train.evaluate(net, x, y, steps=3, batch=batch)
    assert score.accuracy == int((output.sum(0).argmax(-1) == y).sum()) / 360
    assert score.hidden_rate == pytest.approx(float(hidden.mean()), rel=1e-5)
    assert score.output_rate == pytest.approx(float(output.mean()), rel=1e-5)


def test_the_seed_decides(tmp_path):
    path = write_npz(tmp_path / "set.npz", **digit_set())
    args = ["--data", path, *QUICK, "--batch", 23, "--out", tmp_path / "out"]
    rows = []
    for seed in (1, 1, 2):
        code, text, _ = run(*args, "--seed", seed)
        assert code == 0
        rows.append(re.search(r"^ +1 +.*%", text, re.MULTILINE)[0])
    assert rows[0] == rows[1] != rows[2]


def test_the_hidden_and_output_spikes_are_those_of_the_network():
    net = train.network(64, 16, rngs=nnx.Rngs(0))
    x_seq = train.constant_current(data.digits().x_test[:5], 4)
    assert x_seq.shape == (4, 5, 64)
    hidden, output = train.activity(net, x_seq)
    assert hidden.shape == (4, 5, 16)
    assert jnp.array_equal(output, train.run(net, x_seq))


# MNIST


@pytest.mark.parametrize("form", ["plain", "gz", "dot", "dot gz", "npz"])
def test_mnist_files_are_read_exactly(tmp_path, form):
    arrays = digit_set()
    if form == "npz":
        path = write_npz(tmp_path / "set.npz", **arrays, other=np.zeros(3))
    elif "gz" in form:
        path = tmp_path / "set"
        write_idx(path, arrays, dot="dot" in form, pack=gzip.compress, end=".gz")
    else:
        path = write_idx(tmp_path / "set", arrays, dot=form == "dot")
    got = data.mnist(path)
    for part in ("train", "test"):
        x, y = getattr(got, f"x_{part}"), getattr(got, f"y_{part}")
        assert x.dtype == np.float32
        assert np.array_equal(x, arrays[f"x_{part}"].astype(np.float32) / 255)
        assert np.array_equal(y, arrays[f"y_{part}"])


def test_it_trains_784_800_10_on_mnist(tmp_path):
    folder = write_idx(tmp_path / "set", digit_set())
    code, text, _ = run("--data", folder, "--epochs", 1, "--steps", 1, "--out", tmp_path / "out")
    assert code == 0
    assert "set: 50 digits to train with, 23 to test\nnetwork 784-800-10 of IF neurons" in text
    assert re.search(r"of 23 test digits, last epoch", text)
    _, config = demo.load(tmp_path / "out" / "checkpoint")
    assert (config["pixels"], config["hidden"], config["steps"]) == (784, 800, 1)


# what it refuses


def fails(sentence, *args):
    """The command says exactly this one sentence, exits with 2, and did not train."""
    code, text, err = run(*args)
    assert err == f"jaxspike.demo: error: {sentence}\n"
    assert code == 2
    assert text == ""


NOT_A_COUNT = "must be a whole number from 1 to 1000000, got"


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (["--steps", "0"], f"argument --steps: {NOT_A_COUNT} '0'; see --help."),
        (["--steps", "-3"], f"argument --steps: {NOT_A_COUNT} '-3'; see --help."),
        (["--epochs", "0"], f"argument --epochs: {NOT_A_COUNT} '0'; see --help."),
        (["--hidden", "1e3"], f"argument --hidden: {NOT_A_COUNT} '1e3'; see --help."),
        (["--batch", "9999999"], f"argument --batch: {NOT_A_COUNT} '9999999'; see --help."),
        (["--lr", "0"], "argument --lr: must be a number above 0, got '0'; see --help."),
        (["--lr", "nan"], "argument --lr: must be a number above 0, got 'nan'; see --help."),
        (["--lr", "fast"], "argument --lr: must be a number above 0, got 'fast'; see --help."),
        (
            ["--seed", "-1"],
            "argument --seed: must be a whole number from 0 to 4294967295, got '-1'; see --help.",
        ),
        (["--speed", "9"], "unrecognized arguments: --speed 9; see --help."),
        (["--data"], "argument --data: expected one argument; see --help."),
        (
            ["--batch", "5000"],
            "--batch must be at most 1437, the number of training digits, but is 5000.",
        ),
    ],
    ids=" ".join,
)
def test_bad_options(args, sentence):
    fails(sentence, *args)


def test_bad_data_paths(tmp_path):
    gone, text, folder = tmp_path / "gone", tmp_path / "a.txt", tmp_path / "folder"
    text.write_text("digits")
    folder.mkdir()
    fails(f"--data must be a folder or an .npz file, but `{gone}` is none.", "--data", gone)
    fails(
        "--data must be an .npz file, or the folder that holds the four IDX files, "
        f"but `{text}` is neither.",
        *("--data", text),
    )
    fails(f"`{folder}` must hold `{NAMES[0]}`, plain or .gz, but lacks it.", "--data", folder)


GZIP = "what .gz holds cannot be unpacked"


@pytest.mark.parametrize(
    ("name", "change", "problem"),
    [
        (
            NAMES[0],
            lambda b: b[:-1],
            "39215: its header announces 39200 bytes of values, and 39199 follow.",
        ),
        (
            NAMES[3],
            lambda b: b + b"\0",
            "31: its header announces 23 bytes of values, and 24 follow.",
        ),
        (NAMES[2], lambda b: b[:9], "9: its 3 lengths are cut short."),
        (NAMES[1], lambda b: b"", "0: it does not begin as an IDX file does."),
        (NAMES[0], lambda b: b"PNG" + b, "0: it does not begin as an IDX file does."),
        (NAMES[0], lambda b: gzip.compress(b)[:-20], "{size}: what .gz holds is cut short."),
        (NAMES[0], lambda b: gzip.compress(b)[:9], "9: what .gz holds is cut short."),
        (
            NAMES[0],
            lambda b: gzip.compress(b)[:10] + b"\xff",
            f"0: {GZIP} (Error -3 while decompressing data: invalid block type).",
        ),
        (NAMES[0], lambda b: gzip.compress(b)[:-8] + b"\0" * 8, f"0: {GZIP} (CRC check failed)."),
    ],
)
def test_bad_idx_files(tmp_path, name, change, problem):
    folder = write_idx(tmp_path / "set", digit_set())
    path = folder / name
    path.write_bytes(change(path.read_bytes()))
    problem = problem.format(size=path.stat().st_size)
    problem = f"`{path}` is damaged or of another kind at byte {problem}"
    fails(problem, "--data", folder, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_missing_idx_file(tmp_path):
    folder = write_idx(tmp_path / "set", digit_set())
    (folder / NAMES[3]).unlink()
    fails(f"`{folder}` must hold `{NAMES[3]}`, plain or .gz, but lacks it.", "--data", folder)


IMAGES = "must hold {} images of type uint8 and shape [N, 28, 28], but has"
LABELS = "must hold one integer label for each of the {} images, but has"


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (
            {"x_train": None},
            "must hold x_train, y_train, x_test, y_test, but lacks x_train.",
        ),
        (digit_set(size=8), IMAGES.format("train") + " uint8 [50, 8, 8]."),
        ({"x_test": np.zeros((23, 784), np.uint8)}, IMAGES.format("test") + " uint8 [23, 784]."),
        (
            {"x_train": np.zeros((0, 28, 28), np.uint8)},
            IMAGES.format("train") + " uint8 [0, 28, 28].",
        ),
        ({"x_train": np.ones((50, 28, 28))}, IMAGES.format("train") + " float64 [50, 28, 28]."),
        ({"y_train": np.arange(49) % 10}, LABELS.format("50 train") + " int64 [49]."),
        ({"y_test": np.eye(10, dtype=np.uint8)}, LABELS.format("23 test") + " uint8 [10, 10]."),
        ({"y_test": np.zeros(23)}, LABELS.format("23 test") + " float64 [23]."),
        ({"y_train": np.arange(50) % 26}, "must hold train labels from 0 to 9, but has 0 to 25."),
        ({"y_test": np.full(23, -1)}, "must hold test labels from 0 to 9, but has -1 to -1."),
        (
            {"x_test": np.zeros((23, 28, 28), np.uint8)},
            "must hold digits, but its test images are blank.",
        ),
        (
            {"x_train": np.array([object()] * 50)},
            "cannot be read: it is damaged, cut short or of another kind.",
        ),
    ],
)
def test_bad_npz_files(tmp_path, change, problem):
    arrays = {k: v for k, v in {**digit_set(), **change}.items() if v is not None}
    path = write_npz(tmp_path / "set.npz", **arrays)
    fails(f"`{path}` {problem}", "--data", path, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "change",
    [
        lambda b: b"",
        lambda b: b"not a zip",
        lambda b: b[: len(b) // 2],
        lambda b: b[:-30] + b"x" * 30,
    ],
    ids=["empty", "text", "half", "end overwritten"],
)
def test_damaged_npz_files(tmp_path, change):
    path = write_npz(tmp_path / "set.npz", **digit_set())
    path.write_bytes(change(path.read_bytes()))
    problem = "cannot be read: it is damaged, cut short or of another kind."
    fails(f"`{path}` {problem}", "--data", path)


def test_an_array_named_npz(tmp_path):
    path = tmp_path / "set.npz"
    with path.open("wb") as file:
        np.save(file, np.zeros(3))
    problem = "cannot be read: it is damaged, cut short or of another kind."
    fails(f"`{path}` {problem}", "--data", path)


def test_any_flipped_byte_is_a_sentence_or_harmless(tmp_path):
    path = write_npz(tmp_path / "set.npz", **digit_set(3, 2))
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    ends = [*range(200), *range(len(whole) - 200, len(whole))]
    for position in rng.choice(ends, 100, replace=False):
        content = bytearray(whole)
        content[position] ^= 1 << rng.integers(8)
        path.write_bytes(content)
        with contextlib.suppress(data.DemoError):
            data.mnist(path)


def test_bad_output_folders(tmp_path):
    file, folder = tmp_path / "file", tmp_path / "folder"
    file.write_text("mine")
    is_file = "--out must be a folder, but `{}` is or is in a file."
    fails(is_file.format(file), "--out", file)
    fails(is_file.format(file / "below"), "--out", file / "below")
    assert file.read_text() == "mine"
    folder.mkdir()
    (folder / "checkpoint").write_text("mine")
    fails(is_file.format(folder / "checkpoint"), "--out", folder)
    (folder / "checkpoint").unlink()
    (folder / "picture.png").mkdir()
    place = folder / "picture.png"
    fails(f"--out has no room for the picture: `{place}` is a folder.", "--out", folder)
    long = tmp_path / ("x" * 300)
    fails(f"--out `{long}` cannot be written to: File name too long.", "--out", long)


def test_an_output_folder_without_permission(tmp_path, monkeypatch):
    def refuse(**kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    fails(f"--out `{tmp_path}` cannot be written to: Permission denied.", "--out", tmp_path)


@pytest.mark.parametrize("name", ["tqdm", "matplotlib"])
def test_missing_extras(monkeypatch, tmp_path, name):
    monkeypatch.setitem(sys.modules, name, None)
    fails(f"the demo needs {name}: pip install 'jaxspike[demo]'", "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


# what it never loses


@pytest.fixture(scope="module")
def quick_run(tmp_path_factory):
    """The folder of a short run that went well."""
    out = tmp_path_factory.mktemp("quick") / "out"
    code, _, _ = run(*QUICK, "--out", out)
    assert code == 0
    return out


@pytest.fixture
def earlier(quick_run, tmp_path):
    """A copy of that folder, with its files."""
    out = shutil.copytree(quick_run, tmp_path / "out")
    return out, files(out)


def test_bad_data_lose_no_checkpoint(earlier):
    out, before = earlier
    code, _, _ = run("--data", out / "nowhere", "--out", out)
    assert code == 2
    assert files(out) == before


def test_an_interrupted_training_loses_no_checkpoint(earlier, monkeypatch):
    out, before = earlier

    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(train, "train_step", interrupt)
    code, _, err = run(*QUICK, "--out", out)
    assert code == 130
    assert err.endswith("\njaxspike.demo: interrupted; earlier checkpoints are intact.\n")
    assert files(out) == before


def test_a_training_that_diverges_loses_no_checkpoint(earlier, monkeypatch):
    out, before = earlier
    monkeypatch.setattr(train, "train_step", lambda *args: jnp.nan)
    code, _, err = run(*QUICK, "--out", out)
    assert code == 2
    assert err.endswith("error: the loss is no number after epoch 1: lower --lr.\n")
    assert files(out) == before


def test_too_little_memory_is_a_sentence(monkeypatch, tmp_path):
    def fill(*args):
        raise MemoryError

    monkeypatch.setattr(train, "train_step", fill)
    code, _, err = run(*QUICK, "--out", tmp_path)
    assert code == 2
    assert err.endswith("error: not enough memory; lower --hidden, --batch or --steps.\n")


def test_a_write_that_fails_loses_no_checkpoint(earlier, monkeypatch):
    import orbax.checkpoint as ocp

    def fill_disk(*args, **kwargs):
        raise ValueError("RESOURCE_EXHAUSTED: disk full.\nand more")

    out, before = earlier
    monkeypatch.setattr(ocp.CheckpointManager, "save", fill_disk)
    code, _, err = run(*QUICK, "--out", out)
    assert code == 2
    reason = "RESOURCE_EXHAUSTED: disk full"
    sentence = f"the checkpoint cannot be written, and an earlier one is intact: {reason}."
    assert err.endswith(f"error: {sentence}\n")
    assert files(out) == before


def test_a_new_run_replaces_the_earlier_one(earlier):
    out, _ = earlier
    code, text, _ = run(*QUICK, "--seed", "5", "--out", out)
    assert code == 0
    assert [p.name for p in (out / "checkpoint").iterdir()] == ["run_2"]
    assert str(out / "checkpoint" / "run_2") in text
    assert demo.load(out / "checkpoint")[1]["seed"] == 5


def test_what_a_killed_run_leaves_is_not_loaded(earlier):
    out, _ = earlier
    (out / "checkpoint" / "run_2.orbax-checkpoint-tmp").mkdir()
    _, config = demo.load(out / "checkpoint")
    assert config["hidden"] == 8
    code, _, _ = run(*QUICK, "--out", out)
    assert code == 0
    assert [p.name for p in (out / "checkpoint").iterdir()] == ["run_2"]


def test_load_without_a_checkpoint(tmp_path):
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "empty", tmp_path / "gone"):
        with pytest.raises(FileNotFoundError) as error:
            demo.load(folder)
        assert str(error.value) == f"`load({str(folder)!r})` found no complete checkpoint there."


def test_a_saved_network_is_the_network(tmp_path):
    net = train.network(12, 7, rngs=nnx.Rngs(3))
    checkpoint.save(tmp_path, net, {"pixels": 12, "hidden": 7})
    again, _ = demo.load(tmp_path)
    for a, b in zip(*(nnx.to_flat_state(nnx.state(n)) for n in (net, again)), strict=True):
        assert a[0] == b[0]
        assert jnp.array_equal(a[1][...], b[1][...])


# as a command


def command(*args):
    return subprocess.run(
        [sys.executable, "-m", "jaxspike.demo", *args], capture_output=True, text=True, timeout=120
    )


def test_help_explains_itself():
    done = command("--help")
    assert done.returncode == 0
    assert "python -m jaxspike.demo --data mnist.npz" in done.stdout
    assert done.stderr == ""


def test_an_error_has_no_traceback():
    done = command("--data", "nowhere")
    assert done.returncode == 2
    message = "--data must be a folder or an .npz file, but `nowhere` is none."
    assert done.stderr == f"jaxspike.demo: error: {message}\n"
    assert done.stdout == ""
