"""Segments of a network in layer order, under every transformation."""

import functools

import jax
import jax.numpy as jnp
import pytest

import jaxspike as js

from .programs import assert_equal

T, N, C = 20, 2, 3
LIF, DELAY = js.LIF(), js.Delay(3)
X = 2 * jax.random.normal(jax.random.key(0), (T, N, C))
W = jax.random.normal(jax.random.key(1), (2, C, C))
XS, WS = jnp.stack([X, -X]), jnp.stack([W, 0.5 * W])


def spiking(scan, w, x):
    """Two layers with a delay between them, and a skip."""

    def step(state, x):
        a, y = LIF(state[0], x @ w[0])
        b, z = DELAY(state[1], y)
        c, y = LIF(state[2], z @ w[1] + x)
        return (a, b, c), y

    state, y = scan(step, tuple(n.init_state((N, C)) for n in (LIF, DELAY, LIF)), x)
    return (y * jnp.cos(jnp.arange(1.0 * y.size)).reshape(y.shape)).sum() + (state[0].v ** 2).sum()


def smooth(scan, w, x):
    """Two layers with derivatives of any order."""

    def step(state, x):
        a = jnp.tanh(0.5 * state[0] + x @ w[0])
        b = jnp.tanh(0.3 * state[1] + a @ w[1])
        return (a, b), b

    return (scan(step, (jnp.zeros((N, C)),) * 2, x)[1] ** 2).sum()


def gradients(f, w, x):
    return jax.grad(f, (0, 1))(w, x)


PROGRAMS = {
    "vmap of grad": lambda f, g: jax.vmap(functools.partial(gradients, f))(WS, XS),
    "vmap of grad, weights": lambda f, g: jax.vmap(lambda w: gradients(f, w, X))(WS),
    "vmap of grad, inputs": lambda f, g: jax.vmap(lambda x: gradients(f, W, x))(XS),
    "grad of vmap, inputs": lambda f, g: gradients(
        lambda w, xs: jax.vmap(lambda x: f(w, x))(xs).sum(), W, XS
    ),
    "grad of vmap, weights": lambda f, g: gradients(
        lambda ws, x: jax.vmap(lambda w: f(w, x))(ws).sum(), WS, X
    ),
    "in a scan": lambda f, g: jax.grad(
        lambda w: jax.lax.scan(lambda c, x: (c + f(w, x), None), 0.0, XS)[0]
    )(W),
    "hessian": lambda f, g: jax.hessian(lambda w: g(w, X))(W),
    "reverse of reverse": lambda f, g: jax.grad(lambda w: (jax.grad(g)(w, X) ** 2).sum())(W),
}


@pytest.mark.parametrize("segment", [9, 10])
@pytest.mark.parametrize("name", PROGRAMS)
def test_equal(name, segment):
    """With two steps left over, and with none."""

    def run(scan):
        f, g = (functools.partial(loss, scan) for loss in (spiking, smooth))
        return jax.jit(lambda: PROGRAMS[name](f, g))()

    got = run(functools.partial(js.scan, segment=segment))
    assert_equal(got, run(jax.lax.scan), rtol=1e-4, atol=1e-4)
    assert any(bool(a.any()) for a in jax.tree.leaves(got))
