"""`jaxspike.train`: the numbers of the plain loop, and of a run that was never stopped."""

import functools
import os
import re
import signal
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
from jaxspike.train.progress import Progress

pytestmark = pytest.mark.usefixtures("mixed_dtypes")  # the optimizers of Optax mix them
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
KEY = jax.random.key(0)
fit = functools.partial(js.train.fit, loss=LOSS, encode=encode, key=KEY, progress=False)


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
            x_seq = jax.jit(encode)(jax.random.fold_in(KEY, count), x)
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
    np.testing.assert_allclose(score[:3], (rows / 30, right / 30, fired / neurons), rtol=1e-6)
    assert 0.01 < score.firing_rate < 0.9
    _, history = uninterrupted
    assert all(0 < epoch.test.firing_rate < 1 for epoch in history)


def test_it_is_compiled_once():
    traced = []

    def loss(out, y):
        traced.append(out.shape)
        return LOSS(out, y)

    net, optimizer = make()
    fit(net, optimizer, loss=loss, data=batches, epochs=3)
    assert traced == [(STEPS, 10, 3)]


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
    latest = max(p.name for p in tmp_path.iterdir())
    assert latest == f"epoch-1-batch-{1 if kind is KeyboardInterrupt else 2}"
    net, optimizer = make()
    history = fit(net, optimizer, data=batches, **options)
    arrays, expected = uninterrupted
    same(values(net, optimizer), arrays)
    assert numbers(history) == numbers(expected)
    assert fit(net, optimizer, data=batches, **options) == history  # nothing is left to do


def small(optimizer=None, hidden=8, dtype=jnp.float32):
    rngs = nnx.Rngs(0)
    net = js.nn.Sequential(nnx.Linear(5, hidden, param_dtype=dtype, rngs=rngs), js.IF())
    return net, nnx.Optimizer(net, optimizer or optax.sgd(0.1), wrt=nnx.Param)


def spread(out, y):
    return ((out.astype(jnp.float32).mean(0) - 0.5) ** 2).mean()


SPREAD = {"loss": spread, "accuracy": spread}


