"""Every further neuron model equals its oracle.

The numbers of the models that SpikingJelly has are in `golden/spikingjelly_zoo.npz`, which
`golden/make_spikingjelly_zoo.py` made: spikes exactly, states and gradients to rounding. The others
equal the equations of their paper, written here in float64 NumPy.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from golden_files import assert_close, load
from xla import AS_USERS

import jaxspike as js

GOLDEN, INFO = load("spikingjelly_zoo.npz")
SEQUENCES = [(i, *s) for i, s in enumerate(INFO["sequences"])]
CASES = [pytest.param(i, c, id=f"{c['model']}-{i}") for i, c in enumerate(INFO["cases"])]


def make_surrogate(name, value):
    """A surrogate; that of a spike count has its greatest count in the neuron."""
    if name == "MultiLevelSpikeCount":
        return js.surrogate.Window()
    return getattr(js.surrogate, name)(alpha=value)


def make_neuron(case):
    """The jaxspike neuron of a case."""
    fields = case["parameters"] | {k: v for k, v in case["options"].items() if k != "spikes"}
    if "activation" in fields:
        fields["activation"] = {"relu": jax.nn.relu, "tanh": jnp.tanh}[fields["activation"]]
    if case["surrogate"]:
        fields["surrogate"] = make_surrogate(*case["surrogate"])
    return getattr(js, case["model"])(**fields)


def forward(neuron, state, x):
    """The last state, and outputs and states."""

    def step(state, x):
        state, y = neuron(state, x)
        return state, (y, state)

    return js.scan(step, state, x)


forward_as_users = jax.jit(forward, compiler_options=AS_USERS)


@jax.jit
def run(neuron, state, x, w_y, w_state):
    """Outputs and states, and the gradients of the case's loss."""

    def loss(neuron, state, x):
        state, out = forward(neuron, state, x)
        return (out[0] * w_y).sum() + sum((s * w_state).sum() for s in state), out

    grads, out = jax.grad(loss, (0, 1, 2), has_aux=True)(neuron, state, x)
    return out, grads


@pytest.mark.parametrize(("i", "case"), CASES)
def test_spikingjelly(i, case):
    neuron = make_neuron(case)
    shift, scale = case["input"]
    x = np.float32(shift) + np.float32(scale) * GOLDEN["x"]
    if "spikes" in case["options"]:
        x = (x >= 0).astype(np.float32)
    state = neuron.init_state(x.shape[1:])
    assert set(state._fields) == set(case["states"])
    out, grads = run(neuron, state, x, GOLDEN["w_y"], GOLDEN["w_state"])
    for y, states in (out, forward_as_users(neuron, state, x)[1]):
        if case["model"] not in ("LIAF", "SynapseFilter"):
            np.testing.assert_array_equal(y, GOLDEN[f"{i}_y"])
        else:
            assert_close(y, GOLDEN[f"{i}_y"])
        for name in state._fields:
            assert_close(getattr(states, name), GOLDEN[f"{i}_{name}_seq"])
    assert_close(grads[2], GOLDEN[f"{i}_grad_x"])
    for name in state._fields:
        assert_close(getattr(grads[1], name), GOLDEN[f"{i}_grad_{name}0"])
    for name, value in case["parameters"].items():
        if value is not None:
            assert_close(getattr(grads[0], name), GOLDEN[f"{i}_grad_{name}"])


@pytest.mark.parametrize(("i", "model", "options"), SEQUENCES)
def test_spikingjelly_sequence(i, model, options):
    fields = {k: v for k, v in options.items() if k != "k" or model == "MaskedPSN"}
    weight, bias = (jnp.asarray(GOLDEN[f"s{i}_{name}"]) for name in ("weight", "bias"))
    neuron = getattr(js, model)(weight, bias, **fields)

    @jax.jit
    @jax.grad
    def gradients(neuron_x):
        neuron, x = neuron_x
        return (neuron(x) * GOLDEN["w_y"]).sum()

    x = 0.5 + GOLDEN["x"]
    grads, grad_x = gradients((neuron, jnp.asarray(x)))
    np.testing.assert_array_equal(jax.jit(neuron)(x), GOLDEN[f"s{i}_y"])
    assert_close(grad_x, GOLDEN[f"s{i}_grad_x"])
    for name in ("weight", "bias", "lambda_"):
        if f"s{i}_grad_{name}" in GOLDEN:
            assert_close(getattr(grads, name), GOLDEN[f"s{i}_grad_{name}"])


