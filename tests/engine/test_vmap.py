"""`vmap` of a scan of which only some inputs are mapped, under `grad` and around it."""

import functools

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest

import jaxspike as js

from .programs import assert_equal, floats, program

B = 3


def two_layers(scan, x, tau, **options):
    """Two layers that become one loop; the first does not depend on ``tau``."""
    first, second = js.LIF(), js.LIF(tau=tau)

    def step(state, x):
        s1, y = first(state[0], x)
        s2, z = second(state[1], 2 * y)
        return (s1, s2), (y, z)

    rest = first.init_state(x.shape[1:])
    (s1, s2), (y, z) = scan(step, (rest, rest), x, **options)
    time = jnp.arange(1.0, len(x) + 1)[:, None, None]
    return (y * x).sum() + (z * time).sum() + s1.v.sum() + (s2.v**2).sum()


@pytest.fixture(scope="module")
def x():
    return 1.5 + jax.random.normal(jax.random.key(0), (12, 2, 5))


TAUS = jnp.linspace(1.5, 3.0, B)
PROGRAMS = {
    "grad of vmap": lambda run, x: jax.grad(lambda x: jax.vmap(lambda t: run(x, t))(TAUS).sum())(x),
    "vmap of grad": lambda run, x: jax.vmap(lambda t: jax.grad(run)(x, t))(TAUS),
    "of what is mapped": lambda run, x: jax.grad(
        lambda t: jax.vmap(run, in_axes=(None, 0))(x, t).sum()
    )(TAUS),
    "nested": lambda run, x: jax.grad(
        lambda x: jax.vmap(
            lambda c: jax.vmap(lambda t: run(x, t * c), spmd_axis_name="batch")(TAUS).sum()
        )(jnp.array([1.0, 1.2])).sum()
    )(x),
    "vmap of grad of vmap": lambda run, x: jax.vmap(
        lambda c: jax.grad(lambda x: jax.vmap(lambda t: run(c * x, t))(TAUS).sum())(x)
    )(jnp.array([1.0, 1.2])),
}


@pytest.mark.parametrize("order", ["layer", "step"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_layer_that_does_not_depend_on_what_is_mapped(name, order, x):
    if name == "nested":
        mesh = jax.make_mesh((1,), ("batch",), axis_types=(jax.sharding.AxisType.Auto,))
        with jax.set_mesh(mesh):
            got, want = (_run(name, scan, x, order) for scan in (js.scan, jax.lax.scan))
    else:
        got, want = (_run(name, scan, x, order) for scan in (js.scan, jax.lax.scan))
    assert_equal(got, want, rtol=1e-4, atol=1e-4)


def _run(name, scan, x, order):
    options = {"order": order} if scan is js.scan else {}
    run = functools.partial(two_layers, scan, **options)
    return jax.jit(lambda x: PROGRAMS[name](run, x))(x)


def test_exported(x):
    run = jax.jit(
        functools.partial(PROGRAMS["grad of vmap"], functools.partial(two_layers, js.scan))
    )
    assert_equal(jax.export.export(run)(x).call(x), run(x))


def test_nothing_is_added_where_every_result_depends_on_every_input(x):
    def step(state, x):
        new = 0.5 * state + x
        return new, jnp.tanh(new)

    jaxpr = jax.make_jaxpr(lambda x: js.scan(step, jnp.zeros(x.shape[1:]), x))(x)
    text = str(jaxpr)
    assert "reduce_or" not in text


@pytest.mark.parametrize("seed", range(12))
def test_random_programs_with_some_inputs_mapped(seed):
    step, *args = program(seed)
    leaves, back = floats(tuple(args))
    rng = np.random.default_rng(seed)
    mapped = rng.random(len(leaves)) < rng.choice([0.2, 0.6])
    mapped[rng.integers(len(leaves))] = True
    leaves = [
        jnp.stack([a * c for c in (1.0, 0.9, 1.1)]) if m else a
        for a, m in zip(leaves, mapped, strict=True)
    ]
    axes = [0 if m else None for m in mapped]

    def loss(scan, options, *leaves):
        params, state, xs = back(leaves)
        out = scan(lambda s, x: step(params, s, x), state, xs, **options)
        return sum(jnp.sum(jnp.sin(a + i)) for i, a in enumerate(floats(out)[0]))

    def gradients(scan, **options):
        def total(leaves):
            f = functools.partial(loss, scan, options)
            return jax.vmap(f, in_axes=axes)(*leaves).sum()

        return jax.jit(jax.grad(total))(leaves)

    want = gradients(jax.lax.scan)
    for options in ({}, {"order": "step", "segment": "sqrt"})[: 1 + seed % 2]:
        assert_equal(gradients(js.scan, **options), want, rtol=1e-4, atol=1e-4)


def _swaps(p, state, x):
    return (state[1] * p + x, state[0] * jnp.sin(p)), state[0] ** 2


def _nested(p, state, x):
    def inner(state, _):
        return (state[0] * p, jnp.sin(state[1]) * p), None

    (a, b), _ = jax.lax.scan(inner, state, None, length=2)
    return (a + x, b), a


@pytest.mark.parametrize(("step", "length", "k"), [(_swaps, 5, 2), (_swaps, 1, 0), (_nested, 1, 1)])
def test_what_affects_a_result_after_other_steps_only(step, length, k):
    """A result is of one input at odd steps, of another at even ones; or of a nested scan."""
    args = [jnp.array(0.7), jnp.array(0.3), jnp.array(1.3), jnp.linspace(0.1, 1.0, length)]
    args[k] = jnp.stack([args[k], args[k] * 1.5])

    def loss(scan, args):
        def one(p, a, b, xs):
            out = scan(lambda s, x: step(p, s, x), (a, b), xs)
            return sum(jnp.sin(leaf).sum() for leaf in jax.tree.leaves(out))

        return jax.vmap(one, in_axes=[0 if i == k else None for i in range(4)])(*args).sum()

    theirs = jax.grad(lambda args: loss(jax.lax.scan, args))(args)
    for options in ({"segment": 2}, {"order": "parallel"}):
        scan = functools.partial(js.scan, **options)
        ours = jax.jit(jax.grad(lambda args, scan=scan: loss(scan, args)))(args)
        for got, want in zip(ours, theirs, strict=True):
            assert jnp.allclose(got, want, rtol=1e-5, atol=1e-6)
