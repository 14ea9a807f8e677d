"""A gradient that is a sum over parts of the batch is that of the whole."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import jaxspike as js
from jaxspike.engine import conv_in_chunks
from jaxspike.engine.program import chunked_convolution


@pytest.mark.parametrize(("batch", "chunks"), [(12, 6), (7, 7), (11, 1), (0, 1)])
def test_the_gradient_in_chunks(batch, chunks, monkeypatch):
    monkeypatch.setattr(chunked_convolution, "PATCHES", 2_600)
    x = jax.random.normal(jax.random.key(0), (2, batch, 8, 6, 3))
    r = jax.random.normal(jax.random.key(1), (2, batch, 4, 3, 5))
    options = {"strides": 2, "padding": 1, "rngs": nnx.Rngs(0)}
    layers = [
        nnx.Conv(3, 5, (3, 3), **options, conv_general_dilated=conv)
        for conv in (conv_in_chunks, jax.lax.conv_general_dilated)
    ]
    params = nnx.state(layers[1])
    images = x.reshape(-1, 8, 6, 3)[:batch], r.reshape(-1, 4, 3, 5)[:batch]

    def loss(layer):
        graph = nnx.graphdef(layer)
        return lambda params, x: (nnx.merge(graph, params)(x) * images[1]).sum()

    got, want = (jax.jit(jax.grad(loss(layer), (0, 1)))(params, images[0]) for layer in layers)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), got, want)
    text = jax.jit(jax.grad(loss(layers[0]), (0, 1))).lower(params, images[0]).as_text()
    assert text.count("stablehlo.convolution") <= 2 + chunks
    assert chunks == 1 or text.count("stablehlo.convolution") > chunks


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