@pytest.mark.parametrize("model", INFO["defaults"])
def test_defaults_are_spikingjelly_s(model):
    neuron, shared = getattr(js, model)(), 0
    for name, value in INFO["defaults"][model].items():
        if name == "surrogate":
            want = make_surrogate(*value)
            assert (type(neuron.surrogate), jax.tree.leaves(neuron.surrogate)) == (
                type(want),
                jax.tree.leaves(want),
            )
        elif hasattr(neuron, name):
            assert getattr(neuron, name) == value, name
            shared += 1
    assert shared


# ---- the others, by their papers: outputs, distances to threshold and the state, step by step


def alif(n, x):
    """Bellec et al. 2020, equations 6, 7, 8 and the adaptation variable."""
    v, a, z = np.zeros(x.shape[1:]), np.zeros(x.shape[1:]), np.zeros(x.shape[1:])
    for current in x:
        v = n.v_decay * v + current - z * n.v_threshold
        a = n.a_decay * a + z
        z = (v >= n.v_threshold + n.beta * a).astype(float)
        after = n.v_decay * v - z * n.v_threshold, n.a_decay * a + z
        yield z, v - (n.v_threshold + n.beta * a), after


def adex(n, x):
    """Brette & Gerstner 2005, equations 1 to 3, in nA, nS, pF, mV and ms, in Euler steps."""
    capacitance, leak, dt = 281.0, 30.0, 0.1
    rest, rheobase, slope, crest = -70.6, -50.4, 2.0, 20.0
    tau_w, a, b = 144.0, 4.0, 80.5
    v, w = np.full(x.shape[1:], rest), np.zeros(x.shape[1:])
    for current in x * leak:  # in pA
        upswing = leak * slope * np.exp((v - rheobase) / slope)
        dv = (-leak * (v - rest) + upswing - w + current) / capacitance
        dw = (a * (v - rest) - w) / tau_w
        v, w = v + dt * dv, w + dt * dw
        s = v >= crest
        margin = v - crest
        v, w = np.where(s, rest, v), np.where(s, w + b, w)
        yield s.astype(float), margin, (v, w / leak)


def alpha(n, x):
    """The kernel of the two decays over the inputs since the last spike."""
    scale = np.log(n.exc_decay) / (np.log(n.inh_decay) - np.log(n.exc_decay)) + 1
    since = np.zeros(x.shape[1:], int)
    for t in range(len(x)):
        age = np.arange(t + 1)[:, None, None]
        received = np.where(t - age >= since, x[t - age[:, 0, 0]], 0)
        exc, inh = ((decay**age * received).sum(0) for decay in (n.exc_decay, n.inh_decay))
        margin = scale * (exc - inh) - n.v_threshold
        since = np.where(margin >= 0, t + 1, since)
        left = margin < 0
        yield (margin >= 0).astype(float), margin, (exc * left, -inh * left)


def refractory(n, x):
    """A LIF whose membrane is clamped for some steps after a spike."""
    lif = n.neuron
    v, last = np.full(x.shape[1:], lif.v_reset), np.full(x.shape[1:], -1000)
    for t, current in enumerate(x):
        awake = t - last > n.steps
        h = np.where(awake, v + (current - (v - lif.v_reset)) / lif.tau, v)
        s = awake & (h >= lif.v_threshold)
        last = np.where(s, t, last)
        v = np.where(s, lif.v_reset, h)
        yield s.astype(float), h - lif.v_threshold, (v, np.clip(last + n.steps - t, 0, None))


def delay(n, x):
    for t in range(len(x)):
        received = np.concatenate([np.zeros((n.steps, *x.shape[1:])), x[: t + 1]])
        ring = np.moveaxis(np.roll(received[t + 1 :], t + 1, 0), 0, -1)
        yield received[t], np.inf, (ring, np.full(x.shape[1:], (t + 1.0) % n.steps))


