"""`jaxspike.train`: the numbers of the plain loop, and of a training that was never stopped."""

import functools
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from xla import QUICK, as_flags

import jaxspike as js

STEPS = 6


def make(optimizer=None, dtype=None):
    rngs = nnx.Rngs(0)
    net = js.nn.Sequential(
        nnx.Linear(5, 16, use_bias=False, dtype=dtype, rngs=rngs),
        nnx.BatchNorm(16, dtype=dtype, rngs=rngs),
        js.nn.Spiking(js.LIF(v_threshold=0.5), learn=("tau",)),
        js.nn.Dropout(0.2, rngs=rngs),
        nnx.Linear(16, 3, dtype=dtype, rngs=rngs),
        js.IF(),
    )
    return net, nnx.Optimizer(net, optimizer or optax.adam(1e-2), wrt=nnx.Param)


def samples(n=30):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, n)
    x = rng.normal(size=(n, 5)).astype(np.float32)
    x[np.arange(n), y] += 2
    return x, y


def encode(key, x):
    noise = jax.random.normal(key, (STEPS, *x.shape))
    return x + 0.3 * noise


def batches(epoch, size=10):
    return js.data.batches(samples(), size, seed=3, epoch=epoch)


LOSS = js.losses.cross_entropy
fit = functools.partial(js.train.fit, loss=LOSS, encode=encode, progress=False)


def values(*trees):
    return [
        np.asarray(jax.random.key_data(a) if jnp.issubdtype(a.dtype, jax.dtypes.prng_key) else a)
        for a in jax.tree.leaves([nnx.state(t) for t in trees])
    ]


def same(a, b):
    for x, y in zip(a, b, strict=True):
        np.testing.assert_array_equal(x, y)


def numbers(history):
    """Everything but the seconds."""
    return [epoch[:3] for epoch in history]


@pytest.fixture(scope="module")
def uninterrupted():
    net, optimizer = make()
    history = fit(net, optimizer, data=batches, epochs=3, test=batches)
    return values(net, optimizer), history


