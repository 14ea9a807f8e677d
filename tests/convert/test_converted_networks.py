"""Converted convolution networks with random keys inside, under transformations, and in x64."""

import functools
import os
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from xla import QUICK, as_flags

import jaxspike as js

KEY = jax.random.key(0)


class Convolutional(nnx.Module):
    """A convolution, normalization, dropout, and activations of one and of two populations."""

    def __init__(self, rngs):
        self.conv = nnx.Conv(1, 3, (3, 3), rngs=rngs)
        self.norm = nnx.BatchNorm(3, rngs=rngs)
        self.drop = nnx.Dropout(0.5, rngs=rngs)
        self.fc1, self.fc2 = nnx.Linear(12, 5, rngs=rngs), nnx.Linear(5, 2, rngs=rngs)

    def __call__(self, x, act=lambda _, x: nnx.relu(x), pool=nnx.max_pool):
        x = pool(act(0, self.norm(self.conv(x))), (2, 2), (2, 2))
        return self.fc2(act(1, self.fc1(self.drop(x.reshape(*x.shape[:-3], -1)))))


X = jax.random.uniform(KEY, (3, 4, 4, 1))


def repeated(x, steps=4):
    return jnp.broadcast_to(x, (steps, *x.shape))


def loss(snn, x_seq):
    return (snn(snn.init_state(x_seq.shape[1:]), x_seq)[1] ** 2).sum()


def test_gradients_of_samples_add_up_with_keys_in_the_network():
    """The keys of dropout are leaves of the network; they change nothing in evaluation mode."""
    snn = js.convert.spiking(Convolutional(nnx.Rngs(0)), [X], threshold="max")
    graph, params, rest = nnx.split(snn, nnx.Param, ...)
    assert any(jnp.issubdtype(a.dtype, jax.dtypes.prng_key) for a in jax.tree.leaves(rest))

    def of(params, x_seq):
        return loss(nnx.merge(graph, params, rest), x_seq)

    def one(params, x_seq):
        return of(params, x_seq[:, None])

    @jax.jit
    def ways(params, x_seq):
        each = jax.vmap(jax.grad(one), (None, 1))(params, x_seq)  # grad in vmap
        return (
            jax.grad(of)(params, x_seq),
            jax.tree.map(lambda g: g.sum(0), each),
            jax.grad(lambda p, x: jax.vmap(one, (None, 1))(p, x).sum())(params, x_seq),
        )

    want, *others = ways(params, repeated(X))
    assert all(np.any(g) for g in jax.tree.leaves(want))
    for other in others:
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 1e-4, 1e-5), other, want)


def test_keys_and_indices_of_a_partial_are_no_parameters():
    def net(key, order, weight, x):
        return jax.nn.relu(x[:, order] @ weight + jax.random.normal(key, (2,)))

    x = jax.random.normal(KEY, (4, 3))
    ann = jax.tree_util.Partial(net, KEY, jnp.array([2, 0, 1]), jnp.ones((3, 2)))
    snn = js.convert.spiking(ann, [x], threshold="max")
    kinds = [isinstance(a, nnx.Param) for a in snn.arguments]
    assert kinds == [False, False, True]
    grads = nnx.grad(loss)(snn, repeated(x))
    assert np.any(grads.arguments[2][...])


