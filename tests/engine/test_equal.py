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
    {"order": "parallel"},
    {"policy": js.Policy(tile=5, barrier=False)},
    {"policy": js.Policy(tile=5, parallel=True), "segment": 2},
    {"policy": js.Policy(tile=1000)},
    {"policy": js.Policy(tile=0, barrier=True, fuse=False), "unroll": STEPS},
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


@pytest.mark.parametrize("seed", range(12))
def test_random_programs_in_segments(seed):
    """Of 9 steps, with two left over; or of 10."""
    step, params, state, xs = program(seed)
    xs = jax.tree.map(lambda a: jnp.concatenate([a, a[::-1], a])[:20], xs)
    run = jax.jit(value_and_gradients, static_argnames=("scan", "step", "segment"))
    got = run(js.scan, step, params, state, xs, segment=9 + seed % 2)
    assert_equal(got, run(jax.lax.scan, step, params, state, xs))


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


@pytest.mark.parametrize("learned", [(), ("decay",), ("rest",), ("decay", "rest")])
@pytest.mark.parametrize("tile", [0, 5])
def test_numbers_with_and_without_a_gradient(tile, learned):
    """Also those that an equation spreads over the layer, which then are there per neuron."""
    numbers = {
        "decay": jnp.array(0.7),
        "rest": jnp.array(0.4),
        "threshold": jnp.array(1.0),
        "power": jnp.array(2),
        "above": jnp.array(True),
    }
    x = jax.random.uniform(jax.random.key(0), (STEPS, 2, 5), maxval=1.5)

    def run(p, x, numbers, **options):
        p = numbers | p
        scan = js.scan if options else jax.lax.scan

        def step(v, x):
            h = p["decay"] * v + x ** p["power"]
            spikes = jnp.where(p["above"], h > p["threshold"], h < p["threshold"])
            return jnp.where(spikes, p["rest"], h), jnp.where(spikes, p["decay"], 0.0)

        v, y = scan(step, jnp.zeros_like(x[0]), x, **options)
        return (y * jnp.cos(x)).sum() + (v**2).sum()

    def gradients(p, x, numbers):
        policy = js.Policy(tile=tile)
        return [
            jax.grad(lambda p, x, o=options: run(p, x, numbers, **o), (0, 1))(p, x)
            for options in ({"policy": policy}, {})
        ]

    found, want = jax.jit(gradients)({k: numbers[k] for k in learned}, x, numbers)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 1e-5, 1e-6), found, want)
