"""How networks and layers are printed."""

import jax
import jax.numpy as jnp
import pytest
from flax import nnx

import jaxspike as js


def test_a_layer_shows_its_neuron_and_what_is_learned():
    lif = js.LIF(tau=3.0)
    assert repr(js.nn.Spiking(lif)) == f"Spiking({lif})"
    assert repr(js.nn.Spiking(lif, learn=("tau",))) == f"Spiking({lif}, learn=('tau',))"
    layer = js.nn.Spiking(lif, learn=("tau",))
    layer.tau_raw[...] = jnp.log(4.0)
    assert repr(layer) == f"Spiking({js.LIF(tau=5.0)}, learn=('tau',))"


def test_arrays_are_shown_as_their_shapes():
    layer = js.nn.Spiking(js.LIF(tau=jnp.array([2.0, 3.0, 4.0])))
    assert "tau=f32[3]" in repr(layer)
    assert "weight=f32[4,4]" in repr(js.nn.Spiking(js.PSN.init(4, key=jax.random.key(0))))


def test_a_network_shows_its_layers():
    net = js.nn.Sequential(nnx.Linear(2, 2, rngs=nnx.Rngs(0)), js.LIF(tau=3.0))
    for text in (repr(net), str(net)):
        assert f"Spiking({js.LIF(tau=3.0)})" in text
        assert "PyTreeDef" not in text


@pytest.mark.parametrize("learn", [(), ("tau",)])
def test_it_shows_something_whatever_its_variables_hold(learn):
    layer = js.nn.Spiking(js.LIF(tau=jnp.array(3.0)), learn=learn)
    abstract = nnx.eval_shape(lambda: layer)
    assert "tau=f32[]" in repr(abstract)
    graph, state = nnx.split(layer)
    shown = []
    jax.jit(lambda state: shown.append(repr(nnx.merge(graph, state))))(state)
    assert "tau=f32[]" in shown[0]
    assert "tau=None" in repr(nnx.merge(graph, jax.tree.map(lambda _: None, state)))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of treescope, with the newest NumPy
def test_it_is_the_same_in_a_notebook():
    treescope = pytest.importorskip("treescope")
    net = js.nn.Sequential(js.nn.Spiking(js.LIF(tau=3.0), learn=("tau",)))
    text = treescope.render_to_text(net)
    assert repr(net.layers[0]) in text
