"""Layers give SpikingJelly's recorded outputs, gradients and statistics over a sequence."""

import operator
from functools import partial, reduce

import golden_files
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import jaxspike as js

GOLDEN, INFO = golden_files.load("spikingjelly_layers.npz")
T = 4
RNGS = nnx.Rngs(0)
QUICKLY = {"xla_backend_optimization_level": 0}  # each program runs once

ZEROS = {"kernel_init": nnx.initializers.zeros, "rngs": RNGS}  # drawing weights is slow


def lstm(*sizes):
    return js.nn.Bidirectional(*(js.nn.SpikingLSTM(*sizes, rngs=RNGS) for _ in range(2)))


def linear(*sizes, **options):
    return nnx.Linear(*sizes, **options, **ZEROS)


OTHER = {"candidate_surrogate": js.surrogate.ATan(alpha=3.0), "rngs": RNGS}
NORMS = {
    "BatchNorm": lambda: nnx.BatchNorm(3, momentum=0.9, rngs=RNGS),
    "tdBN": lambda: js.nn.ThresholdDependentBatchNorm(3, 0.5, 0.7, momentum=0.9, rngs=RNGS),
    "TEBN": lambda: js.nn.TemporalEffectiveBatchNorm(3, T, momentum=0.9, rngs=RNGS),
    "BNTT": lambda: js.nn.BatchNormThroughTime(3, T, momentum=0.9),
}
LAYERS = NORMS | {
    "NeuNorm": lambda: js.nn.NeuNorm((2, 3, 3), k=0.8, rngs=RNGS),
    "NeuNorm-shared": lambda: js.nn.NeuNorm((2, 3, 3), 0.8, True, rngs=RNGS),
    "elementwise": lambda: js.nn.Recurrent(
        js.LIF(), lambda y: y, combine=lambda x, y: x * (1.5 - y)
    ),
    "linear": lambda: js.nn.Sequential(
        linear(5, 5),
        js.nn.Recurrent(js.nn.Sequential(linear(5, 4), js.IF()), linear(4, 5, use_bias=False)),
    ),
    "LSTM": lambda: js.nn.SpikingLSTM(5, 4, **OTHER),
    "GRU": lambda: js.nn.SpikingGRU(5, 4, **OTHER),
    "bidirectional": lambda: lstm(5, 4),
    "TWA": lambda: js.nn.TemporalWiseAttention(T, 2, rngs=RNGS),
    "TWA-flat": lambda: js.nn.TemporalWiseAttention(T, 2, rngs=RNGS),
    "MDA": lambda: js.nn.MultiDimensionalAttention(T, 6, 2, 3, rngs=RNGS),
    "SSA": lambda: js.nn.SpikingSelfAttention(8, 2, rngs=RNGS),
    "WSConv": lambda: js.nn.WSConv(4, 6, (3, 3), feature_group_count=2, **ZEROS),
    "WSLinear": lambda: js.nn.WSLinear(5, 4, **ZEROS),
    "Upsample-nearest": lambda: js.nn.Upsample((2, 3)),
    "Upsample-linear": lambda: js.nn.Upsample((2, 2, 2), "linear"),
    "AdaptiveAvgPool": lambda: js.nn.AdaptiveAvgPool((2, 4)),
}


def test_every_recorded_layer_is_compared():
    assert {key.split("|")[0] for key in GOLDEN} - {"info"} == {*LAYERS, "DropConnect"}


def recorded(case, kind):
    """The arrays of a case that have paths."""
    found = {tuple(key.split("|")): value for key, value in GOLDEN.items()}
    return {k[2]: v for k, v in found.items() if k[:2] == (case, kind)}


def at(tree, path):
    steps = [int(p) if p.isdigit() else p for p in path.split(".")]
    return reduce(operator.getitem, steps, tree)


def build(case):
    """The layer with the recorded parameters."""
    layer = LAYERS[case]()
    params = nnx.state(layer, nnx.Param)
    for path, value in recorded(case, "param").items():
        assert at(params, path).shape == value.shape
        at(params, path)[...] = jnp.asarray(value)
    nnx.update(layer, params)
    assert len(jax.tree.leaves(params)) == len(recorded(case, "param"))
    return layer


def call(layer, xs):
    if isinstance(layer, js.nn.SpikingModule):
        return layer(layer.init_state(xs.shape[1:]), xs)[1]
    return layer(xs)


def close(got, want):
    """Equal to 1e-5 of the largest entry."""
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5 * np.abs(want).max())


@pytest.mark.parametrize("case", LAYERS)
def test_outputs_and_gradients_in_training(case):
    layer = build(case)
    if case == "tdBN":
        np.testing.assert_allclose(LAYERS[case]().scale[...], 0.35, rtol=1e-6)
    x, y, r = (GOLDEN[f"{case}|{name}"] for name in "xyr")
    graph, params, others = nnx.split(layer, nnx.Param, ...)

    @partial(jax.jit, compiler_options=QUICKLY)
    def run(params, x):
        def loss(params, x):
            layer = nnx.merge(graph, params, others, copy=True)
            y = call(layer, x)
            return (y * r).sum(), (y, nnx.state(layer, nnx.BatchStat))

        return jax.grad(loss, (0, 1), has_aux=True)(params, x)

    (grads, grad_x), (got, stats) = run(params, x)
    if set(np.unique(y)) <= {0.0, 1.0}:
        np.testing.assert_array_equal(got, y)
        assert 0.01 < y.mean() < 0.9
    np.testing.assert_allclose(got, y, rtol=1e-5, atol=1e-5)
    close(grad_x, GOLDEN[f"{case}|grad_x"])
    for path, want in recorded(case, "grad").items():
        close(at(grads, path)[...], want)
    if case in NORMS:
        mean, var = recorded(case, "stat")["mean"], recorded(case, "stat")["var"]
        np.testing.assert_allclose(stats["mean"][...], mean, rtol=1e-5, atol=1e-6)
        # torch keeps the unbiased variance of the n numbers, Flax the biased one
        n = x[..., 0].size // (T if case == "BNTT" else 1)
        biased = 0.9 + (var - 0.9) * (n - 1) / n
        np.testing.assert_allclose(stats["var"][...], biased, rtol=1e-5)
        assert np.all(np.abs(var - biased) > 1e-3)


@pytest.mark.parametrize("case", NORMS)
def test_outputs_in_evaluation(case):
    layer = build(case)
    layer.mean[...], layer.var[...] = map(jnp.asarray, recorded(case, "stat").values())
    layer.eval()
    y = call(layer, jnp.asarray(GOLDEN[f"{case}|x"]))
    np.testing.assert_allclose(y, GOLDEN[f"{case}|eval"], rtol=1e-5, atol=1e-5)


def test_drop_connect_in_evaluation():
    layer = js.nn.DropConnectLinear(5, 4, rate=0.3, **ZEROS)
    for path, value in recorded("DropConnect", "param").items():
        getattr(layer, path)[...] = jnp.asarray(value)
    layer.eval()
    x = jnp.asarray(GOLDEN["DropConnect|x"])
    _, y = layer(layer.init_state(x.shape), x)
    np.testing.assert_allclose(
        y, GOLDEN["DropConnect|eval"], atol=0.02
    )  # there the mean of samples
    assert np.abs(y).mean() > 0.1
