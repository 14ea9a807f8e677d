"""Steps that once gave another result than `jax.lax.scan`, or none."""

import jax
import jax.numpy as jnp
from jax import lax

import jaxspike as js

from .programs import assert_equal
from .test_layer_order import primitives

T, N, C = 6, 3, 4


def normal(seed, *shape):
    return 0.7 * jax.random.normal(jax.random.key(seed), shape)


def check(step, params, state, xs, *options):
    """Compare results and all gradients with those of `jax.lax.scan`."""

    def results(scan, **o):
        def loss(params, state, xs):
            out = scan(lambda s, x: step(params, s, x), state, xs, **o)
            return sum(jnp.sin(a + i).sum() for i, a in enumerate(jax.tree.leaves(out))), out

        run = jax.jit(jax.value_and_grad(loss, (0, 1), has_aux=True))
        return run(params, state, xs)

    want = results(lax.scan)
    for o in options or ({}, {"order": "step"}):
        assert_equal(results(js.scan, **o), want)


def test_a_weight_read_by_a_product_and_beside_it():
    def step(w, s, x):
        s = jnp.tanh(s @ w + x * w)  # w as it is: a broadcast or a slice of it is another constant
        return s, s

    check(step, normal(0, C, C), normal(1, C, C), normal(2, T, C, C))


def test_a_branch_that_changes_is_chosen_step_by_step():
    """`vmap` over time would compute both branches, with a copy of the weight for each step."""

    def step(w, s, x):
        y = lax.cond(x[0, 0] > 0, lambda x: jnp.tanh(x @ w), lambda x: 0.5 * x, x)
        return 0.5 * s + y, y @ w

    w, s, x = normal(0, C, C), normal(1, N, C), normal(2, T, N, C)
    found = primitives(jax.make_jaxpr(lambda x: js.scan(lambda s, x: step(w, s, x), s, x))(x).jaxpr)
    assert ("cond", True) in found and ("dot_general", False) in found
    check(step, w, s, x)


def test_a_branch_that_is_the_same_at_every_step_leaves_the_loop():
    w = normal(0, C, C)

    def step(s, x):
        return (s, lax.cond(w[0, 0] > 0, lambda x: x @ w, lambda x: x, x))

    found = primitives(jax.make_jaxpr(lambda x: js.scan(step, (), x))(normal(1, T, N, C)).jaxpr)
    assert ("cond", False) in found and ("scan", False) not in found


def test_random_numbers_are_those_of_a_loop():
    """Generators other than the default one give other numbers under `vmap`."""

    def step(_, s, key):
        key, other = jax.random.split(key)
        f = jax.checkpoint(lambda k: jax.random.normal(k, (C,)))
        return 0.5 * s + f(key), jax.vmap(lambda _: jax.random.uniform(other))(s)

    check(step, (), normal(1, C), jax.random.split(jax.random.key(0, impl="rbg"), T))


def test_a_product_with_a_derivative_of_its_own_does_not_ride():
    @jax.custom_vjp
    def product(x, w):
        return x @ jnp.sign(w)

    product.defvjp(lambda x, w: (product(x, w), (x, w)), lambda r, g: (g @ r[1].T, r[0].T @ g))
    w = normal(0, C, C)

    def step(w, s, x):
        s = 0.5 * s + jax.nn.relu(product(x, w))
        return s, s

    args = w, normal(1, N, C), normal(2, T, N, C)
    run = jax.make_jaxpr(lambda w, s, x: js.scan(lambda s, x: step(w, s, x), s, x))
    found = primitives(run(*args).jaxpr)
    assert ("dot_general", False) in found and ("dot_general", True) not in found
    assert ("max", True) in found  # relu rides
    check(step, *args)


def test_gradients_of_low_precision_constants_are_summed_in_float32():
    """A cast in the step is the same at every step, so the loop reads what is cast."""
    steps = 600  # from 256 on, bfloat16 has no room for another 1

    def loss(scale, options):
        def step(s, x):
            return 0.5 * lax.stop_gradient(s) + scale.astype(jnp.bfloat16) * x, s

        last, y = js.scan(step, *args, **options)
        return last.astype(jnp.float32).sum() + y.astype(jnp.float32).sum()

    args = jnp.zeros(2, jnp.bfloat16), jnp.ones((steps, 2), jnp.bfloat16)
    for options in ({}, {"segment": "sqrt"}, {"policy": js.Policy(tile=1)}):
        gradient = jax.grad(loss)(jnp.ones(2), options)
        assert (gradient == steps).all(), options
