"""Laws that hold for every neuron model."""

import dataclasses
import inspect

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from neurons import RANDOM, ROWS, C, N, T, channels, inputs, named, parameters, scaled

import jaxspike as js

CASES = [
    pytest.param(row, id=name, marks=[pytest.mark.slow] * row.slow) for name, row in ROWS.items()
]
every_neuron = pytest.mark.parametrize("row", CASES)
every_neuron_with_parameters = pytest.mark.parametrize(
    "row", [case for case in CASES if parameters(case.values[0].neuron)]
)


@jax.jit
def run(neuron, state, xs):
    return js.scan(neuron, state, xs)


@jax.jit
def one_step(neuron, state, x):
    return neuron(state, x)


def same(got, want):
    """Spikes exactly, membranes to rounding."""
    chex.assert_trees_all_close(got[0], want[0], rtol=1e-5, atol=1e-6)
    chex.assert_trees_all_close(got[1], want[1], rtol=1e-5, atol=1e-6)


def test_every_model_has_a_row():
    models = {
        name
        for name, value in vars(js).items()
        if inspect.isclass(value) and issubclass(value, js.Neuron) and value is not js.Neuron
    }
    assert models - RANDOM == {type(row.neuron).__name__ for row in ROWS.values()}


@every_neuron
def test_only_the_main_field_is_given_by_position(row):
    parameters = inspect.signature(type(row.neuron)).parameters.values()
    by_position = [p.name for p in parameters if p.kind is not p.KEYWORD_ONLY]
    wrappers = {
        "Refractory": ["neuron", "steps"],
        "Quantized": ["neuron", "bits"],
        "FixedPoint": ["neuron", "weight_bits", "state_bits"],
    }
    first = dataclasses.fields(row.neuron)[0].name
    assert by_position == wrappers.get(type(row.neuron).__name__, [first])


@every_neuron
def test_scan_equals_a_python_loop(row):
    xs, state = inputs(row), row.neuron.init_state((N, C))
    loop, ys = state, []
    for x in xs:
        loop, y = one_step(row.neuron, loop, x)
        ys.append(y)
    same(run(row.neuron, state, xs), (loop, jnp.stack(ys)))


@every_neuron
def test_chunks_equal_one_run(row):
    xs, state = inputs(row), row.neuron.init_state((N, C))
    chunks, last = [], state
    for chunk in (xs[:3], xs[3:6], xs[6:]):
        last, ys = run(row.neuron, last, chunk)
        chunks.append(ys)
    same((last, jnp.concatenate(chunks)), run(row.neuron, state, xs))


@every_neuron
def test_state_keeps_structure_shape_and_dtype(row):
    for dtype in (jnp.float32, jnp.bfloat16):
        state = row.neuron.init_state((N, C), dtype)
        new, _ = jax.eval_shape(row.neuron, state, inputs(row)[0])
        chex.assert_trees_all_equal_shapes_and_dtypes(state, new)


@every_neuron
def test_bfloat16_in_gives_bfloat16_out_and_a_float32_state(row):
    state, xs = row.neuron.init_state((N, C)), inputs(row).astype(jnp.bfloat16)
    state, y = jax.eval_shape(js.scan, row.neuron, state, xs)
    assert y.dtype == jnp.bfloat16
    assert {leaf.dtype for leaf in jax.tree.leaves(state)} == {jnp.dtype("float32")}


@every_neuron
def test_float64(row):
    values = np.asarray(inputs(row), np.float64)
    with jax.enable_x64(True):
        xs = jnp.asarray(values)
        state, y = js.scan(row.neuron, row.neuron.init_state((N, C), jnp.float64), xs)
        assert y.dtype == jnp.float64
        assert {leaf.dtype for leaf in jax.tree.leaves(state)} == {jnp.dtype("float64")}
        first = row.neuron.init_state((N, C), jnp.float32)
        mixed, _ = jax.eval_shape(row.neuron, first, xs[0])
        assert {leaf.dtype for leaf in jax.tree.leaves(mixed)} == {jnp.dtype("float32")}
    single = run(row.neuron, row.neuron.init_state((N, C)), inputs(row))
    np.testing.assert_allclose(np.asarray(y), single[1], rtol=1e-5, atol=1e-5)


@every_neuron
def test_integers_and_booleans_are_converted(row):
    state = row.neuron.init_state((N, C))
    x = jnp.arange(N * C).reshape(N, C) % 3
    same(one_step(row.neuron, state, x), one_step(row.neuron, state, x.astype(jnp.float32)))
    same(
        one_step(row.neuron, state, x > 0), one_step(row.neuron, state, (x > 0).astype(jnp.float32))
    )


@every_neuron
def test_spikes_are_what_they_should_be_and_some_neurons_fire(row):
    y = run(row.neuron, row.neuron.init_state((N, C)), inputs(row))[1]
    if row.spikes:
        assert set(np.unique(y)) == set(row.spikes)
        assert 0.05 < (y != 0).mean() < 0.9
    assert y.shape == (T, N, C)


