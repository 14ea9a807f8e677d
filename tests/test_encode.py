"""Encoders: what they mean, their inverses, and SpikingJelly's and snnTorch's numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden_files import load

from jaxspike import encode

JELLY, JELLY_INFO = load("spikingjelly_coding.npz")
TORCH, TORCH_INFO = load("snntorch.npz")
KEY = jax.random.key(0)
X = jax.random.uniform(jax.random.key(1), (4, 5))


# ---- the numbers of the reference systems


@pytest.mark.parametrize(("i", "case"), list(enumerate(JELLY_INFO["latency"])))
def test_latency_equals_spikingjelly(i, case):
    curve, steps = case
    got = encode.latency(JELLY["intensity"], steps, curve)
    np.testing.assert_array_equal(got, JELLY[f"latency_{i}"])


@pytest.mark.parametrize(("i", "steps"), list(enumerate(JELLY_INFO["phase"])))
def test_phase_equals_spikingjelly(i, steps):
    np.testing.assert_array_equal(encode.phase(JELLY["phase_x"], steps), JELLY[f"phase_{i}"])


def test_population_equals_spikingjelly():
    args = (JELLY["population_x"], JELLY["population_mean"], JELLY["population_std"])
    got = encode.direct(encode.population(*args), 2)
    np.testing.assert_allclose(got, JELLY["population"], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(("i", "fields"), list(enumerate(TORCH_INFO["delta"])))
def test_delta_equals_snntorch(i, fields):
    np.testing.assert_array_equal(encode.delta(TORCH["signal"], **fields), TORCH[f"delta_{i}"])


# ---- what they mean


def test_direct_repeats_and_its_gradient_sums():
    np.testing.assert_array_equal(encode.direct(X, 3), np.stack([X] * 3))
    g = jax.grad(lambda x: (encode.direct(x, 3) * jnp.arange(3.0)[:, None, None]).sum())(X)
    np.testing.assert_array_equal(g, np.full_like(X, 3))
    assert encode.direct(jnp.ones((2,), jnp.uint8), 4).dtype == jnp.uint8


def test_poisson_has_the_rate_it_is_given():
    p = jnp.linspace(0, 1, 11)
    spikes = encode.poisson(KEY, p, 40_000)
    error = jnp.abs(spikes.mean(0) - p)
    assert (error <= 4 * jnp.sqrt(p * (1 - p) / 40_000)).all()  # four standard deviations
    assert set(np.unique(spikes)) == {0, 1}
    lagged = jnp.corrcoef(spikes[:-1, 5], spikes[1:, 5])[0, 1]
    assert abs(lagged) < 0.02


def test_poisson_at_and_beyond_the_ends():
    spikes = encode.poisson(KEY, jnp.array([-1.0, 0.0, 1.0, 2.0, jnp.nan]), 10_000)
    np.testing.assert_array_equal(spikes.mean(0), [0, 0, 1, 1, 0])


def test_poisson_is_a_function_of_its_key():
    a, b = encode.poisson(KEY, X, 8), encode.poisson(jax.random.key(7), X, 8)
    np.testing.assert_array_equal(a, encode.poisson(KEY, X, 8))
    np.testing.assert_array_equal(a, jax.jit(encode.poisson, static_argnums=2)(KEY, X, 8))
    assert (a != b).any()
    assert encode.poisson(jax.random.PRNGKey(0), X, 8).shape == a.shape


def test_poisson_of_a_rate_in_time():
    rates = jnp.concatenate([jnp.zeros((5, 4)), jnp.ones((5, 4))])
    np.testing.assert_array_equal(encode.poisson(KEY, rates, 1)[0], rates)


def test_poisson_passes_the_gradient():
    w = jax.random.normal(KEY, (6, *X.shape))
    g = jax.grad(lambda x: (encode.poisson(KEY, x, 6) * w).sum())(X)
    np.testing.assert_allclose(g, w.sum(0), rtol=1e-6)


def test_bfloat16_probabilities_are_not_rounded_to_its_grid():
    spikes = encode.poisson(KEY, jnp.full((20_000,), 0.001, jnp.bfloat16), 20)
    assert spikes.dtype == jnp.bfloat16
    assert abs(spikes.astype(jnp.float32).mean() - 0.001) < 3e-4


@pytest.mark.parametrize("curve", ["linear", "log"])
@pytest.mark.parametrize("steps", [1, 2, 9, 300])
def test_latency_is_one_spike_and_earlier_for_more(curve, steps):
    spikes = encode.latency(jnp.linspace(0, 1, 50), steps, curve)
    np.testing.assert_array_equal(spikes.sum(0), 1)
    time = jnp.argmax(spikes, 0)
    assert (jnp.diff(time) <= 0).all()
    assert time[0] == steps - 1
    assert time[-1] == 0


def test_latency_rounds_half_to_even_and_clips():
    x = jnp.array([0.5, 0.25, 0.75, 1.5, -0.5])
    np.testing.assert_array_equal(jnp.argmax(encode.latency(x[:1], 2), 0), [0])
    np.testing.assert_array_equal(jnp.argmax(encode.latency(x, 3), 0), [1, 2, 0, 0, 2])
    assert encode.latency(jnp.array([jnp.nan]), 3).sum() == 0


@pytest.mark.parametrize("curve", ["linear", "log"])
def test_latency_there_and_back(curve):
    steps = 12
    spikes = encode.latency(X, steps, curve)
    back = encode.from_latency(spikes, curve)
    np.testing.assert_array_equal(encode.latency(back, steps, curve), spikes)
    if curve == "linear":
        assert jnp.abs(back - X).max() <= 0.5 / (steps - 1) + 1e-6
    else:  # half a step is a factor of sqrt(e)
        a = np.exp(steps - 1) - 1
        assert jnp.abs(jnp.log(a * back + 1) - jnp.log(a * X + 1)).max() <= 0.5 + 1e-4


def test_from_latency_of_silence_later_spikes_and_long_codes():
    spikes = jnp.zeros((300, 2)).at[[3, 7], 1].set(1)
    np.testing.assert_allclose(encode.from_latency(spikes), [0, 1 - 3 / 299], rtol=1e-6)
    np.testing.assert_allclose(encode.from_latency(spikes, "log"), [0, np.exp(-3)], rtol=1e-6)


@pytest.mark.parametrize("steps", [1, 5, 24])
def test_phase_there_and_back(steps):
    x = jnp.concatenate([X.ravel(), jnp.array([0.0, 0.5, 1.0, 2.0, -1.0])])
    back = encode.from_phase(encode.phase(x, steps))
    want = np.floor(np.clip(x, 0, 1 - 2.0**-steps) * 2.0**steps) / 2.0**steps
    np.testing.assert_array_equal(back, want)


def test_phase_weights_are_the_gradient_of_its_inverse():
    g = jax.grad(lambda s: encode.from_phase(s).sum())(jnp.zeros((3, 2)))
    np.testing.assert_array_equal(g, np.array([[0.5], [0.25], [0.125]]) * np.ones((1, 2)))


def test_delta_there_and_back():
    moves = jax.random.randint(KEY, (30, 4), -1, 2).astype(float)
    x = 0.25 * jnp.cumsum(moves, 0)
    spikes = encode.delta(x, 0.25, off_spike=True)
    np.testing.assert_array_equal(spikes, moves)
    np.testing.assert_array_equal(encode.from_delta(spikes, 0.25), x)
    padded = encode.delta(x + 7, 0.25, off_spike=True, padding=True)
    np.testing.assert_array_equal(encode.from_delta(padded, 0.25, x[0] + 7), x + 7)


@pytest.mark.parametrize("shape", [(), (3,), (4, 3)])
def test_population_there_and_back(shape):
    x = jax.random.uniform(KEY, (*shape, 2), minval=0.0, maxval=1.0)
    centers = jnp.linspace(-0.5, 1.5, 17)
    a = encode.population(x, centers, 0.125)
    assert a.shape == (*shape, 34)
    np.testing.assert_allclose(encode.from_population(a, centers), x, atol=1e-3 * 0.125)
    two = jnp.stack([centers, centers + 0.05])
    b = encode.population(x, two, 0.125)
    np.testing.assert_allclose(encode.from_population(b, two), x, atol=1e-3 * 0.125)


def test_population_of_nothing_active_and_its_gradients():
    centers = jnp.array([0.0, 1.0])
    np.testing.assert_array_equal(encode.from_population(jnp.zeros((3, 4)), centers), 0.5)

    def f(x, centers, sigma):
        return encode.from_population(encode.population(x, centers, sigma), centers).sum()

    for g in jax.jit(jax.grad(f, (0, 1, 2)))(jnp.array([[0.3, 0.8]]), centers, 0.4):
        assert jnp.isfinite(g).all()
        assert (g != 0).all()
    g = jax.jit(jax.grad(lambda a: encode.from_population(a, centers).sum()))(jnp.zeros((3, 4)))
    assert jnp.isfinite(g).all()


# ---- what all share

ENCODERS = {
    "direct": lambda x: encode.direct(x, 3),
    "poisson": lambda x: encode.poisson(KEY, x, 3),
    "latency": lambda x: encode.latency(x, 3),
    "latency_log": lambda x: encode.latency(x, 3, "log"),
    "phase": lambda x: encode.phase(x, 3),
    "delta": lambda x: encode.delta(x, off_spike=True),
    "population": lambda x: encode.population(x, jnp.linspace(0.0, 1.0, 4), 0.3),
}
DECODERS = {
    "from_latency": encode.from_latency,
    "from_latency_log": lambda s: encode.from_latency(s, "log"),
    "from_phase": encode.from_phase,
    "from_delta": encode.from_delta,
    "from_population": lambda a: encode.from_population(a, jnp.linspace(0.0, 1.0, 5)),
}


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16, jnp.float32])
@pytest.mark.parametrize("name", ENCODERS)
def test_spikes_have_the_dtype_of_the_input(name, dtype):
    assert jax.eval_shape(ENCODERS[name], X.astype(dtype)).dtype == dtype


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32, jnp.int32, bool])
@pytest.mark.parametrize("name", DECODERS)
def test_inverses_are_float32(name, dtype):
    f = jax.jit(DECODERS[name])
    got = f(X.round().astype(dtype))
    assert got.dtype == jnp.float32
    np.testing.assert_allclose(got, f(X.round()), rtol=1e-6)


@pytest.mark.parametrize("name", [*ENCODERS, *DECODERS])
def test_jit_vmap_and_gradient(name):
    f = {**ENCODERS, **DECODERS}[name]
    y, xs = f(X), jnp.stack([X, X[::-1]])
    np.testing.assert_allclose(jax.jit(f)(X), y, rtol=1e-6)
    if name != "poisson":  # one key for both
        got = jax.jit(jax.vmap(f))(xs)
        np.testing.assert_allclose(got, jnp.stack([f(x) for x in xs]), rtol=1e-6)
    w = np.cos(np.arange(y.size, dtype=np.float32)).reshape(y.shape)
    g = jax.jit(jax.grad(lambda x: (f(x) * w).sum()))(X)
    assert jnp.isfinite(g).all()
    flat = {"latency", "latency_log", "phase", "delta", "from_latency", "from_latency_log"}
    assert (g != 0).any() == (name not in flat)


@pytest.mark.parametrize(
    ("kind", "sentence", "call"),
    [
        (
            TypeError,
            "`direct(steps=...)` must be an integer, got 2.0. Give an int.",
            lambda: encode.direct(X, 2.0),
        ),
        (
            TypeError,
            "`latency(steps=...)` must be an integer, got True. Give an int.",
            lambda: encode.latency(X, True),
        ),
        (
            ValueError,
            "`poisson(steps=...)` must be at least 1, got 0.",
            lambda: encode.poisson(KEY, X, 0),
        ),
        (
            ValueError,
            "`phase(steps=...)` must be from 1 to 24, got 25.",
            lambda: encode.phase(X, 25),
        ),
        (
            TypeError,
            "`poisson(x=...)` must be floating point, got uint8. Convert it first.",
            lambda: encode.poisson(KEY, jnp.zeros((2, 3), jnp.uint8), 4),
        ),
        (
            TypeError,
            "`poisson(key=...)` must be a random key, got 0. Give `jax.random.key(seed)`.",
            lambda: encode.poisson(0, X, 4),
        ),
        (
            TypeError,
            "`poisson(key=...)` must be a random key, got an array float32[4, 5]. "
            "Give `jax.random.key(seed)`.",
            lambda: encode.poisson(X, KEY, 4),
        ),
        (
            ValueError,
            "`latency(curve=...)` must be one of ('linear', 'log'), got 'exp'.",
            lambda: encode.latency(X, 4, "exp"),
        ),
        (
            ValueError,
            "`from_latency(spikes=...)` must have at least 2 time steps, got 1, which "
            "carries no time.",
            lambda: encode.from_latency(X[:1]),
        ),
        (
            ValueError,
            "`from_phase(spikes=...)` must have at least one time step, got the shape (0, 5).",
            lambda: encode.from_phase(X[:0]),
        ),
        (
            ValueError,
            "`delta(x_seq=...)` must be [T, *], got the shape (). Time is the first axis.",
            lambda: encode.delta(X[0, 0]),
        ),
        (
            TypeError,
            "`delta(x_seq=...)` must be floating point, got int32. Convert it first.",
            lambda: encode.delta(jnp.arange(3)),
        ),
        (
            ValueError,
            "`delta(threshold=...)` must be greater than 0, got -0.1.",
            lambda: encode.delta(X, -0.1),
        ),
        (
            ValueError,
            "`delta(threshold=...)` must be a number or broadcast into the shape (5,), "
            "got the shape (4, 5).",
            lambda: encode.delta(X, jnp.ones_like(X)),
        ),
        (
            ValueError,
            "`from_delta(start=...)` must be a number or broadcast into the shape (5,), "
            "got the shape (3, 1).",
            lambda: encode.from_delta(X, 0.1, jnp.zeros((3, 1))),
        ),
        (
            ValueError,
            "`population(sigma=...)` must be a number or broadcast into the shape (5, 3), "
            "got the shape (4, 1, 3).",
            lambda: encode.population(X, jnp.ones(3), jnp.ones((4, 1, 3))),
        ),
        (
            ValueError,
            "`population(sigma=...)` must be greater than 0, got 0.",
            lambda: encode.population(X, jnp.ones(3), 0),
        ),
        (
            ValueError,
            "`population(centers=...)` must be [P] or [D, P], got the shape (1, 2, 3).",
            lambda: encode.population(X, jnp.ones((1, 2, 3)), 1.0),
        ),
        (
            ValueError,
            "`population(centers=...)` must be [P] or [D, P] with D the last axis of `x`, got the "
            "shape (2, 3) for `x` of the shape (4, 5).",
            lambda: encode.population(X, jnp.ones((2, 3)), 1.0),
        ),
        (
            ValueError,
            "`from_population(activity=...)` must have a last axis of D * P, got the shape (4, 5) "
            "for `centers` of the shape (3,).",
            lambda: encode.from_population(X, jnp.ones(3)),
        ),
        (
            TypeError,
            "`from_phase(spikes=...)` must be floating point, got complex64. Convert it first.",
            lambda: encode.from_phase(X.astype(complex)),
        ),
    ],
)
def test_refusals(kind, sentence, call):
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value) == sentence
