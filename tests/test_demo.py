"""`python -m jaxspike.demo` as a user runs it: it learns, and an error is one line."""

import contextlib
import gzip
import io
import re
import subprocess
import sys
from importlib import resources

import numpy as np
import pytest
from flax import nnx

import jaxspike as js
from jaxspike.demo import data, train
from jaxspike.demo.__main__ import main

pytestmark = pytest.mark.usefixtures("mixed_dtypes")  # the optimizers of Optax mix them

NAMES = list(data.FILES.values())
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
    for key, name in data.FILES.items():
        name = name.replace("-idx", ".idx") if dot else name
        (folder / (name + end)).write_bytes(pack(idx(arrays[key])))
    return folder


def write_npz(path, **arrays):
    np.savez(path, **arrays)
    return path


def run(*args):
    """Run the command; its exit code and what it printed."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main([str(a) for a in args])
        except SystemExit as e:
            code = e.code
    return code, out.getvalue(), err.getvalue()


def accuracy(text):
    return re.search(r"^accuracy +([\d.]+)% of", text, re.MULTILINE)[1]


# what it does


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The output folder, the printed text and the bars of a run that is stopped and resumed."""
    out = tmp_path_factory.mktemp("demo") / "output"
    command = ["--epochs", 6, "--out", out]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(js.data, "batches", interrupt_in(js.data.batches, epoch=3))
        code, _, err = run(*command)
    assert code == 130
    assert err.endswith("\njaxspike.demo: interrupted; the same command resumes here.\n")
    code, text, bars = run(*command)
    assert code == 0
    return out, text, bars


def interrupt_in(batches, epoch):
    def interrupted(*args, **kwargs):
        if kwargs.get("epoch") == epoch:
            raise KeyboardInterrupt
        return batches(*args, **kwargs)

    return interrupted


def test_it_learns_and_it_spikes(trained):
    _, text, _ = trained
    assert "of 360 test digits, last epoch" in text
    assert float(accuracy(text)) >= 95
    rates = re.findall(r"^\d +(?:128|10) +([\d.]+)%", text, re.MULTILINE)
    assert len(rates) == 2
    assert all(0.5 < float(rate) < 90 for rate in rates)


def test_it_resumes_where_it_stopped(trained):
    _, text, bars = trained
    assert set(re.findall(r"epoch (\d+)/6: 100%", bars)) == {"4", "5", "6"}
    assert "s for 6 epochs\n" in text


def test_a_finished_run_is_read_from_its_checkpoints(trained):
    out, text, _ = trained
    code, again, bars = run("--epochs", 6, "--out", out)
    assert code == 0
    assert again == text
    assert bars == ""


def test_the_picture_is_a_png(trained):
    out, text, _ = trained
    assert (out / "picture.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert f"picture      {out / 'picture.png'}" in text
    assert sorted(p.name for p in out.iterdir()) == ["checkpoints", "picture.png"]


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


@pytest.mark.filterwarnings("ignore:`fit`. after epoch 0 layer:UserWarning")  # too short to fire
def test_the_seed_decides():
    x, y = (a[:96] for a in data.digits()[:2])
    few = data.Data(x, y, x, y)
    losses = []
    for seed in (1, 1, 2):
        net = train.network(64, 8, rngs=nnx.Rngs(seed))
        (epoch,) = train.train(net, few, epochs=1, steps=2, batch=32, lr=4e-3, seed=seed)
        losses.append(epoch.loss)
    assert losses[0] == losses[1] != losses[2]


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


def test_it_trains_on_mnist(tmp_path):
    folder, out = write_idx(tmp_path / "set", digit_set()), tmp_path / "out"
    few = ["--hidden", 9, "--epochs", 1, "--steps", 1, "--batch", 16]
    code, text, _ = run("--data", folder, *few, "--out", out)
    assert code == 0
    assert "set: 50 digits to train on, 23 to test\nnetwork 784-9-10 of IF neurons" in text
    assert "of 23 test digits, last epoch" in text
    (checkpoints,) = (out / "checkpoints").iterdir()
    assert checkpoints.name == "set-hidden9-steps1-epochs1-batch16-lr0.004-seed0"


# what it refuses


def fails(sentence, *args):
    """The command prints exactly this line and exits with 2."""
    code, _, err = run(*args)
    assert err == f"jaxspike.demo: error: {sentence}\n"
    assert code == 2


WHOLE = "must be a whole number above 0, got"


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (["--steps", "0"], f"argument --steps: {WHOLE} '0'"),
        (["--steps", "-3"], f"argument --steps: {WHOLE} '-3'"),
        (["--hidden", "1e3"], f"argument --hidden: {WHOLE} '1e3'"),
        (["--lr", "fast"], "argument --lr: invalid float value: 'fast'"),
        (["--speed", "9"], "unrecognized arguments: --speed 9"),
        (["--data"], "argument --data: expected one argument"),
    ],
    ids=" ".join,
)
def test_bad_options(args, sentence):
    fails(sentence, *args)


