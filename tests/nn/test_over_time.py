"""A composite whose sequences would differ from their steps is refused, and no other."""

import re

import jax
import jax.numpy as jnp
import optax
import pytest
from flax import nnx

import jaxspike as js
import jaxspike.train
from jaxspike.nn import _over_time

N, C = 4, 5


class Between(js.nn.SpikingModule):
    """Two layers, and a function between them."""

    def __init__(self, f):
        self.f, self.first, self.second = f, js.LIF(), js.LIF()

    def __call__(self, state, x):
        first, y = self.first(state["first"], x)
        second, z = self.second(state["second"], self.f(y))
        return {"first": first, "second": second}, z


def covariance(x):
    flat = x.reshape(-1, C)
    return x @ (flat.T @ flat)


REFUSED = {
    "cumsum": lambda x: jnp.cumsum(x, 0),
    "reduce_max": lambda x: jax.nn.softmax(x, axis=0),
    "reduce_max at": lambda x: x / jnp.abs(x).max(),
    "rev": lambda x: jnp.flip(x, 0),
    "sort": lambda x: jnp.sort(x, 0),
    "slice": lambda x: jnp.roll(x, 1, 0),
    "slice at": lambda x: jnp.roll(x, 1),  # of all numbers in a row
    "reduce_sum": lambda x: x - x.mean(),
    "transpose": lambda x: jnp.fft.fft(x, axis=0).real,
    "reduce_sum at": lambda x: jax.nn.standardize(x, axis=1),  # features of a step, not of more
    "mul": lambda x: x * jnp.arange(1.0 * len(x)).reshape(-1, *[1] * (x.ndim - 1)),
    "dot_general": covariance,
    "div": lambda x: x / x.shape[1],  # the features of a step, the batch of a sequence
    "sqrt": lambda x: x * jnp.sqrt(x.shape[1]),
}
LEFT_OPEN = {
    "a gather": lambda x: x[jnp.array([1, 0, 2])],
    "a scan": lambda x: jax.lax.scan(lambda s, x: (s + x, s + x), jnp.zeros(x.shape[1:]), x)[1],
}
RNGS = nnx.Rngs(0)
READ = {
    "linear": nnx.Linear(C, C, rngs=RNGS),
    "layer norm": nnx.LayerNorm(C, rngs=RNGS),
    "batch norm": nnx.BatchNorm(C, rngs=RNGS),
    "convolution": lambda x: CONVOLUTION(x[..., None]).mean(-1),
    "softmax": lambda x: jax.nn.gelu(jax.nn.softmax(x)) + jnp.arange(1.0 * C),
    "one row": lambda x: jnp.cumsum(x, -1).reshape(-1, C).reshape(x.shape),
    "attention": lambda x: jnp.einsum("...n,...m->...nm", x, x).max(-1),
    "axes": lambda x: jnp.roll(jnp.flip(jnp.sort(x), -1), 1, -1) / (1 + x.max(-1, keepdims=True)),
}
CONVOLUTION = nnx.Conv(1, 2, (3,), rngs=RNGS)


@pytest.mark.parametrize("found", REFUSED)
def test_refused_with_the_line(found):
    sentence = (
        "`Between.__call__` must do with a sequence `[T, N, *]` what it does with each step, got "
        f"other axes in `{found.split()[0]}` at {__file__}:"
    )
    with pytest.raises(ValueError, match=re.escape(sentence)) as raised:
        Between(REFUSED[found]).init_state((N, C))
    assert str(raised.value).endswith(
        "Count axes from the end, and name them: a sequence has one more in front. Or define "
        "`init_state`, and a sequence runs step by step."
    )


def test_an_error_for_a_sequence_alone_says_so():
    net = Between(nnx.Sequential(lambda x: x.reshape(x.shape[0], -1), nnx.Linear(C, C, rngs=RNGS)))
    with pytest.raises(TypeError, match="contracting dimensions") as raised:
        net.init_state((N, C))
    note = (
        "It is raised for a sequence of T = 3 steps, not for one step: `[T, N, *]` has one axis "
        "more in front. Count axes from the end, as in `jaxspike.nn.Flatten()`."
    )
    assert note in raised.value.__notes__


def test_noise_is_read_as_input():
    """Each step of a sequence may have its own; what is done with it is compared."""

    class Noisy(nnx.Module):
        def __init__(self, draw):
            self.draw, self.rngs = draw, nnx.Rngs(0)

        def __call__(self, x):
            return self.draw(self.rngs(), x)

    def normal(key, x):
        return x + jax.random.normal(key, x.shape)

    js.debug.check_sequence(Between(Noisy(normal)), (N, C))
    js.debug.check_sequence(Between(Noisy(lambda key, x: jax.random.poisson(key, x + 1))), (N, C))
    with pytest.raises(ValueError, match="got another value of the input of the layer `second`"):
        js.debug.check_sequence(Between(Noisy(lambda key, x: jnp.flip(normal(key, x), 0))), (N, C))


def test_refused_inside_jit():
    """Where parameters have no values."""

    class Net(Between):
        def __init__(self, f):
            super().__init__(f)
            self.norm = nnx.LayerNorm(C, rngs=nnx.Rngs(0))

        def __call__(self, state, x):
            return super().__call__(state, self.norm(x))

    shapes = nnx.jit(lambda net: net.init_state((N, C)))
    shapes(Net(jnp.tanh))
    with pytest.raises(ValueError, match="got other axes in `rev`"):
        shapes(Net(jnp.flip))


@pytest.mark.parametrize("name", READ)
def test_equations_alone_say_that_steps_are_kept_apart(name, monkeypatch):
    def run(*_):
        raise AssertionError("it was run")

    monkeypatch.setattr(_over_time, "difference", run)
    js.debug.check_sequence(Between(READ[name]), (N, C))


@pytest.mark.parametrize("name", LEFT_OPEN)
def test_what_equations_leave_open_is_run(name):
    net = Between(LEFT_OPEN[name])
    net.init_state((3, C))
    sentence = (
        "`check_sequence(net=...)` must do with a sequence what it does with each of its steps, "
        "got another value of the input of the layer `second`. Count axes from the end: a "
        "sequence has one more in front. Or define `init_state`, and a sequence runs step by step."
    )
    with pytest.raises(ValueError, match=re.escape(sentence)):
        js.debug.check_sequence(net, (3, C))


def test_what_is_left_open_and_equal_passes():
    """Also what works along time without a difference."""
    js.debug.check_sequence(Between(lambda x: x[..., jnp.array([1, 0, 2, 4, 3])]), (N, C))
    js.debug.check_sequence(Between(lambda x: jnp.where((x > 9).any(), -x, x)), (N, C))
    js.debug.check_sequence(Between(lambda x: jnp.flip(jnp.flip(x))), (N, C))


def test_fit_checks_its_first_batch():
    net = Between(LEFT_OPEN["a gather"])
    net.readout = nnx.Linear(C, 2, rngs=RNGS)
    optimizer = nnx.Optimizer(net, optax.sgd(0.1), wrt=nnx.Param)
    data = [(jnp.ones((4, 3, C)), jnp.zeros(3, int))]
    with pytest.raises(ValueError, match="got another value of the input of the layer `second`"):
        js.train.fit(net, optimizer, js.losses.cross_entropy, data, 1, progress=False)
