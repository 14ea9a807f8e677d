"""Surrogates: the derivative of the documented primitive, and nothing else."""

import dataclasses
import inspect
import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden_files import load

import jaxspike as js
from jaxspike import surrogate
from jaxspike.surrogate import Surrogate, spike

ERF = np.vectorize(math.erf)


def quadratic(x, alpha):
    a = alpha
    inner = -(a**2) / 2 * np.abs(x) * x + a * x + 0.5
    return np.where(x < -1 / a, 0, np.where(x > 1 / a, 1, inner))


def leaky(x, w, c):
    inner = x / (2 * w) + 0.5
    return np.where(x < -w, c * (x + w), np.where(x > w, c * (x - w) + 1, inner))


def q_pseudo_spike(x, alpha):
    q = (1 + 2 * np.abs(x) / (alpha - 1)) ** (1 - alpha)
    return np.where(x < 0, q / 2, 1 - q / 2)


def fake(x, alpha):
    tail = np.sign(x) * (1 + np.log(np.maximum(alpha * np.abs(x), 1)))
    return np.where(np.abs(x) < 1 / alpha, alpha * x, tail)


def multi_gaussian(x, sigma, h, s):
    def cdf(mean, deviation):
        return (1 + ERF((x - mean) / deviation / math.sqrt(2))) / 2

    return (1 + h) * cdf(0, sigma) - h * (cdf(sigma, s * sigma) + cdf(-sigma, s * sigma))


def triangle(x, alpha, width):
    y = np.clip(x, -width, width)
    return alpha * (y - y * np.abs(y) / (2 * width))


def squarewave(x, n, T_period):  # noqa: N803
    odd = np.arange(1, 2 * n - 2, 2)
    return 0.5 + 2 / np.pi * (np.sin(odd * 2 * np.pi / T_period * x[..., None]) / odd).sum(-1)


def s2nn(x, alpha, beta):
    return np.where(x < 0, 1 / (1 + np.exp(-alpha * x)), beta * np.log(np.maximum(x, 0) + 1) + 0.5)


# the primitives as the docstrings give them, in float64
PRIMITIVES = {
    "Sigmoid": lambda x, alpha: 1 / (1 + np.exp(-alpha * x)),
    "ATan": lambda x, alpha: np.arctan(np.pi / 2 * alpha * x) / np.pi + 0.5,
    "PiecewiseQuadratic": quadratic,
    "PiecewiseExp": lambda x, alpha: np.where(
        x < 0, np.exp(alpha * x) / 2, 1 - np.exp(-alpha * x) / 2
    ),
    "SoftSign": lambda x, alpha: (alpha * x / (1 + np.abs(alpha * x)) + 1) / 2,
    "SuperSpike": lambda x, alpha: alpha * x / (1 + np.abs(x)),
    "Erf": lambda x, alpha: (1 + ERF(alpha * x)) / 2,
    "Rect": lambda x, alpha: np.clip(alpha * x + 0.5, 0, 1),
    "Triangle": triangle,
    "MultiGaussian": multi_gaussian,
    "PiecewiseLeakyReLU": leaky,
    "LeakyKReLU": lambda x, leak, k: np.where(x >= 0, k * x, leak * x),
    "LogTailedReLU": lambda x, alpha: np.where(
        x > 1, np.log(np.maximum(x, 1)) + 1, np.where(x > 0, x, alpha * x)
    ),
    "S2NN": s2nn,
    "QPseudoSpike": q_pseudo_spike,
    "NonzeroSignLogAbs": lambda x, alpha: np.sign(x) * np.log(alpha * np.abs(x) + 1),
    "FakeNumericalGradient": fake,
    "SquarewaveFourierSeries": squarewave,
    "StraightThrough": lambda x: x,
    "Window": lambda x, low, high: np.clip(x, low, high),
    "Scaled": lambda x, surrogate, scale: (
        scale * PRIMITIVES[type(surrogate).__name__](x, **values(surrogate))
    ),
}
# what each is tried with besides its defaults, where that is not another alpha
FIELDS = {
    "Triangle": [{"alpha": 0.7}, {"alpha": 2.0, "width": 0.6}],
    "MultiGaussian": [{"sigma": 0.3}, {"h": 0.4, "s": 3.0}],
    "PiecewiseLeakyReLU": [{"w": 0.6}, {"w": 0.4, "c": 0.2}, {"c": 0.0}],
    "LeakyKReLU": [{"leak": 0.2}, {"leak": 0.1, "k": 1.7}],
    "S2NN": [{"alpha": 2.0}, {"beta": 0.5}],
    "QPseudoSpike": [{"alpha": 1.5}, {"alpha": 3.0}],
    "SquarewaveFourierSeries": [{"n": 5}, {"n": 3, "T_period": 5.0}],
    "StraightThrough": [],
    "Window": [{"low": -0.7}, {"high": 0.4}],
    "Scaled": [{"surrogate": surrogate.SoftSign(25.0), "scale": 0.08}],
}
CASES = [
    (name, fields)
    for name in PRIMITIVES
    for fields in [{}, *FIELDS.get(name, [{"alpha": 0.7}, {"alpha": 3.0}])]
]
X = np.linspace(-1.53, 1.52, 97)  # off the corners of the piecewise ones