def test_ctrl_c_during_every_write_leaves_the_last_batch(tmp_path, monkeypatch):
    ocp = pytest.importorskip("orbax.checkpoint")
    save, writes = ocp.Checkpointer.save, []

    def interrupted(self, folder, **args):
        writes.append(folder.parent.name)
        signal.raise_signal(signal.SIGINT)
        return save(self, folder, **args)

    monkeypatch.setattr(ocp.Checkpointer, "save", interrupted)
    options = {"data": batches, "epochs": 2, "checkpoints": tmp_path, **SPREAD}
    with pytest.raises(KeyboardInterrupt):
        fit(*small(), **options)
    assert writes == [".unfinished"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    monkeypatch.setattr(ocp.Checkpointer, "save", save)
    net, optimizer = small()
    history = fit(net, optimizer, **options)
    other, sgd = small()
    assert numbers(history) == numbers(fit(other, sgd, data=batches, epochs=2, **SPREAD))
    same(values(net, optimizer), values(other, sgd))


@pytest.mark.parametrize(
    ("optimizer", "dtype"),
    [
        (optax.MultiSteps(optax.adam(0.01), every_k_schedule=4), jnp.float32),
        (optax.adam(0.01), jnp.bfloat16),
    ],
    ids=["accumulation", "bfloat16"],
)
def test_what_an_optimizer_has_begun_is_resumed(tmp_path, optimizer, dtype):
    pytest.importorskip("orbax.checkpoint")
    net, state = small(optimizer, dtype=dtype)
    fit(net, state, data=batches, epochs=3, **SPREAD)
    options = {"checkpoints": tmp_path, **SPREAD}
    with pytest.raises(KeyboardInterrupt):
        fit(
            *small(optimizer, dtype=dtype), data=stopping(KeyboardInterrupt, 5), epochs=3, **options
        )
    other, resumed = small(optimizer, dtype=dtype)
    fit(other, resumed, data=batches, epochs=3, **options)
    same(values(other, resumed), values(net, state))
    assert other.layers[0].kernel.dtype == dtype


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    pytest.importorskip("orbax.checkpoint")
    folder = tmp_path_factory.mktemp("trained")
    fit(*small(), data=batches, epochs=2, checkpoints=folder, **SPREAD)
    return folder


@pytest.mark.parametrize(
    ("made", "options", "message"),
    [
        (
            {},
            {"epochs": 1},
            "`fit(epochs=...)` must be at least 2, the epochs in the checkpoint in {}, got 1.",
        ),
        (
            {"hidden": 9},
            {},
            "`fit(checkpoints=...)` must be of this run, got 0.bias: "
            "float32[8] in {}, float32[9] here. Give another folder.",
        ),
        (
            {"optimizer": optax.adam(0.1)},
            {},
            "`fit(checkpoints=...)` must be of this run, got "
            "optimizer.opt_state.0.count: nothing in {}, int32[] here. Give another folder.",
        ),
    ],
)
def test_a_checkpoint_of_another_training(trained, made, options, message):
    net, optimizer = small(**made)
    before = values(net, optimizer)
    with pytest.raises(ValueError) as info:
        fit(
            net,
            optimizer,
            **{"data": batches, "epochs": 3, "checkpoints": trained, **SPREAD, **options},
        )
    assert str(info.value) == message.format(trained)
    same(values(net, optimizer), before)


def test_batches_that_are_gone_when_it_resumes(tmp_path):
    pytest.importorskip("orbax.checkpoint")
    options = {"epochs": 1, "checkpoints": tmp_path, **SPREAD}
    with pytest.raises(KeyboardInterrupt):
        fit(*small(), data=stopping(KeyboardInterrupt, 2), **options)
    with pytest.raises(ValueError) as info:
        fit(*small(), data=list(batches(0))[:1], **options)
    assert str(info.value) == (
        "The number of batches of `fit(data=...)` in epoch 0 must be at least 2, those done before "
        "the checkpoint, got 1."
    )


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
        "`fit` stopped in epoch 0, batch 2: a state is NaN.\n"
        "`check_finite` found numbers that are not finite:\n"
        "  layer 2: input from time step 0, v from time step 0"
    )
    assert str(info.value).startswith(message)
    same(values(net, optimizer), before)
    with pytest.raises(FloatingPointError) as info:
        fit(net, optimizer, data=batches, epochs=1, loss=lambda s, y: LOSS(s, y) + jnp.log(-1.0))
    assert str(info.value) == (
        "`fit` stopped in epoch 0, batch 0: the loss is nan, and everything in the layers of "
        "neurons is finite. Look at what comes after them: divisions, roots and logarithms in the "
        "loss, and labels that are not a class."
    )


class Head(nnx.Module):
    """After the neurons: its gradient is not finite, what it returns is."""

    def __init__(self, dtype):
        self.scale = nnx.Param(jnp.zeros(3, dtype))

    def __call__(self, x):
        return x + jnp.sqrt(self.scale[...]).real


@pytest.mark.parametrize("dtype", [float, complex])
def test_a_gradient_that_is_not_finite_names_its_parameter(dtype):
    rngs = nnx.Rngs(0)
    net = js.nn.Sequential(nnx.Linear(5, 3, rngs=rngs), js.IF(), Head(dtype))
    before = values(net)
    with pytest.raises(FloatingPointError) as info:
        fit(net, nnx.Optimizer(net, optax.sgd(0.1), wrt=nnx.Param), data=batches, epochs=1)
    assert str(info.value) == (
        "`fit` stopped in epoch 0, batch 0: the gradient of 2.scale is not finite, and "
        "everything in the layers of neurons is finite. Look at what comes after them: divisions, "
        "roots and logarithms in the loss, and labels that are not a class."
    )
    same(values(net), before)


