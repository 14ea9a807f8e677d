"""Guarantees that users of SpikingJelly rely on, in their form here."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import jaxspike as js

T, N, C, H, W = 4, 2, 3, 8, 8


@pytest.fixture(scope="module")
def x_seq():
    return 2 * jax.random.uniform(jax.random.key(0), (T, N, H, W, C))


def conv_net():
    rngs = nnx.Rngs(0)
    return js.nn.Sequential(
        nnx.Conv(C, 4, (3, 3), rngs=rngs),
        js.IF(),
        js.nn.MaxPool((2, 2)),
        js.IF(v_threshold=0.7),
        js.nn.Flatten(),
        nnx.Linear(4 * H // 2 * W // 2, 10, rngs=rngs),
        js.IF(),
    )


def test_step_by_step_equals_layer_by_layer(x_seq):
    net = conv_net()
    state = net.init_state((N, H, W, C))
    step = jax.jit(lambda state, x: net(state, x))
    by_hand, ys = state, []
    for x in x_seq:
        by_hand, y = step(by_hand, x)
        ys.append(y)
    last, layer = jax.jit(lambda state, xs: net(state, xs))(state, x_seq)
    _, scanned = js.scan(net, state, x_seq, order="step")
    assert np.abs(jnp.stack(ys) - layer).max() == 0
    assert np.abs(scanned - layer).max() == 0
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), by_hand, last)
    assert set(np.unique(layer)) == {0.0, 1.0}


def test_every_layer_of_it_fires(x_seq):
    net = conv_net()
    y = x_seq
    for layer in net.layers:
        if isinstance(layer, js.nn.Spiking):
            y = layer(layer.init_state(y.shape[1:]), y)[1]
            assert 0.005 < y.mean() < 0.9
            assert set(np.unique(y)) == {0.0, 1.0}
        else:
            y = layer(y)


@pytest.mark.parametrize("neuron", [js.IF(), js.LIF(tau=1.5)])
def test_one_step_and_many(neuron):
    x = 2 * jax.random.uniform(jax.random.key(1), (T, N, C))
    layer = js.nn.Spiking(neuron)
    state = layer.init_state((N, C))
    assert layer(state, x[0])[1].shape == (N, C)
    assert layer(state, x)[1].shape == (T, N, C)


def test_a_new_batch_needs_no_reset(x_seq):
    net = conv_net()
    f = jax.jit(lambda x: net(net.init_state(x.shape[1:]), x)[1])
    first = f(x_seq)
    f(jnp.flip(x_seq, 2))
    assert f(x_seq[:, :1]).shape == (T, 1, 10)  # another batch size
    np.testing.assert_array_equal(f(x_seq), first)


class ANN(nnx.Module):
    def __init__(self, rngs):
        self.conv = nnx.Conv(C, 4, (3, 3), rngs=rngs)
        self.norm = nnx.BatchNorm(4, rngs=rngs)

    def __call__(self, x):
        return nnx.relu(self.norm(self.conv(x)))


class SNN(js.nn.SpikingModule):
    def __init__(self, rngs):
        self.conv = nnx.Conv(C, 4, (3, 3), rngs=rngs)
        self.norm = nnx.BatchNorm(4, rngs=rngs)
        self.fire = js.IF()

    def __call__(self, state, x):
        fire, y = self.fire(state["fire"], self.norm(self.conv(x)))
        return {"fire": fire}, y


def paths(module):
    return {path for path, _ in nnx.to_flat_state(nnx.state(module))}


def test_the_parameter_tree_is_that_of_the_ann(x_seq):
    ann, snn = ANN(nnx.Rngs(1)), SNN(nnx.Rngs(2))
    assert paths(snn) == paths(ann)
    ann(x_seq[0])  # statistics of its own
    nnx.update(snn, nnx.state(ann))
    assert jax.tree.all(jax.tree.map(np.array_equal, nnx.state(snn), nnx.state(ann)))
    y = snn(snn.init_state((N, H, W, C)), x_seq)[1]
    assert 0.005 < y.mean() < 0.9


def test_the_parameter_tree_of_sequential_is_that_of_nnx():
    def layers(rngs):
        return nnx.Conv(C, 4, (3, 3), rngs=rngs), nnx.BatchNorm(4, rngs=rngs)

    ann = nnx.Sequential(*layers(nnx.Rngs(0)), nnx.relu)
    snn = js.nn.Sequential(*layers(nnx.Rngs(1)), js.IF())
    assert paths(snn) == paths(ann)
    nnx.update(snn, nnx.state(ann))
    np.testing.assert_array_equal(snn.layers[0].kernel[...], ann.layers[0].kernel[...])


def test_a_linear_checkpoint_loads_unchanged():
    ann = nnx.Linear(C, 5, rngs=nnx.Rngs(0))
    snn = js.nn.Sequential(nnx.Linear(C, 5, rngs=nnx.Rngs(1)), js.IF())
    nnx.update(snn.layers[0], nnx.to_pure_dict(nnx.state(ann)))
    x = jnp.ones((N, C))
    np.testing.assert_array_equal(snn.layers[0](x), ann(x))


def test_the_demo_network():
    rngs = nnx.Rngs(0)
    sigmoid = js.surrogate.Sigmoid(alpha=4.0)
    net = js.nn.Sequential(
        nnx.Linear(784, 800, rngs=rngs),
        js.IF(surrogate=sigmoid),
        nnx.Linear(800, 10, rngs=rngs),
        js.IF(surrogate=sigmoid),
    )
    x = jax.random.uniform(jax.random.key(0), (T, N, 784))

    @jax.jit
    def rates_and_gradient(variables):
        def loss(variables):
            y = nnx.merge(graph, variables)(state, x)[1]
            return y.mean(), y

        return jax.grad(loss, has_aux=True)(variables)

    graph, variables = nnx.split(net)
    state = net.init_state((N, 784))
    grads, y = rates_and_gradient(variables)
    assert y.shape == (T, N, 10)
    assert 0.005 < y.mean() < 0.9
    assert all(np.any(g != 0) for g in jax.tree.leaves(grads))