def test_double_precision():
    """Every step is that of neurons by hand."""
    with jax.enable_x64(True):
        net, x = Convolutional(nnx.Rngs(0)), X.astype(jnp.float64)
        for kind in (nnx.Param, nnx.BatchStat):
            nnx.update(net, jax.tree.map(lambda a: a.astype(jnp.float64), nnx.state(net, kind)))
        net.eval()
        snn = js.convert.spiking(net, [x], threshold="max", per="layer")
        state = snn.init_state(x.shape, jnp.float64)
        assert {a.dtype for a in jax.tree.leaves(state)} == {jnp.dtype("float64")}
        np.testing.assert_allclose(snn.rate_limit(x), net(x), rtol=1e-13)
        for order in ("layer", "step"):
            _, y = js.scan(snn, state, repeated(x), order=order)
            assert y.dtype == jnp.float64
            for t, want in enumerate(by_hand(snn, net, x, 4)):
                np.testing.assert_allclose(y[t], want, rtol=1e-12)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_other_dtypes(dtype):
    """Nothing is counted in 16 bits, and a channel that never fires stays finite."""
    with jax.enable_x64(dtype == "float64"):
        w = jnp.linspace(-1, 1, 12, dtype=dtype).reshape(3, 4)
        x = jax.random.uniform(KEY, (5, 3)).astype(dtype)

        def net(x):
            return nnx.leaky_relu(nnx.relu(x @ w - jnp.array([0, 0, 0, 9], dtype)) @ w.T)

        snn = js.convert.spiking(net, [x] * 40, threshold="balanced")
        snn = js.convert.calibrate_potentials(snn, [x], steps=300)
        assert snn.thresholds[0][3] < 1e-5
        state, y = snn(snn.init_state(x.shape), repeated(x, 300))
        assert y.dtype == dtype and all(np.isfinite(a).all() for a in jax.tree.leaves(state))
        error = abs(snn.estimates(y)[-1] - snn.rate_limit(x).astype(snn.estimates(y).dtype))
        assert error.max() < 0.02
        report = snn.report(x, steps=300)  # in bfloat16 there is no 257
        assert max(row.error for row in report.activations) < 0.05


def by_hand(snn, net, x, steps):
    """The outputs of soft-reset neurons, each of which sees what the pooled sum gained."""
    v, totals = {}, {}

    def act(k, a):
        return a if k == 0 else fire(k, a)

    def pool(a, *window):
        old = nnx.max_pool(totals.get(0, jnp.zeros_like(a)), *window)
        totals[0] = totals.get(0, 0) + a
        return fire(0, nnx.max_pool(totals[0], *window) - old)

    def fire(k, a):
        theta = snn.thresholds[k][...]
        h = v.get(k, theta / 2) + a
        z = jnp.where(h >= theta, theta, 0)
        v[k] = h - z
        return z

    for _ in range(steps):
        yield net(x, act, pool)


def test_saved_exported_and_fine_tuned(tmp_path):
    snn = js.convert.spiking(Convolutional(nnx.Rngs(0)), [X], threshold="max")
    other = js.convert.spiking(Convolutional(nnx.Rngs(1)), [2 * X])
    arrays = nnx.state(snn, nnx.Not(nnx.RngState))
    np.savez(tmp_path / "snn.npz", *map(np.asarray, jax.tree.leaves(arrays)))
    with np.load(tmp_path / "snn.npz") as file:
        saved = jax.tree.unflatten(jax.tree.structure(arrays), [file[name] for name in file])
    graph, params, rest = nnx.split(snn, nnx.Param, ...)

    def run(params, x_seq):
        net = nnx.merge(graph, params, rest)
        return net(net.init_state(X.shape), x_seq)[1]

    want = run(params, repeated(X))
    before = other(other.init_state(X.shape), repeated(X))[1]
    nnx.update(other, saved)
    np.testing.assert_array_equal(other(other.init_state(X.shape), repeated(X))[1], want)
    assert np.any(before != want)

    exported = jax.export.export(jax.jit(lambda x_seq: run(params, x_seq)))(repeated(X))
    again = jax.export.deserialize(exported.serialize())
    np.testing.assert_allclose(again.call(repeated(X)), want, rtol=1e-5, atol=1e-6)

    @jax.jit
    def step(params):
        value, grads = jax.value_and_grad(lambda p: (run(p, repeated(X)) ** 2).mean())(params)
        return value, jax.tree.map(lambda p, g: p - 0.05 * g, params, grads)

    losses = []
    for _ in range(12):
        value, params = step(params)
        losses.append(float(value))
    assert losses[-1] < 0.7 * losses[0]