@every_neuron
def test_gradients_are_finite_and_reach_everything(row):
    def loss(neuron, shift, xs):
        state = jax.tree.map(jnp.add, neuron.init_state((N, C)), shift)
        last, y = js.scan(neuron, state, xs)
        return y.sum() + sum(leaf.sum() for leaf in jax.tree.leaves(last))

    shift = jax.tree.map(jnp.zeros_like, row.neuron.init_state((N, C)))
    grads = jax.jit(jax.grad(loss, (0, 1, 2)))(channels(row.neuron), shift, inputs(row))
    chex.assert_tree_all_finite(grads)
    for name in parameters(row.neuron):
        assert np.any(named(grads[0])[name] != 0), name
    assert np.any(grads[2] != 0)
    for name, leaf in named(grads[1]).items():
        assert np.any(leaf != 0) != (name in row.flat), name


@every_neuron
def test_every_parameter_can_be_learned(row):
    layer = js.nn.Spiking(row.neuron, learn=parameters(row.neuron))
    chex.assert_trees_all_close(layer.neuron, row.neuron, rtol=1e-5, atol=1e-6)
    xs = inputs(row)

    def loss(layer):
        last, y = layer(layer.init_state((N, C)), xs)
        return y.sum() + sum(leaf.sum() for leaf in jax.tree.leaves(last))

    grads = nnx.jit(nnx.grad(loss))(layer)
    assert set(grads) == {f"{name}_raw" for name in parameters(row.neuron)}
    for name in grads:
        assert np.any(grads[name][...] != 0), name


@every_neuron
def test_new_parameter_values_do_not_retrace(row):
    traces = []

    @jax.jit
    def f(neuron, state, xs):
        traces.append(1)
        return js.scan(neuron, state, xs)

    state, xs = row.neuron.init_state((N, C)), inputs(row)
    for factor in (1.0, 1.1, 1.2):
        f.trace(scaled(row.neuron, factor), state, xs)
    assert len(traces) == 1


@every_neuron_with_parameters
def test_vmap_over_parameters_equals_a_loop(row):
    values = [scaled(row.neuron, factor) for factor in (1.0, 1.2)]
    stacked = jax.tree.map(lambda *a: jnp.stack([jnp.float32(v) for v in a]), *values)
    state, xs = row.neuron.init_state((N, C)), inputs(row)
    got = jax.jit(jax.vmap(js.scan, in_axes=(0, None, None)))(stacked, state, xs)
    want = jax.tree.map(lambda *a: jnp.stack(a), *[run(n, state, xs) for n in values])
    same(got, want)


@every_neuron
def test_per_channel_parameters_equal_separate_neurons(row):
    neuron, xs = channels(row.neuron), inputs(row)
    _, got = run(neuron, neuron.init_state((N, C)), xs)
    for c in range(C):
        alone = jax.tree.map(lambda a, c=c: a[c] if jnp.ndim(a) else a, neuron)
        want = run(alone, alone.init_state((N,)), xs[..., c])[1]
        np.testing.assert_allclose(got[..., c], want, rtol=1e-5, atol=1e-6)


@every_neuron
def test_the_same_under_every_transformation(row):
    state, xs = row.neuron.init_state((N, C)), inputs(row)
    want = run(row.neuron, state, xs)
    same(js.scan(row.neuron, state, xs), want)

    @nnx.jit
    def transformed(layer, neuron, state, xs):
        over_batch = jax.vmap(js.scan, in_axes=(None, 0, 1), out_axes=(0, 1))
        return (
            js.scan(neuron, state, xs, order="step"),
            jax.checkpoint(js.scan)(neuron, state, xs),
            over_batch(neuron, state, xs),
            layer(state, xs),
            jax.lax.scan(row.neuron, state, xs),
        )

    for got in transformed(js.nn.Spiking(row.neuron), row.neuron, state, xs):
        same(got, want)


@every_neuron
def test_gradient_through_lax_scan_of_the_neuron_itself(row):
    state, xs = row.neuron.init_state((N, C)), inputs(row)

    @jax.jit
    def gradients(neuron):
        return [
            jax.grad(lambda n, scan=scan: scan(n, state, xs)[1].sum())(neuron)
            for scan in (js.scan, jax.lax.scan)
        ]

    got, want = gradients(row.neuron)
    chex.assert_trees_all_close(got, want, rtol=1e-5, atol=1e-6)


def test_profiles_name_the_neuron():
    neuron = js.LIF()
    text = one_step.lower(neuron, neuron.init_state((N, C)), jnp.ones((N, C)))
    assert "/LIF/" in text.as_text(debug_info=True)


@every_neuron
def test_the_first_state_can_be_donated(row):
    neuron = channels(row.neuron)
    state = neuron.init_state((C,))
    jax.jit(one_step, donate_argnums=1)(neuron, state, inputs(row)[0, 0])
    neuron.init_state((C,))
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(neuron))


def test_a_neuron_without_a_floating_state():
    class Count(js.Neuron):
        def init_state(self, shape, dtype=jnp.float32):
            return jnp.zeros(shape, jnp.int32)

        def step(self, state, x):
            state = state + (x > 0).astype(state.dtype)
            return state, (state % 2).astype(x.dtype)

    neuron = Count()
    state, y = js.scan(neuron, neuron.init_state((N, C)), jnp.ones((T, N, C)))
    np.testing.assert_array_equal(state, T)
    assert y.dtype == jnp.float32
