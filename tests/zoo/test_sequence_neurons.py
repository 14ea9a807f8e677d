"""Laws of the neurons that have no step, alone and as layers."""

import dataclasses
import functools
import inspect

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import jaxspike as js

T, N, C = 6, 3, 5
KEY = jax.random.key(0)


@dataclasses.dataclass(frozen=True)
class Row:
    """A neuron, and whether an output may depend on a later input."""

    neuron: js.SequenceNeuron
    looks_ahead: bool = False


ROWS = {
    "PSN": Row(js.PSN.init(T, key=KEY), looks_ahead=True),
    "MaskedPSN": Row(js.MaskedPSN.init(3, T, key=KEY, lambda_=0.5), looks_ahead=True),
    "MaskedPSN-band": Row(js.MaskedPSN.init(3, T, key=KEY, lambda_=1.0)),
    "SlidingPSN": Row(js.SlidingPSN.init(3)),
    "SlidingPSN-long": Row(js.SlidingPSN.init(T + 4, key=KEY)),
}
every_neuron = pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())


@jax.jit
def run(neuron, xs):
    return neuron(xs)


@functools.cache
def inputs(seed=1):
    return 1 + 3 * jax.random.normal(jax.random.key(seed), (T, N, C))


def test_every_model_has_a_row():
    models = {
        name
        for name, value in vars(js).items()
        if inspect.isclass(value)
        and issubclass(value, js.SequenceNeuron)
        and value is not js.SequenceNeuron
    }
    assert models == {type(row.neuron).__name__ for row in ROWS.values()}


@every_neuron
def test_spikes_are_binary_and_some_neurons_fire(row):
    y = run(row.neuron, inputs())
    assert set(np.unique(y)) == {0.0, 1.0}
    assert 0.05 < y.mean() < 0.9


@every_neuron
def test_only_some_rows_depend_on_later_inputs(row):
    xs = inputs()
    other = xs.at[-1].add(100.0).at[-1, 0].add(-200.0)
    y, changed = run(row.neuron, xs), run(row.neuron, other)
    assert bool((y[:-1] != changed[:-1]).any()) == row.looks_ahead


@every_neuron
def test_dtypes(row):
    xs = inputs()
    assert jax.eval_shape(row.neuron, xs.astype(jnp.bfloat16)).dtype == jnp.bfloat16
    assert jax.eval_shape(row.neuron, xs > 0).dtype == jnp.float32
    np.testing.assert_array_equal(
        run(row.neuron, (xs > 0).astype(jnp.int32)), run(row.neuron, (xs > 0).astype(jnp.float32))
    )
    with jax.enable_x64(True):
        y = run(row.neuron, jnp.asarray(np.asarray(xs, np.float64)))
        assert y.dtype == jnp.float64
    np.testing.assert_array_equal(np.asarray(y), row.neuron(xs))  # without jit


@every_neuron
def test_gradients_reach_everything_and_new_weights_do_not_retrace(row):
    traces = []

    @jax.jit
    @jax.grad
    def gradients(neuron_xs):
        traces.append(1)
        neuron, xs = neuron_xs
        return (neuron(xs) * jnp.arange(1.0, T + 1)[:, None, None]).sum()

    for factor in (1.0, 0.8):
        neuron = jax.tree.map(lambda a, f=factor: a * f, row.neuron)
        grads, grad_xs = gradients((neuron, inputs()))
        chex.assert_tree_all_finite((grads, grad_xs))
        assert np.any(grad_xs != 0)
        for name in {"weight", "bias", "lambda_"} & set(vars(neuron)):
            assert np.any(getattr(grads, name) != 0), name
    assert len(traces) == 1


