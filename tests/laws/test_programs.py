"""The user programs that must work, as written."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import jaxspike as js

T, N = 4, 2


def images(channels=1, size=28, seed=0):
    return jax.random.uniform(jax.random.key(seed), (T, N, size, size, channels))


def test_a_neuron_is_a_function():
    x_seq = 1 + jax.random.normal(jax.random.key(0), (6, 4, 8))
    x = x_seq[0]
    lif = js.LIF(tau=2.0, v_threshold=1.0, v_reset=0.0, surrogate=js.surrogate.ATan(alpha=2.0))
    state = lif.init_state((4, 8))
    assert isinstance(state, js.neurons.LIFState)
    assert state.v.shape == (4, 8)
    state, spikes = lif(state, x)
    assert spikes.shape == (4, 8)
    first, by_lax = jax.lax.scan(lif, state, x_seq)
    second, by_js = js.scan(lif, state, x_seq)
    np.testing.assert_array_equal(by_js, by_lax)
    np.testing.assert_allclose(first.v, second.v, rtol=1e-6)
    assert 0.005 < by_js.mean() < 0.9
    grads = jax.grad(lambda n: js.scan(n, state, x_seq)[1].sum())(lif)
    assert isinstance(grads, js.LIF)
    assert grads.tau != 0
    assert grads.v_threshold != 0


def test_a_network_written_by_hand():
    keys = jax.random.split(jax.random.key(0), 3)
    params = {"w1": jax.random.normal(keys[0], (8, 16)), "w2": jax.random.normal(keys[1], (16, 5))}
    x_seq = jax.random.normal(keys[2], (6, 4, 8))
    state = (js.LIF().init_state((4, 16)), js.IF().init_state((4, 5)))

    def net(params, state, x):
        h1, z = js.LIF()(state[0], x @ params["w1"])
        h2, y = js.IF()(state[1], z @ params["w2"])
        return (h1, h2), y

    step_by_step = js.scan(partial(net, params), state, x_seq, order="step")
    layer_by_layer = js.scan(partial(net, params), state, x_seq, order="layer")
    np.testing.assert_array_equal(step_by_step[1], layer_by_layer[1])
    assert 0.005 < step_by_step[1].mean() < 0.9

    def loss(params, order):
        return (js.scan(partial(net, params), state, x_seq, order=order)[1] ** 2).sum()

    gradient = jax.jit(jax.grad(loss), static_argnums=1)
    a, b = gradient(params, "step"), gradient(params, "layer")
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5), a, b)
    assert all(np.any(g != 0) for g in jax.tree.leaves(a))


def test_a_network_of_flax_layers():
    rngs, x_seq = nnx.Rngs(0), images()
    net = js.nn.Sequential(
        nnx.Conv(1, 16, (3, 3), rngs=rngs),
        nnx.BatchNorm(16, rngs=rngs),
        js.IF(),
        js.nn.MaxPool((2, 2)),
        js.nn.Flatten(),
        nnx.Linear(14 * 14 * 16, 10, rngs=rngs),
        js.nn.Spiking(js.LIF(tau=2.0), learn=("tau",)),
    )
    state = net.init_state((N, 28, 28, 1))
    state, y = net(state, x_seq[0])
    assert y.shape == (N, 10)
    state, y_seq = net(state, x_seq)
    assert y_seq.shape == (T, N, 10)
    assert 0.005 < y_seq.mean() < 0.9
    with pytest.raises(ValueError, match="changes no Flax variables"):
        js.scan(net, state, x_seq, order="step")
    net.eval()
    _, layer = net(state, x_seq)
    _, step = js.scan(net, state, x_seq, order="step")
    np.testing.assert_array_equal(step, layer)


class Block(js.nn.SpikingModule):
    def __init__(self, c, *, rngs):
        self.conv1, self.lif1 = nnx.Conv(c, c, (3, 3), rngs=rngs), js.nn.Spiking(js.LIF())
        self.conv2, self.lif2 = nnx.Conv(c, c, (3, 3), rngs=rngs), js.nn.Spiking(js.LIF())

    def __call__(self, state, x):
        s1, y = self.lif1(state["lif1"], self.conv1(x))
        s2, y = self.lif2(state["lif2"], self.conv2(y))
        return {"lif1": s1, "lif2": s2}, x + y


def test_any_topology():
    block = Block(16, rngs=nnx.Rngs(0))
    state = block.init_state((N, 32, 32, 16))
    assert jax.tree.map(jnp.shape, state) == {
        "lif1": js.neurons.LIFState((N, 32, 32, 16)),
        "lif2": js.neurons.LIFState((N, 32, 32, 16)),
    }
    x_seq = 20 * jax.random.normal(jax.random.key(0), (T, N, 32, 32, 16))
    _, layer = block(state, x_seq)
    _, step = js.scan(block, state, x_seq)
    np.testing.assert_allclose(layer, step, rtol=1e-6, atol=1e-6)
    assert 0.005 < np.mean(layer != x_seq) < 0.9  # where the second neuron fired


class MyState(NamedTuple):
    v: jax.Array


class MyNeuron(js.Neuron):
    tau: js.Param = js.field.greater_than(1.0, default=2.0)

    def init_state(self, shape, dtype=jnp.float32):
        return MyState(jnp.zeros(shape, dtype))

    def step(self, state, x):
        h = state.v + (x - state.v) / self.tau
        s = js.surrogate.spike(h - 1.0, js.surrogate.ATan())
        return MyState(h - s), s


def test_a_neuron_of_ones_own_has_what_the_built_in_ones_have():
    net = js.nn.Sequential(
        nnx.Linear(8, 5, rngs=nnx.Rngs(0)), js.nn.Spiking(MyNeuron(), learn=("tau",))
    )
    x_seq = 3 * jax.random.normal(jax.random.key(0), (6, 4, 8))
    state = net.init_state((4, 8))
    _, y = net(state, x_seq)
    _, same = js.nn.Sequential(net.layers[0], js.LIF(v_reset=None))(state_of_lif(state), x_seq)
    np.testing.assert_array_equal(y, same)
    assert 0.005 < y.mean() < 0.9


def state_of_lif(state):
    return (state[0], js.neurons.LIFState(*state[1]))


def data():
    x = jax.random.normal(jax.random.key(1), (6, 32, 8))
    return x, (x.mean(0).sum(-1) > 0).astype(jnp.int32)


@pytest.mark.usefixtures("mixed_dtypes")
def test_training_in_plain_flax():
    rngs = nnx.Rngs(0)
    net = js.nn.Sequential(
        nnx.Linear(8, 16, rngs=rngs),
        nnx.BatchNorm(16, rngs=rngs),
        js.nn.Dropout(0.1, rngs=rngs),
        js.nn.Spiking(js.LIF(), learn=("tau",)),
        nnx.Linear(16, 2, rngs=rngs),
        js.LI(),
    )
    optimizer = nnx.Optimizer(net, optax.adam(3e-2), wrt=nnx.Param)
    x, y = data()

    @nnx.jit
    def train_step(net, optimizer):
        def loss(net):
            _, out = net(net.init_state(x.shape[1:]), x)
            return optax.softmax_cross_entropy_with_integer_labels(out.mean(0), y).mean()

        value, grads = nnx.value_and_grad(loss)(net)
        optimizer.update(net, grads)
        return value

    mean, tau = np.array(net.layers[1].mean[...]), float(net.layers[3].neuron.tau)
    losses = [float(train_step(net, optimizer)) for _ in range(40)]
    assert losses[-1] < 0.5 * losses[0]
    assert np.any(net.layers[1].mean[...] != mean)  # BatchNorm in training mode saw the data
    assert float(net.layers[3].neuron.tau) != tau


@pytest.mark.usefixtures("mixed_dtypes")
def test_training_in_plain_jax():
    x, y = data()
    net = js.nn.Sequential(
        nnx.Linear(8, 16, rngs=nnx.Rngs(0)), js.LIF(), nnx.Linear(16, 2, rngs=nnx.Rngs(1)), js.LI()
    )
    graph, params = nnx.split(net)
    optimizer = optax.adam(3e-2)

    @jax.jit
    def train_step(params, opt_state):
        def loss(params):
            net = nnx.merge(graph, params)
            _, out = net(net.init_state(x.shape[1:]), x)
            return optax.softmax_cross_entropy_with_integer_labels(out.mean(0), y).mean()

        value, grads = jax.value_and_grad(loss)(params)
        updates, opt_state = optimizer.update(grads, opt_state)
        return optax.apply_updates(params, updates), opt_state, value

    opt_state, losses = optimizer.init(params), []
    for _ in range(40):
        params, opt_state, value = train_step(params, opt_state)
        losses.append(float(value))
    assert losses[-1] < 0.5 * losses[0]
