"""Networks written as NIR: what comes back, what is refused, what a loss leaves behind."""

import h5py
import jax
import jax.numpy as jnp
import nir
import numpy as np
import pytest
from flax import nnx

import jaxspike as js

RNGS = nnx.Rngs(0)
Sequential = js.nn.Sequential


@nnx.jit
def sequence(net, state, xs):
    return jax.lax.scan(lambda s, x: net(s, x), state, xs)[1]  # quicker to compile than `js.scan`


def assert_comes_back(net, shape, path=None, mean=0.5, **options):
    graph = js.nir.to_nir(net, shape, path=path, **options)
    net = js.nn.Spiking(net) if isinstance(net, js.Neuron) else net
    x = jnp.asarray(np.random.default_rng(0).normal(mean, 1.5, (8, 2, *shape)), jnp.float32)
    y = sequence(net, net.init_state((2, *shape)), x)
    assert np.any(y != 0)
    for source in (graph, path) if path else (graph,):
        again = js.nir.from_nir(source)
        np.testing.assert_array_equal(sequence(again, again.init_state((2, *shape)), x), y)
    return graph


EACH = jnp.array([2.0, 3.0, 5.0])
NEURONS = [
    (js.LIF(), {}),
    (js.LIF(tau=EACH, decay_input=False, v_reset=-0.1), {}),
    (js.IF(v_threshold=EACH, v_reset=0.2), {}),
    (js.CubaLIF(c_decay=1 / EACH, v_reset=0.1), {}),
    (js.LI(tau=3.0), {}),
    (js.Delay(3), {}),
    (js.DiscreteLIF(c_decay=0.3, v_decay=1 / EACH, fires=">"), {}),
    (js.DiscreteLIF(v_decay=1.0, v_threshold=None), {}),
    (js.LIF(v_reset=None), {"lossy": True}),
    (js.ALIF(), {"lossy": True}),
    (js.QIF(), {"lossy": True}),
    (
        js.DiscreteLIF(v_reset=None, reset_time="after_charge", max_spike_count=None),
        {"lossy": True},
    ),
    (js.DiscreteLIF(v_reset=None, reset_time="immediate_once", fires=">"), {"lossy": True}),
]


@pytest.mark.parametrize(("neuron", "options"), NEURONS, ids=lambda p: type(p).__name__)
def test_a_neuron_comes_back_bit_for_bit(neuron, options, tmp_path):
    assert_comes_back(neuron, (3,), tmp_path / "net.nir", **options)


class Block(js.nn.SpikingModule):
    def __init__(self):
        self.conv1 = nnx.Conv(2, 2, (3, 3), rngs=RNGS)
        self.lif1 = js.nn.Spiking(js.LIF(tau=1.2, v_threshold=0.3), learn=("tau",))
        self.conv2, self.lif2 = nnx.Conv(2, 2, (2, 3), rngs=RNGS), js.LIF(v_threshold=0.1)

    def __call__(self, state, x):
        s1, y = self.lif1(state["lif1"], self.conv1(x))
        s2, y = self.lif2(state["lif2"], self.conv2(y))
        return {"lif1": s1, "lif2": s2}, x + y


class Residual(js.nn.SpikingModule):
    def __init__(self):
        self.blocks = nnx.List([Block(), Block()])
        self.fc = nnx.Linear(32, 3, rngs=RNGS)
        feedback = nnx.Sequential(nnx.Linear(3, 4, rngs=RNGS), nnx.Linear(4, 3, rngs=RNGS))
        self.out = js.nn.Recurrent(js.LIF(v_threshold=0.1), feedback)

    def __call__(self, state, x):
        new = []
        for i, block in enumerate(self.blocks):
            s, x = block(state["blocks"][i], x)
            new.append(s)
        s, y = self.out(state["out"], self.fc(x.reshape(*x.shape[:-3], -1)))
        return {"blocks": new, "out": s}, y


def test_a_module_of_ones_own_comes_back():
    net = Residual()
    graph = assert_comes_back(net, (4, 4, 2))
    assert ("blocks.0.lif2", "blocks.1.conv1") in graph.edges
    assert ("input", "blocks.1.conv1") in graph.edges
    assert ("out.feedback.1", "out.neuron") in graph.edges
    # a network that was read, inside another; and its weights as they are now
    read = js.nir.from_nir(graph)
    read["fc"].bias[...] += 0.5
    both = Sequential(read, nnx.Linear(3, 3, rngs=RNGS), js.IF(v_threshold=0.2))
    graph = assert_comes_back(both, (4, 4, 2))
    np.testing.assert_array_equal(graph.nodes["0.fc"].bias, read["fc"].bias)