@pytest.mark.parametrize(
    ("optimizer", "factor", "names"),
    [
        (optax.sgd(float("nan")), 1.0, "0.bias, 0.kernel"),
        (
            optax.adam(1e-3),
            1e25,  # the gradient is finite, its square is not, and Adam would never learn again
            "optimizer.opt_state.0.nu.0.bias, optimizer.opt_state.0.nu.0.kernel",
        ),
    ],
    ids=["parameters", "optimizer"],
)
def test_an_update_that_is_not_finite_is_undone(optimizer, factor, names):
    net, state = small(optimizer)
    before = values(net, state)

    def loss(out, y):
        return factor * out.mean()

    with pytest.raises(FloatingPointError) as info:
        fit(net, state, data=batches, epochs=1, loss=loss, accuracy=spread)
    assert str(info.value) == (
        f"`fit` stopped in epoch 0, batch 0: the update made {names} not finite, and everything in "
        "the layers of neurons is finite. Look at the optimizer, first at its learning rate, and "
        "for huge inputs."
    )
    same(values(net, state), before)


def test_an_infinity_that_was_there_before_may_stay():
    net, _ = small()
    net.mask = nnx.Variable(jnp.array([0.0, -jnp.inf]))
    fit(net, nnx.Optimizer(net, optax.sgd(0.1), wrt=nnx.Param), data=batches, epochs=1, **SPREAD)


def test_a_nan_that_spikes_hide_is_no_score():
    x, y = samples()
    x[12, 0] = np.nan
    net, _ = make()
    data = js.data.batches((x, y), 10)
    with pytest.raises(FloatingPointError) as info:
        js.train.evaluate(net, data, LOSS, encode=encode, key=KEY)
    assert str(info.value).startswith(
        "`evaluate` stopped at batch 1: a state is NaN.\n"
        "`check_finite` found numbers that are not finite:\n"
        "  layer 2: input from time step 0, v from time step 0"
    )


def test_a_nan_in_a_complex_state():
    net = js.nn.Sequential(
        js.nn.SpikingS4D(3, 2, rngs=nnx.Rngs(0)), nnx.Linear(3, 2, rngs=nnx.Rngs(1))
    )
    x_seq = np.zeros((4, 5, 3), np.float32)
    x_seq[2, 1, 0] = np.nan
    with pytest.raises(FloatingPointError) as info:
        js.train.evaluate(net, [(x_seq, np.zeros(5, np.int32))], LOSS)
    assert str(info.value).startswith(
        "`evaluate` stopped at batch 0: a state is NaN.\n"
        "`check_finite` found numbers that are not finite:\n"
        "  layer 0.output: input from time step 0"  # the first of its chunk
    )


def test_an_encoder_needs_a_key():
    net, optimizer = small()
    for call in (
        lambda: fit(net, optimizer, data=batches, epochs=1, key=None),
        lambda: js.train.evaluate(net, batches, LOSS, encode=encode),
    ):
        with pytest.raises(TypeError, match=r"^`(fit|evaluate)\(key=...\)` must be a") as info:
            call()
        assert str(info.value).split("=...)` ")[1] == (
            "must be a random key, got None. Give `jax.random.key(seed)`."
        )


def test_the_bar(capsys):
    pytest.importorskip("tqdm")
    net, optimizer = make()
    fit(net, optimizer, data=batches, epochs=1, test=batches, progress=True)
    text = capsys.readouterr().err
    assert re.search(r"epoch 1/1: 100%.*3/3 .*loss=[\d.]+, accuracy=[\d.]+%", text)
    assert re.search(r"spikes/s=[\d.e+]+", text)
    assert re.search(r"\d\d:\d\d<\d\d:\d\d", text)  # the time left
    assert re.search(r"test=[\d.]+%, rate=[\d.]+%", text)
    net, optimizer = small()
    fit(net, optimizer, data=stopping(Stop, -1), epochs=2, progress=True, **SPREAD)
    text = capsys.readouterr().err
    assert "epoch 1/2: 3batch" in text  # a generator: how many there are is known afterwards
    assert "epoch 2/2: 100%" in text