@every_neuron
def test_vmap_over_the_batch_and_over_parameters(row):
    xs = inputs()
    want = run(row.neuron, xs)
    np.testing.assert_array_equal(jax.jit(jax.vmap(row.neuron, 1, 1))(xs), want)
    both = jax.tree.map(lambda a: jnp.stack([jnp.asarray(a), 2 * jnp.asarray(a)]), row.neuron)
    got = jax.jit(jax.vmap(run, (0, None)))(both, xs)
    np.testing.assert_array_equal(got[0], want)
    np.testing.assert_array_equal(got[1], run(jax.tree.map(lambda a: 2 * a, row.neuron), xs))


class Block(js.nn.SpikingModule):
    def __init__(self, neuron, rngs):
        self.linear = nnx.Linear(C, C, rngs=rngs)
        self.psn = neuron

    def __call__(self, state, x):
        psn, y = self.psn(state["psn"], self.linear(x))
        return {"psn": psn}, x + y


@every_neuron
def test_as_a_layer(row):
    rngs = nnx.Rngs(0)
    net = js.nn.Sequential(
        nnx.Linear(C, C, rngs=rngs), row.neuron, js.LIF(), Block(row.neuron, rngs)
    )
    state, xs = net.init_state((N, C)), inputs()
    params = {"/".join(map(str, path)) for path, _ in nnx.to_flat_state(nnx.state(net, nnx.Param))}
    assert {"layers/1/weight", "layers/1/bias", "layers/3/psn/weight", "layers/3/psn/bias"} < params

    # a weak type would compile again after the first update
    assert not any(a.weak_type for a in jax.tree.leaves(nnx.state(net, nnx.Param)))

    @nnx.jit
    def train(net, state, xs):
        def loss(net):
            last, ys = net(state, xs)
            return (ys * jnp.arange(1.0, T + 1)[:, None, None]).sum(), (last, ys)

        return nnx.grad(loss, has_aux=True)(net)

    grads, (last, ys) = train(net, state, xs)
    assert jax.tree.structure(last) == jax.tree.structure(state)
    assert np.any(grads["layers"][1]["weight"][...] != 0)
    hidden = net.layers[1](net.init_state((N, C))[1], net.layers[0](xs))[1]
    np.testing.assert_array_equal(hidden, row.neuron(net.layers[0](xs)))
    assert ys.shape == (T, N, C)


def test_the_mask_of_a_layer_can_be_raised_without_compiling_again():
    layer, xs, traces = js.nn.Spiking(ROWS["MaskedPSN"].neuron), inputs(), []
    state = layer.init_state((N, C))

    @nnx.jit
    def run(layer, xs):
        traces.append(1)
        return layer(state, xs)[1]

    for value in (0.0, 0.5, 1.0):
        layer.lambda_[...] = jnp.float32(value)
        want = ROWS["MaskedPSN"].neuron.replace(lambda_=value)(xs)
        np.testing.assert_array_equal(run(layer, xs), want)
    assert len(traces) == 1


def test_initial_weights():
    neuron = js.PSN.init(64, key=KEY)
    assert 0.9 / 8 < jnp.abs(neuron.weight).max() <= 1 / 8  # 1 / sqrt(T)
    np.testing.assert_array_equal(neuron.bias, -np.ones(64))
    np.testing.assert_array_equal(js.SlidingPSN.init(4).weight, [0.125, 0.25, 0.5, 1.0])


@pytest.mark.parametrize(
    ("kind", "sentence", "call"),
    [
        (
            ValueError,
            "`SlidingPSN.sequence` must keep the shape of xs, (4, 2, 3), got (5, 4, 2, 3). "
            "A field may be wider than one step.",
            lambda: js.SlidingPSN(jnp.ones(3), jnp.ones((5, 1, 1, 1)))(jnp.ones((4, 2, 3))),
        ),
        (
            ValueError,
            "`SlidingPSN(weight=...)` must have shape [k], got (0,). Use `SlidingPSN.init(k)`.",
            lambda: js.SlidingPSN.init(0),
        ),
    ],
)
def test_refusals(kind, sentence, call):
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value) == sentence
