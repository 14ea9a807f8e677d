"""The errors of `scan`, by their exact sentences."""

import functools
import re
import sys

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.experimental import io_callback

import jaxspike as js

X = jnp.ones((3, 2))


def fails(kind, sentence, f, *args, **options):
    with pytest.raises(kind, match=re.escape(sentence)):
        js.scan(f, *args, **options)


def test_forward_mode():
    def run(x):
        return js.scan(lambda s, x: (s + jnp.sin(x), s), X[0], x)[1]

    with pytest.raises(TypeError, match=re.escape("Use `jax.lax.scan` for forward mode.")):
        jax.jvp(run, (X,), (X,))
    with pytest.raises(TypeError, match=re.escape("got forward mode (`jax.jvp`")):
        jax.jacfwd(run)(X)
    lif = js.LIF()
    with pytest.raises(
        TypeError, match=re.escape("`scan(LIF, ...)` must be differentiated in reverse")
    ):
        jax.jvp(lambda x: js.scan(lif, lif.init_state((2,)), x)[1], (X,), (X,))


def test_effects():
    seen = []

    def noisy(s, x):
        jax.debug.callback(seen.append, x[0])
        return s + x, s

    fails(ValueError, 'Use `order="step"`.', noisy, X[0], X)
    jax.grad(lambda x: js.scan(noisy, X[0], x, order="step", segment=2)[1].sum())(X)
    jax.effects_barrier()
    assert len(seen) == 3  # once per step, not again in the backward pass


def test_a_value_from_an_effect():
    """It would be another one when the step is computed again."""

    def step(s, x):
        factor = io_callback(lambda: np.float32(2.0), jax.ShapeDtypeStruct((), jnp.float32))
        return jnp.tanh(s * factor + x), s

    def run(s):
        return js.scan(step, s, X, order="step")[1].sum()

    assert np.isfinite(run(X[0]))
    sentence = "must have a step whose side effects return nothing that its gradient depends on"
    with pytest.raises(ValueError, match=sentence):
        jax.grad(run)(X[0])


def test_open_sizes_in_export():
    def run(x):
        return js.scan(lambda s, x: (s + x, s), jnp.zeros_like(x[0]), x)

    def export(*shape):
        shape = jax.export.symbolic_shape(",".join(shape))
        return jax.export.export(jax.jit(run))(jax.ShapeDtypeStruct(shape, jnp.float32))

    x = jnp.arange(30.0).reshape(5, 3, 2)
    for exported in (export("5", "batch", "2"), export("t", "3", "2")):
        jax.tree.map(np.testing.assert_array_equal, exported.call(x), run(x))


def test_mutated_flax_variables():
    norm = nnx.BatchNorm(2, rngs=nnx.Rngs(0))

    def step(s, x):
        return (s, norm(x))

    sentence = (
        "Call the network on the whole sequence, `state, ys = net(state, x_seq)`, or freeze it "
        "with `net.eval()`. A module with a state of its own cannot hold such layers in training "
        "mode."
    )
    fails(ValueError, sentence, step, (), jnp.ones((3, 4, 2)))
    fails(ValueError, sentence, step, (), jnp.ones((3, 4, 2)), order="step")
    norm.eval()
    js.scan(step, (), jnp.ones((3, 4, 2)))


@pytest.mark.usefixtures("mixed_dtypes")
def test_step_that_does_not_fit():
    fails(
        TypeError,
        "must have a step that returns a pair `(state, y)`, got an array.",
        lambda s, x: x,
        0.0,
        X,
    )
    fails(TypeError, "got a tuple of length 3.", lambda s, x: (s, x, x), 0.0, X)
    fails(
        TypeError,
        "must have a step that keeps the structure of its state",
        lambda s, x: ((s, s), x),
        0.0,
        X,
    )
    fails(
        TypeError,
        "got (2,) for state of shape (). Build the state",
        lambda s, x: (s + x, x),
        0.0,
        X,
    )
    fails(
        TypeError,
        "got float32 for state['a'] of int32. Cast it in the step.",
        lambda s, x: ({"a": s["a"] * 0.5}, x),
        {"a": jnp.arange(3)},
        X,
    )