def test_the_spikes_of_the_bar(monkeypatch):
    pytest.importorskip("tqdm")
    now, shown = [0.0], []
    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    with Progress(0, 1, 0, None, show=True) as bar:
        monkeypatch.setattr(bar.bar, "set_postfix", lambda values, refresh: shown.append(values))
        for batch in range(250):
            assert bar.wants_spikes == (batch % 100 == 0)
            if bar.wants_spikes:
                bar.spikes(1000.0 + batch)
            now[0] += 0.5
            bar.update({"loss": 1.0, "accuracy": 1.0, "samples": 1.0})
    assert [shown[i]["spikes/s"] for i in (0, 99, 100, 249)] == [
        "2e+03",
        "2e+03",
        "2.2e+03",
        "2.4e+03",
    ]


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        (
            {"data": []},
            ValueError,
            "`fit(data=...)` must have a batch in epoch 0, got none. An iterator can be "
            "consumed only once; give a list or a function of the epoch.",
        ),
        (
            {"data": batches(0), "epochs": 2, **SPREAD},
            ValueError,
            "`fit(data=...)` must have a batch in epoch 1, got none. An iterator can be "
            "consumed only once; give a list or a function of the epoch.",
        ),
        (
            {"data": 3},
            TypeError,
            "`fit(data=...)` must be batches, or a function of the epoch that returns them, got an "
            "int. `js.data.batches` cuts arrays into batches.",
        ),
        (
            {"data": np.zeros((4, 2, 5))},
            TypeError,
            "`fit(data=...)` must be pairs (x_seq, labels), got a ndarray. `js.data.batches` cuts "
            "arrays into batches.",
        ),
        (
            {"data": [np.zeros((6, 10, 5))], "encode": None},
            TypeError,
            "`fit(data=...)` must be pairs (x_seq, labels), got a ndarray. `js.data.batches` cuts "
            "arrays into batches.",
        ),
        (
            {"data": [(np.zeros(5), 1)], "encode": None},
            ValueError,
            "x_seq of `fit(data=...)` must be [T, N, ...], got the shape (5,). Time is the first "
            "axis.",
        ),
        (
            {"encode": lambda key, x: x[None][:0]},
            ValueError,
            "The number of time steps in x_seq of `fit(encode=...)` must be at least 1, got 0.",
        ),
        (
            {"loss": lambda out, y: out.sum((0, 2))},
            ValueError,
            "`fit(loss=...)` must return one number, got the shape (10,). Return a mean over "
            "samples.",
        ),
        (
            {"loss": lambda out, y: None},
            ValueError,
            "`fit(loss=...)` must return one number, got a NoneType. Return a mean over samples.",
        ),
        (
            {"accuracy": lambda out, y: y == 0},
            ValueError,
            "`fit(accuracy=...)` must return one number, got the shape (10,). Return a mean over "
            "samples.",
        ),
        (
            {"loss": "mse"},
            TypeError,
            "`fit(loss=...)` must be a function of (output, labels), got 'mse'.",
        ),
        (
            {"metrics": {"accuracy": spread}},
            ValueError,
            "`fit(metrics=...)` must have other names than 'accuracy'. Give `accuracy=accuracy`.",
        ),
        (
            {"metrics": [spread]},
            TypeError,
            "`fit(metrics=...)` must be a dict from names to functions, got a list. "
            "Give `{'name': function}`.",
        ),
        (
            {"keep_best": "loss"},
            TypeError,
            "`fit(keep_best=...)` must be a function of an `Epoch`, got 'loss'.",
        ),
        (
            {"callback": 1},
            TypeError,
            "`fit(callback=...)` must be a function of the history, got 1.",
        ),
        (
            {"data": [(np.ones((2, 5), np.float32), np.array(["cat", "dog"]))]},
            TypeError,
            "Labels of `fit(data=...)` must be numbers, got <U3. "
            "Give classes as integers: `np.unique(labels, return_inverse=True)[1]`.",
        ),
        ({"encode": 8}, TypeError, "`fit(encode=...)` must be a function of (key, x), got 8."),
        (
            {"key": 0},
            TypeError,
            "`fit(key=...)` must be a random key, got 0. Give `jax.random.key(seed)`.",
        ),
        (
            {"net": js.IF()},
            TypeError,
            "`fit(net=...)` must be a SpikingModule, got an IF. Put it in a `js.nn.Sequential`.",
        ),
        (
            {"optimizer": optax.sgd(0.1)},
            TypeError,
            "`fit(optimizer=...)` must be an nnx.Optimizer, got a "
            "GradientTransformationExtraArgs. Give `nnx.Optimizer(net, optax.adam(1e-3), "
            "wrt=nnx.Param)`.",
        ),
        (
            {"checkpoints": __file__},
            ValueError,
            f"`fit(checkpoints=...)` must be a folder, got {__file__!r}.",
        ),
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
            "(6, 5). Leave out a smaller last batch.",
        ),
    ],
)
def test_errors(options, kind, message):
    net, optimizer = make()
    if "checkpoints" in options:
        pytest.importorskip("orbax.checkpoint")
    given = {"net": net, "optimizer": optimizer, "data": batches, "epochs": 1, **options}
    with pytest.raises(kind) as info:
        fit(**given)
    assert str(info.value) == message


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        (
            {"data": []},
            ValueError,
            "`evaluate(data=...)` must have a batch in epoch 0, got none. An iterator can be "
            "consumed only once; give a list or a function of the epoch.",
        ),
        (
            {"data": [(np.zeros(5), 1)]},
            ValueError,
            "x_seq of `evaluate(data=...)` must be [T, N, ...], got the shape (5,). Time is the "
            "first axis.",
        ),
        (
            {"loss": lambda out, y: out.sum((0, 2))},
            ValueError,
            "`evaluate(loss=...)` must return one number, got the shape (2,). Return a mean over "
            "samples.",
        ),
        (
            {"accuracy": lambda out, y: y == 0},
            ValueError,
            "`evaluate(accuracy=...)` must return one number, got the shape (2,). Return a mean "
            "over samples.",
        ),
    ],
)
def test_errors_of_evaluate(options, kind, message):
    data = [(np.zeros((4, 2, 5), "f"), np.zeros(2, int))]
    with pytest.raises(kind) as info:
        js.train.evaluate(small()[0], **{"data": data, **SPREAD, **options})
    assert str(info.value) == message


