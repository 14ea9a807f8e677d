"""Surrogates: the derivative of the documented primitive, and nothing else."""

import inspect
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxspike as js
from jaxspike import surrogate
from jaxspike.surrogate import Surrogate, spike

ERF = np.vectorize(math.erf)


def quadratic(x, a):
    inner = -(a**2) / 2 * np.abs(x) * x + a * x + 0.5
    return np.where(x < -1 / a, 0, np.where(x > 1 / a, 1, inner))


# the primitives as the docstrings give them, in float64
PRIMITIVES = {
    "Sigmoid": lambda x, a: 1 / (1 + np.exp(-a * x)),
    "ATan": lambda x, a: np.arctan(np.pi / 2 * a * x) / np.pi + 0.5,
    "PiecewiseQuadratic": quadratic,
    "PiecewiseExp": lambda x, a: np.where(x < 0, np.exp(a * x) / 2, 1 - np.exp(-a * x) / 2),
    "SoftSign": lambda x, a: (a * x / (1 + np.abs(a * x)) + 1) / 2,
    "SuperSpike": lambda x, a: a * x / (1 + np.abs(x)),
    "Erf": lambda x, a: (1 + ERF(a * x)) / 2,
    "Rect": lambda x, a: np.clip(a * x + 0.5, 0, 1),
    "Window": np.clip,
}
X = np.linspace(-1.53, 1.52, 97)  # off the corners of the piecewise ones


def test_every_surrogate_has_a_primitive():
    models = {
        name
        for name, value in vars(surrogate).items()
        if inspect.isclass(value) and issubclass(value, Surrogate) and value is not Surrogate
    }
    assert models == set(PRIMITIVES)


@pytest.mark.parametrize("factor", [1.0, 0.7, 3.0])
@pytest.mark.parametrize("name", PRIMITIVES)
def test_gradient_is_the_finite_difference_of_the_primitive(name, factor):
    rule = jax.tree.map(lambda value: value * factor, getattr(surrogate, name)())
    f, h = PRIMITIVES[name], 1e-6
    args = jax.tree.leaves(rule)
    want = (f(X + h, *args) - f(X - h, *args)) / (2 * h)
    got = jax.vmap(jax.grad(spike), in_axes=(0, None))(jnp.asarray(X, jnp.float32), rule)
    np.testing.assert_allclose(got, want, rtol=2e-5, atol=2e-6)


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
        width: js.Param = js.positive(default=1.0)

        def __call__(self, x):
            return jnp.maximum(0, 1 - jnp.abs(x) / self.width) / self.width

    lif = js.LIF(surrogate=Triangle(width=2.0))
    g = jax.grad(lambda x: lif(lif.init_state((1,)), x)[1].sum())(jnp.full((1,), 2.0))
    np.testing.assert_allclose(g, 0.25)  # 1 / (width * tau)