@pytest.mark.parametrize(
    "options, sentence",
    [
        (
            {"order": "depth"},
            '`scan(order=...)` must be "layer", "step" or "parallel", got \'depth\'.',
        ),
        ({"segment": 0}, '`scan(segment=...)` must be a positive integer, "sqrt" or None, got 0.'),
        ({"segment": "root"}, "got 'root'."),
        ({"segment": np.array([2, 3])}, "or None, got array([2, 3])."),
        ({"unroll": True}, "`scan(unroll=...)` must be a positive integer or None, got True."),
        ({"unroll": np.bool_(True)}, "must be a positive integer or None, got np.True_."),
        ({"segment": np.int32(0)}, "or None, got np.int32(0)."),
        ({"length": 4}, "must agree on the number of time steps, got [3, 4]."),
        ({"length": np.int64(4)}, "must agree on the number of time steps, got [3, 4]."),
    ],
)
def test_options(options, sentence):
    fails(ValueError, sentence, lambda s, x: (s, x), (), X, **options)


def test_policy():
    sentence = "`scan(policy=...)` must be a `jaxspike.Policy` or None, got 8192."
    fails(TypeError, sentence, lambda s, x: (s, x), (), X, policy=8192)
    for options, sentence in (
        ({"tile": -1}, "`Policy(tile=...)` must be a number of neurons, 0 or None, got -1. Give 0"),
        ({"tile": True}, "got True. Give 0 for no tiles."),
        ({"barrier": 1}, "`Policy(barrier=...)` must be True, False or None, got 1."),
        ({"fuse": "no"}, "`Policy(fuse=...)` must be True, False or None, got 'no'."),
        ({"parallel": 2}, "`Policy(parallel=...)` must be True, False or None, got 2."),
    ):
        with pytest.raises(ValueError, match=re.escape(sentence)):
            js.Policy(**options)


@pytest.mark.parametrize("order", ["layer", "step"])
@pytest.mark.parametrize("integer", [np.int32, np.int64, np.uint8])
def test_numpy_integers(integer, order):
    """They trace to the same equations as Python integers do."""

    def equations(number, **numbers):
        options = {k: number(n) for k, n in numbers.items()}
        f = functools.partial(js.scan, lambda s, x: (s * 0.5 + 1, s), order=order, **options)
        return str(jax.make_jaxpr(jax.grad(lambda s: f(s)[1].sum()))(X[0]))

    for options in (
        {"length": 7},
        {"length": 7, "segment": 2},
        {"length": 30, "segment": 10, "unroll": 3},
    ):
        assert equations(integer, **options) == equations(int, **options)


def test_inputs():
    def step(s, x):
        return (s, x)

    fails(ValueError, "`scan(xs=...)` must be given, got None. Or give `length=T`.", step, ())
    fails(
        ValueError,
        "must have time as axis 0 of every array, got an array of shape ().",
        step,
        (),
        1.0,
    )
    fails(ValueError, "must have at least one time step", step, (), jnp.ones((0, 2)))
    fails(ValueError, "got [2, 3]", step, (), (jnp.ones(2), jnp.ones(3)))
    fails(TypeError, "`scan(f=...)` must be callable", 3, (), X)


def test_a_neuron_is_compiled_once():
    """Eager calls with new instances and new parameter values compile nothing new."""
    x = jnp.ones((3, 2))
    compiled = sys.modules["jaxspike.engine.scan"]._compiled
    js.scan(js.LIF(tau=2.0), js.LIF().init_state((2,)), x)
    before = compiled._cache_size()
    for tau in (2.0, 3.0, 4.0):
        js.scan(js.LIF(tau=tau), js.LIF().init_state((2,)), x)
    assert compiled._cache_size() == before