def test_layers_of_images_come_back():
    net = Sequential(
        nnx.Conv(2, 4, (3, 5), strides=(1, 2), padding=((1, 1), (2, 2)), rngs=RNGS),
        js.IF(v_threshold=jnp.arange(1, 5.0) / 4),
        js.nn.Dropout(0.5, rngs=RNGS),
        js.nn.AvgPool((2, 2)),
        nnx.Conv(4, 4, (2, 2), feature_group_count=2, kernel_dilation=(1, 2), rngs=RNGS),
        js.nn.Flatten(),
        js.LIF(tau=jnp.linspace(1.5, 3, 24), v_threshold=0.1),
        nnx.Linear(24, 5, use_bias=False, rngs=RNGS),
        js.nn.Recurrent(js.LIF(v_threshold=0.1), nnx.Linear(5, 5, rngs=RNGS)),
    )
    net.eval()
    graph = assert_comes_back(net, (6, 8, 2))
    assert graph.nodes["4"].padding == "same"
    np.testing.assert_array_equal(graph.nodes["input"].input_type["input"], [2, 6, 8])


def test_blocks_and_padded_pools_come_back():
    stem = js.nn.AvgPool((3, 3), (2, 2), ((1, 1), (1, 1)))
    conv = nnx.Conv(2, 2, (3, 3), rngs=RNGS)
    block = js.nn.Residual(Sequential(conv, js.IF(v_threshold=0.1)))
    assert_comes_back(Sequential(stem, block, js.IF(v_threshold=0.3)), (5, 6, 2))
    assert_comes_back(js.nn.Recurrent(js.IF(v_threshold=0.3), js.Delay(2)), (3,))


class Mean(js.nn.SpikingModule):
    def __init__(self):
        self.pool, self.lif = js.nn.MaxPool((3, 3), (2, 2), ((1, 1), (1, 1))), js.LIF()
        self.votes = js.nn.Voting(2)

    def __call__(self, state, x):
        lif, y = self.lif(state["lif"], x)
        return {"lif": lif}, self.votes(self.pool(y).mean((-3, -2)))


def test_a_maximum_of_spikes_a_mean_of_images_and_votes_come_back():
    graph = assert_comes_back(Mean(), (4, 5, 6), mean=0.0)
    kinds = [type(node).__name__ for node in graph.nodes.values()]
    want = ["LIF", "SumPool2d", "Threshold", "AvgPool2d", "Flatten", "Linear"]
    assert kinds == ["Input", *want, "Output"]


def test_an_end_in_a_flattened_image():
    graph = assert_comes_back(Sequential(js.IF(v_threshold=0.3), js.nn.Flatten()), (2, 3, 2))
    image = np.arange(12).reshape(2, 2, 3)  # channels first, as NIR flattens it
    flat = graph.nodes["channels_last"].weight @ image.ravel()
    np.testing.assert_array_equal(flat, np.moveaxis(image, 0, -1).ravel())


def test_what_nir_can_say_needs_no_hints():
    for neuron in (js.LIF(v_reset=0.1), js.IF(), js.CubaLIF(v_reset=-0.1), js.DiscreteLIF()):
        graph = js.nir.to_nir(neuron, (3,))
        read = js.nir.from_nir(graph, js.nir.SPIKINGJELLY)
        (node,) = graph.nodes.keys() - {"input", "output"}
        assert isinstance(read[node].neuron, js.nir.NIRNeuron)
        x = jnp.asarray(np.random.default_rng(1).normal(0.5, 1.5, (9, 2, 3)), jnp.float32)
        want = js.scan(neuron, neuron.init_state((2, 3)), x)[1]
        np.testing.assert_array_equal(sequence(read, read.init_state((2, 3)), x), want)


def lif_graph():
    full = (np.full(3, p) for p in (2e-3, 1.0, 0.1, 0.5))
    return nir.NIRGraph.from_list(nir.LIF(*full))


