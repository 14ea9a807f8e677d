"""The page "bring your model", Linen, checkpoints and export."""

import contextlib
import io
import os
import pathlib
import re
import signal
import subprocess
import sys

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import jaxspike as js

ROOT = pathlib.Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "bring_your_model.md").read_text()


def test_the_page_runs_as_written():
    pytest.importorskip("flatbuffers", reason="the file format of jax.export")
    space, out = {"__name__": "page"}, io.StringIO()
    with contextlib.redirect_stdout(out):
        for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
            exec(compile(block, "bring_your_model.md", "exec"), space)
    printed = out.getvalue()
    rates = [float(r) for r in re.findall(r"rate ([\d.]+)%", printed)]
    assert len(rates) == 2
    assert all(1 < r < 90 for r in rates), printed
    assert "0.weight, 0.bias, 1.weight" in printed
    first, last = re.search(r"loss ([\d.]+) to ([\d.]+)", printed).groups()
    assert float(last) < float(first)
    assert printed.count("True") == 2
    assert float(re.search(r"tau_raw (-?[\d.]+)", printed)[1]) != 0
    assert jax.tree.all(
        jax.tree.map(
            np.array_equal,
            nnx.state(space["back"], nnx.Param),
            nnx.state(js.convert.from_ann(space["ann"], space["snn"]), nnx.Param),
        )
    )


# Linen


def make(rngs, train=True):
    net = js.nn.Sequential(
        nnx.Linear(3, 8, rngs=rngs),
        nnx.BatchNorm(8, rngs=rngs),
        js.nn.Spiking(
            js.LIF(jnp.linspace(1.5, 3, 8), v_threshold=jnp.full(8, 0.5)), learn=("tau",)
        ),
        js.nn.Dropout(0.5, rngs=rngs),
        js.Delay(2),
    )
    net.train() if train else net.eval()
    return net


@pytest.fixture(scope="module")
def xs():
    return jax.random.normal(jax.random.key(0), (6, 4, 3))


def test_linen_computes_what_nnx_does(xs):
    train, evaluate = (nnx.bridge.ToLinen(make, kwargs={"train": t}) for t in (True, False))
    net = make(nnx.Rngs(0), train=False)
    state = net.init_state((4, 3))
    keys = {"params": jax.random.key(0), "dropout": jax.random.key(1)}
    variables = jax.jit(train.init)(keys, state, xs)
    assert set(variables) >= {"params", "batch_stats"}
    assert set(variables["params"]["layers"][2]) == {"tau_raw"}

    learn = jax.jit(lambda *args, **keys: train.apply(*args, **keys, mutable=["batch_stats"])[1])
    new = learn(variables, state, xs, rngs={"dropout": jax.random.key(2)})
    old = variables["batch_stats"]["layers"][1]["mean"]
    assert np.any(new["batch_stats"]["layers"][1]["mean"] != old)

    variables = variables | new
    nnx.update(net, {"layers": jax.tree.map(jnp.asarray, merged(variables))})
    (last, y), (last_nnx, y_nnx) = (
        jax.jit(evaluate.apply)(variables, state, xs),
        nnx.jit(lambda net, state, xs: net(state, xs))(net, state, xs),
    )
    assert 0.01 < y.mean() < 0.9
    np.testing.assert_array_equal(y, y_nnx)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), last, last_nnx)


def merged(variables):
    """Parameters and statistics by layer, as an NNX network has them."""
    layers = {}
    for name in ("params", "batch_stats"):
        for i, values in variables[name]["layers"].items():
            layers.setdefault(i, {}).update(values)
    return layers


# checkpoints


def new_run():
    net = make(nnx.Rngs(0))
    optimizer = nnx.Optimizer(net, optax.sgd(1e-2, momentum=0.9), wrt=nnx.Param)
    return net, optimizer, net.init_state((4, 3))


@nnx.jit
def train_step(net, optimizer, state, xs):
    def loss(net):
        new, y = net(state, xs)
        return (y.mean() - 0.2) ** 2, new

    grads, new = nnx.grad(loss, has_aux=True)(net)
    optimizer.update(net, grads)
    return new


def everything(net, optimizer, state):
    return {"net": nnx.state(net), "optimizer": nnx.state(optimizer), "state": state}


def values(tree):
    return [
        np.asarray(jax.random.key_data(a) if jnp.issubdtype(a.dtype, jax.dtypes.prng_key) else a)
        for a in jax.tree.leaves(tree)
    ]


