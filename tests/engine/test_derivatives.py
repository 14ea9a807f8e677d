"""What has no gradient, and derivatives of derivatives, where `jax.lax.scan` has them."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxspike as js

from .programs import assert_equal

X = jax.random.normal(jax.random.key(0), (5, 2, 3))
ORDERS = [{}, {"order": "step"}, {"order": "step", "segment": "sqrt"}]


def on_host(a):
    """A function that JAX cannot differentiate, or map over time."""
    return jax.pure_callback(np.sin, jax.ShapeDtypeStruct(a.shape, a.dtype), a)


def halved(a):
    """A loop that JAX cannot differentiate in reverse."""
    return jax.lax.while_loop(lambda v: jnp.abs(v).max() > 0.1, lambda v: 0.5 * v, a)


def compare(f, *, options=ORDERS, **tolerances):
    want = jax.jit(functools.partial(f, jax.lax.scan))()
    for some in options:
        got = jax.jit(lambda some=some: f(functools.partial(js.scan, **some)))()
        assert_equal(got, want, **{"rtol": 1e-4, "atol": 1e-4} | tolerances)


def loss(scan, step, state, x):
    last, y = scan(step, state, x)
    waves = [jnp.cos(jnp.arange(1.0 * a.size)).reshape(a.shape) for a in jax.tree.leaves((last, y))]
    return sum((a * w).sum() for a, w in zip(jax.tree.leaves((last, y)), waves, strict=True))


@pytest.mark.parametrize("f", [on_host, halved])
def test_behind_stop_gradient(f):
    def step(s, x):
        fixed = jax.lax.stop_gradient(s)
        branch = jax.lax.cond(fixed.sum() > 0, f, jnp.negative, fixed)
        return jnp.tanh(0.5 * s + x), f(fixed) + branch

    compare(lambda scan: jax.grad(lambda x: loss(scan, step, X[0], x))(X))


@pytest.mark.parametrize("f", [on_host, halved])
def test_a_state_that_nothing_differentiates(f):
    """With a matrix product, whose output is stored for the gradient of others."""
    w = 0.7 * jnp.eye(3)

    def step(state, x):
        v, k = state
        return (0.5 * v + x * k, f(k @ w + 1)), v * f(k)

    compare(lambda scan: jax.grad(lambda x: loss(scan, step, (X[0], 1 + 0 * X[0]), x))(X))


def test_a_callback_without_a_way_to_map_it():
    compare(lambda scan: scan(lambda s, x: (0.5 * s + x, on_host(s) + on_host(x)), X[0], X))


def test_a_gradient_of_a_callback_is_refused_as_by_jax():
    def run(x):
        return js.scan(lambda s, x: (0.5 * s + x, on_host(s)), X[0], x)[1].sum()

    with pytest.raises(ValueError, match="Pure callbacks do not support JVP"):
        jax.grad(run)(X)


@jax.custom_vjp
def crossed(x):
    return jnp.where(x > 0.3, 1.0, 0.0)


# neither part of the rule is that of the function, and it does not call it
crossed.defvjp(lambda x: (jnp.where(x > 0.3, 0.9, x**2), x), lambda x, g: (g * jnp.exp(-(x**2)),))


@jax.custom_jvp
def rounded(x):
    return jnp.round(x)


rounded.defjvp(lambda p, t: (jnp.round(p[0]) + 0.1 * p[0] ** 2, t[0] * jnp.cos(p[0])))


def test_second_derivatives_of_rules_that_do_not_agree_with_their_function():
    def step(v, x):
        h = jnp.tanh(0.6 * v + x)
        s = crossed(h) + rounded(2 * h)
        return h * (1 - 0.3 * s), s * h

    def of_first(scan, x):
        value, g = jax.value_and_grad(lambda x: loss(scan, step, X[0], x))(x)
        return (g**2).sum() + value, (value, g)

    compare(lambda scan: jax.grad(functools.partial(of_first, scan), has_aux=True)(X))
    compare(
        lambda scan: jax.jacfwd(jax.grad(lambda x: loss(scan, step, X[0], x)))(X[:2, :1]),
        options=[{}],
    )
