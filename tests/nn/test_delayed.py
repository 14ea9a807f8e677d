"""Learnable delays: NumPy's loops as the oracle, steps, pieces, gradients, rounding, errors."""

import jax
import jax.numpy as jnp
import nir
import numpy as np
import pytest
from flax import nnx

import jaxspike as js

T, N, IN, OUT, LONGEST = 40, 2, 3, 4, 5
XS = jax.random.normal(jax.random.key(0), (T, N, IN))
CASES = [
    (kind, kernel)
    for kind in ("axonal", "dendritic", "synaptic")
    for kernel in ("linear", "gaussian")
]


def delayed(kind, kernel="linear", **options):
    rngs = nnx.Rngs(1)
    linear = nnx.Linear(IN, OUT, bias_init=nnx.initializers.ones, rngs=rngs)
    return js.nn.Delayed(linear, kind, max_delay=LONGEST, kernel=kernel, rngs=rngs, **options)


def oracle(layer, xs, d, sigma=None):
    """The definition, a delay at a time."""
    kernel = np.asarray(layer.layer.kernel[...], np.float64)
    bias = np.asarray(layer.layer.bias[...], np.float64)
    xs, d = np.asarray(xs, np.float64), np.asarray(d, np.float64)
    ks = np.arange(LONGEST + 1)

    def late(values, delay):
        taps = np.maximum(0, 1 - np.abs(ks - delay))
        if sigma is not None:
            taps = np.exp(-((ks - delay) ** 2) / (2 * sigma**2))
            taps = taps / taps.sum()
        padded = np.concatenate([np.zeros((LONGEST, *values.shape[1:])), values])
        return sum(tap * padded[LONGEST - k :][:T] for k, tap in zip(ks, taps, strict=True))

    def each(values):
        return np.stack([late(values[..., c], d[c]) for c in range(len(d))], -1)

    if layer.kind == "axonal":
        return each(xs) @ kernel + bias
    if layer.kind == "dendritic":
        return each(xs @ kernel + bias)
    terms = [[kernel[i, o] * late(xs[..., i], d[i, o]) for i in range(IN)] for o in range(OUT)]
    return np.stack([sum(row) for row in terms], -1) + bias


