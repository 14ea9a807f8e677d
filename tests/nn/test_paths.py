"""The path of a layer: dotted, without `layers` of a Sequential."""

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import jaxspike as js
from jaxspike.nn import paths


class Block(js.nn.SpikingModule):
    def __init__(self, rngs):
        self.layers = nnx.List([nnx.Linear(2, 2, rngs=rngs)])  # not those of a Sequential
        self.ann = nnx.Sequential(nnx.Linear(2, 2, rngs=rngs), nnx.relu)
        self.lif = js.LIF()

    def __call__(self, state, x):
        lif, y = self.lif(state["lif"], self.ann(self.layers[0](x)))
        return {"lif": lif}, y


@pytest.fixture(scope="module")
def net():
    rngs = nnx.Rngs(0)
    return js.nn.Sequential(nnx.Linear(2, 2, rngs=rngs), js.nn.Sequential(js.LI()), Block(rngs))


def test_every_layer_has_a_path(net):
    layers = paths.named_layers(net)
    assert list(layers)[-1] == "Sequential"
    assert set(layers) == {
        *("0", "1", "1.0", "2", "2.layers.0", "2.ann", "2.ann.0", "2.lif", "Sequential")
    }
    assert layers["2.ann.0"] is net.layers[2].ann.layers[0]
    assert layers["1"] is net.layers[1]


def test_a_variable_has_one_too(net):
    params = {paths.dotted(net, path) for path, _ in nnx.to_flat_state(nnx.state(net, nnx.Param))}
    assert {"0.kernel", "2.layers.0.bias", "2.ann.0.kernel"} < params


def test_a_layer_is_found_by_its_path(net):
    for name, layer in paths.named_layers(net).items():
        if name != "Sequential":
            holder, key, found = paths.locate(net, name)
            assert found is layer
            assert (holder[key] if isinstance(key, int) else getattr(holder, key)) is layer
    for missing in ("3", "2.lid", "0.0", "2.lif.neuron.1", ""):
        assert paths.locate(net, missing)[2] is None


def test_the_layers_of_a_graph_are_its_nodes():
    nir = pytest.importorskip("nir")
    lif = nir.LIF(*(np.full(2, p) for p in (2e-3, 1.0, 0.0, 0.5)))
    nodes = {"in": nir.Input(np.array([2])), "fc.1": nir.Linear(np.eye(2)), "lif": lif}
    edges = [("in", "fc.1"), ("fc.1", "lif"), ("lif", "out")]
    graph = nir.NIRGraph({**nodes, "out": nir.Output(np.array([2]))}, edges)
    net = js.nir.from_nir(graph, js.nir.Convention(dt=1e-3))
    assert set(paths.named_layers(net)) == {"fc.1", "lif", "Graph"}
    x_seq = jnp.ones((3, 1, 2))
    assert list(js.debug.record(net, net.init_state((1, 2)), x_seq)[2]) == ["lif"]
    around = js.nn.Sequential(net, js.IF())
    assert paths.locate(around, "0.fc.1")[2] is net["fc.1"]
    assert paths.locate(around, "0.fc.2")[2] is None