def test_how_a_graph_was_read_is_written():
    net = js.nir.from_nir(
        lif_graph(), js.nir.Convention(dt=1e-3, method="exact", fires=">=", start="zero")
    )
    graph = js.nir.to_nir(net, (3,))
    assert graph.nodes["lif"].metadata == {"method": "exact", "fires": ">=", "start": "zero"}
    np.testing.assert_array_equal(graph.nodes["lif"].tau, 2e-3)
    assert graph.metadata == {"dt": 1e-3}
    again = js.nir.from_nir(graph)["lif"].neuron
    assert jax.tree.leaves(again) == jax.tree.leaves(net["lif"].neuron)
    assert js.nir.from_nir(graph, js.nir.Convention())["lif"].neuron.fires == ">"
    # at another dt, the graph of the same steps
    twice = js.nir.to_nir(net, (3,), dt=2e-3)
    assert js.nir.from_nir(twice)["lif"].neuron.v_decay == pytest.approx(np.exp(-0.5))


@pytest.mark.parametrize(
    "metadata",
    [
        {"start": np.ones(3), "fires": np.ones(2), "method": 3, "max_spike_count": "few"},
        {"start": np.nan, "dt": -1.0, "max_spike_count": -1, "model": np.ones(2)},
        {"model": "LIF", "model.tau": "long", "reset": "none"},
    ],
)
def test_metadata_of_others_is_no_hint(metadata):
    graph = lif_graph()
    want = jax.tree.leaves(js.nir.from_nir(graph)["lif"].neuron)
    graph.metadata, graph.nodes["lif"].metadata = metadata, metadata
    assert jax.tree.leaves(js.nir.from_nir(graph)["lif"].neuron) == want


def test_a_loss_leaves_a_note(tmp_path):
    convention = js.nir.Convention(dt=1e-3, reset="subtract", max_spike_count=None)
    soft = js.nir.from_nir(lif_graph(), convention)
    with pytest.raises(ValueError, match="got soft reset at 'lif'"):
        js.nir.to_nir(soft, (3,))
    graph = js.nir.to_nir(soft, (3,), lossy=True, path=tmp_path / "soft.nir")
    assert graph.nodes["lif"].metadata["lost"] == "soft reset, several spikes per step"
    again = js.nir.from_nir(tmp_path / "soft.nir")["lif"].neuron
    assert again.v_reset is None and again.max_spike_count is None
    pool = js.nir.to_nir(Sequential(js.nn.MaxPool((2, 2))), (4, 4, 1), lossy=True)
    assert type(pool.nodes["0"]) is nir.SumPool2d
    assert type(js.nir.from_nir(pool)["0"]) is js.nn.MaxPool
    changed = js.nir.to_nir(js.ALIF(), (3,), lossy=True)
    changed.nodes["alif"].v_threshold = changed.nodes["alif"].v_threshold * 2
    with pytest.warns(
        UserWarning,
        match="has changed since it was a ALIF, and NIR cannot represent the model ALIF",
    ):
        assert js.nir.from_nir(changed)["alif"].neuron.v_threshold == 2


def test_a_model_counts_only_while_its_node_is_unchanged():
    def neuron(change):
        graph = js.nir.to_nir(js.LIF(tau=3.0), (3,), dt=1e-3)
        change(graph)
        return js.nir.from_nir(graph)["lif"].neuron

    def in_float32(graph):
        node = graph.nodes["lif"]
        node.tau, node.r = node.tau.astype(np.float32), node.r.astype(np.float32)

    assert type(neuron(in_float32)) is js.LIF
    slower = neuron(lambda graph: setattr(graph.nodes["lif"], "tau", graph.nodes["lif"].tau * 2))
    assert type(slower) is js.nir.NIRNeuron and slower.v_decay == pytest.approx(1 - 1 / 6)
    finer = neuron(lambda graph: graph.metadata.update(dt=5e-4))
    assert type(finer) is js.nir.NIRNeuron and finer.v_decay == pytest.approx(1 - 1 / 6)


