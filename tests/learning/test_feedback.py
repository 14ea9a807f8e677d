"""Feedback alignment: the values of the network, and errors through other weights."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import jaxspike as js
from jaxspike.learning import align, direct, online

stop = jax.lax.stop_gradient
KEY = jax.random.key(0)


def of(f, *args):
    return jax.value_and_grad(lambda *a: (f(*a) ** 2).sum(), argnums=(0, 1))(*args)


@pytest.mark.parametrize("kind", ["linear", "conv", "einsum"])
def test_a_layer_with_its_own_weights_as_feedback_is_itself(kind):
    """The output is that of the layer to the bit; only the error below goes another way."""
    rngs = nnx.Rngs(0)
    layer, shape = {
        "linear": (nnx.Linear(6, 5, rngs=rngs), (4, 6)),
        "conv": (nnx.Conv(6, 4, (3,), strides=2, feature_group_count=2, rngs=rngs), (2, 7, 6)),
        "einsum": (nnx.Einsum("...ab,abc->...c", (2, 3, 5), (5,), rngs=rngs), (4, 2, 3)),
    }[kind]
    layer.bias[...] += 0.5
    x = jax.random.normal(KEY, shape)
    same, random = align(layer, layer), align(layer, KEY)
    assert nnx.state(random, nnx.Param) == {"layer": nnx.state(layer)}
    y = layer(x)
    for aligned in (same, random):
        np.testing.assert_array_equal(aligned(x), y)
    (_, (own, below)), (_, (as_own, as_below)), (_, (by_random, other)) = (
        of(lambda net, x: net(x), net, x) for net in (layer, same, random)
    )
    weights = [nnx.state(g, nnx.Param) for g in (own, as_own.layer, by_random.layer)]
    for found in weights[1:]:
        jax.tree.map(np.testing.assert_allclose, found, weights[0])
    np.testing.assert_allclose(as_below, below, rtol=1e-5, atol=1e-6)
    assert abs(other - below).max() > 0.1
    assert not any(a.any() for a in jax.tree.leaves(by_random.feedback))


def test_an_array_and_random_e_prop():
    """Feedback changes what lies below the readout, forward and backward in time alike."""
    lif, readout, b = js.LIF(decay_input=False), js.LI(), jax.random.normal(KEY, (4, 2))

    def step(params, state, x, back, modulator=None):
        h, z = lif(state[0], x @ params["w"])
        r, y = readout(state[1], align(params["out"], back)(z))
        if modulator is None:
            return (h, r), (y**2).mean()
        return (h, r), (stop(modulator(y)) * y).sum()

    params = {"w": jax.random.normal(KEY, (3, 4)), "out": jnp.ones((4, 2))}
    state, xs = (lif.init_state((2, 4)), readout.init_state((2, 2))), jnp.ones((9, 2, 3))

    def forward(back, **options):
        learn = online(functools.partial(step, back=back, **options))
        made = learn.init_state(params, state, xs[0])
        return js.learning.accumulate(learn)(params, made, xs)[1][1]

    def reverse(params):
        rule = js.learning.cut(functools.partial(step, back=b))
        return jax.lax.scan(functools.partial(rule, params), state, xs)[1].sum()

    random, own = forward(b), forward(params["out"])
    jax.tree.map(
        functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6),
        random,
        jax.grad(reverse)(params),
    )
    np.testing.assert_allclose(random["out"], own["out"], rtol=1e-6)
    assert abs(random["w"] - own["w"]).max() > 0.01
    # the derivative of the loss as a modulator gives the rule of the loss
    modulated = forward(b, modulator=lambda y: 2 * y / y.size)
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-5), modulated, random)


def test_direct_feedback():
    """Each hidden layer gets the error of the output through its own weights, over images too."""
    keys = jax.random.split(KEY, 4)
    z1, z2 = jax.random.normal(keys[0], (2, 5, 3)), jax.random.normal(keys[1], (2, 4))
    b1, b2 = jax.random.normal(keys[2], (5, 3, 2)), jax.random.normal(keys[3], (4, 2))

    def output(z1, z2):
        return direct(stop(z2)[:, :2] ** 2, [z1, z2], [b1, b2])

    (_, (d1, d2)), y = of(output, z1, z2), z2[:, :2] ** 2
    np.testing.assert_array_equal(output(z1, z2), y)
    np.testing.assert_allclose(d1, jnp.einsum("no,abo->nab", 2 * y, b1), rtol=1e-5)
    np.testing.assert_allclose(d2, 2 * y @ b2.T, rtol=1e-5)


LINEAR, W = nnx.Linear(3, 4, rngs=nnx.Rngs(0)), jnp.ones((3, 4))


@pytest.mark.parametrize(
    ("kind", "call", "sentence"),
    [
        (
            TypeError,
            lambda: align(js.LIF(), KEY),
            "`align(layer=...)` must be a layer of Flax or an array [m, n], got a LIF.",
        ),
        (
            TypeError,
            lambda: align(jnp.ones(3), KEY),
            "`align(layer=...)` must be a layer of Flax or an array [m, n], got an array (3,).",
        ),
        (
            TypeError,
            lambda: align(LINEAR, 3),
            "`align(feedback=...)` must be a random key or a Linear, got an int. "
            "Give `jax.random.key(seed)`.",
        ),
        (
            ValueError,
            lambda: align(W, W.T),
            "`align(feedback=...)` must have weights of the shapes [(3, 4)], got [(4, 3)].",
        ),
        (
            TypeError,
            lambda: align(nnx.LayerNorm(3, rngs=nnx.Rngs(0)), KEY)(jnp.ones((2, 3))),
            "`align(layer=...)` must be linear, got a LayerNorm. "
            "Give a layer that is linear in its weights and in its input, or an array [m, n].",
        ),
        (
            ValueError,
            lambda: direct(jnp.ones((2, 4)), [jnp.ones((2, 3))], []),
            "`direct(feedback=...)` must have weights for each hidden layer, got 0 for 1.",
        ),
        (
            ValueError,
            lambda: direct(jnp.ones((2, 4)), [jnp.ones((2, 3))], [W.T]),
            "`direct(feedback[0]=...)` must be [3, 4], got the shape (4, 3).",
        ),
        (
            ValueError,
            lambda: direct(jnp.ones((2, 4)), [jnp.ones((5, 3))], [W]),
            "`direct(hidden[0]=...)` must be [2, ...], got the shape (5, 3). "
            "Give it as `y` has it.",
        ),
    ],
)
def test_refused(kind, call, sentence):
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value) == sentence
