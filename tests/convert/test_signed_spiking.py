"""QCFS: rates in the first layer, and signed spikes in all, count exactly as the ANN does."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import jaxspike as js

KEY = jax.random.key(0)


def repeated(x, steps):
    return jnp.broadcast_to(x, (steps, *x.shape))


@nnx.jit
def run(snn, x_seq):
    state, y, records = js.debug.record(snn, snn.init_state(x_seq.shape[1:]), x_seq)
    return state, y, [record["output"] for record in records.values()]


class Quantized(nnx.Module):
    """Convolutions, a residual sum, max pooling; whole weights, so that nothing is rounded."""

    def __init__(self, rngs, levels=(4, 8, 2)):
        self.conv1 = nnx.Conv(2, 4, (3, 3), rngs=rngs)
        self.conv2 = nnx.Conv(4, 4, (3, 3), rngs=rngs)
        self.fc1 = nnx.Linear(16, 8, rngs=rngs)
        self.fc2 = nnx.Linear(8, 3, rngs=rngs)
        for layer in (self.conv1, self.conv2, self.fc1, self.fc2):
            layer.kernel[...] = jnp.round(3 * layer.kernel[...])
            layer.bias[...] = jnp.linspace(-1, 1, len(layer.bias[...])).round(1) // 0.25 / 4
        a, b, c = levels
        self.act1, self.act2 = js.nn.QCFS(a, 4.0), js.nn.QCFS(b, 8.0)
        self.act3 = js.nn.QCFS(c, jnp.linspace(4.0, 11.0, 8) // 4 * 4)
        for act in (self.act1, self.act2, self.act3):  # powers of 2 to the last bit
            act.threshold_raw[...] = jnp.log2(act.threshold) // 1 * np.log(2)

    def __call__(self, x):
        x = self.act1(self.conv1(x))
        x = nnx.max_pool(self.act2(x + self.conv2(x)), (2, 2), (2, 2))
        return self.fc2(self.act3(self.fc1(x.reshape(len(x), -1))))


@pytest.fixture(scope="module")
def quantized():
    net = Quantized(nnx.Rngs(1))
    return net, jax.random.randint(KEY, (6, 4, 4, 2), 0, 9) / 8


def levels_of(net, x):
    """The level of each activation of the ANN."""
    h = net.act1(net.conv1(x))
    g = nnx.max_pool(net.act2(h + net.conv2(h)), (2, 2), (2, 2))
    f = net.act3(net.fc1(g.reshape(len(x), -1)))
    acts = zip((h, g, f), (net.act1, net.act2, net.act3), strict=True)
    return [jnp.round(a * act.levels / act.threshold) for a, act in acts]


def test_the_formula_and_the_derivative():
    x = np.linspace(-1, 4, 83, dtype=np.float32)[:, None]
    theta = np.array([0.7, 2.0], np.float32)
    layer = js.nn.QCFS(levels=3, threshold=theta)
    np.testing.assert_allclose(layer.threshold, theta, rtol=1e-6)
    want = np.clip(np.floor(x * 3 / theta + 0.5), 0, 3) * theta / 3
    np.testing.assert_allclose(layer(x), want, rtol=1e-6)
    dx = jax.grad(lambda x: layer(x).sum())(x)
    np.testing.assert_array_equal(dx, ((x > 0) & (x < theta)).sum(1, keepdims=True))
    grads = nnx.grad(lambda layer: layer(x).sum())(layer).threshold_raw[...]
    inside = np.where(x < theta, (want - x) / theta, 1) * (x > 0)
    np.testing.assert_allclose(grads, (inside * theta).sum(0), rtol=1e-4)
    for arguments, text in (
        ({"levels": 0}, "`QCFS(levels=...)` must be at least 1, got 0."),
        ({"threshold": 0.0}, "`QCFS(threshold=...)` must be greater than 0, got 0.0."),
    ):
        with pytest.raises(ValueError) as e:
            js.nn.QCFS(**arguments)
        assert str(e.value) == text


def test_rates_have_the_learned_threshold_and_count_the_levels(quantized):
    net, x = quantized
    snn = js.convert.spiking(net, [x])
    for theta, act in zip(snn.thresholds, (net.act1, net.act2, net.act3), strict=True):
        np.testing.assert_array_equal(theta[...], act.threshold)
    _, _, (z, *_) = run(snn, repeated(x, 4))
    np.testing.assert_array_equal(z.sum(0), levels_of(net, x)[0])  # T = levels, first layer
    assert 0.05 < z.mean() < 0.95
    np.testing.assert_allclose(snn.rate_limit(x, clip=False), net(x), atol=1e-5)
    assert abs(snn.rate_limit(x) - net(x)).max() > 0.5  # the limit of rates has no levels


def test_signed_counts_are_the_levels_of_the_ann(quantized):
    net, x = quantized
    snn = js.convert.signed_spiking(net, x)
    bound = 4 + 8 + 2
    state, y, spikes = run(snn, repeated(x, bound + 3))
    assert [set(np.unique(z)) for z in spikes] == [{0, 1}, {-1, 0, 1}, {-1, 0, 1}]
    for s, z, want in zip(state, spikes, levels_of(net, x), strict=True):
        assert len(np.unique(want)) > 2
        np.testing.assert_array_equal(s.neuron.level, want)
        np.testing.assert_array_equal(z.sum(0), want)
        np.testing.assert_array_equal(z[bound:], 0)  # at rest
    np.testing.assert_array_equal(y[bound - 1 :], repeated(net(x), 4))
    assert (y[3] != net(x)).any()
    np.testing.assert_array_equal(snn.estimates(y), y)


class Dense(nnx.Module):
    """Two layers; softmax, if any, between them."""

    def __init__(self, rngs, between=None):
        self.fc1, self.fc2 = nnx.Linear(5, 6, rngs=rngs), nnx.Linear(6, 6, rngs=rngs)
        self.act1, self.act2, self.between = js.nn.QCFS(4, 2.0), js.nn.QCFS(4, 2.0), between

    def __call__(self, x):
        h = self.act1(self.fc1(x))
        return h + self.act2(3 * self.fc2(self.between(h) if self.between else h))


X = jax.random.normal(KEY, (4, 5))


def test_signed_spikes_in_either_order_and_under_transformations():
    net = Dense(nnx.Rngs(0))
    snn = js.convert.signed_spiking(net, X)
    x_seq = repeated(X, 9)
    state = snn.init_state(X.shape)

    @nnx.jit
    def ways(snn):
        orders = [js.scan(snn, state, x_seq, order=order)[1] for order in ("layer", "step")]
        one = snn.init_state((1, 5))
        return *orders, jax.vmap(lambda x: snn(one, x[:, None])[1][:, 0], 1, 1)(x_seq)

    layer, step, mapped = ways(snn)
    for y in (layer, step, mapped):
        np.testing.assert_allclose(y[-1], net(X), atol=1e-6)
        np.testing.assert_allclose(y, layer, atol=1e-6)

    def loss(net):
        return (net(X) ** 2).sum()

    def last(snn):
        return (snn(state, x_seq)[1][-1] ** 2).sum()

    want, got = nnx.grad(loss)(net), nnx.jit(nnx.grad(last))(snn)
    for name in ("fc1", "fc2"):  # at rest it is the gradient of the ANN
        assert abs(want[name].kernel[...]).max() > 0.1
        np.testing.assert_allclose(got.ann[name].kernel, want[name].kernel, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_softmax_between_quantized_activations_is_exact_too():
    net = Dense(nnx.Rngs(0), jax.nn.softmax)
    with pytest.raises(ValueError, match=r"^`signed_spiking\(ann\)` must be affine between its"):
        js.convert.signed_spiking(net, X)
    snn = js.convert.signed_spiking(net, X, strict=False)
    _, y, spikes = run(snn, repeated(X, 9))
    np.testing.assert_allclose(y[-1], net(X), atol=1e-5)
    report = snn.report(X, steps=9)
    rows = report.activations
    np.testing.assert_allclose([report.error, *(row.error for row in rows)], 0, atol=1e-5)
    np.testing.assert_allclose([row.rate for row in rows], [abs(z).mean() for z in spikes])
    assert report.analog == snn.islands and any("exp" in island for island in snn.islands)


def test_errors(quantized):
    net, x = quantized
    for call, error, text in (
        (
            functools.partial(js.convert.signed_spiking, net, 3),
            TypeError,
            "`signed_spiking(x=...)` must be a batch, got 3. Give `[N, *]`.",
        ),
        (
            functools.partial(
                js.convert.calibrate_potentials, js.convert.signed_spiking(net, x), [x], 4
            ),
            ValueError,
            "`calibrate_potentials(snn)` must have rates, got signed spikes, which need no "
            "calibration.",
        ),
    ):
        with pytest.raises(error) as e:
            call()
        assert str(e.value) == text
    with pytest.raises(ValueError) as e:
        js.convert.signed_spiking(lambda x: nnx.relu(x), x)
    assert str(e.value).startswith(
        "`signed_spiking(ann)` must have `jaxspike.nn.QCFS` activations only, got another one at /"
    )
    assert str(e.value).endswith("Train with QCFS, or convert it with `spiking`.")