def adlif(n, x):
    """Bittar & Garner 2022, equations 9 and 10, with the spikes of the step before."""
    u, w, s = np.zeros((3, *x.shape[1:]))
    for current in x:
        w = n.w_decay * w + n.a * u + n.b * s
        u = n.v_decay * (u - n.v_threshold * s) + (1 - n.v_decay) * (current - w)
        s = (u >= n.v_threshold).astype(float)
        ahead = n.w_decay * w + n.a * u + n.b * s
        yield s, u - n.v_threshold, (u - n.v_threshold * s, ahead)


def silif(n, x):
    """Fabre et al. 2025: those of an AdLIF, the decays discretized from rates."""
    v_decay, w_decay = np.exp(-n.v_rate * n.dt), np.exp(-n.w_rate * n.dt)
    yield from adlif(js.AdLIF(v_decay, w_decay=w_decay, a=n.a, b=n.b, v_threshold=n.v_threshold), x)


def se_adlif(n, x):
    """Baronig et al. 2025: the adaptation current follows the membrane after its reset."""
    u, w = np.zeros((2, *x.shape[1:]))
    for current in x:
        u = n.v_decay * u + (1 - n.v_decay) * (current - w)
        margin, s = u - n.v_threshold, (u >= n.v_threshold).astype(float)
        u = u * (1 - s)
        w = n.w_decay * w + (1 - n.w_decay) * (n.a * u + n.b * s)
        yield s, margin, (u, w)


def brf(n, x):
    """Higuchi et al. 2024, in complex numbers."""
    z, q = np.zeros(x.shape[1:], complex), np.zeros(x.shape[1:])
    boundary = (-1 + np.sqrt(1 - (n.dt * n.omega) ** 2)) / n.dt
    for current in x:
        z = z + n.dt * ((boundary - n.b_offset - q + 1j * n.omega) * z + current)
        margin = z.real - n.v_threshold - q
        s = (margin >= 0).astype(float)
        q = n.q_decay * q + s
        yield s, margin, (z.real, z.imag, q)


def tclif(n, x):
    """Zhang et al. 2024, equations 9 and 10, with the spikes of the step before."""
    d, u, s = np.zeros((3, *x.shape[1:]))
    for current in x:
        d = d - n.gamma * s - n.beta1 * (u - n.v_threshold * s) + current
        u = u - n.v_threshold * s + n.beta2 * d
        s = (u >= n.v_threshold).astype(float)
        yield s, u - n.v_threshold, (d - n.gamma * s, u - n.v_threshold * s)


PAPERS = {  # reference, neuron, (shift, scale) of the input, time steps
    "ALIF": (alif, js.ALIF(), (0.3, 0.5), 60),
    "ALIF-strong": (alif, js.ALIF(v_decay=0.8, a_decay=0.9, beta=1.6), (0.5, 0.8), 60),
    "AdEx": (
        adex,
        js.AdEx(
            tau=281 / 30 / 0.1,
            delta_T=2.0,
            theta_rh=-50.4,
            v_threshold=20.0,
            v_rest=-70.6,
            v_reset=-70.6,
            tau_w=1440.0,
            a=4 / 30,
            b=80.5 / 30,
        ),
        (50.0, 40.0),
        600,
    ),
    "Alpha": (alpha, js.Alpha(), (0.3, 0.6), 60),
    "Alpha-other": (alpha, js.Alpha(exc_decay=0.7, inh_decay=0.3), (0.5, 0.6), 60),
    "Refractory": (refractory, js.Refractory(js.LIF(tau=3.0), steps=3), (1.5, 1.5), 60),
    "Delay": (delay, js.Delay(steps=4), (0.0, 1.0), 20),
    "AdLIF": (adlif, js.AdLIF(a=0.05, b=0.5), (5.0, 8.0), 60),
    "SiLIF": (silif, js.SiLIF(a=0.05), (5.0, 8.0), 60),
    "SEAdLIF": (se_adlif, js.SEAdLIF(), (5.0, 8.0), 60),
    "BRF": (brf, js.BRF(30.0), (0.0, 60.0), 60),
    "TCLIF": (tclif, js.TCLIF(0.4, beta2=0.3), (0.2, 0.7), 60),
}


