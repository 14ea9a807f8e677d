"""Neurons of few bits: rounded states against snnTorch, and whole numbers against NumPy."""

import golden_files
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxspike as js

ARRAYS, SETTINGS = golden_files.load("snntorch_quant.npz")


class Latch(js.Neuron):
    """A neuron whose state is its last input."""

    def init_state(self, shape, dtype=jnp.float32):
        return jnp.zeros(shape, dtype)

    def step(self, state, x):
        return x, x


def as_snntorch(neuron, setting):
    names = {"num_bits": "bits", "multiplier": "ratio"}
    options = {"threshold": 1.0} | {names.get(k, k): v for k, v in setting.items()}
    uniform, at_threshold = options.pop("uniform", True), options.pop("thr_centered", True)
    spacing = "uniform" if uniform else "threshold" if at_threshold else "zero"
    return js.Quantized(neuron, spacing=spacing, **options)


@pytest.mark.parametrize("i", range(len(SETTINGS)))
def test_equals_snntorch(i):
    setting = SETTINGS[i]
    values = jnp.asarray(ARRAYS["values"])
    rounded, _ = as_snntorch(Latch(), setting)(jnp.zeros_like(values), values)
    np.testing.assert_allclose(rounded, ARRAYS[f"{i}.rounded"], rtol=1e-5, atol=1e-6)
    assert len(np.unique(rounded)) > 0.7 * 2 ** setting["num_bits"]

    leaky = js.presets.snntorch.leaky(0.9, setting.get("threshold", 1.0))
    neuron = as_snntorch(leaky.replace(spike_delay=True), setting)
    x_seq = jnp.asarray(ARRAYS["x"])

    def step(state, x):
        state, spikes = neuron(state, x)
        return state, (state.v, spikes)

    _, (v_seq, spikes) = js.scan(step, neuron.init_state(x_seq.shape[1:]), x_seq)
    np.testing.assert_allclose(v_seq, ARRAYS[f"{i}.membranes"], rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(spikes[1:], ARRAYS[f"{i}.spikes"][:-1])


def test_the_levels_are_made_for_the_threshold_of_the_neuron():
    levels = js.Quantized(js.IF(v_threshold=0.5), 2, upper_limit=0.0).levels
    np.testing.assert_allclose(levels, [-0.5, -1 / 6, 1 / 6, 0.5], rtol=1e-6)


def test_the_rounding_is_ignored_backward():
    neuron = js.Quantized(js.LI(tau=2.0), bits=3, threshold=1.0)
    x_seq = jnp.linspace(-1, 2, 12).reshape(6, 2)

    def loss(x_seq, neuron):
        return js.scan(neuron, neuron.init_state((2,)), x_seq)[1].sum()

    got, want = (jax.grad(loss)(x_seq, n) for n in (neuron, neuron.neuron))
    np.testing.assert_allclose(got, want, rtol=1e-6)


@pytest.mark.parametrize("neuron", [js.Quantized(js.LIF(), 3), js.presets.loihi.cuba_lif(9, 9, 9)])
def test_a_nan_stays_one_and_fires_nothing(neuron):
    x_seq = jnp.stack([jnp.array([jnp.nan, 3e3]), *jnp.full((3, 2), 3e3)])
    state, spikes = js.scan(neuron, neuron.init_state((2,)), x_seq)
    np.testing.assert_array_equal(jnp.isnan(state.v), [True, False])
    np.testing.assert_array_equal(spikes, np.broadcast_to([0, 1], (4, 2)))


def saturated(v, bits):
    return np.clip(v, 1 - 2 ** (bits - 1), 2 ** (bits - 1) - 1)


def decayed(v, kept, shift):
    """Of integers of any size, the fraction cut off."""
    if shift is not None:
        return np.sign(v) * (abs(v) - (abs(v) >> shift))
    return np.sign(v) * (abs(v) * kept >> 12)


def whole_numbers(x_seq, *, bits, c=None, v=(4096, None), threshold, reset=None, rest=0):
    """A neuron in integers of 64 bits: the states after, and the spikes of, each step."""
    x_seq = np.asarray(x_seq, np.int64)
    c_now, v_now = np.zeros_like(x_seq[0]), np.full_like(x_seq[0], rest)
    states, spikes = [], []
    for x in x_seq:
        if c is not None:
            x = c_now = saturated(decayed(c_now, *c) + x, bits)
        h = saturated(rest + decayed(v_now - rest, *v) + x, bits)
        s = h >= threshold
        v_now = np.where(s, h - (threshold - rest) if reset is None else reset, h)
        states.append((c_now, v_now))
        spikes.append(s)
    return states, np.stack(spikes)


CASES = {
    # x in units of 1/128, states in units of 1/128 / 2**fraction_bits
    "IF": (
        js.FixedPoint(js.IF(v_threshold=0.7, v_reset=None), state_bits=9),
        {"bits": 9, "threshold": 90},
    ),
    "LIF": (
        js.FixedPoint(
            js.LIF(tau=3.0, v_rest=-0.25, v_reset=-0.5, decay_input=False), fraction_bits=3
        ),
        {"bits": 16, "v": (2731, None), "threshold": 1024, "reset": -512, "rest": -256},
    ),
    "LIF-soft": (
        js.FixedPoint(js.LIF(tau=3.0, v_rest=-0.25, v_reset=None, decay_input=False)),
        {"bits": 16, "v": (2731, None), "threshold": 128, "rest": -32},
    ),
    "CubaLIF-shift": (
        js.FixedPoint(js.CubaLIF(0.75, v_decay=0.875), decay="shift", fraction_bits=4),
        {"bits": 16, "c": (None, 2), "v": (None, 3), "threshold": 1024, "reset": 0},
    ),
    "Loihi": (
        js.presets.loihi.cuba_lif(du=500, dv=300, vth=900),
        {"bits": 24, "c": (3595, None), "v": (3796, None), "threshold": 57601, "reset": 0},
    ),
    "Loihi-saturated": (
        js.presets.loihi.cuba_lif(du=0, dv=1, vth=131071),
        {"bits": 24, "c": (4095, None), "v": (4095, None), "threshold": 8388545, "reset": 0},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_equals_whole_numbers(name):
    neuron, arguments = CASES[name]
    rng, most = np.random.default_rng(0), 2 ** (neuron.weight_bits - 1)
    weights = rng.integers(-most, most, (40, 30))
    x_seq = rng.integers(0, 2, (25, 8, 40)) @ weights + most // 8
    if name == "Loihi-saturated":
        x_seq = 100 * x_seq + 20_000
    step = np.float32(neuron.weight_step)

    def run(state, x):
        state, spikes = neuron(state, x)
        return state, (neuron.integers(state), spikes)

    given = jnp.asarray(x_seq, jnp.float32) * step
    _, (states, spikes) = js.scan(run, neuron.init_state((8, 30)), given)
    want, want_spikes = whole_numbers(x_seq << neuron.fraction_bits, **arguments)
    np.testing.assert_array_equal(spikes, want_spikes)
    assert 0 < want_spikes.mean() < 0.9
    np.testing.assert_array_equal(states.v, np.stack([v for _, v in want]))
    if "c" in arguments:
        np.testing.assert_array_equal(states.c, np.stack([c for c, _ in want]))
    if name in ("IF", "Loihi-saturated"):
        assert max(abs(v).max() for _, v in want) >= 2 ** (arguments["bits"] - 1) - 2**8


def test_a_network_that_is_trained_for_loihi():
    rng = np.random.default_rng(0)
    labels = jnp.asarray(rng.integers(0, 3, 64))
    x = rng.random((12, 64, 10)) < 0.1 + 0.5 * (np.arange(10) % 3 == np.asarray(labels)[:, None])
    x_seq = jnp.asarray(x, jnp.float32)
    neuron = js.presets.loihi.cuba_lif(du=1500, dv=700, vth=150)

    def spikes(weights, n):
        state = [n.init_state((64, len(w.T))) for w in weights]

        def step(state, z):
            new = []
            for w, s in zip(weights, state, strict=True):
                s, z = n(s, z @ neuron.round_weights(w))
                new.append(s)
            return new, z

        return js.scan(step, state, x_seq)[1]

    @jax.jit
    @jax.value_and_grad
    def loss(weights):
        return js.losses.cross_entropy(spikes(weights, neuron), labels)

    weights = [jnp.asarray(50 * rng.normal(size=s), jnp.float32) for s in ((10, 16), (16, 3))]
    first, _ = loss(weights)
    for _ in range(30):
        last, grads = loss(weights)
        weights = [w - 900.0 * g for w, g in zip(weights, grads, strict=True)]
    assert last < first - 0.2
    z = x.astype(np.int64)
    for w in weights:
        w = np.round(np.asarray(neuron.round_weights(w)) / neuron.weight_step).astype(np.int64)
        assert abs(w).max() <= 128
        arguments = {"c": (2595, None), "v": (3396, None), "threshold": 9601, "reset": 0}
        _, z = whole_numbers((z @ w) << 6, bits=24, **arguments)
    np.testing.assert_array_equal(jax.jit(spikes)(weights, neuron), z)
    assert 0.02 < z.mean() < 0.9


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (
            lambda: js.FixedPoint(js.LIF()),
            "`FixedPoint(neuron=...)` must not divide its input, got LIF(). "
            "Give `jaxspike.LIF(decay_input=False)`.",
        ),
        (
            lambda: js.FixedPoint(js.ALIF()),
            "`FixedPoint(neuron=...)` must be a IF or LIF or CubaLIF, got ALIF(). "
            "Give an instance of `IF or LIF or CubaLIF`.",
        ),
        (
            lambda: js.FixedPoint(js.IF(), state_bits=25),
            "`FixedPoint(state_bits=...)` must be between 4 and 24, got 25.",
        ),
        (
            lambda: js.FixedPoint(js.IF(), weight_max=3.0),
            "`FixedPoint(weight_max=...)` must be a power of two, got 3.0. "
            "Then every number is a whole number of steps exactly.",
        ),
        (
            lambda: js.FixedPoint(js.IF(), state_bits=8),
            "`FixedPoint(state_bits=...)` must hold the threshold of 128.0 units, got 8, which "
            "hold 127. Give more, or fewer of the weights or the fraction.",
        ),
        (
            lambda: js.Quantized(js.LI()),
            "`Quantized(threshold=...)` must be a number where the neuron has none as its "
            "v_threshold, got LI(). Give the potential that it should reach.",
        ),
        (
            lambda: js.Quantized(js.IF(), bits=13),
            "`Quantized(bits=...)` must be at most 12, got 13.",
        ),
        (
            lambda: js.Quantized(js.IF(), ratio=0.5),
            "`Quantized(ratio=...)` must be None with uniform levels, got 0.5. "
            "Give `spacing='threshold'` or `'zero'`.",
        ),
        (
            lambda: js.Quantized(js.IF(), threshold=0.0),
            "`Quantized(threshold=...)` must be greater than 0, got 0.0.",
        ),
        (
            lambda: js.presets.loihi.cuba_lif(0, 4097, 5),
            "`loihi.cuba_lif(dv=...)` must be between 0 and 4096, got 4097.",
        ),
    ],
)
def test_bad_input(make, error):
    with pytest.raises((TypeError, ValueError)) as e:
        make()
    assert str(e.value) == error
