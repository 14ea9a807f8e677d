"""Rules inside the transformations of JAX: `vmap`, `grad`, `scan` and `checkpoint`, nested."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gradient_networks import SOFT, error, first, forward, in_reverse

import jaxspike as js
from jaxspike.learning import accumulate, cut, online

N, M, H, T, COPIES = 2, 3, 4, 6, 3
ALIF = js.ALIF(beta=0.3)
SLOW = [js.Stochastic(SOFT), js.MembraneNoise(js.LIF(decay_input=False), 0.3)]


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def normal(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape))


def step(params, state, x, neuron=ALIF):
    """A recurrent layer, with a key, a flag, a counter and None in its state."""
    h, z = neuron(state["h"], x @ params["w"] + state["z"] @ params["r"] + params["b"])
    flag, count, key = ~state["flag"], state["count"] + 1, jax.random.split(state["key"])[0]
    new = {"h": h, "z": z, "flag": flag, "count": count, "key": key, "none": None}
    return new, ((z @ params["out"] - 1.0) ** 2).mean()


PARAMS = {"w": (1.5, M, H), "r": (0.4, H, H), "out": (1.0, H, 2), "b": (0.1,), "unused": (1.0, 2)}


def arrays(neuron=ALIF):
    params = {k: gain * normal(i, *s) for i, (k, (gain, *s)) in enumerate(PARAMS.items())}
    state = {
        "h": neuron.init_state((N, H), jnp.float64),
        "z": jnp.zeros((N, H)),
        "flag": jnp.zeros(N, bool),
        "count": jnp.zeros((), jnp.int32),
        "key": jax.random.key(0),
        "none": None,
    }
    return params, state, jnp.asarray(np.random.default_rng(4).random((T, N, M)) < 0.5, float)


def copies_of(tree):
    """Three of them, all different."""
    return jax.tree.map(lambda a: jnp.stack([a, 1.2 * a, 0.8 * a]), tree)


def copy(i, tree):
    return jax.tree.map(lambda a: a[i], tree)


def test_scan_of_vmap_of_an_online_step_is_each():
    """Only one weight is batched, in `scan`, where the loop over networks is the inner one."""
    params, state, xs = arrays()
    learn = online(jax.checkpoint(step))
    made = learn.init_state(params, state, first(xs))
    axes = {k: 0 if k == "w" else None for k in PARAMS}
    many = {**params, "w": copies_of(params["w"])}

    @jax.jit
    def together(many):
        def body(states, x):
            return jax.vmap(learn, in_axes=(axes, 0, None))(many, states, x)

        states = jax.tree.map(lambda a: jnp.stack([a] * COPIES), made)
        _, (losses, grads) = js.scan(body, states, xs, order="layer")
        return losses.sum(0), jax.tree.map(lambda a: a.sum(0), grads)

    each = jax.jit(lambda params: accumulate(learn)(params, made, xs)[1])
    rows = [each({**params, "w": copy(i, many["w"])}) for i in range(COPIES)]
    want = jax.tree.map(lambda *a: jnp.stack(a), *rows)
    assert error(together(many), want) < 1e-12
    assert error(copy(0, want), in_reverse(cut(step), params, state, xs)) < 1e-12
    assert error(rows[0][1]["w"], rows[1][1]["w"]) > 0.05
    assert not rows[0][1]["unused"].any()


@pytest.mark.parametrize("order", ["step", "layer"])
def test_grad_of_vmap_of_a_cut_step_is_vmap_of_grad(order):
    """Several inputs and one state; a cut of a cut is the same cut."""
    params, state, xs = arrays()
    many = copies_of(xs)
    once, twice = cut(step), cut(cut(step))

    def loss(rule, params, xs):
        return js.scan(functools.partial(rule, params), state, xs, order=order)[1].sum()

    @jax.jit
    def both(params):
        def total(params):
            return jax.vmap(functools.partial(loss, twice, params))(many).sum()

        each = jax.vmap(jax.grad(functools.partial(loss, once)), (None, 0))(params, many)
        return jax.grad(total)(params), each

    total, each = both(params)
    assert error(total, jax.tree.map(lambda a: a.sum(0), each)) < 1e-12
    assert error(copy(0, each), in_reverse(once, params, state, xs)[1]) < 1e-12
    assert error(copy(0, each)["w"], in_reverse(step, params, state, xs)[1]["w"]) > 0.01


def test_the_gradient_of_the_loss_of_an_online_step_is_that_of_the_cut_step():
    params, state, xs = arrays(SOFT)
    soft = functools.partial(step, neuron=SOFT)
    learn = online(soft)

    def both(params):
        loss, grads = accumulate(learn)(params, learn.init_state(params, state, xs[0]), xs)[1]
        return loss, grads

    (loss, forward_in_time), by_grad = jax.jit(jax.value_and_grad(both, has_aux=True))(params)
    want = in_reverse(cut(soft), params, state, xs)
    assert error((loss, by_grad), want) < 1e-12
    assert error(forward_in_time, want[1]) < 1e-12


@pytest.mark.slow
@pytest.mark.parametrize("neuron", SLOW, ids=lambda n: type(n).__name__)
def test_random_neurons(neuron):
    """Their keys are in the state, so that both directions see the same noise."""
    params, state, xs = arrays(neuron)
    noisy = functools.partial(step, neuron=neuron)
    want = in_reverse(cut(noisy), params, state, xs)
    assert error(forward(online(noisy, window=3), params, state, xs), want) < 1e-12
    assert error(forward(online(noisy), params, state, xs), want) < 1e-12
    assert error(want[1]["w"], in_reverse(noisy, params, state, xs)[1]["w"]) > 0.01


def test_traces_of_half_precision_are_float32():
    """In bfloat16 a decay above 1 - 2^-8 would be 1."""
    params, state, xs = arrays(SOFT)
    params, state, x = jax.tree.map(
        lambda a: a.astype(jnp.bfloat16) if jnp.issubdtype(a.dtype, jnp.floating) else a,
        (params, state, xs[0]),
    )
    for neuron in (SOFT, ALIF):
        half = functools.partial(step, neuron=neuron)
        state["h"] = neuron.init_state((N, H), jnp.bfloat16)
        traces = online(half).init_state(params, state, x).traces
        assert {a.dtype.name for a in jax.tree.leaves(traces)} == {"float32"}
