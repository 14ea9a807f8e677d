"""`DHLIF`: against the equations of its code, in NumPy, with a mask for each branch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import jaxspike as js

T, N, C, F, K = 30, 3, 11, 6, 4


@pytest.fixture(scope="module")
def layer():
    layer = js.nn.DHLIF(C, F, K, dendrite_tau=(1.5, 20), soma_tau=(1.2, 5), rngs=nnx.Rngs(0))
    layer.kernel[...] *= 6
    layer.bias[...] = 0.2 * jax.random.normal(jax.random.key(1), (F, K))
    return layer


XS = np.asarray(jax.random.bernoulli(jax.random.key(2), 0.4, (T, N, C)), np.float32)


def test_the_equations_of_the_code(layer):
    beta = 1 / (1 + np.exp(-np.asarray(layer.dendrites.tau_raw[...], np.float64)))
    alpha = np.asarray(layer.soma.neuron.v_decay, np.float64)
    branch = np.asarray(layer.branch[...])
    weight, mask = np.zeros((F, K, C)), np.zeros((F, K, C))
    for i, j in np.ndindex(C, F):
        mask[j, branch[i, j], i] = 1
        weight[j, :, i] = layer.kernel[...][i, j]  # dense, as a Linear layer has them
    weight, bias = weight * mask, np.asarray(layer.bias[...])
    current, h, s = np.zeros((N, F, K)), np.zeros((N, F)), np.zeros((N, F))
    want, near = [], []
    for x in XS:
        current = beta * current + (1 - beta) * (np.einsum("nc,jkc->njk", x, weight) + bias)
        h = h * alpha + (1 - alpha) * current.sum(-1) - 1.0 * s
        s = (h - 1.0 > 0).astype(float)
        want.append(s)
        near.append(np.abs(h - 1))
    assert np.min(near) > 1e-5
    state, spikes = nnx.jit(lambda layer, xs: layer(layer.init_state((N, C)), xs))(layer, XS)
    np.testing.assert_array_equal(spikes, np.stack(want))
    np.testing.assert_allclose(state["dendrites"].v, current, 1e-4, 1e-6)
    np.testing.assert_allclose(state["soma"].v, h, 1e-4, 1e-5)
    assert 0.05 < spikes.mean() < 0.6


def test_the_branches_of_a_neuron_share_its_inputs_evenly_and_differently(layer):
    sizes = np.stack([(layer.branch[...] == k).sum(0) for k in range(K)])
    assert set(sizes.ravel().tolist()) == {C // K, C // K + 1} and np.all(sizes.sum(0) == C)
    assert len(np.unique(layer.branch[...], axis=1)[0]) > 1
    tau = layer.dendrites.neuron.tau
    assert tau.shape == (F, K) and 1.5 <= tau.min() < 4 and 8 < tau.max() <= 20
    assert layer.kernel.shape == (C, F)


def test_one_branch_is_a_linear_layer_a_filter_and_a_membrane():
    taus = {"dendrite_tau": (2, 5), "soma_tau": (2, 5)}
    layer = js.nn.DHLIF(C, F, 1, v_threshold=0.2, **taus, rngs=nnx.Rngs(1))
    net = js.nn.Sequential(
        nnx.Linear(C, F, rngs=nnx.Rngs(0)),
        js.LI(layer.dendrites.neuron.tau[:, 0]),
        lambda x: (1 - layer.soma.neuron.v_decay) * x,
        layer.soma,
    )
    net.layers[0].kernel[...] = layer.kernel[...]
    _, want = net(net.init_state((N, C)), XS)
    _, got = layer(layer.init_state((N, C)), XS)
    np.testing.assert_array_equal(got, want)
    assert 0.01 < got.mean() < 0.9


def test_gradients_and_transformations(layer):
    graph, params, rest = nnx.split(layer, nnx.Param, ...)

    def loss(params, xs, order):
        layer = nnx.merge(graph, params, rest)
        _, spikes = js.scan(layer, layer.init_state((N, C)), xs, order=order)
        return (spikes * jnp.cos(jnp.arange(F))).sum()

    layerwise, step, parallel = (
        jax.jit(jax.grad(lambda p, x, order=order: loss(p, x, order)))(params, XS)
        for order in ("layer", "step", "parallel")
    )
    assert all(np.all(leaf != 0) for leaf in jax.tree.leaves(layerwise))
    for other in (step, parallel):
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 1e-3, 1e-4), other, layerwise)


@pytest.mark.parametrize(
    ("changed", "kind", "sentence"),
    [
        ({"branches": 12}, ValueError, "`DHLIF(branches=...)` must be from 1 to 11, got 12."),
        (
            {"features": 2.0},
            TypeError,
            "`DHLIF(features=...)` must be an integer, got 2.0. Give an int.",
        ),
        ({"v_threshold": 0}, ValueError, "`DHLIF(v_threshold=...)` must be greater than 0, got 0."),
        (
            {"dendrite_tau": 3.0},
            TypeError,
            "`DHLIF(dendrite_tau=...)` must be a pair, got 3.0. Give `(2.0, 55.0)`.",
        ),
        (
            {"soma_tau": (1.0, 3.0)},
            ValueError,
            "`DHLIF(soma_tau=...)` must be greater than 1, got 1.0.",
        ),
        (
            {"soma_tau": (3.0, 2.0)},
            ValueError,
            "`DHLIF(soma_tau=...)` must be a smaller and a larger number, got (3.0, 2.0). "
            "Swap them.",
        ),
    ],
)
def test_refused(changed, kind, sentence):
    with pytest.raises(kind) as caught:
        js.nn.DHLIF(**{"in_features": C, "features": F, "rngs": nnx.Rngs(0)} | changed)
    assert str(caught.value) == sentence


def test_another_number_of_features(layer):
    with pytest.raises(ValueError) as caught:
        layer(layer.init_state((N, C)), XS[..., :3])
    assert str(caught.value) == (
        "`DHLIF(in_features=11)(x=...)` must be [..., 11], got the shape (30, 3, 3)."
    )