REFUSED = [
    (js.LIF(v_reset=None), (3,), "got soft reset at 'lif'. To write the nearest node"),
    (js.ALIF(), (3,), "got the model ALIF at 'alif'. To write the nearest node"),
    (js.PSN.init(4, key=jax.random.key(0)), (3,), "NIR has no similar node."),
    (nnx.BatchNorm(3, rngs=RNGS), (3,), "got an nnx.BatchNorm at '0'. Fuse it with the layer"),
    (js.nn.MaxPool((2, 2)), (4, 4, 1), "got MaxPool at '0'. To write the nearest node"),
    (js.nn.AvgPool((2, 2), ceil_mode=True), (4, 5, 1), "got the padding [(0, 0), (0, 1)]"),
    (
        js.nn.AvgPool((2, 2), padding=((1, 1), (1, 1)), count_include_pad=False),
        (4, 4, 1),
        "got `count_include_pad=False` at '0'. In NIR padding counts as zeros.",
    ),
    (nnx.LayerNorm(3, rngs=RNGS), (3,), "got a LayerNorm at '0'."),
    (jax.nn.relu, (3,), "got an operation that cannot be followed"),
    (lambda x: 2 * x, (3,), "got an operation that cannot be followed"),
    (lambda x: x.mean(), (3,), "got `x.mean` in a `__call__`"),
    (nnx.Linear(3, 2, rngs=RNGS), (5, 3), "`input_shape` is that of one sample, without batch."),
    (nnx.Conv(1, 2, (3, 3), padding="CIRCULAR", rngs=RNGS), (4, 4, 1), "the padding 'CIRCULAR'"),
    (nnx.Conv(1, 2, (2, 2), strides=2, rngs=RNGS), (5, 5, 1), "got the padding [(0, 1), (0, 1)]"),
    (nnx.Conv(1, 2, (2, 2, 2), rngs=RNGS), (5, 5, 5, 1), "a convolution over 3 axes"),
    (js.DiscreteLIF(c_decay=0.5, x_gain=1.0), (3,), "NIR has no similar node."),
]


@pytest.mark.parametrize(("layer", "shape", "sentence"), REFUSED)
def test_what_nir_cannot_say_is_refused(layer, shape, sentence):
    net = layer if isinstance(layer, js.Neuron) else Sequential(layer)
    with pytest.raises(ValueError) as e:
        js.nir.to_nir(net, shape)
    assert str(e.value).startswith("`to_nir(net=...)` must")
    assert sentence in str(e.value)


def test_the_package_nir_reads_our_files(tmp_path):
    net = Sequential(nnx.Linear(3, 3, rngs=RNGS), js.LIF(), js.LI())
    graph = js.nir.to_nir(net, (3,), path=tmp_path / "net.nir")
    again = nir.read(tmp_path / "net.nir")
    assert sorted(again.edges) == sorted(graph.edges)
    np.testing.assert_array_equal(again.nodes["0"].weight, graph.nodes["0"].weight)
    np.testing.assert_array_equal(again.nodes["1"].tau, graph.nodes["1"].tau)
    assert again.nodes["1"].metadata["model"] == "LIF"
    nir.write(tmp_path / "again.nir", again)
    assert type(js.nir.from_nir(tmp_path / "again.nir")["1"].neuron) is js.LIF


def test_a_write_that_fails_harms_no_file(tmp_path, monkeypatch):
    path = tmp_path / "net.nir"
    js.nir.to_nir(js.LIF(), (3,), path=path)
    before = path.read_bytes()
    monkeypatch.setattr(h5py.Group, "create_dataset", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        js.nir.to_nir(js.IF(), (3,), path=path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_from_batch_normalization_to_nir(tmp_path):
    """The whole way: normalized, folded, written and read, a network gives the same spikes."""
    rng, rngs = np.random.default_rng(0), nnx.Rngs(0)
    net = js.nn.Sequential(
        nnx.Conv(2, 4, (3, 3), use_bias=False, rngs=rngs),
        nnx.BatchNorm(4, rngs=rngs),
        js.IF(),
        js.nn.Flatten(),
        nnx.Sequential(nnx.Linear(64, 8, rngs=rngs), nnx.BatchNorm(8, rngs=rngs)),
        js.LIF(tau=2.0),
    )
    for norm in net.layers[1], net.layers[4].layers[1]:
        for name, low, high in ("scale", 0.5, 2), ("bias", 0, 1), ("mean", -1, 1), ("var", 0.1, 2):
            variable = getattr(norm, name)
            variable[...] = jnp.asarray(rng.uniform(low, high, variable.shape), jnp.float32)
    net.eval()
    xs = jnp.asarray(rng.uniform(0, 1, (6, 3, 4, 4, 2)), jnp.float32)
    _, want = net(net.init_state(xs.shape[1:]), xs)
    with pytest.raises(ValueError, match=r"got an nnx.BatchNorm at '1'\. Fuse it with the layer"):
        js.nir.to_nir(net, xs.shape[2:])
    fused = js.nn.fuse_conv_bn(net)
    js.nir.to_nir(fused, xs.shape[2:], path=tmp_path / "net.nir")
    again = js.nir.from_nir(tmp_path / "net.nir")
    _, got = again(again.init_state(xs.shape[1:]), xs)
    assert 0.05 < want.mean() < 0.9
    np.testing.assert_array_equal(got, want)
    fused.train()
    np.testing.assert_array_equal(fused(fused.init_state(xs.shape[1:]), xs)[1], want)