def test_it_is_the_plain_loop(uninterrupted):
    net, optimizer = make()

    @nnx.jit
    def step(net, optimizer, x_seq, y):
        def lost(net):
            out = net(net.init_state(x_seq.shape[1:]), x_seq)[1]
            return LOSS(out, y), js.losses.accuracy(out, y)

        (value, right), grads = nnx.value_and_grad(lost, has_aux=True)(net)
        optimizer.update(net, grads)
        return value, right

    count, history = 0, []
    for epoch in range(3):
        sums = np.zeros(2)
        for x, y in batches(epoch):
            x_seq = jax.jit(encode)(jax.random.fold_in(jax.random.key(0), count), x)
            sums += 10 * np.array(step(net, optimizer, x_seq, y))
            count += 1
        history.append(sums / 30)
    arrays, reported = uninterrupted
    for a, b in zip(values(net, optimizer), arrays, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose([e[:2] for e in reported], history, rtol=1e-6)
    assert reported[-1].loss < reported[0].loss


def test_a_test_is_in_evaluation_mode_and_over_samples(uninterrupted):
    net, _ = make()
    data = list(js.data.batches(samples(), 8))
    key = jax.random.key(5)
    before = values(net)
    score = js.train.evaluate(net, data, LOSS, encode=encode, key=key)
    same(values(net), before)
    assert net.layers[3].deterministic is False
    net.eval()
    rows, right, fired, neurons = 0.0, 0, 0.0, 0
    for i, (x, y) in enumerate(data):
        x_seq = encode(jax.random.fold_in(key, i), x)
        _, out, records = js.debug.record(net, net.init_state(x.shape), x_seq)
        rows += len(x) * float(LOSS(out, y))
        right += int((out.sum(0).argmax(-1) == y).sum())
        fired += sum(float(r["output"].sum()) for r in records.values())
        neurons += sum(r["output"].size for r in records.values())
    np.testing.assert_allclose(score, (rows / 30, right / 30, fired / neurons), rtol=1e-6)
    assert 0.01 < score.firing_rate < 0.9
    _, history = uninterrupted
    assert all(0 < epoch.test.firing_rate < 1 for epoch in history)


class Stop(BaseException):
    pass


def stopping(kind, at):
    """The same batches, with an interrupt before the batch number ``at``, once."""
    seen = []

    def data(epoch):
        for batch in batches(epoch):
            if len(seen) == at:
                seen.append(0)
                raise kind
            seen.append(0)
            yield batch

    return data


@pytest.mark.parametrize(("kind", "at"), [(KeyboardInterrupt, 4), (Stop, 5)])
def test_a_resumed_training_is_the_uninterrupted_one(uninterrupted, tmp_path, kind, at):
    pytest.importorskip("orbax.checkpoint")
    options = {"epochs": 3, "test": batches, "checkpoints": tmp_path, "save_every": 2}
    net, optimizer = make()
    with pytest.raises(kind):
        fit(net, optimizer, data=stopping(kind, at), **options)
    latest = max(int(p.name) for p in tmp_path.iterdir())
    assert latest == 10**9 + (1 if kind is KeyboardInterrupt else 2)
    net, optimizer = make()
    history = fit(net, optimizer, data=batches, **options)
    arrays, expected = uninterrupted
    same(values(net, optimizer), arrays)
    assert numbers(history) == numbers(expected)
    assert fit(net, optimizer, data=batches, **options) == history  # nothing is left to do


def test_truncated_backpropagation_and_a_state_that_is_carried_on(tmp_path):
    pytest.importorskip("orbax.checkpoint")
    rng = np.random.default_rng(0)
    stream = [(rng.normal(size=(7, 4, 5)).astype("f"), rng.integers(0, 3, 4)) for _ in range(4)]
    options = {"encode": None, "truncate": 3, "carry_state": True}
    net, optimizer = make(optax.sgd(0.1))
    fit(net, optimizer, data=stream, epochs=1, **options)

    other, sgd = make(optax.sgd(0.1))
    state = other.init_state((4, 5))
    for x, y in stream:
        for t in (0, 3, 6):
            piece = x[t : t + 3]

            def lost(net, state=state, piece=piece, y=y):
                state, out = net(state, piece)
                return LOSS(out, y), state

            grads, state = nnx.jit(nnx.grad(lost, has_aux=True))(other)
            sgd.update(other, grads)
    for a, b in zip(values(net), values(other), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)

    def broken(epoch):
        yield from stream[:2]
        raise KeyboardInterrupt

    again, sgd = make(optax.sgd(0.1))
    with pytest.raises(KeyboardInterrupt):
        fit(again, sgd, data=broken, epochs=1, checkpoints=tmp_path, **options)
    again, sgd = make(optax.sgd(0.1))
    fit(again, sgd, data=stream, epochs=1, checkpoints=tmp_path, **options)
    same(values(again, sgd), values(net, optimizer))


def test_accumulated_gradients_are_those_of_the_large_batch():
    data = lambda epoch: js.data.batches((*samples(),), 5)  # noqa: E731
    large = lambda epoch: js.data.batches((*samples(),), 10)  # noqa: E731
    nets = []
    for source, every in ((data, 2), (large, 1)):
        rngs = nnx.Rngs(0)
        net = js.nn.Sequential(nnx.Linear(5, 3, rngs=rngs), js.LIF(v_threshold=0.5))
        sums = optax.MultiSteps(optax.sgd(0.1), every_k_schedule=every)
        optimizer = nnx.Optimizer(net, sums, wrt=nnx.Param)
        direct = lambda key, x: js.encode.direct(x, STEPS)  # noqa: E731
        fit(net, optimizer, data=source, epochs=2, encode=direct)
        nets.append(net)
    for a, b in zip(values(nets[0]), values(nets[1]), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_bfloat16_learns_with_a_membrane_in_float32():
    net, optimizer = make(optax.adam(2e-2), dtype=jnp.bfloat16)
    low = lambda key, x: encode(key, x).astype(jnp.bfloat16)  # noqa: E731
    history = fit(net, optimizer, data=batches, epochs=15, encode=low, test=batches)
    assert history[-1].test.accuracy > 0.8
    state, y = net(net.init_state((10, 5)), jnp.zeros((STEPS, 10, 5), jnp.bfloat16))
    assert y.dtype == jnp.bfloat16
    assert {a.dtype for a in jax.tree.leaves(state)} == {jnp.dtype("float32")}


def test_a_nan_names_the_layer_and_leaves_the_network_as_it_was():
    net, optimizer = make()
    before = []

    def data(epoch):
        for i, (x, y) in enumerate(batches(epoch)):
            before[:] = values(net, optimizer)
            yield (np.where(i == 2, np.nan, x).astype("f"), y)

    with pytest.raises(FloatingPointError) as info:
        fit(net, optimizer, data=data, epochs=1, loss=lambda s, y: LOSS(s, y) + s.sum() * 0)
    message = (
        "`fit` stopped in epoch 0, batch 2: a gradient or a state is not finite.\n"
        "`check_finite` found numbers that are not finite:\n"
        "  layer 2: input from time step 0, v from time step 0"
    )
    assert str(info.value).startswith(message)
    same(values(net, optimizer), before)
    with pytest.raises(FloatingPointError) as info:
        fit(net, optimizer, data=batches, epochs=1, loss=lambda s, y: LOSS(s, y) + jnp.log(-1.0))
    assert str(info.value) == (
        "`fit` stopped in epoch 0, batch 0: the loss is nan, and everything in the layers of "
        "neurons is finite. Look at what comes after them, and at what the loss divides by or "
        "takes a root or logarithm of."
    )


def test_the_bar(capsys):
    pytest.importorskip("tqdm")
    net, optimizer = make()
    fit(net, optimizer, data=list(batches(0)), epochs=1, test=batches, progress=True)
    text = capsys.readouterr().err
    assert re.search(r"epoch 1/1: 100%.*3/3 .*loss=[\d.]+, accuracy=[\d.]+%", text)
    assert re.search(r"spikes/s=[\d.e+]+", text)
    assert re.search(r"test=[\d.]+%, rate=[\d.]+%", text)


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"data": []}, ValueError, "`fit(data=...)` must have a batch in epoch 0, got none."),
        ({"truncate": 0}, ValueError, "`fit(truncate=...)` must be at least 1, got 0."),
        (
            {"save_every": 3},
            ValueError,
            "`fit(save_every=...)` needs `checkpoints`, the folder to save in.",
        ),
        ({"epochs": -1}, ValueError, "`fit(epochs=...)` must be at least 0, got -1."),
        (
            {"data": lambda epoch: batches(epoch, 8), "carry_state": True},
            ValueError,
            "`fit(carry_state=True)` must have batches of one shape, got another after batch 3: "
            "(6, 5). Leave out a last one that is smaller.",
        ),
    ],
)
def test_errors(options, kind, message):
    net, optimizer = make()
    with pytest.raises(kind) as info:
        fit(net, optimizer, **{"data": batches, "epochs": 1, **options})
    assert str(info.value) == message
    with pytest.raises(ValueError, match="must have at least one batch, got none"):
        js.train.evaluate(net, [], LOSS)


