"""Checkpoints: damage is found, one run at a time, and another call is refused."""

import functools
import json
import re
import shutil
import subprocess
import sys
import time

import jax
import numpy as np
import optax
import pytest
from flax import nnx

import jaxspike as js
from jaxspike.train.folder import Folder

ocp = pytest.importorskip("orbax.checkpoint")
pytestmark = pytest.mark.usefixtures("mixed_dtypes")  # the optimizers of Optax mix them
SGD = optax.sgd(0.1)
X, Y = np.random.default_rng(0).normal(size=(12, 5)).astype("f"), np.arange(12) % 3


def batches(epoch, size=4, seed=3, rows=12):
    return js.data.batches((X[:rows], Y[:rows]), size, seed=seed, epoch=epoch)


def encode(key, x, steps=2):
    return js.encode.direct(x, steps)


def mean(out, y):
    return (out.mean((0, 2)) - y).mean() ** 2


def make(optimizer=None, layer=None):
    rngs = nnx.Rngs(0)
    net = js.nn.Sequential(nnx.Linear(5, 8, rngs=rngs), layer or js.IF())
    return net, nnx.Optimizer(net, optimizer or SGD, wrt=nnx.Param)


def fit(folder, epochs=2, made=None, **options):
    """The history, and the weights."""
    net, optimizer = made or make()
    given = {"loss": mean, "accuracy": mean, "encode": encode, "key": jax.random.key(0)}
    given |= {"data": batches, "checkpoints": folder, "progress": False, **options}
    history = js.train.fit(net, optimizer, epochs=epochs, **given)
    return [epoch[:3] for epoch in history], np.asarray(net.layers[0].kernel[...])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with two checkpoints."""
    with jax.numpy_dtype_promotion("standard"):
        folder = tmp_path_factory.mktemp("runs") / "trained"
        fit(folder)
    return folder


@pytest.fixture
def copy(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "copy")


def refused(call, kind=ValueError):
    with pytest.raises(kind) as info:
        call()
    return str(info.value)


def files_of(checkpoint):
    return sorted(p for p in checkpoint.rglob("*") if p.is_file())


def names(folder):
    return {p.name for p in folder.iterdir()}


# damage


def test_every_flipped_bit_is_found(copy, monkeypatch):
    """In any file, of arrays, of progress or of the manifest; Orbax is not even asked."""
    monkeypatch.setattr(ocp.Checkpointer, "restore", None)
    monkeypatch.setattr(ocp.Checkpointer, "metadata", None)
    rng, checkpoints = np.random.default_rng(0), js.train.checkpoint.Checkpoints(copy)
    newest = copy / "epoch-2-batch-0"
    files = files_of(newest)
    assert {"progress.json", "call.json", "manifest.json"} <= {p.name for p in files}
    for file in files:
        content = bytearray(file.read_bytes())
        for bit in {*rng.integers(0, 8 * len(content), 25).tolist()}:
            content[bit // 8] ^= 1 << bit % 8
            file.write_bytes(content)
            message = refused(lambda: checkpoints.latest(None, {}))
            content[bit // 8] ^= 1 << bit % 8
            found = re.fullmatch(
                rf"`fit\(checkpoints=...\)` cannot read {newest}/(.*): it is damaged. Delete "
                rf"{newest} to resume from epoch-1-batch-0, which is intact.",
                message,
            )
            assert newest / found[1] == file or file.name == "manifest.json"
        file.write_bytes(content)
    checkpoints.close()


@pytest.mark.parametrize("damage", ["cut", "gone", "empty"])
def test_a_damaged_checkpoint_and_the_way_on(copy, damage):
    newest, older = copy / "epoch-2-batch-0", copy / "epoch-1-batch-0"
    for file in files_of(newest):
        if damage == "gone":
            file.unlink()
        else:
            file.write_bytes(file.read_bytes()[:9] if damage == "cut" else b"")
    message = refused(lambda: fit(copy))
    assert message.endswith(
        f"it is damaged. Delete {newest} to resume from epoch-1-batch-0, which is intact."
    )
    saved = shutil.copytree(older, copy / "saved")
    (older / "progress.json").write_text("{}")
    assert refused(lambda: fit(copy)).endswith(
        "it is damaged. No older one is intact. Give another folder to start over."
    )
    shutil.rmtree(older)
    saved.rename(older)
    shutil.rmtree(newest)
    history, weights = fit(copy)
    expected, true = fit(None)
    assert history == expected
    np.testing.assert_array_equal(weights, true)


@pytest.mark.parametrize("folder", ["", 3, __file__])
def test_what_is_no_folder(folder):
    assert refused(lambda: fit(folder)) == (
        f"`fit(checkpoints=...)` must be a folder, got {folder!r}."
    )


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    for name in range(10):  # one folder a class
        (tmp_path / str(name)).mkdir()
        (tmp_path / str(name) / "a.bin").write_bytes(b"123")
    assert refused(lambda: fit(tmp_path)) == (
        "`fit(checkpoints=...)` must be an empty or a new folder, or one with checkpoints of "
        f"`fit`, got {tmp_path} with 0, 1, 2. Give another folder."
    )
    assert len([*tmp_path.rglob("*")]) == 20


def test_what_others_keep_beside_the_checkpoints_stays(copy):
    (copy / "7").mkdir()
    (copy / "notes.txt").write_text("mine")
    fit(copy, epochs=4)
    assert names(copy) == {".lock", "7", "notes.txt", "epoch-3-batch-0", "epoch-4-batch-0"}


# writing


def test_a_killed_write_leaves_nothing(copy):
    shutil.copytree(copy / "epoch-2-batch-0", copy / ".unfinished")
    (copy / ".unfinished" / "manifest.json").unlink()
    shutil.copytree(copy / "epoch-1-batch-0", copy / ".old")
    assert fit(copy, epochs=3)[0] == fit(None, epochs=3)[0]
    assert names(copy) == {".lock", "epoch-2-batch-0", "epoch-3-batch-0"}


@pytest.mark.parametrize("part", ["arrays", "progress", "manifest"])
def test_a_full_disk(copy, monkeypatch, part):
    full, write_text = OSError(28, "No space left on device"), type(copy).write_text

    def save(self, folder, args):
        folder.mkdir()
        (folder / "half").write_bytes(b"half")
        raise ValueError("RESOURCE_EXHAUSTED")

    def write(self, text):
        if self.name == f"{part}.json":
            raise full
        return write_text(self, text)

    with monkeypatch.context() as m:
        if part == "arrays":
            m.setattr(ocp.Checkpointer, "save", save)
        else:
            m.setattr(type(copy), "write_text", write)
        why = "RESOURCE_EXHAUSTED" if part == "arrays" else full
        assert refused(lambda: fit(copy, epochs=3), OSError) == (
            f"`fit(checkpoints=...)` cannot save a checkpoint in {copy}: {why}. The last one, "
            f"{copy / 'epoch-2-batch-0'}, is intact."
        )
        fresh = copy / "fresh"
        assert refused(lambda: fit(fresh), OSError).endswith(f"{why}. There is none before it.")
        assert names(fresh) == {".lock"}
    shutil.rmtree(fresh)
    assert names(copy) == {".lock", "epoch-1-batch-0", "epoch-2-batch-0"}
    assert fit(copy, epochs=3)[0] == fit(None, epochs=3)[0]


# one run at a time

HOLD = """
import sys, time
from jaxspike.train.folder import Folder
folder = Folder(sys.argv[1])
print("held", flush=True)
time.sleep(600)
"""


def in_use(folder, by):
    return (
        f"`fit(checkpoints=...)` must be a folder that no other run uses, got {folder}, in use by "
        f"{by}. Wait for it, or give another folder."
    )


def test_two_processes_in_a_folder(tmp_path):
    with subprocess.Popen([sys.executable, "-c", HOLD, tmp_path], stdout=-1, text=True) as other:
        assert other.stdout.readline() == "held\n"
        message = refused(lambda: Folder(tmp_path))
        other.kill()
    by = re.search(r"in use by (process \d+ on .*)\. Wait", message)[1]
    assert by.startswith(f"process {other.pid} on ")
    assert message == in_use(tmp_path, by)
    Folder(tmp_path).close()  # a lock does not outlive its process, not even a killed one


def test_two_runs_of_a_process_in_a_folder(tmp_path):
    first = Folder(tmp_path)
    for _ in range(2):  # to refuse the second does not release the first
        assert refused(lambda: Folder(tmp_path / ".")) == in_use(tmp_path, "this process")
    script = "import sys; from jaxspike.train.folder import Folder; Folder(sys.argv[1])"
    done = subprocess.run([sys.executable, "-c", script, tmp_path], capture_output=True, text=True)
    assert "in use by process" in done.stderr
    first.close()
    Folder(tmp_path).close()


def test_a_disk_without_locks_is_a_warning(tmp_path, monkeypatch):
    def unsupported(file):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr("jaxspike.train.folder._lock", unsupported)
    with pytest.warns(UserWarning, match=f"cannot lock {tmp_path} .* Let no other run use it"):
        Folder(tmp_path).close()


# the same call


@pytest.mark.parametrize(
    ("options", "name", "there", "here"),
    [
        ({"data": lambda epoch: batches(epoch, 3)}, "data.batches", "3", "4"),
        ({"data": lambda epoch: batches(epoch, seed=4)}, "data.first batch.digest", ".*", ".*"),
        ({"data": lambda epoch: batches(epoch, rows=8)}, "data.batches", "3", "2"),
        (
            {"encode": functools.partial(encode, steps=3)},
            "encode",
            '"encode"',
            r'{"encode": \[{"steps": 3}\]}',
        ),
        (
            {"encode": lambda key, x: js.encode.direct(2 * x, 2)},
            "data.first batch.mean of x_seq",
            ".*",
            ".*",
        ),
        ({"key": jax.random.key(1)}, "key", r'"key<fry> \[0, 0\]"', r'"key<fry> \[0, 1\]"'),
        ({"loss": js.losses.mse_count}, "loss", '"mean"', '"mse_count"'),
        ({"truncate": 1}, "truncate", "null", "1"),
        ({"carry_state": True}, "carry_state", "false", "true"),
        (
            {"made": lambda: make(optax.sgd(0.2))},
            "optimizer.updates.first after step 0",
            "-0.1",
            "-0.2",
        ),
        (
            {"made": lambda: make(layer=js.IF(v_threshold=0.9))},
            "network.1.v_threshold",
            "1.0",
            "0.9",
        ),
        ({"made": lambda: make(layer=js.LIF())}, "network.1.neuron", '"IF"', '"LIF"'),
        (
            {"made": lambda: make(layer=js.IF(surrogate=js.surrogate.Sigmoid(alpha=2.0)))},
            "network.1.surrogate.alpha",
            "4.0",
            "2.0",
        ),
    ],
)
def test_another_call_is_refused(trained, options, name, there, here):
    options = {**options, "made": options.get("made", make)()}
    before = np.asarray(options["made"][0].layers[0].kernel[...])
    message = refused(lambda: fit(trained, **options))
    sentence = re.fullmatch(
        r"`fit\(checkpoints=...\)` must be of the same call, got (.*)\. Give another folder, or "
        r'`resume="anyway"` to continue from there with the arguments given here\.',
        message,
    )
    assert sentence, message
    expected = rf"{re.escape(name)}: {there} in {trained}, {here} here"
    assert re.search(rf"(^|; ){expected}(;|$)", sentence[1]), message
    np.testing.assert_array_equal(options["made"][0].layers[0].kernel[...], before)


def test_what_may_differ(trained):
    fit(trained, data=lambda epoch: batches(epoch), save_every=7, test=batches)


def test_a_loss_that_has_changed_under_its_name(copy):
    def named_mean(factor):
        def loss(out, y):
            return factor * mean(out, y)

        return loss

    folder = copy / "new"
    fit(folder, loss=named_mean(1.0))
    fit(folder, loss=named_mean(1.0))
    message = refused(lambda: fit(folder, loss=named_mean(1.1)))
    assert "data.first batch.loss of fixed outputs: " in message


def test_a_schedule_that_has_changed(tmp_path):
    def decaying(steps):
        return make(optax.adam(optax.cosine_decay_schedule(1e-2, steps)))

    fit(tmp_path, made=decaying(1000))
    fit(tmp_path, made=decaying(1000))
    assert "optimizer.updates.first after step 10: " in refused(
        lambda: fit(tmp_path, made=decaying(2000))
    )


def test_anyway(copy):
    history, _ = fit(copy, epochs=3, made=make(optax.sgd(0.2)), resume="anyway")
    assert history[:2] == fit(None)[0]
    fit(copy, epochs=3, made=make(optax.sgd(0.2)))  # now it is the call that saved it
    call = json.loads((copy / "epoch-3-batch-0" / "call.json").read_text())
    assert call["optimizer"]["updates"]["first after step 0"] == -0.2
    assert call["network"]["1"]["v_threshold"] == 1.0
    assert refused(lambda: fit(copy, resume="always")) == (
        "`fit(resume=...)` must be one of ('exact', 'anyway'), got 'always'."
    )


class Loader:
    """As a loader that shuffles: other values each time, of the same shapes."""

    def __init__(self, size):
        self.size = size

    def __iter__(self):
        return batches(0, self.size, int(time.time_ns() % 1000))


@pytest.mark.parametrize(
    ("data", "values"),
    [
        (lambda size, seed: [*batches(0, size, seed)], True),
        (lambda size, seed: iter([*batches(0, size, seed)]), False),
        (lambda size, seed: Loader(size), False),
    ],
    ids=["list", "iterator", "loader"],
)
def test_data_of_other_kinds(tmp_path, data, values):
    fit(tmp_path, 1, data=data(4, 3))
    fit(tmp_path, 1, data=data(4, 3))
    message = refused(lambda: fit(tmp_path, 1, data=data(3, 3)))
    assert 'data.first batch.x: ["float32[4, 5]"] in' in message
    if values:
        message = refused(lambda: fit(tmp_path, 1, data=data(4, 5)))
        assert "data.first batch.digest: " in message
    else:
        fit(tmp_path, 1, data=data(4, 5))


def test_an_iterator_loses_nothing_when_it_resumes(tmp_path):
    def stopped():
        yield from [*batches(0)][:1]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path, 1, data=stopped())
    history, weights = fit(tmp_path, 1, data=batches(0))
    expected, true = fit(None, 1)
    assert history == expected
    np.testing.assert_array_equal(weights, true)