def test_a_resumed_run_is_the_uninterrupted_one(xs, tmp_path):
    ocp = pytest.importorskip("orbax.checkpoint")
    net, optimizer, state = new_run()
    for i in range(4):
        state = train_step(net, optimizer, state, xs)
        if i == 1:
            with ocp.CheckpointManager(tmp_path) as manager:
                tree = everything(net, optimizer, state)
                manager.save(i, args=ocp.args.StandardSave(tree))
    want = values(everything(net, optimizer, state))

    net, optimizer, state = new_run()
    with ocp.CheckpointManager(tmp_path) as manager:
        like = ocp.args.StandardRestore(everything(net, optimizer, state))
        found = manager.restore(manager.latest_step(), args=like)
    nnx.update(net, found["net"])
    nnx.update(optimizer, found["optimizer"])
    state = found["state"]
    assert any((a != b).any() for a, b in zip(want, values(found), strict=True))
    for _ in range(2):
        state = train_step(net, optimizer, state, xs)
    for a, b in zip(want, values(everything(net, optimizer, state)), strict=True):
        np.testing.assert_array_equal(a, b)


WRITER = """
import os, signal, sys
import numpy as np
import orbax.checkpoint as ocp

def kill(event, args):
    if event == "os.rename" and str(args[1]).endswith("/2"):
        os.kill(os.getpid(), signal.SIGKILL)

with ocp.CheckpointManager(sys.argv[1]) as manager:
    manager.save(1, args=ocp.args.StandardSave({"w": np.full(1000, 1.0)}))
    manager.wait_until_finished()
    sys.addaudithook(kill)
    manager.save(2, args=ocp.args.StandardSave({"w": np.full(1000, 2.0)}))
"""


def test_a_killed_write_leaves_the_last_checkpoint(tmp_path):
    ocp = pytest.importorskip("orbax.checkpoint")
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", WRITER, tmp_path], env=os.environ)
    assert done.returncode == -signal.SIGKILL
    assert any(p.name.startswith("2.") for p in tmp_path.iterdir())  # it was in the middle
    with ocp.CheckpointManager(tmp_path) as manager:
        assert manager.latest_step() == 1
        like = ocp.args.StandardRestore({"w": np.zeros(1000)})
        np.testing.assert_array_equal(manager.restore(1, args=like)["w"], 1.0)
        manager.save(2, args=ocp.args.StandardSave({"w": np.full(1000, 2.0)}))
        manager.wait_until_finished()
        np.testing.assert_array_equal(manager.restore(2, args=like)["w"], 2.0)


# export


@pytest.fixture(scope="module")
def images():
    rngs = nnx.Rngs(0)
    net = js.nn.Sequential(
        nnx.Conv(1, 4, (3, 3), rngs=rngs),
        js.nn.fold_time(nnx.GroupNorm(4, num_groups=2, rngs=rngs)),
        js.LIF(v_threshold=0.3),
        js.nn.MaxPool((2, 2)),
        js.nn.Flatten(),
        nnx.Linear(64, 8, rngs=rngs),
        js.nn.Recurrent(js.CubaLIF(), nnx.Linear(8, 8, rngs=rngs)),
    )
    net.eval()
    return net


def test_exported_sequence(images):
    net = images

    def run(xs):
        return net(net.init_state(xs.shape[1:]), xs)[1]

    spec = jax.ShapeDtypeStruct(jax.export.symbolic_shape("6, b, 8, 8, 1"), jnp.float32)
    exported = jax.export.export(jax.jit(run))(spec)
    xs = jax.random.uniform(jax.random.key(0), (6, 3, 8, 8, 1))
    y = exported.call(xs)
    assert 0.01 < y.mean() < 0.9
    np.testing.assert_array_equal(y, jax.jit(run)(xs))
    np.testing.assert_array_equal(exported.call(xs[:, :1]), y[:, :1])


def test_exported_step(images):
    net = images
    shape = jax.export.symbolic_shape("b, 8, 8, 1")
    state = jax.eval_shape(lambda: net.init_state(shape))
    step = jax.jit(lambda state, x: net(state, x))
    exported = jax.export.export(step)(state, jax.ShapeDtypeStruct(shape, jnp.float32))
    ours = theirs = net.init_state((3, 8, 8, 1))
    for x in jax.random.uniform(jax.random.key(0), (4, 3, 8, 8, 1)):
        (ours, y), (theirs, z) = step(ours, x), exported.call(theirs, x)
        np.testing.assert_array_equal(y, z)
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)


@pytest.mark.parametrize("shape", ["8, b, 40000", "t, b, 40000"])
def test_a_large_layer_is_exported(shape):
    """Where a layer of known size would be tiled, and for any number of steps."""
    neuron = js.LIF(v_threshold=0.5)
    spec = jax.ShapeDtypeStruct(jax.export.symbolic_shape(shape), jnp.float32)

    def run(xs):
        return js.scan(neuron, neuron.init_state(xs.shape[1:]), xs)[1]

    xs = jax.random.uniform(jax.random.key(0), (8, 1, 40000))
    exported = jax.export.export(jax.jit(run))(spec)
    np.testing.assert_array_equal(exported.call(xs), jax.jit(run)(xs))
