"""A sum of products, one for each tap of a kernel, is the convolution."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import jaxspike as js
from jaxspike.engine import conv_by_taps
from jaxspike.engine.program import convolution_by_taps
from jaxspike.engine.program.convolutions import features_last
from jaxspike.engine.program.jaxpr import jaxprs_in

PLAIN = jax.lax.conv_general_dilated


def names(jaxpr):
    """Of all equations of a program, those inside others too."""
    for e in jaxpr.eqns:
        yield e.primitive.name
        for inner in jaxprs_in(e):
            yield from names(inner)


def products(f, *args):
    """How many products and how many convolutions a function has."""
    found = list(names(jax.make_jaxpr(lambda *a: f(*a))(*args)))
    return found.count("dot_general"), found.count("conv_general_dilated")


def arrays(images, kernel, dtype="float32"):
    x = jax.random.normal(jax.random.key(0), images)
    return x.astype(dtype), jax.random.normal(jax.random.key(1), kernel).astype(dtype)


def close(got, want):
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=2e-6 * jnp.abs(b).max(initial=0.0))


CASES = {  # images, kernel, strides, padding, dilation, products
    "same": ((5, 7, 7, 3), (3, 3, 3, 5), (1, 1), "SAME", (1, 1), 9),
    "strided": ((4, 8, 6, 3), (3, 3, 3, 5), (2, 2), [[1, 1], [1, 1]], (1, 1), 9),
    "dilated": ((3, 9, 8, 2), (3, 2, 2, 4), (1, 2), "SAME", (2, 1), 6),
    "padded on one side": ((3, 5, 5, 2), (3, 3, 2, 3), (1, 1), ((-1, 2), (0, 1)), (1, 1), 9),
    "stride larger than the kernel": ((3, 9, 9, 2), (2, 2, 2, 3), (3, 4), "VALID", (1, 1), 4),
    "one axis": ((4, 30, 5), (4, 5, 3), (1,), "VALID", (1,), 4),
    "three axes": ((2, 3, 4, 3, 2), (2, 2, 2, 2, 3), (1, 1, 1), "SAME", (1, 1, 1), 8),
    "no images": ((0, 4, 4, 3), (3, 3, 3, 5), (1, 1), "SAME", (1, 1), 9),
    "one tap, any size": ((3, 9, 8, 4), (1, 1, 4, 5), (2, 1), "VALID", (1, 1), 1),
    "too many places": ((3, 8, 7, 3), (3, 3, 3, 5), (1, 1), "SAME", (1, 1), 0),
    "too many taps": ((3, 7, 7, 3), (4, 3, 3, 5), (1, 1), "SAME", (1, 1), 0),
    "no places": ((3, 2, 5, 3), (3, 3, 3, 5), (2, 2), "VALID", (1, 1), 0),
}


@pytest.mark.parametrize("case", CASES)
def test_the_convolution_and_its_gradients(case, monkeypatch):
    monkeypatch.setattr(convolution_by_taps, "MATRIX", 0)
    images, kernel, strides, padding, dilation, n = CASES[case]
    x, w = arrays(images, kernel)
    numbers = features_last(x.ndim - 2)

    def value(conv, x, w):
        y = conv(x, w, strides, padding, rhs_dilation=dilation, dimension_numbers=numbers)
        return jnp.sin(y).sum(), y

    fast, plain = (
        jax.jit(jax.value_and_grad(functools.partial(value, conv), (0, 1), has_aux=True))
        for conv in (conv_by_taps, PLAIN)
    )
    close(fast(x, w), plain(x, w))
    assert products(functools.partial(value, conv_by_taps), x, w) == (n, n == 0)


@pytest.mark.parametrize(
    ("dtypes", "options"),
    [
        (("float32", "float32"), {"feature_group_count": 2}),
        (("float32", "float32"), {"lhs_dilation": (2, 2)}),
        (("float32", "float32"), {"preferred_element_type": "float32"}),
        (("float32", "float32"), {"batch_group_count": 2}),
        (("bfloat16", "bfloat16"), {}),  # whose sum over taps would be rounded nine times
        (("int32", "int32"), {}),
    ],
    ids=str,
)
def test_other_convolutions_are_left_to_xla(dtypes, options, monkeypatch):
    monkeypatch.setattr(convolution_by_taps, "MATRIX", 0)
    x = jnp.ones((4, 4, 4, 4), dtypes[0])
    w = jnp.ones((3, 3, 4 // options.get("feature_group_count", 1), 4), dtypes[1])
    options = options | {"dimension_numbers": features_last(2)}
    f = lambda x, w: conv_by_taps(x, w, (1, 1), ((1, 1), (1, 1)), **options)  # noqa: E731
    assert products(f, x, w) == (0, 1)


def test_small_matrices_are_left_to_xla():
    options = {"dimension_numbers": features_last(2)}
    f = lambda x, w: conv_by_taps(x, w, (1, 1), "SAME", **options)  # noqa: E731
    assert products(f, *arrays((2, 4, 4, 32), (3, 3, 32, 31))) == (0, 1)
    assert products(f, *arrays((2, 4, 4, 32), (3, 3, 32, 32))) == (9, 0)


@pytest.mark.parametrize("precision", [None, "highest", ["highest", "highest"]], ids=str)
def test_the_precision_is_that_of_the_products(precision):
    x, w = arrays((2, 4, 4, 32), (1, 1, 32, 32))
    options = {"dimension_numbers": features_last(2), "precision": precision}
    jaxpr = jax.make_jaxpr(lambda x, w: conv_by_taps(x, w, (1, 1), "SAME", **options))(x, w)
    assert str(jaxpr).count("HIGHEST") == (0 if precision is None else 2)


def test_under_transformations(monkeypatch):
    monkeypatch.setattr(convolution_by_taps, "MATRIX", 0)
    x, w = arrays((2, 6, 4, 4, 3), (2, 3, 3, 3, 5))

    def loss(conv, x, w):
        y = conv(x, w / 5, (1, 1), "SAME", dimension_numbers=features_last(2))
        return (jnp.sin(y) ** 2).mean()

    def found(conv):
        f = functools.partial(loss, conv)
        norm = lambda x, w: (jax.grad(f, 1)(x, w) ** 2).sum()  # noqa: E731
        yield jax.vmap(jax.grad(f, (0, 1)))(x, w)
        yield jax.vmap(jax.grad(f, (0, 1)), (0, None))(x, w[0])
        yield jax.vmap(jax.grad(f, (0, 1)), (None, 0))(x[0], w)
        yield jax.grad(lambda x, w: jax.vmap(f, (0, None))(x, w).sum(), (0, 1))(x, w[0])
        yield jax.grad(lambda x, w: jax.vmap(f, (None, 0))(x, w).sum(), (0, 1))(x[0], w)
        yield jax.grad(norm, (0, 1))(x[0], w[0])
        yield jax.jvp(f, (x[0], w[0]), (x[1], w[1]))

    fast, plain = (jax.jit(lambda c=conv: list(found(c)))() for conv in (conv_by_taps, PLAIN))
    close(fast, plain)


def test_what_each_tap_sees_is_not_stored():
    x, w = arrays((3, 4, 4, 32), (3, 3, 32, 32))
    conv = functools.partial(conv_by_taps, dimension_numbers=features_last(2))
    _, pullback = jax.vjp(lambda x, w: conv(x, w, (1, 1), "SAME"), x, w)
    assert sum(a.size for a in jax.tree.leaves(pullback)) <= x.size + w.size


def test_a_layer_over_a_sequence():
    layer = js.nn.Conv(32, 32, (3, 3), rngs=nnx.Rngs(0))
    same = nnx.Conv(32, 32, (3, 3), rngs=nnx.Rngs(0))
    x = jax.random.normal(jax.random.key(0), (3, 2, 4, 4, 32))
    close(layer(x), same(x))
    assert products(layer, x) == (9, 0)
    assert products(layer, x[0]) == (0, 1)  # one step, which `js.scan` and tools read
    mine = js.nn.Conv(32, 32, (3, 3), conv_general_dilated=PLAIN, rngs=nnx.Rngs(0))
    assert products(mine, x) == (0, 1)


def test_a_network_in_both_orders():
    net = js.nn.Sequential(js.nn.Conv(32, 32, (3, 3), rngs=nnx.Rngs(0)), js.LIF(v_threshold=0.3))
    graph, params = nnx.split(net)
    x = jax.random.normal(jax.random.key(0), (3, 2, 4, 4, 32))
    state = net.init_state(x.shape[1:])

    def loss(params, order):
        net = nnx.merge(graph, params)
        y = net(state, x)[1] if order is None else js.scan(net, state, x, order=order)[1]
        return (y**2).mean()

    gradient = jax.jit(jax.value_and_grad(loss), static_argnums=1)
    want = gradient(params, "step")
    assert products(functools.partial(loss, order=None), params)[0] == 9
    for order in (None, "layer"):
        close(gradient(params, order), want)
    assert all(jnp.abs(a).max() > 1e-4 for a in jax.tree.leaves(want))