def test_no_epochs_change_nothing():
    net, optimizer = small()
    before = values(net, optimizer)
    assert fit(net, optimizer, data=[], epochs=0) == []
    same(values(net, optimizer), before)


def test_nothing_to_learn():
    net, _ = small()
    optimizer = nnx.Optimizer(net, optax.sgd(0.1), wrt=nnx.BatchStat)
    with pytest.raises(ValueError) as info:
        fit(net, optimizer, data=batches, epochs=1)
    assert str(info.value) == (
        f"`fit(optimizer=...)` must learn what the network has, got wrt={nnx.BatchStat!r}. "
        "Give `nnx.Optimizer(net, optax.adam(1e-3), wrt=nnx.Param)`."
    )


@pytest.mark.parametrize(
    ("module", "options", "message"),
    [
        (
            "orbax.checkpoint",
            {"checkpoints": "a"},
            "`fit(checkpoints=...)` needs the package orbax. Install it: "
            "`pip install 'jaxspike[train]'`.",
        ),
        (
            "tqdm.auto",
            {"progress": True},
            "`fit(progress=True)` needs the package tqdm. Install it: "
            "`pip install 'jaxspike[train]'`, or give `progress=False`.",
        ),
    ],
)
def test_a_package_that_is_missing(monkeypatch, module, options, message):
    monkeypatch.setitem(sys.modules, module, None)
    net, optimizer = make()
    with pytest.raises(ImportError, match=re.escape(message)):
        fit(net, optimizer, data=batches, epochs=1, **options)


def test_the_page_runs_as_written(capsys):
    page = (Path(__file__).parents[2] / "docs" / "training.md").read_text()
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


@pytest.mark.slow
def test_eight_devices_and_two_processes(tmp_path):
    pytest.importorskip("orbax.checkpoint")
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    one, two = tmp_path / "one", tmp_path / "two"
    runs = [start(8, one), start(2, two, address, 0), start(2, two, address, 1)]
    texts = [run.communicate(timeout=300)[0] for run in runs]
    for run, text in zip(runs, texts, strict=True):
        assert run.returncode == 0, text
        assert text.endswith("equal\n"), text