GOLDEN, INFO = load("spikingjelly_coding.npz")
GOLDEN_CASES = list(enumerate(INFO["surrogates"]))


def values(rule):
    return {f.name: getattr(rule, f.name) for f in dataclasses.fields(rule)}


per_element = jax.jit(jax.vmap(jax.grad(spike), in_axes=(0, None)))


def derivative(rule, x):
    return per_element(jnp.asarray(x, jnp.float32), rule)


def test_every_surrogate_has_a_primitive():
    models = {
        name
        for name, value in vars(surrogate).items()
        if inspect.isclass(value) and issubclass(value, Surrogate) and value is not Surrogate
    }
    assert models == set(PRIMITIVES)


@pytest.mark.parametrize(("name", "fields"), CASES)
def test_gradient_is_the_finite_difference_of_the_primitive(name, fields):
    rule = getattr(surrogate, name)(**fields)
    f, h = partial(PRIMITIVES[name], **values(rule)), 1e-6
    want = (f(X + h) - f(X - h)) / (2 * h)
    np.testing.assert_allclose(derivative(rule, X), want, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize(("i", "case"), GOLDEN_CASES)
def test_derivative_equals_spikingjelly(i, case):
    name, fields = case
    rule = getattr(surrogate, name)(**fields)
    want = GOLDEN["surrogate_grad"][i]
    np.testing.assert_allclose(derivative(rule, GOLDEN["surrogate_x"]), want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", PRIMITIVES)
def test_derivatives_at_extreme_values_are_finite(name):
    rule = getattr(surrogate, name)()
    x = jnp.array([-1e4, -1.0, -1e-30, -0.0, 0.0, 1e-30, 1.0, 1e4])
    second = jax.jit(jax.vmap(jax.grad(jax.grad(spike)), in_axes=(0, None)))
    assert jnp.isfinite(derivative(rule, x)).all()
    assert jnp.isfinite(second(x, rule)).all()


@pytest.mark.parametrize("name", PRIMITIVES)
def test_dtype_of_a_derivative(name):
    x = jnp.linspace(-1, 1, 5, dtype=jnp.bfloat16)
    assert jax.eval_shape(getattr(surrogate, name)(), x).dtype == jnp.bfloat16


def test_triangle_with_the_reciprocal_width_is_piecewise_quadratic():
    x = jnp.asarray(X)
    want = surrogate.PiecewiseQuadratic(alpha=2.5)(x)
    np.testing.assert_allclose(surrogate.Triangle(alpha=2.5, width=0.4)(x), want, atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "sentence", "call"),
    [
        (
            ValueError,
            "`QPseudoSpike(alpha=...)` must be greater than 1, got 1.0.",
            lambda: surrogate.QPseudoSpike(alpha=1),
        ),
        (
            ValueError,
            "`SquarewaveFourierSeries(n=...)` must be at least 2, got 1.",
            lambda: surrogate.SquarewaveFourierSeries(n=1),
        ),
        (
            TypeError,
            "`SquarewaveFourierSeries(n=...)` must be an integer, got 2.0. Give an int.",
            lambda: surrogate.SquarewaveFourierSeries(n=2.0),
        ),
    ],
)
def test_refusals(kind, sentence, call):
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value) == sentence