def test_options_that_do_not_fit_the_data(tmp_path):
    size = "`batches(size=...)` must be from 1 to 1437, the number of rows, got 5000."
    fails(size, "--batch", "5000", "--out", tmp_path)
    fails("`batches(seed=...)` must be at least 0, got -1.", "--seed", "-1", "--out", tmp_path)


def test_bad_data_paths(tmp_path):
    gone, text, folder = tmp_path / "gone", tmp_path / "a.txt", tmp_path / "folder"
    text.write_text("digits")
    folder.mkdir()
    fails(f"[Errno 2] No such file or directory: '{gone}'", "--data", gone)
    missing = f"[Errno 2] No such file or directory: '{folder / NAMES[0]}'"
    fails(missing, "--data", folder)
    code, _, err = run("--data", text)
    assert code == 2
    npz = "must be an .npz file with x_train, y_train, x_test, y_test, got "
    assert err.startswith(f"jaxspike.demo: error: `{text}` {npz}")
    assert err.count("\n") == 1


def test_a_damaged_idx_file(tmp_path):
    folder = write_idx(tmp_path / "set", digit_set())
    path = folder / NAMES[2]
    path.write_bytes(path.read_bytes()[:9])
    damaged = "is damaged or of another format at byte 9: its 3 lengths are cut short."
    fails(f"`{path}` {damaged}", "--data", folder, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (digit_set(size=8), ("train", "uint8 [50, 8, 8] and uint8 [50]")),
        ({"x_test": np.zeros((23, 784), np.uint8)}, ("test", "uint8 [23, 784] and uint8 [23]")),
        (
            {"x_train": np.zeros((0, 28, 28), np.uint8)},
            ("train", "uint8 [0, 28, 28] and uint8 [50]"),
        ),
        ({"x_train": np.ones((50, 28, 28))}, ("train", "float64 [50, 28, 28] and uint8 [50]")),
        ({"y_train": np.arange(49) % 10}, ("train", "uint8 [50, 28, 28] and int64 [49]")),
        ({"y_test": np.full(23, -1)}, ("test", "uint8 [23, 28, 28] and int64 [23]")),
        ({"y_train": np.arange(50) % 26}, ("train", "uint8 [50, 28, 28] and int64 [50]")),
    ],
)
def test_other_arrays(tmp_path, change, problem):
    path = write_npz(tmp_path / "set.npz", **digit_set() | change)
    part, got = problem
    sentence = (
        f"`{path}` must hold {part} images, uint8 [N, 28, 28], each with a label from 0 to 9, "
        f"got {got}."
    )
    fails(sentence, "--data", path, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_any_flipped_byte_is_a_sentence_or_harmless(tmp_path):
    path = write_npz(tmp_path / "set.npz", **digit_set(3, 2))
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    ends = [*range(200), *range(len(whole) - 200, len(whole))]
    for position in rng.choice(ends, 100, replace=False):
        content = bytearray(whole)
        content[position] ^= 1 << rng.integers(8)
        path.write_bytes(content)
        with contextlib.suppress(ValueError):
            data.mnist(path)


@pytest.mark.parametrize("content", [b"", b"not a zip", idx(np.zeros(3, np.uint8))])
def test_files_that_are_no_npz(tmp_path, content):
    path = tmp_path / "set.npz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"must be an \.npz file with x_train, y_train"):
        data.mnist(path)


def test_an_output_folder_in_a_file(tmp_path):
    file = tmp_path / "file"
    file.write_text("mine")
    code, _, err = run("--out", file)
    assert code == 2
    assert err.startswith("jaxspike.demo: error: [Errno 20] Not a directory: ")
    assert file.read_text() == "mine"


@pytest.mark.parametrize("name", ["tqdm", "matplotlib", "orbax.checkpoint"])
def test_missing_extras(monkeypatch, tmp_path, name):
    monkeypatch.setitem(sys.modules, name, None)
    if name == "tqdm":
        monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    code, _, err = run(*QUICK, "--out", tmp_path / "out")
    assert code == 2
    assert err.startswith("jaxspike.demo: error: ")
    assert "pip install 'jaxspike[" in err
    assert err.count("\n") == 1
    assert not (tmp_path / "out" / "picture.png").exists()


def test_a_run_that_diverges_is_a_line(tmp_path):
    code, _, err = run(*QUICK, "--lr", "nan", "--out", tmp_path)
    assert code == 2
    assert "jaxspike.demo: error: `fit` stopped in epoch 0, batch 0: the update made" in err
    assert "Look at the optimizer, first at its learning rate" in err


def test_too_little_memory_is_a_line(monkeypatch, tmp_path):
    def fill(*args, **kwargs):
        raise MemoryError

    monkeypatch.setattr(js.train, "fit", fill)
    fails("not enough memory; lower --hidden, --batch or --steps.", *QUICK, "--out", tmp_path)


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
    message = "[Errno 2] No such file or directory: 'nowhere'"
    assert done.stderr == f"jaxspike.demo: error: {message}\n"
    assert done.stdout == ""
