"""`scan` equals `jax.lax.scan`, whatever the step function."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxspike as js

from .programs import STEPS, assert_equal, program, value_and_gradients

OPTIONS = [
    {},
    {"segment": 2},
    {"order": "step"},
    {"order": "step", "segment": "sqrt", "unroll": 1},
    {"segment": 9, "unroll": 2},
    {"policy": js.engine.Policy(tile=5, barrier=False)},
    {"policy": js.engine.Policy(tile=5, parallel=True), "segment": 2},
    {"policy": js.engine.Policy(tile=1000)},
    {"policy": js.engine.Policy(tile=0, barrier=True, ride=False), "unroll": STEPS},
]


@pytest.mark.parametrize("seed", range(24))
def test_random_programs(seed):
    step, params, state, xs = program(seed)
    run = jax.jit(
        value_and_gradients,
        static_argnames=("scan", "step", "order", "segment", "unroll", "policy"),
    )
    want = run(jax.lax.scan, step, params, state, xs)
    options = [OPTIONS[0], OPTIONS[1 + seed % (len(OPTIONS) - 1)]]
    for o in options:
        assert_equal(run(js.scan, step, params, state, xs, **o), want)


@pytest.mark.parametrize(
    "dtype, known", [("float32", True), ("bfloat16", True), ("bfloat16", False)]
)
@pytest.mark.parametrize(
    "steps, neuron",
    [(2, js.LIF()), (3, js.LIF()), (4, js.KLIF(detach_reset=True)), (6, js.LIF()), (9, js.LIF())],
)
def test_wide_layers(steps, neuron, dtype, known, monkeypatch):
    """The tiles and loops that are chosen for a wide layer of this type; and forward alone."""
    monkeypatch.setattr(js.engine.device, "rounds_to_bfloat16", lambda: known)
    n = {"bfloat16": 2**17 + 64, "float32": 2**15 + 64}[dtype]
    x = (2 * jax.random.normal(jax.random.key(0), (steps, n // 64, 64))).astype(dtype)

    def spikes(scan, x):
        return scan(lambda v, x: neuron(v, x), neuron.init_state(x.shape[1:], dtype), x)[1]

    def run(scan, x):
        y, pull = jax.vjp(lambda x: spikes(scan, x), x)
        return y, pull(jnp.cos(x))[0]

    (y, g), (y_lax, g_lax) = (jax.jit(run, static_argnums=0)(s, x) for s in (js.scan, jax.lax.scan))
    assert y.dtype == g.dtype == dtype and 0.05 < y.mean() < 0.95
    assert bool((y == y_lax).all())
    assert bool((jax.jit(spikes, static_argnums=0)(js.scan, x) == y_lax).all())
    tolerance = {"bfloat16": 2e-2, "float32": 1e-6}[dtype]
    np.testing.assert_allclose(*(np.asarray(a, "float32") for a in (g, g_lax)), 0, tolerance)
