"""`SpikingS4D`: against its convolution, in NumPy, in chunks and in parallel order."""

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import jaxspike as js

T, N, H, S = 24, 2, 3, 4


@pytest.fixture(scope="module")
def layer():
    return js.nn.SpikingS4D(H, S, dt_min=0.05, dt_max=0.5, v_threshold=0.5, rngs=nnx.Rngs(1))


def test_the_convolution_of_the_paper(layer):
    """``y = K * u + D u`` with ``K[k] = 2 Re(sum_n C_n (exp(dt A_n) - 1) / A_n exp(k dt A_n))``."""
    values = {
        k: np.asarray(v, np.float64)
        for k, v in nnx.to_pure_dict(nnx.state(layer)).items()
        if k != "output"
    }
    a = -np.exp(values["log_a_real"]) + 1j * values["a_imag"]
    c, dt = values["c_real"] + 1j * values["c_imag"], np.exp(values["log_dt"])[:, None]
    powers = np.exp(np.arange(T)[:, None, None] * dt * a)
    kernel = 2 * (c * (np.exp(dt * a) - 1) / a * powers).sum(-1).real  # [T, H]
    u = np.asarray(jax.random.normal(jax.random.key(0), (T, N, H)))
    y = np.stack([sum(kernel[k] * u[t - k] for k in range(t + 1)) for t in range(T)])
    y += values["d"] * u
    state, xs = layer.init_state((N, H)), jnp.asarray(u)
    _, spikes = nnx.jit(lambda layer: layer(state, xs))(layer)
    certain = np.abs(y - 0.5) > 1e-5
    np.testing.assert_array_equal(spikes[certain], (y >= 0.5)[certain])
    assert certain.mean() > 0.99 and 0.1 < spikes.mean() < 0.6


def test_parallel_order_has_no_loop_and_the_same_gradient(layer):
    xs = jax.random.normal(jax.random.key(0), (T, N, H))
    graph, params = nnx.split(layer)

    def run(order):
        def loss(params, xs):
            layer = nnx.merge(graph, params)
            state, spikes = js.scan(layer, layer.init_state((N, H)), xs, order=order)
            return (spikes * jnp.cos(xs)).sum() + jnp.abs(state).sum()

        return jax.grad(loss, (0, 1))

    text = str(jax.make_jaxpr(run("parallel"))(params, xs))
    assert "scan[" not in text and "while[" not in text
    got, want = (jax.jit(run(order))(params, xs) for order in ("parallel", "layer"))
    for a, b in zip(*map(jax.tree.leaves, (got, want)), strict=True):
        np.testing.assert_allclose(a, b, 1e-4, 1e-4)
        assert np.any(b != 0)


@pytest.mark.parametrize("steps", [1, T, 128, 129, 300])
def test_a_sequence_is_its_steps(layer, steps):
    """From any state, with one chunk, and with some of which the last is shorter."""
    rng = np.random.default_rng(steps)
    xs = jnp.asarray(rng.normal(size=(steps, N, H)), jnp.float32)
    state = jnp.asarray(rng.normal(size=(N, H, S, 2)) @ (1, 1j), jnp.complex64)
    graph, params = nnx.split(layer)

    def run(scan):
        def loss(params, state, xs):
            layer = nnx.merge(graph, params)
            last, spikes = js.scan(layer, state, xs) if scan else layer(state, xs)
            return (spikes * jnp.cos(xs)).sum() + jnp.abs(last).sum(), (last, spikes)

        return jax.jit(jax.grad(loss, (0, 1, 2), has_aux=True))

    (got, of_call), (want, of_scan) = (run(k)(params, state, xs) for k in (False, True))
    np.testing.assert_array_equal(of_call[1], of_scan[1])
    np.testing.assert_allclose(of_call[0], of_scan[0], 1e-5, 1e-5)
    for a, b in zip(*map(jax.tree.leaves, (got, want)), strict=True):
        np.testing.assert_allclose(a, b, 1e-4, 2e-5 * np.abs(b).max())
        assert np.any(b != 0)


@pytest.mark.parametrize("axes", [(), (3,), (2, 3, 2)])
def test_any_axes_before_the_features(layer, axes):
    xs = jax.random.normal(jax.random.key(2), (T, *axes, H))
    last, spikes = layer(layer.init_state((*axes, H)), xs)
    want, steps = js.scan(layer, layer.init_state((*axes, H)), xs)
    np.testing.assert_array_equal(spikes, steps)
    np.testing.assert_allclose(last, want, 1e-5, 1e-5)
    assert spikes.shape == xs.shape and spikes.any()


def test_a_sequence_of_symbolic_length(layer):
    """It runs step by step, for chunks need a number of steps."""
    (length,) = jax.export.symbolic_shape("t")
    call = jax.jit(lambda xs: layer(layer.init_state((N, H)), xs)[1])
    exported = jax.export.export(call)(jax.ShapeDtypeStruct((length, N, H), jnp.float32))
    for steps in (5, 150):
        xs = jax.random.normal(jax.random.key(3), (steps, N, H))
        np.testing.assert_array_equal(exported.call(xs), call(xs))


