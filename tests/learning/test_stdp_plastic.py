"""`Plastic`: the layer of a network that learns while it runs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from plasticity import raises

import jaxspike as js

T, N, M, K = 12, 2, 6, 4
BOUNDS = js.learning.PowerLaw(-1.0)
STDP = js.learning.STDP(3.0, a_plus=0.05, a_minus=0.01, weight_dependence=BOUNDS)
X = 1.2 * (np.random.default_rng(0).random((T, N, M)) < 0.5).astype(np.float32)
REWARD = np.random.default_rng(1).normal(size=(T, N)).astype(np.float32)


def plastic(rule=STDP, neuron=None):
    """A layer that fires and learns."""
    init = jax.nn.initializers.uniform(0.8)
    linear = nnx.Linear(M, K, kernel_init=init, rngs=nnx.Rngs(0))
    return js.nn.Plastic(linear, js.LIF(v_reset=None) if neuron is None else neuron, rule)


LAYER = plastic()


def same(got, want):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), got, want)


@nnx.jit
def call(layer, state, x, *reward):
    return layer(state, x, *reward)


@pytest.fixture(scope="module")
def learned():
    """The state and the spikes of a loop over the rule, step by step."""
    linear, lif = LAYER.layer, LAYER.neuron.neuron

    def step(carry, x):
        traces, kernel, neuron = carry
        neuron, z = lif(neuron, x @ kernel + linear.bias[...])
        traces, dw = STDP(traces, kernel, x, z)
        return (traces, kernel + dw, neuron), z

    kernel = linear.kernel[...]
    carry = STDP.init_traces(kernel, (N, M)), kernel, lif.init_state((N, K))
    (traces, kernel, neuron), z = jax.lax.scan(step, carry, X)
    assert 0.1 < z.mean() < 0.7, z.mean()
    assert np.abs(kernel - linear.kernel[...]).mean() > 0.05
    return js.nn.PlasticState({"kernel": kernel}, traces, neuron), z


def test_a_sequence_is_the_loop_over_the_rule(learned):
    same(call(LAYER, LAYER.init_state((N, M)), X), learned)


def test_a_sequence_is_its_steps(learned):
    state, spikes = LAYER.init_state((N, M)), []
    for x in X:
        state, z = call(LAYER, state, x)
        spikes.append(z)
    same((state, jnp.stack(spikes)), learned)


@pytest.mark.parametrize("order", ["step", "layer"])
def test_both_orders_learn_the_same_in_a_network(order):
    """Two plastic layers: the spikes of the first change the second."""
    linear = nnx.Linear(K, 3, rngs=nnx.Rngs(1))
    net = js.nn.Sequential(LAYER, js.nn.Plastic(linear, js.IF(), STDP), js.LI())
    state = net.init_state((N, M))
    want = call(net, state, X)
    same(nnx.jit(lambda net: js.scan(net, state, X, order=order))(net), want)
    assert np.abs(want[0][1].weights["kernel"] - linear.kernel[...]).mean() > 0.01


def test_vmap_of_networks_is_each():
    states = LAYER.init_state((N, M))
    kernels = jnp.stack([states.weights["kernel"], -states.weights["kernel"]])
    graph, variables = nnx.split(LAYER)

    @jax.jit
    def run(kernel):
        state = states._replace(weights={"kernel": kernel})
        return nnx.merge(graph, variables)(state, X)

    together = jax.jit(jax.vmap(run))(kernels)
    for i in range(2):
        same(jax.tree.map(lambda a, i=i: a[i], together), run(kernels[i]))


def test_the_state_can_be_saved(learned, tmp_path):
    import orbax.checkpoint as ocp

    state, first = call(LAYER, LAYER.init_state((N, M)), X[:5])
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "state", state)
        checkpointer.wait_until_finished()
        state = checkpointer.restore(tmp_path / "state", jax.eval_shape(lambda: state))
    state, second = call(LAYER, state, X[5:])
    same((state, jnp.concatenate([first, second])), learned)


def test_in_evaluation_the_weights_stay():
    layer = plastic()
    layer.eval()
    state = layer.init_state((N, M))
    new, z = call(layer, state, X)
    assert z.mean() > 0.1
    jax.tree.map(np.testing.assert_array_equal, new[:2], state[:2])
    want = js.nn.Sequential(layer.layer, layer.neuron)
    same(z, call(want, want.init_state((N, M)), X)[1])


@pytest.mark.parametrize(
    "rule",
    [js.learning.MSTDP(STDP), js.learning.MSTDPET(STDP), js.learning.DopamineSTDP(STDP)],
    ids=lambda rule: type(rule).__name__,
)
def test_the_reward_is_the_third_argument(rule):
    layer = plastic(rule)
    state = layer.init_state((N, M))
    by_sequence, z = call(layer, state, X, REWARD)
    for x, r in zip(X, REWARD, strict=True):
        state, _ = call(layer, state, x, r)
    same(by_sequence, state)
    assert np.abs(state.weights["kernel"] - layer.layer.kernel[...]).max() > 1e-3
    assert z.any()


def test_the_reward_reaches_a_layer_inside_a_network():
    class Net(js.nn.SpikingModule):
        def __init__(self):
            self.plastic = plastic(js.learning.MSTDP(STDP))

        def __call__(self, state, x, reward):
            new, z = self.plastic(state["plastic"], x, reward)
            return {"plastic": new}, z

    net = Net()
    state = net.init_state((N, M), jnp.float32, 0.0)
    want = call(net.plastic, state["plastic"], X, REWARD)
    got, z = call(net, state, X, REWARD)
    same((got["plastic"], z), want)


def test_a_convolution_behind_a_recurrent_neuron():
    conv = nnx.Conv(2, 3, (3,), rngs=nnx.Rngs(0))
    neuron = js.nn.Recurrent(js.LIF(), nnx.Linear(3, 3, rngs=nnx.Rngs(1)))
    layer = js.nn.Plastic(conv, neuron, STDP)
    x = X.reshape(T, N, 3, 2)
    state = layer.init_state((N, 3, 2))
    new, z = call(layer, state, x)
    traces, want = STDP.init_traces(conv, (N, 3, 2)), conv
    for t in range(3):
        traces, dw = STDP(traces, want, x[t], z[t])
        want = jax.tree.map(jnp.add, want, dw)
    same(call(layer, state, x[:3])[0].weights["kernel"], want.kernel[...])
    assert np.abs(new.weights["kernel"] - conv.kernel[...]).max() > 0.01


def test_the_gradient_of_the_first_weights():
    """Through the rule: the last membranes as a function of the weights at the start."""
    rule = js.learning.STDP(3.0, a_plus=0.003, a_minus=0.002)
    layer = plastic(rule, js.LI())
    graph, variables = nnx.split(layer)

    @jax.jit
    def loss(kernel):
        state = layer.init_state((N, M))._replace(weights={"kernel": kernel})
        return (nnx.merge(graph, variables)(state, X)[1] ** 2).sum()

    kernel = layer.layer.kernel[...]
    d = jax.random.normal(jax.random.key(0), kernel.shape)
    numeric = (loss(kernel + 1e-2 * d) - loss(kernel - 1e-2 * d)) / 2e-2
    np.testing.assert_allclose((jax.grad(loss)(kernel) * d).sum(), numeric, rtol=1e-2)


def test_half_precision():
    linear = nnx.Linear(M, K, param_dtype=jnp.bfloat16, rngs=nnx.Rngs(0))
    layer = js.nn.Plastic(linear, js.LIF(), STDP)
    state = layer.init_state((N, M), jnp.bfloat16)
    new, z = call(layer, state, X.astype(jnp.bfloat16))
    assert z.dtype == jnp.bfloat16
    assert new.weights["kernel"].dtype == new.traces.pre.dtype == jnp.float32
    assert new.neuron.v.dtype == jnp.bfloat16


def test_a_rule_with_arrays_is_a_rule():
    rule = STDP.replace(a_plus=jnp.array([0.1, 0.2, 0.3, 0.4]), tau_plus=jnp.full(M, 3.0))
    layer = plastic(rule)
    jax.tree.map(np.testing.assert_array_equal, layer.rule, rule)
    state, _ = call(layer, layer.init_state((N, M)), X)
    assert np.all(np.isfinite(state.weights["kernel"]))
    assert "tau_plus=f32[6], a_plus=f32[4]" in repr(layer)


def test_refusals():
    linear, wrong = nnx.Linear(M, K, rngs=nnx.Rngs(0)), js.nn.WSLinear(M, K, rngs=nnx.Rngs(0))
    sentence = "`Plastic(layer=...)` must be a layer, got 3. Give an nnx.Linear."
    raises(TypeError, sentence, js.nn.Plastic, 3, js.LIF(), STDP)
    sentence = "`Plastic(neuron=...)` must be a neuron, got 3. Give `jaxspike.LIF()`."
    raises(TypeError, sentence, js.nn.Plastic, linear, 3, STDP)
    sentence = (
        "`Plastic(rule=...)` must be a plasticity rule, got LIF(). Give `jaxspike.learning.STDP()`."
    )
    raises(TypeError, sentence, js.nn.Plastic, linear, js.LIF(), js.LIF())
    sentence = (
        "`Plastic(layer=...)` must be linear, got a WSLinear. "
        "Give a layer that is linear in its weights and in its input, or an array [m, n]."
    )
    layer = js.nn.Plastic(wrong, js.LIF(), STDP)
    raises(TypeError, sentence, layer.init_state, (N, M))
    state = LAYER.init_state((N, M))
    sentence = "`Plastic` with STDP must be called as `layer(state, x)`, got 3 arguments."
    raises(TypeError, sentence, LAYER, state, X[0], 1.0)
    layer = plastic(js.learning.MSTDP(STDP))
    sentence = "`Plastic` with MSTDP must be called as `layer(state, x, reward)`, got 2 arguments."
    raises(TypeError, sentence, layer, layer.init_state((N, M)), X[0])