def test_a_count_of_spikes_is_the_nearest_integer_with_a_surrogate():
    x, most = jnp.array([-1.0, 0.0, 0.5, 1.5, 2.2, 3.0, 3.1]), 3
    np.testing.assert_array_equal(
        surrogate.spike_count(x, most, surrogate.Window()), [0, 0, 0, 2, 2, 3, 3]
    )
    for rule in (surrogate.Window(), surrogate.Window(-0.5, 0.5), surrogate.Erf()):
        _, vjp = jax.vjp(lambda x, rule=rule: surrogate.spike_count(x, most, rule), x)
        np.testing.assert_allclose(vjp(2 * jnp.ones_like(x))[0], 2 * rule(x / most), rtol=1e-6)
    inside = jax.vmap(jax.grad(lambda x: surrogate.spike_count(x, most, surrogate.Window())))(x)
    np.testing.assert_array_equal(inside, [0, 1, 1, 1, 1, 1, 0])


def test_forward_is_heaviside_and_fires_at_threshold():
    x = jnp.array([-1.0, -1e-30, 0.0, 1e-30, 2.0, jnp.inf, -jnp.inf])
    np.testing.assert_array_equal(spike(x, surrogate.ATan()), [0, 0, 1, 1, 1, 1, 0])


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16, jnp.float32])
def test_dtype_is_kept_forward_and_backward(dtype):
    x = jnp.linspace(-1, 1, 5, dtype=dtype)
    y, pull = jax.vjp(lambda x: spike(x, surrogate.Rect()), x)
    assert y.dtype == pull(y)[0].dtype == dtype


def test_the_slope_gets_no_gradient():
    g = jax.grad(lambda s: spike(jnp.ones(3), s).sum())(surrogate.Sigmoid())
    assert g.alpha == 0


def test_annealing_a_slope_does_not_retrace():
    traces = []

    @jax.jit
    def f(rule, x):
        traces.append(1)
        return jax.grad(lambda x: spike(x, rule).sum())(x)

    slopes = [f(surrogate.ATan(alpha=jnp.float32(a)), jnp.zeros(1))[0] for a in (1.0, 2.0, 4.0)]
    np.testing.assert_allclose(slopes, [0.5, 1.0, 2.0])
    assert len(traces) == 1


def test_second_derivative_is_that_of_the_surrogate():
    x = 0.3
    got = jax.grad(jax.grad(lambda x: spike(x, surrogate.Sigmoid())))(x)
    s = jax.nn.sigmoid(4 * x)
    np.testing.assert_allclose(got, 16 * s * (1 - s) * (1 - 2 * s), rtol=1e-5)


def test_a_surrogate_of_ones_own():
    class Triangle(Surrogate):
        width: js.Param = js.field.positive(default=1.0)

        def __call__(self, x):
            return jnp.maximum(0, 1 - jnp.abs(x) / self.width) / self.width

    lif = js.LIF(surrogate=Triangle(width=2.0))
    g = jax.grad(lambda x: lif(lif.init_state((1,)), x)[1].sum())(jnp.full((1,), 2.0))
    np.testing.assert_allclose(g, 0.25)  # 1 / (width * tau)