@pytest.mark.parametrize(
    ("reference", "neuron", "scaling", "steps"), PAPERS.values(), ids=PAPERS.keys()
)
def test_paper(reference, neuron, scaling, steps):
    x = scaling[0] + scaling[1] * np.random.default_rng(7).standard_normal((steps, 3, 5))
    want, margin, want_states = zip(*reference(neuron, x), strict=True)
    assert np.min(np.abs(margin)) > 1e-5
    assert np.mean(np.asarray(want) != 0) > 0.002

    def step(state, x):
        state, y = neuron(state, x)
        return state, (y, jax.tree.leaves(state))

    # mV: in the upswing the rounding of float32 grows e-fold every 2 mV
    single = 0.05 if type(neuron) is js.AdEx else 1e-6
    for dtype, rtol, atol in ((jnp.float64, 1e-9, 1e-12), (jnp.float32, 1e-5, single)):
        with jax.enable_x64(dtype == jnp.float64):
            xs = jnp.asarray(x, dtype)
            _, (y, states) = js.scan(step, neuron.init_state((3, 5), dtype), xs)
            assert y.dtype == dtype
        np.testing.assert_allclose(y, np.asarray(want, dtype))
        for got, wanted in zip(states, zip(*want_states, strict=True), strict=True):
            np.testing.assert_allclose(got, np.stack(wanted), rtol, atol)


def test_nothing_happens_to_a_refractory_neuron():
    neuron = js.Refractory(js.Izhikevich(a=0.2, b=0.1), steps=2)
    x = 3 * jax.random.normal(jax.random.key(0), (20, 1, 4))
    _, (y, states) = forward_as_users(neuron, neuron.init_state((1, 4)), x)
    assert y.sum() > 5
    for t, n, c in np.argwhere(np.asarray(y[:-2]) != 0):
        assert not y[t + 1 : t + 3, n, c].any()
        for leaf in states.neuron:
            assert (leaf[t + 1 : t + 3, n, c] == leaf[t, n, c]).all()


def test_refractory_neurons_that_remember_more_than_a_number():
    """A delay holds several inputs, and a stochastic neuron its keys."""
    late = js.Refractory(js.Delay(1), steps=2)
    _, y = js.scan(late, late.init_state((1,)), jnp.arange(1.0, 9.0)[:, None])
    np.testing.assert_array_equal(y[:, 0], [0, 1, 0, 0, 2, 0, 0, 5])
    random = js.Refractory(js.Stochastic(js.LIF()), steps=2)
    _, y = js.scan(random, random.init_state((50,)), jnp.ones((12, 50)))
    fired = np.asarray(y) > 0
    assert 0.1 < fired.mean() < 0.34
    assert not np.any(fired[:-1] & fired[1:]) and not np.any(fired[:-2] & fired[2:])


def test_file_is_what_the_script_describes():
    runs = {k for k in GOLDEN if k.endswith("_y")} - {"w_y"}
    assert len(INFO["cases"]) + len(SEQUENCES) == len(runs)
    for i, case in enumerate(INFO["cases"]):
        if case["model"] not in ("LIAF", "SynapseFilter"):
            assert 0.1 <= (GOLDEN[f"{i}_y"] != 0).mean() <= 0.6
        assert dataclasses.is_dataclass(getattr(js, case["model"]))


def test_a_learned_frequency_stays_where_steps_are_stable():
    layer = js.nn.Spiking(js.BRF(jnp.array([40.0, 99.0]), dt=0.01), learn=("omega",))
    np.testing.assert_allclose(layer.neuron.omega, [40.0, 99.0], rtol=1e-6)
    xs, state = 60 * jnp.ones((9, 1, 2)), layer.init_state((1, 2))
    for raw in (-30.0, 0.0, 30.0):
        layer.omega_raw[...] = jnp.full(2, raw)
        assert np.all((layer.neuron.omega > 0) & (layer.neuron.omega <= 100))
        grads = nnx.grad(lambda layer: layer(state, xs)[1].sum())(layer)["omega_raw"][...]
        assert np.all(np.isfinite(grads))
