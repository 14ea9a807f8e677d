"""A LIF with a resting potential of its own, in physical units, and thresholds above the rest."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import jaxspike as js
from jaxspike.neurons.equations import fire, leaky_charge

MV = {"v_rest": -65.0, "v_threshold": -50.0, "v_reset": -70.0}
X = 16 + 12 * np.random.default_rng(3).standard_normal((200, 2, 3))


def reference(x, tau, v_rest, v_threshold, v_reset, decay_input):
    v, spikes, membranes = np.full(x.shape[1:], v_rest), [], []
    for xt in x:
        h = v + ((xt if decay_input else tau * xt) - (v - v_rest)) / tau
        s = h >= v_threshold
        v = np.where(s, h - (v_threshold - v_rest) if v_reset is None else v_reset, h)
        spikes.append(s), membranes.append(v)
    return np.stack(spikes), np.stack(membranes)


def run(neuron, x):
    def step(state, x):
        state, s = neuron(state, x)
        return state, (s, state.v)

    return js.scan(step, neuron.init_state(x.shape[1:]), jnp.asarray(x, jnp.float32))[1]


@pytest.mark.parametrize("v_reset", [-70.0, None])
@pytest.mark.parametrize("decay_input", [True, False])
def test_millivolts(v_reset, decay_input):
    fields = MV | {"v_reset": v_reset}
    x = X if decay_input else X / 10
    want_s, want_v = reference(x, 10.0, decay_input=decay_input, **fields)
    assert 0.02 < want_s.mean() < 0.5
    s, v = run(js.LIF(tau=10.0, decay_input=decay_input, **fields), x)
    np.testing.assert_array_equal(s, want_s)
    np.testing.assert_allclose(v, want_v, atol=2e-4)

    shifted = {"v_threshold": 15.0, "v_rest": 0.0, "v_reset": None if v_reset is None else -5.0}
    s0, v0 = run(js.LIF(tau=10.0, decay_input=decay_input, **shifted), x)
    np.testing.assert_array_equal(s0, want_s)
    np.testing.assert_allclose(v0 - 65, v, atol=2e-4)


@pytest.mark.parametrize("v_reset", [0.0, -0.3, None])
def test_without_a_rest_the_program_is_as_it_was(v_reset):
    neuron = js.LIF(v_reset=v_reset)

    def as_before(state, x):
        h = leaky_charge(state.v, x, neuron.tau, v_reset, True)
        v, s = fire(h, neuron.v_threshold, v_reset, neuron.surrogate, False)
        return type(state)(v), s

    state = neuron.init_state((2, 3))
    assert np.all(state.v == (v_reset or 0.0))
    got, want = (jax.make_jaxpr(f)(state, state.v) for f in (neuron.step, as_before))
    assert str(got) == str(want)


@pytest.mark.parametrize(
    ("kind", "fields", "sentence"),
    [
        (
            js.LIF,
            MV | {"v_threshold": -66.0},
            "`LIF(v_threshold=...)` must be greater than v_rest=-65.0 and v_reset=-70.0, "
            "got -66.0.",
        ),
        (
            js.LIF,
            {"v_rest": -65.0, "v_threshold": -50.0},
            "`LIF(v_threshold=...)` must be greater than v_rest=-65.0 and v_reset=0.0, got -50.0.",
        ),
        (
            js.LIF,
            {"v_threshold": -50.0, "v_reset": None},
            "`LIF(v_threshold=...)` must be greater than 0, got -50.0.",
        ),
        (js.LIF, {"v_rest": -np.inf}, "`LIF(v_rest=...)` must be a number, got -inf."),
        (
            js.LIF,
            {"v_reset": np.inf},
            "`LIF(v_threshold=...)` must be greater than v_reset=inf, got 1.0.",
        ),
        (
            js.LIF,
            {"v_threshold": jnp.array([0.5, 2.0]), "v_reset": 1.0},
            "`LIF(v_threshold=...)` must be greater than v_reset=1.0, got [0.5 2. ].",
        ),
    ]
    + [
        (
            kind,
            {"v_threshold": 0.5, "v_reset": 0.5},
            f"`{kind.__name__}(v_threshold=...)` must be greater than {also}v_reset=0.5, got 0.5.",
        )
        for kind, also in [(k, "") for k in (js.IF, js.QIF, js.EIF, js.AdEx, js.Izhikevich)]
        + [(k, "0 and ") for k in (js.KLIF, js.ALIF, js.CubaLIF, js.ResonateAndFire)]
    ],
)
def test_a_threshold_below_the_rest_or_the_reset(kind, fields, sentence):
    with pytest.raises(ValueError) as caught:
        kind(**fields)
    assert str(caught.value) == sentence


def test_every_threshold_with_a_rest_in_millivolts():
    x = jnp.full((1, 1), 400.0)
    for kind in (js.IF, js.QIF, js.EIF, js.AdEx, js.Izhikevich):
        neuron = kind(v_threshold=-40.0, v_reset=-70.0)
        _, s = neuron(neuron.init_state((1, 1)), x)
        assert s.sum() == 1, kind


def test_a_learned_threshold_stays_above_the_rest():
    layer = js.nn.Spiking(js.LIF(**MV), learn=("v_threshold", "v_rest"))
    np.testing.assert_allclose(layer.v_threshold_raw[...], np.log(15.0), rtol=1e-6)
    assert repr(layer).startswith("Spiking(LIF(v_threshold=-50.0, v_reset=-70.0, v_rest=-65.0)")
    layer.v_threshold_raw[...] -= 5.0
    layer.v_rest_raw[...] += 3.0
    neuron = layer.neuron
    assert -62.0 == neuron.v_rest < neuron.v_threshold < -61.8

    def loss(layer):
        return layer(layer.init_state((2, 3)), jnp.asarray(X[:20], jnp.float32))[1].sum()

    grads = nnx.grad(loss)(layer)
    assert grads["v_threshold_raw"][...] != 0 and grads["v_rest_raw"][...] != 0


def test_a_learned_threshold_has_one_value_where_the_reset_has_many():
    reset = jnp.array([-70.0, -60.0, -65.0])
    neuron = js.Refractory(js.LIF(v_rest=-65.0, v_threshold=-50.0, v_reset=reset))
    layer = js.nn.Spiking(neuron, learn=("neuron_v_threshold",))
    np.testing.assert_allclose(layer.neuron_v_threshold_raw[...], np.log(10.0), rtol=1e-6)
    np.testing.assert_allclose(layer.neuron.neuron.v_threshold, -50.0, rtol=1e-6)


def test_nir():
    nir = pytest.importorskip("nir")
    graph = js.nir.to_nir(js.LIF(tau=10.0, **MV), (3,), dt=1e-3)
    (node,) = (n for n in graph.nodes.values() if isinstance(n, nir.LIF))
    np.testing.assert_array_equal(node.v_leak, [-65.0] * 3)
    np.testing.assert_array_equal(node.v_threshold, [-50.0] * 3)
    np.testing.assert_array_equal(node.v_reset, [-70.0] * 3)
    x = jnp.asarray(X, jnp.float32)
    want = run(js.LIF(tau=10.0, **MV), X)[0]
    for key in [k for k in node.metadata if k != "fires"]:  # as another library would read it
        del node.metadata[key]
    for read in (js.nir.from_nir(graph, js.nir.Convention(dt=1e-3, fires=">=")),):
        assert "NIRNeuron" in repr(read)
        _, s = read(read.init_state((2, 3)), x)
        np.testing.assert_array_equal(s, want)