@pytest.mark.parametrize(
    ("module", "options", "message"),
    [
        (
            "orbax.checkpoint",
            {"checkpoints": "a"},
            "`fit(checkpoints=...)` needs Orbax: pip install 'jaxspike[train]'",
        ),
        (
            "tqdm.auto",
            {"progress": True},
            "`fit(progress=True)` needs tqdm: pip install 'jaxspike[train]', or `progress=False`",
        ),
    ],
)
def test_a_package_that_is_missing(monkeypatch, module, options, message):
    monkeypatch.setitem(sys.modules, module, None)
    net, optimizer = make()
    with pytest.raises(ImportError, match=re.escape(message)):
        fit(net, optimizer, data=batches, epochs=1, **options)


def test_the_page_runs_as_written(capsys):
    page = (Path(__file__).parent.parent / "docs" / "training.md").read_text()
    space = {"__name__": "page"}
    for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(compile(block, "training.md", "exec"), space)
    printed = capsys.readouterr().out
    assert all(float(a) > 80 for a in re.findall(r"accuracy ([\d.]+)%", printed)), printed
    assert "bfloat16 float32" in printed


def start(devices, *args):
    flags = f"{as_flags(QUICK)} --xla_force_host_platform_device_count={devices}"
    script = Path(__file__).with_name("train_on_devices.py")
    env = {**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    return subprocess.Popen(
        [sys.executable, str(script), *map(str, args)],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_eight_devices_and_two_processes():
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    runs = [start(8), start(2, address, 0), start(2, address, 1)]
    texts = [run.communicate(timeout=300)[0] for run in runs]
    for run, text in zip(runs, texts, strict=True):
        assert run.returncode == 0, text
        assert text.endswith("equal\n"), text
