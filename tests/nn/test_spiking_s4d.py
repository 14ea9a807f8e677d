"""`SpikingS4D`: against its convolution, in NumPy, and in parallel order."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import jaxspike as js

T, N, H, S = 24, 2, 3, 4


@pytest.fixture(scope="module")
def layer():
    return js.nn.SpikingS4D(H, S, dt_min=0.05, dt_max=0.5, v_threshold=0.5, rngs=nnx.Rngs(1))


def test_the_convolution_of_the_paper(layer):
    """``y = K * u + D u`` with ``K[k] = 2 Re(sum_n C_n (exp(dt A_n) - 1) / A_n exp(k dt A_n))``."""
    values = {
        k: np.asarray(v, np.float64)
        for k, v in nnx.to_pure_dict(nnx.state(layer)).items()
        if k != "output"
    }
    a = -np.exp(values["log_a_real"]) + 1j * values["a_imag"]
    c, dt = values["c_real"] + 1j * values["c_imag"], np.exp(values["log_dt"])[:, None]
    powers = np.exp(np.arange(T)[:, None, None] * dt * a)
    kernel = 2 * (c * (np.exp(dt * a) - 1) / a * powers).sum(-1).real  # [T, H]
    u = np.asarray(jax.random.normal(jax.random.key(0), (T, N, H)))
    y = np.stack([sum(kernel[k] * u[t - k] for k in range(t + 1)) for t in range(T)])
    y += values["d"] * u
    state, xs = layer.init_state((N, H)), jnp.asarray(u)
    _, spikes = nnx.jit(lambda layer: layer(state, xs))(layer)
    certain = np.abs(y - 0.5) > 1e-5
    np.testing.assert_array_equal(spikes[certain], (y >= 0.5)[certain])
    assert certain.mean() > 0.99 and 0.1 < spikes.mean() < 0.6


def test_parallel_order_has_no_loop_and_the_same_gradient(layer):
    xs = jax.random.normal(jax.random.key(0), (T, N, H))
    graph, params = nnx.split(layer)

    def run(order):
        def loss(params, xs):
            layer = nnx.merge(graph, params)
            state, spikes = js.scan(layer, layer.init_state((N, H)), xs, order=order)
            return (spikes * jnp.cos(xs)).sum() + jnp.abs(state).sum()

        return jax.grad(loss, (0, 1))

    text = str(jax.make_jaxpr(run("parallel"))(params, xs))
    assert "scan[" not in text and "while[" not in text
    got, want = (jax.jit(run(order))(params, xs) for order in ("parallel", "layer"))
    for a, b in zip(*map(jax.tree.leaves, (got, want)), strict=True):
        np.testing.assert_allclose(a, b, 1e-4, 1e-4)
        assert np.any(b != 0)


def test_initialization():
    lin, inv = (js.nn.SpikingS4D(2, 4, init=init, rngs=nnx.Rngs(0)) for init in ("lin", "inv"))
    np.testing.assert_allclose(lin.a_imag[...][0], np.pi * np.arange(4), rtol=1e-6)
    want = 8 / np.pi * (8 / (2 * np.arange(4) + 1) - 1)
    np.testing.assert_allclose(inv.a_imag[...][1], want, rtol=1e-6)
    np.testing.assert_allclose(np.exp(lin.log_a_real[...]), 0.5, rtol=1e-6)
    assert np.all((lin.log_dt[...] > np.log(1e-3)) & (lin.log_dt[...] < np.log(0.1)))


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"states": 0}, "`SpikingS4D(states=...)` must be at least 1, got 0."),
        ({"init": "legs"}, "`SpikingS4D(init=...)` must be one of ('lin', 'inv'), got 'legs'."),
        ({"dt_min": 0.0}, "`SpikingS4D(dt_min=...)` must be greater than 0, got 0.0."),
        ({"dt_min": 0.2}, "`SpikingS4D(dt_max=...)` must be greater than 0.2, got 0.1."),
    ],
)
def test_errors(changed, sentence):
    with pytest.raises(ValueError) as caught:
        js.nn.SpikingS4D(**({"features": 2, "rngs": nnx.Rngs(0)} | changed))
    assert str(caught.value) == sentence