class WithActivity(js.nn.SpikingModule):
    """A network that also returns the spikes of its neurons, for the loss."""

    def __init__(self, net):
        self.net = net

    def __call__(self, state, x):
        new, y, records = js.debug.record(self.net, state["net"], x, update=True)
        return {"net": new}, (y, [record["output"] for record in records.values()])


def test_hidden_spikes_for_the_loss_are_in_every_program(uninterrupted):
    pytest.importorskip("tqdm")

    def loss(out, y):
        return LOSS(out[0], y)

    def accuracy(out, y):
        return js.losses.accuracy(out[0], y)

    inner, _ = make()
    net = WithActivity(inner)
    optimizer = nnx.Optimizer(net, optax.adam(1e-2), wrt=nnx.Param)
    options = {"data": batches, "epochs": 1, "test": batches, "progress": True}
    history = fit(net, optimizer, loss=loss, accuracy=accuracy, **options)
    np.testing.assert_allclose(history[0][:2], uninterrupted[1][0][:2], rtol=1e-5)
    np.testing.assert_allclose(history[0].test[:3], uninterrupted[1][0].test[:3], rtol=1e-5)
    x_seq = encode(KEY, samples()[0])
    scaled = js.train.scale_to_firing_rate(net, x_seq, rate=0.2)
    report = js.debug.firing_rates(scaled, scaled.init_state(x_seq.shape[1:]), x_seq)
    assert list(report.layers) == ["net.2", "net.5"]
    assert abs(report.layers["net.2"].rate - 0.2) < 0.01


def masked_mse(out, target):
    error = (out - target["y"]) ** 2 * target["mask"][..., None]
    return error.sum() / target["mask"].sum() / out.shape[-1]


def masked_mae(out, target):
    error = jnp.abs(out - target["y"]) * target["mask"][..., None]
    return error.sum() / target["mask"].sum() / out.shape[-1]


def test_regression_with_a_mask_among_the_labels():
    rng = np.random.default_rng(0)
    x_seq = rng.normal(size=(STEPS, 4, 5)).astype(np.float32)
    y = rng.normal(size=(STEPS, 4, 2)).astype(np.float32)
    mask = js.data.mask([3, 6, 4, 5], STEPS)
    data = [(x_seq, {"y": y, "mask": mask})]
    net = js.nn.Sequential(nnx.Linear(5, 2, rngs=nnx.Rngs(0)), js.LI())
    out = np.asarray(net(net.init_state((4, 5)), jnp.asarray(x_seq))[1])
    want = {"mse": ((out - y)[mask] ** 2).mean(), "mae": np.abs(out - y)[mask].mean()}
    options = {"accuracy": None, "metrics": {"mae": masked_mae}}
    score = js.train.evaluate(net, data, masked_mse, **options)
    np.testing.assert_allclose((score.loss, score.metrics["mae"]), [*want.values()], rtol=1e-5)
    optimizer = nnx.Optimizer(net, optax.adam(0.1), wrt=nnx.Param)
    (epoch, last) = js.train.fit(
        net, optimizer, masked_mse, data, 2, progress=False, test=data, **options
    )
    assert epoch.accuracy is None is epoch.test.accuracy and last.loss < epoch.loss
    np.testing.assert_allclose((epoch.loss, epoch.metrics["mae"]), [*want.values()], rtol=1e-5)
    assert epoch.test.metrics["mae"] < epoch.metrics["mae"]


def worse_later(epoch):
    """The highest in epoch 1."""
    return -abs(epoch.test.loss - worse_later.best)


