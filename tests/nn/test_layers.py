"""Layers of spiking networks: what they do over time, and the folding of normalizations."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import jaxspike as js

T, N, C = 5, 3, 4
IMAGE = (6, 6, C)


def stream(*shape, seed=0):
    return 2 * jax.random.normal(jax.random.key(seed), (T, N, *shape))


def raises(kind, sentence, f, *args, **kwargs):
    with pytest.raises(kind) as caught:
        f(*args, **kwargs)
    assert str(caught.value) == sentence


# ---- layers that know the time step


@pytest.fixture(scope="module")
def per_step():
    """TEBN and BNTT with other numbers at each time step, in evaluation."""
    tebn = js.nn.TemporalEffectiveBatchNorm(C, T, rngs=nnx.Rngs(0))
    tebn.temporal_scale[...] = jnp.arange(1.0, T + 1)
    bntt = js.nn.BatchNormThroughTime(C, T)
    bntt.scale[...] = jnp.arange(1.0, T * C + 1).reshape(T, C)
    net = js.nn.Sequential(tebn, bntt)
    net.eval()
    return net


def test_parameters_of_each_step_and_a_step_too_late(per_step):
    state, ones = per_step.init_state((N, C)), jnp.ones((T, N, C))
    last, y = per_step(state, ones)
    want = np.arange(1, T + 1)[:, None] * np.arange(1, T * C + 1).reshape(T, C)
    np.testing.assert_allclose(y[:, 0], want, rtol=1e-4)
    by_step = js.scan(per_step, state, ones, order="step")[1]
    np.testing.assert_allclose(by_step, y, rtol=1e-5)
    sentence = (
        "`TemporalEffectiveBatchNorm(steps=5)` must get that many steps in all, got 6. "
        "Start each sequence from `net.init_state(shape)`."
    )
    raises(ValueError, sentence, per_step, last, ones[0])
    graph, variables = nnx.split(per_step)
    step = jax.jit(lambda state, x: nnx.merge(graph, variables)(state, x)[1])
    assert np.all(np.isnan(step(last, ones[0])))
    assert not np.any(np.isnan(step(state, ones[0])))


def test_batch_norm_through_time_in_half_precision():
    norm, x = js.nn.BatchNormThroughTime(C, T), stream(C).astype(jnp.bfloat16)
    _, y = norm(norm.init_state((N, C)), x)
    assert y.dtype == jnp.bfloat16
    assert norm.mean.dtype == jnp.float32
    np.testing.assert_allclose(y.astype(jnp.float32).mean(1), 0, atol=0.02)


def test_the_weight_of_neunorm_is_uniform():
    for shared, size in ((False, (20, 30, C)), (True, (20, 30, 1))):
        weight = js.nn.NeuNorm((20, 30, C), 0.9, shared, rngs=nnx.Rngs(0)).weight[...]
        assert weight.shape == size
        assert 0.99 * 600**-0.5 < np.abs(weight).max() <= 600**-0.5


# ---- recurrent layers


def test_bidirectional_runs_one_layer_backwards():
    layer = js.nn.Bidirectional(js.LI(tau=2.0), js.LI(tau=3.0))
    state, xs = layer.init_state((N, C)), stream(C)
    _, y = layer(state, xs)
    _, first = js.scan(js.LI(tau=2.0), state[0], xs)
    _, second = js.scan(js.LI(tau=3.0), state[1], xs[::-1])
    np.testing.assert_array_equal(y, jnp.concatenate((first, second[::-1]), -1))


def test_the_layers_of_bidirectional_are_recorded():
    layer = js.nn.Bidirectional(js.IF(), js.nn.Sequential(js.IF(v_threshold=2.0)))
    xs = jax.random.uniform(jax.random.key(0), (6, 2, 3))
    _, y, records = js.debug.record(layer, layer.init_state((2, 3)), xs)
    forward, backward = (records[name]["output"] for name in ("forward", "backward.0"))
    np.testing.assert_array_equal(jnp.concatenate((forward, backward[::-1]), -1), y)
    assert forward.mean() > backward.mean() > 0


def test_lstm_cells_are_zero_or_one_and_weights_are_uniform():
    layer = js.nn.SpikingLSTM(C, 50, rngs=nnx.Rngs(0))
    state, h = layer(layer.init_state((N, C)), 3 * stream(C))
    assert set(np.unique(state.c)) == set(np.unique(h)) == {0.0, 1.0}
    for leaf in jax.tree.leaves(nnx.state(layer, nnx.Param)):
        assert np.all(np.abs(leaf) <= 50**-0.5)
        assert abs(leaf.mean()) < 0.02 < leaf.std()
    other = js.nn.SpikingLSTM(C, 50, rngs=nnx.Rngs(1))
    assert nnx.graphdef(other) == nnx.graphdef(layer)


# ---- dropping


def test_dropout_of_whole_channels():
    layer = js.nn.Dropout(0.5, broadcast_dims=(-3, -2), rngs=nnx.Rngs(0))
    _, y = layer(layer.init_state((20, 4, 4, 10)), jnp.ones((T, 20, 4, 4, 10)))
    np.testing.assert_array_equal(y, jnp.broadcast_to(y[:1, :, :1, :1], y.shape))
    assert abs((y == 0).mean() - 0.5) < 0.1
    assert set(np.unique(y)) == {0.0, 2.0}


def test_drop_connect_holds_a_mask_of_weights_for_each_sample():
    layer = js.nn.DropConnectLinear(6, 50, rate=0.3, rngs=nnx.Rngs(0))
    layer.bias[...] = jnp.full(50, 3.0)
    # time steps are the unit vectors: the outputs are the rows of each sample's own kernel
    unit = jnp.broadcast_to(jnp.eye(6)[:, None], (6, 40, 6))
    xs = jnp.concatenate((jnp.zeros((1, 40, 6)), unit, jnp.ones((1, 40, 6))))
    run = nnx.jit(lambda layer, xs: layer(layer.init_state((40, 6)), xs)[1])
    y = run(layer, xs)
    bias, kernels, total = y[0], y[1:7] - y[0], y[7]
    assert set(np.unique(bias)) == {0.0, 3.0}
    dropped = np.isclose(kernels, 0)
    kept = np.isclose(kernels, layer.kernel[...][:, None], rtol=1e-4, atol=1e-6)
    assert np.all(dropped | kept)
    assert abs(dropped.mean() - 0.3) < 0.02
    assert abs((bias == 0).mean() - 0.3) < 0.05
    assert np.any(dropped[:, 0] != dropped[:, 1])
    np.testing.assert_allclose(total, kernels.sum(0) + bias, rtol=1e-4, atol=1e-4)
    assert np.any(run(layer, xs) != y)
    layer.eval()
    step, mean = layer(layer.init_state((40, 6)), xs[7])[1], 0.7 * (layer.kernel[...].sum(0) + 3)
    np.testing.assert_allclose(step[0], mean, rtol=1e-5)


# ---- attention


def test_parts_of_multi_dimensional_attention():
    xs, layers = stream(6, 6, T), []
    for used in ("use_temporal", "use_channel", "use_spatial"):
        options = {"use_temporal": False, "use_channel": False, "use_spatial": False, used: True}
        layers.append(js.nn.MultiDimensionalAttention(T, T, 2, 2, **options, rngs=nnx.Rngs(0)))
    state = layers[0].init_state((N, 6, 6, T))
    for y, shared in zip(
        jax.jit(lambda xs: [layer(state, xs)[1] for layer in layers])(xs),
        ((2, 3, 4), (0, 2, 3), (0, 4)),  # axes along which the score is the same
        strict=True,
    ):
        scores = np.where(xs > 0.1, y / xs, np.nan)
        low, high = np.nanmin(scores, shared), np.nanmax(scores, shared)
        np.testing.assert_allclose(low, high, rtol=1e-4)
        assert 0 < low.min() < low.max() < 1


def test_layers_of_whole_sequences_in_a_network():
    net = js.nn.Sequential(
        js.nn.TemporalWiseAttention(T, 2, rngs=nnx.Rngs(0)),
        js.nn.Bidirectional(js.IF(), js.nn.Sequential(js.LI(), lambda x: x[..., :2])),
        js.LI(),
    )
    state, y = jax.jit(lambda xs: net(net.init_state((N, C)), xs))(stream(C))
    assert y.shape == (T, N, 6)
    assert state[-1].v.shape == (N, 6)


# ---- resizing, voting


def test_votes_are_a_layer():
    net = js.nn.Sequential(js.IF(), partial(js.readout.voting, classes=2))
    state, xs = net.init_state((N, C)), stream(C)
    want = js.scan(js.IF(), state[0], xs)[1].reshape(T, N, 2, 2).mean(-1)
    np.testing.assert_array_equal(net(state, xs)[1], want)


def test_weight_standardization_without_gain():
    layer = js.nn.WSLinear(200, 3, use_gain=False, rngs=nnx.Rngs(0))
    assert set(nnx.state(layer, nnx.Param)) == {"kernel", "bias"}
    weight = layer(jnp.eye(200)) - layer(jnp.zeros((1, 200)))
    np.testing.assert_allclose(weight.mean(0), 0, atol=1e-6)
    np.testing.assert_allclose((weight**2).sum(0), 1, rtol=0.01)


# ---- folding


def randomised(net):
    """A network in evaluation whose normalizations do something."""
    rng = np.random.default_rng(3)
    params, stats, others = nnx.state(net, nnx.Param, nnx.BatchStat, ...)
    params = jax.tree.map(lambda p: p + jnp.float32(rng.normal(0, 0.3, p.shape)), params)
    stats = jax.tree.map(lambda s: jnp.float32(rng.uniform(0.5, 1.5, s.shape)), stats)
    nnx.update(net, params, stats, others)
    net.eval()
    return net


ZEROS = {"kernel_init": nnx.initializers.zeros, "rngs": nnx.Rngs(0)}


class Block(js.nn.SpikingModule):
    def __init__(self):
        self.conv = nnx.Conv(C, C, (3, 3), use_bias=False, **ZEROS)
        self.norm = nnx.BatchNorm(C, use_scale=False, rngs=nnx.Rngs(0))
        self.lif = js.LIF()
        self.stack = nnx.List(
            [nnx.Linear(C, C, **ZEROS), nnx.BatchNorm(C, use_bias=False, rngs=nnx.Rngs(0))]
        )

    def __call__(self, state, x):
        lif, y = self.lif(state["lif"], self.norm(self.conv(x)))
        return {"lif": lif}, x + self.stack[1](self.stack[0](y))


def build():
    return js.nn.Sequential(
        nnx.Conv(C, 6, (3, 3), feature_group_count=2, **ZEROS),
        js.nn.ThresholdDependentBatchNorm(6, rngs=nnx.Rngs(0)),
        js.IF(),
        nnx.Sequential(
            nnx.ConvTranspose(6, 6, (2, 2), use_bias=False, **ZEROS),
            nnx.BatchNorm(6, rngs=nnx.Rngs(0)),
            nnx.ConvTranspose(6, C, (2, 2), transpose_kernel=True, **ZEROS),
            nnx.BatchNorm(C, rngs=nnx.Rngs(0)),
        ),
        Block(),
        js.nn.AvgPool((6, 6)),
        js.nn.Flatten(),
        nnx.BatchNorm(C, rngs=nnx.Rngs(0)),  # after no convolution: it stays
        js.nn.Sequential(nnx.Linear(C, C, **ZEROS), nnx.BatchNorm(C, rngs=nnx.Rngs(0)), js.LI()),
    )


def kinds(net):
    return [type(m).__name__ for _, m in nnx.iter_modules(net)]


def test_folding_keeps_the_outputs():
    net = randomised(build())
    before = jax.tree.map(np.asarray, nnx.to_pure_dict(nnx.state(net)))
    pairs = [("layers.4.conv", "layers.4.norm"), ("layers.4.stack.0", "layers.4.stack.1")]
    fused = js.nn.fuse_conv_bn(net, pairs)
    assert kinds(fused).count("BatchNorm") == 1
    assert kinds(fused).count("Dropout") == 6
    after = nnx.to_pure_dict(nnx.state(net))
    jax.tree.map(np.testing.assert_array_equal, before, after)
    assert type(fused) is js.nn.Sequential

    state, x = net.init_state((N, *IMAGE)), stream(*IMAGE)[0]
    want, got = jax.jit(lambda x: [n(state, x)[1] for n in (net, fused)])(x)
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)
    assert np.std(want) > 0.1


def test_a_shared_layer_is_not_folded_by_itself():
    rngs = nnx.Rngs(0)
    conv, norm = nnx.Linear(C, C, **ZEROS), nnx.BatchNorm(C, rngs=rngs)
    net = js.nn.Sequential(
        conv, norm, conv, nnx.Linear(C, C, rngs=rngs), nnx.BatchNorm(C, rngs=rngs)
    )
    net.eval()
    fused = js.nn.fuse_conv_bn(net)
    assert type(fused.layers[1]) is nnx.BatchNorm
    assert isinstance(fused.layers[4], nnx.Dropout)
    sentence = "`fuse_conv_bn(pairs=...)` must be layers used once, got 'layers.0'. Leave it out."
    raises(ValueError, sentence, js.nn.fuse_conv_bn, net, [("layers.0", "layers.1")])


# ---- odd inputs


@pytest.mark.parametrize("dtype", [jnp.int32, jnp.bool_])
@pytest.mark.parametrize(
    "layer", [js.nn.AvgPool((2, 2)), js.nn.Upsample((2, 2), "linear")], ids=["AvgPool", "Upsample"]
)
def test_means_of_whole_numbers_are_not_whole(layer, dtype):
    x = jnp.eye(4, dtype=dtype)[None, :, :, None]
    np.testing.assert_array_equal(layer(x), layer(x.astype(jnp.float32)), strict=True)


def test_attention_of_an_empty_batch():
    layer = js.nn.SpikingSelfAttention(8, 2, rngs=nnx.Rngs(0))
    layer.eval()
    _, y = layer(layer.init_state((0, 3, 8)), jnp.ones((0, 3, 8)))
    assert y.shape == (0, 3, 8)