def test_a_batch_over_devices():
    """Four simulated devices need a process of their own."""
    env = {
        **os.environ,
        "XLA_FLAGS": f"{as_flags(QUICK)} --xla_force_host_platform_device_count=4",
        "PYTHONPATH": os.pathsep.join([*map(str, pathlib.Path(__file__).parents[:3]), *sys.path]),
    }
    done = subprocess.run([sys.executable, __file__], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout == "4 devices, equal\n"


def over_devices():
    """A batch of four over four devices; in step order no device needs another's samples."""
    mesh = jax.make_mesh((4,), ("batch",), axis_types=(jax.sharding.AxisType.Auto,))
    split = jax.NamedSharding(mesh, jax.P(None, "batch"))
    x = jax.random.uniform(KEY, (4, 4, 4, 1))
    snn = js.convert.spiking(Convolutional(nnx.Rngs(0)), [x], threshold="max")
    x_seq, sharded = repeated(x), jax.device_put(repeated(x), split)
    for order in ("layer", "step"):

        @nnx.jit
        def run(snn, x_seq, order=order):
            return js.scan(snn, snn.init_state(x.shape), x_seq, order=order)[1]

        want, got = run(snn, x_seq), run(snn, sharded)
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)
        assert np.any(want)
    assert got.sharding.is_equivalent_to(split, 3)
    assert "all-gather" not in run.lower(snn, sharded).compile().as_text()
    print(len(got.devices()), "devices, equal")


if __name__ == "__main__":
    over_devices()


def rows_of_samples(w, x):
    """Each of the ten places of a sample is a row."""
    h = nnx.relu(nnx.relu(x.reshape(-1, 6) @ w[0]) @ w[1])
    return h.reshape(len(x), 10, 6).mean(1)


def test_potentials_of_an_ann_with_rows():
    """The mean is over the rows: with as many for a sample, the potentials are those without."""
    w = jax.random.normal(jax.random.key(0), (2, 6, 6)) / 2
    x = jax.random.normal(jax.random.key(1), (16, 10, 6))
    places = functools.partial(rows_of_samples, w)
    alone = lambda x: nnx.relu(nnx.relu(x @ w[0]) @ w[1])  # noqa: E731
    nets = [
        js.convert.calibrate_potentials(js.convert.spiking(f, [a], threshold="max"), [a], 4)
        for f, a in ((places, x), (alone, x.reshape(-1, 6)))
    ]
    for a, b in zip(*(net.v_init for net in nets), strict=True):
        np.testing.assert_allclose(a[...], b[...], atol=1e-5)
        assert abs(a[...] - 0.5).max() > 0.01
    assert [a.neurons for a in nets[0].report(x).activations] == [60, 60]


LINE = r"test_converted_networks\.py:\d+"
WHERE_THE_BATCH_IS = [
    (
        lambda w, x: nnx.relu(w @ x.T).T,
        "spiking",
        r"`spiking\(ann\)` must have the batch before the channels, got it as the axis of channels "
        rf'at .*{LINE}.*\. Transpose the activation, or give `per="layer"`\.',
    ),
    (
        lambda w, x: nnx.relu(x.reshape(-1, 2, 3).swapaxes(0, 1) @ w[:3, :3]).swapaxes(0, 1),
        "calibrate_potentials",
        r"`calibrate_potentials\(snn\)` must have activations with the batch first, got it as axis "
        rf"1 at .*{LINE}.*\. Move that axis to the front\.",
    ),
    (
        lambda w, x: nnx.relu(x / (x - x).sum()),
        "spiking",
        r"`spiking\(ann\)` must have finite activations, got a NaN or an infinity at "
        rf".*{LINE}.*\. Look for a division by zero before it\.",
    ),
]


@pytest.mark.parametrize(("f", "call", "message"), WHERE_THE_BATCH_IS)
@pytest.mark.parametrize("n", [1, 6, 16])
def test_the_batch_must_be_first(f, call, message, n):
    w = jax.random.normal(jax.random.key(0), (6, 6))
    x = jax.random.normal(jax.random.key(1), (n, 6))
    with pytest.raises(ValueError, match=f"^{message}$"):
        js.convert.calibrate_potentials(js.convert.spiking(functools.partial(f, w), [x]), [x], 4)


def test_other_places_of_the_batch_with_a_threshold_per_layer():
    w = jax.random.normal(jax.random.key(0), (6, 6))
    x = jax.random.normal(jax.random.key(1), (16, 6))
    snn = js.convert.spiking(lambda x: nnx.relu(w @ x.T).T, [x], threshold="max", per="layer")
    np.testing.assert_allclose(snn.rate_limit(x[:5]), nnx.relu(w @ x[:5].T).T, atol=1e-6)