def test_a_sequence_without_steps_is_an_error(layer):
    with pytest.raises(ValueError) as caught:
        layer(layer.init_state((N, H)), jnp.zeros((0, N, H)))
    sentence = "`scan(xs=...)` must have at least one time step, got shapes [(0, 2, 3)]."
    assert str(caught.value) == sentence


def test_a_sequence_does_not_store_its_states(layer):
    shape, steps = (64, H), 512

    def largest(scan):
        def call(state, xs):
            return js.scan(layer, state, xs) if scan else layer(state, xs)

        jaxpr = jax.make_jaxpr(call)(layer.init_state(shape), jnp.ones((steps, *shape)))
        loops = [e.params["length"] for e in jaxpr.eqns if e.primitive.name == "scan"]
        return max(v.aval.size for e in jaxpr.eqns for v in e.outvars), loops

    states = steps * 64 * H * S
    (size, loops), (size_of_scan, _) = largest(False), largest(True)
    assert size < states / 2 and loops == [3]
    assert size_of_scan >= states


def test_its_spikes_are_counted_like_those_of_neurons():
    rngs = nnx.Rngs(0)
    net = js.nn.Sequential(nnx.Linear(H, H, rngs=rngs), js.nn.SpikingS4D(H, S, rngs=rngs))
    xs = jax.random.normal(jax.random.key(0), (T, N, H))
    state = net.init_state((N, H))
    for x in (xs, xs[0]):
        _, y, records = js.debug.record(net, state, x)
        assert list(records) == ["1.output"]
        np.testing.assert_array_equal(records["1.output"]["output"], y)
    recorded = jax.make_jaxpr(lambda x: js.debug.record(net, state, x)[2])(xs)
    assert f"c64[{T},{N},{H},{S}]" not in str(recorded)  # the states of all steps, of a loop
    scaled = js.train.scale_to_firing_rate(net, xs, rate=0.3)
    layers = js.debug.firing_rates(scaled, state, xs).layers
    assert layers["1.output"].rate == pytest.approx(0.3, abs=0.01)


def test_initialization():
    lin, inv = (js.nn.SpikingS4D(2, 4, init=init, rngs=nnx.Rngs(0)) for init in ("lin", "inv"))
    np.testing.assert_allclose(lin.a_imag[...][0], np.pi * np.arange(4), rtol=1e-6)
    want = 8 / np.pi * (8 / (2 * np.arange(4) + 1) - 1)
    np.testing.assert_allclose(inv.a_imag[...][1], want, rtol=1e-6)
    np.testing.assert_allclose(np.exp(lin.log_a_real[...]), 0.5, rtol=1e-6)
    assert np.all((lin.log_dt[...] > np.log(1e-3)) & (lin.log_dt[...] < np.log(0.1)))


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"states": 0}, "`SpikingS4D(states=...)` must be at least 1, got 0."),
        ({"init": "legs"}, "`SpikingS4D(init=...)` must be one of ('lin', 'inv'), got 'legs'."),
        ({"dt_min": 0.0}, "`SpikingS4D(dt_min=...)` must be greater than 0, got 0.0."),
        ({"dt_min": 0.2}, "`SpikingS4D(dt_max=...)` must be greater than 0.2, got 0.1."),
    ],
)
def test_errors(changed, sentence):
    with pytest.raises(ValueError) as caught:
        js.nn.SpikingS4D(**({"features": 2, "rngs": nnx.Rngs(0)} | changed))
    assert str(caught.value) == sentence


def test_a_record_of_a_number_of_steps_that_is_not_known():
    net = js.nn.Sequential(js.nn.SpikingS4D(H, S, rngs=nnx.Rngs(0)))
    state = net.init_state((N, H))

    def spikes(xs):
        return js.debug.record(net, state, xs)[2]["0.output"]["output"]

    steps = jax.export.symbolic_shape("t")[0]
    exported = jax.export.export(jax.jit(spikes))(jax.ShapeDtypeStruct((steps, N, H), jnp.float32))
    xs = jax.random.normal(jax.random.key(0), (T, N, H))
    np.testing.assert_array_equal(exported.call(xs), spikes(xs))


def test_a_record_of_a_sequence_of_ones_own():
    class Scanned(js.nn.SpikingS4D):
        def sequence(self, state, xs):
            return super(js.nn.SpikingS4D, self).sequence(state, xs)

    net, xs = Scanned(H, S, rngs=nnx.Rngs(0)), jax.random.normal(jax.random.key(0), (T, N, H))
    _, y, records = js.debug.record(net, net.init_state((N, H)), xs)
    np.testing.assert_array_equal(records["output"]["output"], y)