def test_the_best_weights_are_kept_also_by_a_run_that_resumes(tmp_path):
    pytest.importorskip("orbax.checkpoint")
    options = {"data": batches, "test": batches, **SPREAD, "keep_best": worse_later}
    worse_later.best = -np.inf
    kept = []
    net, optimizer = small()
    keep = lambda history: kept.append((values(net), values(optimizer)))  # noqa: E731
    history = fit(net, optimizer, epochs=4, callback=keep, **{**options, "keep_best": None})
    same(values(net), kept[-1][0])
    worse_later.best = history[1].test.loss
    net, optimizer = small()
    fit(net, optimizer, epochs=4, **options)
    same(values(net), kept[1][0])
    same(values(optimizer), kept[-1][1])
    assert any(np.any(a != b) for a, b in zip(kept[1][0], kept[-1][0], strict=True))
    for epochs in (3, 4):  # the second goes on from the last weights, not from the best
        net, optimizer = small()
        resumed = fit(net, optimizer, epochs=epochs, checkpoints=tmp_path / "a", **options)
        same(values(net), kept[1][0])
    assert numbers(resumed) == numbers(history)
    same(values(optimizer), kept[-1][1])
    fit(*small(), epochs=1, checkpoints=tmp_path / "b", **{**options, "keep_best": None})
    with pytest.raises(ValueError) as error:
        fit(*small(), epochs=2, checkpoints=tmp_path / "b", resume="anyway", **options)
    assert str(error.value) == (
        "`fit(keep_best=...)` must be given from the first epoch on, got a checkpoint in "
        f"{tmp_path / 'b'} without best weights. Give another folder."
    )


def test_a_callback_changes_the_network_and_stops_the_run_for_good(tmp_path):
    pytest.importorskip("orbax.checkpoint")

    def run():
        net = js.nn.Sequential(
            nnx.Linear(5, 8, rngs=nnx.Rngs(0)), js.IF(v_threshold=jnp.float32(1.0))
        )
        optimizer = nnx.Optimizer(net, optax.sgd(0.1), wrt=nnx.Param)

        def anneal(history):
            net[1].v_threshold[...] = jnp.float32(1 / (1 + len(history)))
            return len(history) == 2

        options = {"data": batches, "epochs": 5, "checkpoints": tmp_path, **SPREAD}
        return net, fit(net, optimizer, callback=anneal, **options)

    net, history = run()
    again, resumed = run()
    assert len(history) == 2 and resumed == history
    assert net[1].v_threshold[...] == again[1].v_threshold[...] == np.float32(1 / 3)
    same(values(again), values(net))


def test_layers_that_do_not_fire_or_always_do_are_named_once():
    linear = nnx.Linear(5, 8, rngs=nnx.Rngs(0))
    always = js.DiscreteLIF(v_decay=0.5, v_leak=2.0, v_threshold=0.5)
    net = js.nn.Sequential(linear, js.IF(v_threshold=1e6), always, js.IF(v_threshold=1e6))
    optimizer = nnx.Optimizer(net, optax.sgd(0.1), wrt=nnx.Param)
    with pytest.warns(UserWarning) as caught:
        fit(net, optimizer, data=batches, epochs=2, **SPREAD)
    fix = "`jaxspike.train.scale_to_firing_rate(net, x_seq)` gives a network that fires to start"
    assert [str(w.message) for w in caught] == [
        f"`fit`: after epoch 0 layers 1, 3 do not fire at its first batch. {fix} from.",
        f"`fit`: after epoch 0 layer 2 fires in over 95% of the time steps at its first "
        f"batch. {fix} from.",
    ]


def test_a_layer_inside_a_transformation_is_not_counted():
    class Closed(js.nn.SpikingModule):
        def __init__(self):
            self.linear, self.lif = nnx.Linear(5, 3, rngs=nnx.Rngs(0)), js.LIF(v_threshold=1e6)

        def __call__(self, state, x):
            run = jax.jit(lambda s, x: self.lif(s, x))
            lif, y = run(state["lif"], self.linear(x))
            return {"lif": lif}, y

    net = Closed()
    optimizer = nnx.Optimizer(net, optax.sgd(0.1), wrt=nnx.Param)
    assert len(fit(net, optimizer, data=batches, epochs=1, **SPREAD)) == 1


def test_a_network_without_neurons_learns_and_has_no_spikes():
    net = js.nn.Sequential(nnx.Linear(5, 3, rngs=nnx.Rngs(0)))
    optimizer = nnx.Optimizer(net, optax.sgd(0.1), wrt=nnx.Param)
    first, last = fit(net, optimizer, data=batches, epochs=2, **SPREAD)
    assert last.loss < first.loss
    score = js.train.evaluate(net, batches(0), LOSS, encode=encode, key=KEY)
    assert score.firing_rate == 0