def test_every_kind_and_kernel_is_its_definition_in_pieces_and_in_steps():
    layers = [delayed(*case) for case in CASES]
    layers += [layer.round() for layer in layers[::2]]

    @jax.jit
    def run(xs):
        found = []
        for layer in layers:
            state = layer.init_state((N, IN))
            middle, start = layer(state, xs[:3])
            _, y = layer(middle, xs[3])
            _, end = layer(middle, xs[3:])
            found.append((jnp.concatenate([start, end]), y))
        return found

    for layer, (ys, y) in zip(layers, run(XS), strict=True):
        sigma = LONGEST / 2 if layer.kernel == "gaussian" else None
        want = oracle(layer, XS, layer.delays, sigma)
        np.testing.assert_allclose(ys, want, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(y, want[3], rtol=1e-5, atol=1e-5)


def test_long_gaussians_are_filtered_in_blocks():
    rngs = nnx.Rngs(0)
    one = nnx.Linear(2, 2, kernel_init=lambda *_: jnp.eye(2), rngs=rngs)
    options = {
        "max_delay": 40,
        "kernel": "gaussian",
        "sigma": 6.0,
        "delays": jnp.array([12.0, 33.5]),
    }
    layer = js.nn.Delayed(one, **options, rngs=rngs)
    xs = np.zeros((100, 1, 2), np.float32)
    xs[5] = 1.0
    y = jax.jit(lambda xs: layer(layer.init_state((1, 2)), xs)[1][:, 0])(xs)
    k = np.arange(41)[:, None]
    taps = np.exp(-((k - np.array([12.0, 33.5])) ** 2) / 72)
    np.testing.assert_allclose(y[5:46], taps / taps.sum(0), rtol=1e-4, atol=1e-7)
    assert not np.any(y[:5]) and not np.any(y[46:])


def test_gradients_in_the_delays_are_finite_differences():
    """Between whole delays the output of a linear kernel is linear in the delay."""
    layers = [delayed(kind) for kind, kernel in CASES if kernel == "linear"]
    for layer in layers:
        d = np.asarray(layer.delays)
        layer.delays_raw[...] = raw(np.floor(d) + np.clip(d % 1, 0.2, 0.8))
    weights = jax.random.normal(jax.random.key(2), (T, N, OUT))

    def loss(raws):
        total = 0.0
        for layer, value in zip(layers, raws, strict=True):
            layer = nnx.clone(layer)
            layer.delays_raw[...] = value
            state = layer.init_state((N, IN))
            total += (layer(state, XS)[1] * weights).sum()
        return total

    raws = [layer.delays_raw[...] for layer in layers]
    got, value = jax.jit(jax.grad(loss))(raws), jax.jit(loss)
    for i, layer in enumerate(layers):
        d = np.asarray(layer.delays)
        place = np.unravel_index(1, d.shape)
        moved = [np.array(d), np.array(d)]
        moved[0][place] += 0.1
        moved[1][place] -= 0.1
        high, low = (value([*raws[:i], raw(m), *raws[i + 1 :]]) for m in moved)
        slope = d[place] * (1 - d[place] / LONGEST)  # d delay / d raw
        np.testing.assert_allclose(got[i][place], (high - low) / 0.2 * slope, rtol=2e-2, atol=1e-2)
        assert np.all(got[i] != 0)


def raw(d):
    return jnp.asarray(np.log(d / (LONGEST - d)), jnp.float32)


def test_sigma_is_annealed_without_a_retrace_and_is_not_learned():
    layer, traces = delayed("axonal", "gaussian"), []

    @nnx.jit
    def run(layer):
        traces.append(1)
        return layer(layer.init_state((N, IN)), XS)[1]

    wide = run(layer)
    layer.sigma[...] = jnp.float32(0.05)
    assert np.any(run(layer) != wide)
    assert len(traces) == 1
    layer.delays_raw[...] = raw(np.array([1.0, 2.0, 4.0]))
    np.testing.assert_allclose(run(layer), run(layer.round()), rtol=1e-5, atol=1e-5)
    assert set(nnx.state(layer, nnx.Param)) == {"delays_raw", "layer"}
    assert set(nnx.state(layer.round(), nnx.Param)) == {"layer"}


@pytest.mark.slow
def test_under_vmap_and_in_other_dtypes(mixed_dtypes):
    layer = delayed("axonal")

    @jax.jit
    def run(xs):
        state = layer.init_state((N, IN))
        return layer(state, xs)[1], jax.vmap(layer.sequence, (0, 1), (0, 1))(state, xs)[1]

    want, mapped = run(XS)
    np.testing.assert_allclose(mapped, want, rtol=1e-5, atol=1e-6)
    state = layer.init_state((N, IN), jnp.bfloat16)
    new, _ = jax.eval_shape(lambda: layer(state, XS.astype(jnp.bfloat16)))
    assert new.buffer.dtype == jnp.bfloat16
    with jax.enable_x64(True):
        state = layer.init_state((N, IN), jnp.float64)
        new, y = jax.eval_shape(lambda: layer(state, XS[0].astype(jnp.float64)))
    assert {y.dtype, *(a.dtype for a in jax.tree.leaves(new))} == {jnp.dtype("float64")}


@pytest.mark.slow
def test_as_feedback():
    rngs = nnx.Rngs(0)
    feedback = js.nn.Delayed(nnx.Linear(IN, IN, rngs=rngs), max_delay=3, delays=1.4, rngs=rngs)
    layer = js.nn.Recurrent(js.LI(tau=2.0), feedback)
    y = jax.jit(lambda xs: layer(layer.init_state((N, IN)), xs)[1])(XS)
    # one step for the feedback itself: y[t] = LI(x[t] + f(0.6 y[t-2] + 0.4 y[t-3]))
    kernel, bias = feedback.layer.kernel[...], feedback.layer.bias[...]
    past, v = np.zeros((T + 3, N, IN)), np.zeros((N, IN))
    for t in range(T):
        back = (0.6 * past[t + 1] + 0.4 * past[t]) @ kernel + bias
        past[t + 3] = v = v + (np.asarray(XS[t]) + back - v) / 2.0
    want = past[3:]
    np.testing.assert_allclose(y, want, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_rounded_delays_go_to_nir_and_back():
    rngs = nnx.Rngs(0)
    net = js.nn.Sequential(
        delayed("axonal").round(),
        js.LIF(v_threshold=0.2),
        nnx.Linear(OUT, IN, rngs=rngs),
        delayed("dendritic").round(),
        js.IF(v_threshold=0.3),
    )
    graph = js.nir.to_nir(net, (IN,))
    assert [type(n) for n in graph.nodes.values()].count(nir.Delay) == 2
    again = js.nir.from_nir(graph)
    run = jax.jit(
        lambda xs: (net(net.init_state((N, IN)), xs)[1], again(again.init_state((N, IN)), xs)[1])
    )
    want, got = run(2 * XS)
    np.testing.assert_array_equal(got, want)
    assert 0.05 < want.mean() < 0.95
    for layer, what, fix in (
        (delayed("axonal"), "a Delayed whose delays are not whole", "Round them: `layer.round()`."),
        (
            delayed("synaptic").round(),
            "a Delayed with a delay per weight",
            "Delay inputs or outputs.",
        ),
    ):
        with pytest.raises(ValueError) as caught:
            js.nir.to_nir(js.nn.Sequential(layer, js.IF()), (IN,))
        sentence = "`to_nir(net=...)` must have layers that NIR can represent, got "
        assert str(caught.value) == f"{sentence}{what} at '0'. {fix}"


def test_a_step_of_a_long_delay_copies_nothing():
    delay = js.Delay(4000)
    state = delay.init_state((2, 8))
    step = jax.jit(delay, donate_argnums=0).lower(state, jnp.ones((2, 8))).compile()
    assert step.memory_analysis().temp_size_in_bytes < state.buffer.nbytes / 10
    for t in range(3):
        state, y = step(state, jnp.full((2, 8), t + 1.0))
    assert not np.any(y)
    np.testing.assert_array_equal(
        state.buffer[..., :3], np.broadcast_to([1.0, 2.0, 3.0], (2, 8, 3))
    )


GIVE = "Give an nnx.Linear"
ERRORS = [
    (
        {"kind": "axon"},
        "`Delayed(kind=...)` must be one of ('axonal', 'dendritic', 'synaptic'), got 'axon'.",
    ),
    (
        {"kernel": "whole"},
        "`Delayed(kernel=...)` must be one of ('linear', 'gaussian'), got 'whole'.",
    ),
    ({"max_delay": 0}, "`Delayed(max_delay=...)` must be at least 1, got 0."),
    ({"sigma": 1.0}, "`Delayed(sigma=...)` must be None for a linear kernel, got 1.0."),
    (
        {"kernel": "gaussian", "sigma": 0.0},
        "`Delayed(sigma=...)` must be greater than 0, got 0.0.",
    ),
    (
        {"delays": 5.0},
        "`Delayed(delays=...)` must be above 0 and below max_delay=5, got values from 5 to 5.",
    ),
    (
        {"rngs": None},
        "`Delayed(rngs=...)` must be an nnx.Rngs, got None. Give `rngs=nnx.Rngs(0)`.",
    ),
    (
        {"layer": abs},
        "`Delayed(layer=...)` must be a layer without a state that has `in_features`, "
        f"got <built-in function abs>. {GIVE}.",
    ),
    (
        {"layer": abs, "kind": "synaptic"},
        '`Delayed(layer=..., kind="synaptic")` must be an nnx.Linear, '
        f'got <built-in function abs>. {GIVE}, or `kind="axonal"`.',
    ),
]


@pytest.mark.parametrize(("changed", "sentence"), ERRORS)
def test_errors(changed, sentence):
    arguments = {"layer": nnx.Linear(2, 2, rngs=nnx.Rngs(0)), "max_delay": 5, "rngs": nnx.Rngs(0)}
    with pytest.raises((TypeError, ValueError)) as caught:
        js.nn.Delayed(**arguments | changed)
    assert str(caught.value) == sentence
    assert isinstance(caught.value, TypeError) == ("rngs" in changed or "layer" in changed)
