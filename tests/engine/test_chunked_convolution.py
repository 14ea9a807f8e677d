"""A gradient that is a sum over parts of the batch is that of the whole."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import jaxspike as js
from jaxspike.engine import conv_in_chunks
from jaxspike.engine.program import chunked_convolution
from jaxspike.engine.program.convolutions import features_last
from jaxspike.engine.program.jaxpr import jaxprs_in


def equations(jaxpr):
    """All of a program, those inside others too."""
    for e in jaxpr.eqns:
        yield e
        for inner in jaxprs_in(e):
            yield from equations(inner)


CASES = {  # images, kernel, strides, padding, dilation, chunks of the loop
    "strided": ((12, 8, 6, 3), (3, 3, 3, 5), (2, 2), ((1, 1), (1, 1)), (1, 1), 4),
    "dilated": ((6, 9, 8, 2), (3, 2, 2, 4), (1, 2), "SAME", (2, 1), 3),
    "padded on one side": ((6, 9, 9, 2), (3, 3, 2, 3), (1, 1), ((-1, 2), (0, 1)), (1, 1), 6),
    "one axis": ((4, 30, 5), (4, 5, 3), (1,), "VALID", (1,), 2),
    "some images at a time": ((12, 4, 4, 3), (3, 3, 3, 5), (1, 1), "SAME", (1, 1), 6),
    "prime number": ((7, 4, 4, 3), (3, 3, 3, 5), (1, 1), "SAME", (1, 1), 7),
    "few places": ((12, 3, 3, 6), (3, 3, 6, 5), (1, 1), "SAME", (1, 1), 0),
    "no images": ((0, 8, 6, 3), (3, 3, 3, 5), (2, 2), "SAME", (1, 1), 0),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_gradient_in_chunks(case, dtype, monkeypatch):
    monkeypatch.setattr(chunked_convolution, "PATCHES", 3_500)
    monkeypatch.setattr(chunked_convolution, "POSITIONS", 10)
    images, kernel, strides, padding, dilation, chunks = CASES[case]
    x = jax.random.normal(jax.random.key(0), images).astype(dtype)
    w = jax.random.normal(jax.random.key(1), kernel).astype(dtype)
    numbers = features_last(x.ndim - 2)

    def loss(conv, x, w):
        y = conv(x, w, strides, padding, rhs_dilation=dilation, dimension_numbers=numbers)
        return (y.astype("float32") ** 2).sum()

    fast, plain = (
        jax.jit(jax.grad(functools.partial(loss, conv), (0, 1)))
        for conv in (conv_in_chunks, jax.lax.conv_general_dilated)
    )
    for got, want in zip(fast(x, w), plain(x, w), strict=True):
        assert got.dtype == want.dtype == dtype
        error = jnp.abs(got.astype("float32") - want.astype("float32")).max(initial=0.0)
        size = jnp.abs(want.astype("float32")).max(initial=0.0)
        assert error <= size * (1e-6 if dtype == "float32" else 2**-8)
    loops = [e for e in equations(jax.make_jaxpr(fast)(x, w)) if e.primitive.name == "scan"]
    assert len(loops) == (chunks > 0)
    if loops and dtype == "float32":  # twice as many images of bfloat16 fit
        assert loops[0].params["length"] == chunks


@pytest.mark.parametrize(
    "options",
    [{"feature_group_count": 2}, {"lhs_dilation": (2, 2)}, {"preferred_element_type": "float32"}],
    ids=lambda options: next(iter(options)),
)
def test_other_convolutions_are_left_to_xla(options, monkeypatch):
    monkeypatch.setattr(chunked_convolution, "PATCHES", 1)
    monkeypatch.setattr(chunked_convolution, "POSITIONS", 1)
    x, w = jnp.ones((4, 8, 8, 4)), jnp.ones((3, 3, 4 // options.get("feature_group_count", 1), 4))
    options = options | {"dimension_numbers": features_last(2)}
    f = lambda w: conv_in_chunks(x, w, (1, 1), ((1, 1), (1, 1)), **options)  # noqa: E731
    jaxpr = jax.make_jaxpr(jax.grad(lambda w: (f(w) ** 2).sum()))(w)
    assert "scan" not in {e.primitive.name for e in equations(jaxpr)}


def test_under_vmap_and_twice(monkeypatch):
    monkeypatch.setattr(chunked_convolution, "PATCHES", 3_500)
    monkeypatch.setattr(chunked_convolution, "POSITIONS", 10)
    x = jax.random.normal(jax.random.key(0), (2, 6, 4, 4, 3))
    w = jax.random.normal(jax.random.key(1), (2, 3, 3, 3, 5)) / 5
    options = {"dimension_numbers": features_last(2)}

    def loss(conv, x, w):
        return (jnp.sin(conv(x, w, (1, 1), "SAME", **options)) ** 2).mean()

    def found(conv):
        f = functools.partial(loss, conv)
        norm = lambda x, w: (jax.grad(f, 1)(x, w) ** 2).sum()  # noqa: E731
        yield jax.vmap(jax.grad(f, (0, 1)))(x, w)
        yield jax.vmap(jax.grad(f, (0, 1)), (0, None))(x, w[0])  # of each network, one kernel
        yield jax.vmap(jax.grad(f, (0, 1)), (None, 0))(x[0], w)
        yield jax.grad(lambda x, w: jax.vmap(f, (0, None))(x, w).sum(), (0, 1))(x, w[0])
        yield jax.grad(lambda x, w: jax.vmap(f, (None, 0))(x, w).sum(), (0, 1))(x[0], w)
        yield jax.grad(norm, (0, 1))(x[0], w[0])

    for got, want in zip(
        jax.jit(lambda: list(found(conv_in_chunks)))(),
        jax.jit(lambda: list(found(jax.lax.conv_general_dilated)))(),
        strict=True,
    ):
        for a, b in zip(got, want, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6 * jnp.abs(b).max())


def test_a_network_of_such_convolutions_in_both_orders(monkeypatch):
    monkeypatch.setattr(chunked_convolution, "PATCHES", 10_000)
    conv = nnx.Conv(2, 3, (3, 3), conv_general_dilated=conv_in_chunks, rngs=nnx.Rngs(0))
    net = js.nn.Sequential(conv, js.LIF(v_threshold=0.3))
    graph, params = nnx.split(net)
    x = jax.random.normal(jax.random.key(0), (3, 4, 8, 8, 2))
    state = net.init_state(x.shape[1:])

    def gradient(order):
        def loss(params):
            return (js.scan(nnx.merge(graph, params), state, x, order=order)[1] ** 2).mean()

        return jax.jit(jax.grad(loss))(params)

    got = [jax.tree.leaves(gradient(order)) for order in ("layer", "step")]
    for a, b in zip(*got, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
        assert jnp.abs(a).max() > 1e-4
