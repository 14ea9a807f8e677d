"""`jaxspike.nn.Conv` and convolutions in a `Sequential`: on several devices, those of Flax too."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import jaxspike as js
from jaxspike.engine import device

AXES = "NHWC", "HWIO", "NHWC"
OPTIONS = {"strides": 2, "padding": 1, "feature_group_count": 2, "rngs": nnx.Rngs(0)}


@pytest.fixture(params=[False, True], ids=["one device", "several devices"])
def several(request, monkeypatch):
    monkeypatch.setattr(device, "several", lambda: request.param)
    return request.param


@pytest.mark.parametrize("batch", [(), (3,), (5, 3), (2, 5, 3)])
def test_the_results_are_those_of_flax(several, batch):
    x = jax.random.normal(jax.random.key(0), (*batch, 7, 6, 4))
    layer = js.nn.Conv(4, 6, (3, 3), **OPTIONS)
    plain = nnx.Conv(4, 6, (3, 3), **OPTIONS)
    nnx.update(plain, nnx.state(layer))
    np.testing.assert_allclose(layer(x), plain(x), 1e-6, 1e-6)
    jaxpr = str(jax.make_jaxpr(layer)(x))
    assert ("transpose" in jaxpr) == (several and len(batch) > 1)


@pytest.mark.parametrize("kind", [nnx.Conv, nnx.ConvTranspose])
def test_a_sequence_in_a_sequential(several, kind):
    x = jax.random.normal(jax.random.key(0), (5, 3, 7, 6, 4))
    layer = kind(4, 6, (3, 3), rngs=nnx.Rngs(0))
    net = js.nn.Sequential(layer)
    _, y = net(net.init_state(x.shape[1:]), x)
    np.testing.assert_allclose(y, jnp.stack([layer(a) for a in x]), 1e-5, 1e-5)


def test_a_convolution_in_a_scan(several):
    x = jax.random.normal(jax.random.key(0), (5, 3, 7, 6, 4))
    kernel = jax.random.normal(jax.random.key(1), (3, 3, 4, 6))

    def loss(kernel, x, scan):
        def step(v, x):
            y = jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=AXES)
            return 0.5 * v + y, v

        return (scan(step, jnp.zeros((3, 7, 6, 6)), x)[1] ** 2).mean()

    got, want = (
        jax.jit(jax.grad(lambda *args, scan=scan: loss(*args, scan), (0, 1)))(kernel, x)
        for scan in (js.scan, jax.lax.scan)
    )
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, 1e-4, 1e-5)


def test_it_can_be_fused_with_a_normalization():
    rngs = nnx.Rngs(0)
    net = js.nn.Sequential(js.nn.Conv(2, 3, (3, 3), rngs=rngs), nnx.BatchNorm(3, rngs=rngs))
    net.eval()
    net[1].scale[...] = jnp.array([2.0, 0.5, -1.0])
    x = jax.random.normal(jax.random.key(0), (4, 2, 5, 5, 2))
    state = net.init_state(x.shape[1:])
    np.testing.assert_allclose(js.nn.fuse_conv_bn(net)(state, x)[1], net(state, x)[1], 1e-5, 1e-5)
    assert isinstance(js.nn.fuse_conv_bn(net)[0], js.nn.Conv)
