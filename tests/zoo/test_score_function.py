"""The score function of stochastic spikes: against the sum over all spike patterns of a network."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import jaxspike as js

XS = jnp.array([[0.9, -0.3], [0.2, 1.1], [-0.5, 0.8]])
TARGET = jnp.array([0.2, 1.0, 0.4])
HARD, SOFT = js.LIF(tau=2.5, v_reset=-0.2), js.LIF(tau=1.7, v_threshold=0.7, v_reset=None)
PARAMS = {
    "first": jnp.array([[1.3, 0.4], [-0.2, 1.6]]),
    "second": jnp.array([[0.9], [0.7]]),
    "readout": jnp.array(0.8),
    "width": jnp.array(0.9),
}
stochastic = partial(js.Stochastic, gradient="score")


def network(params, state, x):
    """Hidden neurons, one behind them, and a readout that has a gradient of its own."""
    (one, two), width = state, params["width"]
    one, hidden = stochastic(HARD, width)(one, x @ params["first"])
    two, spikes = stochastic(SOFT, width)(two, hidden @ params["second"])
    return (one, two), (hidden, spikes, spikes * params["readout"])


def losses_of(y):
    """``[T, N]`` to ``[N]``: not a sum over steps, as it depends on pairs of spikes."""
    return ((y - TARGET[: len(y), None]) ** 2).sum(0) + y[0] * y[1] - 2 * jnp.tanh(y.sum(0))


def enumerate_patterns(params, xs, hidden, spikes):
    """Losses and log-probabilities of given spikes ``[T, N, C]``, by hand: ``[N]`` each."""
    v, u, log_p = jnp.full(hidden.shape[1:], -0.2), jnp.zeros(spikes.shape[1:]), 0.0
    for x, a, b in zip(xs, hidden, spikes, strict=True):
        h = v + (x @ params["first"] - (v + 0.2)) / 2.5
        p = 1 / (1 + jnp.exp(-(h - 1.0) / params["width"]))
        log_p += jnp.log(jnp.where(a == 1, p, 1 - p)).sum(-1)
        v = jnp.where(a == 1, -0.2, h)
        h = u + (a @ params["second"] - u) / 1.7
        p = 1 / (1 + jnp.exp(-(h - 0.7) / params["width"]))
        log_p += jnp.log(jnp.where(b == 1, p, 1 - p)).sum(-1)
        u = h - 0.7 * b
    return losses_of(spikes[..., 0] * params["readout"]), log_p


@pytest.mark.parametrize(("steps", "n"), [(2, 2), (3, 1)])
def test_it_is_the_gradient_of_the_expected_loss(steps, n):
    """The estimate of each pattern, weighted by its probability, sums up to the exact gradient."""
    params = PARAMS | {"first": PARAMS["first"][:, :n], "second": PARAMS["second"][:n]}
    xs, samples = XS[:steps, None], 20_000
    layers = stochastic(HARD, 1.0), stochastic(SOFT, 1.0)
    rest = tuple(a.init_state((samples, m)) for a, m in zip(layers, (n, 1), strict=True))
    rest = js.neurons.reseed(rest, jax.random.key(0))

    def run(params, state):
        x_seq = jnp.broadcast_to(xs, (steps, len(state[0].keys), 2))
        state, (hidden, spikes, y) = js.scan(partial(network, params), state, x_seq)
        return losses_of(y[..., 0]), js.neurons.log_prob(state), hidden, spikes

    *_, hidden, spikes = jax.jit(run)(params, rest)
    drawn = np.concatenate([hidden, spikes], -1).swapaxes(0, 1).reshape(samples, -1)
    patterns, first = np.unique(drawn, axis=0, return_index=True)
    assert len(patterns) == 2 ** (steps * (n + 1))  # every one of them was drawn
    state = jax.tree.map(lambda a: a[first], rest)

    def expected(params):
        losses, log_p = enumerate_patterns(params, xs, hidden[:, first], spikes[:, first])
        return (jnp.exp(log_p) * losses).sum(), (losses, log_p)

    def estimate(params, p):
        losses, log_p, *_ = run(params, state)
        baseline = 0.3  # a constant changes no expectation
        one = jax.vmap(lambda a, b: js.losses.score_function(a[None], b[None], baseline))
        return (p * one(losses, log_p)).sum(), (losses, log_p)

    (value, want), exact = jax.jit(jax.value_and_grad(expected, has_aux=True))(params)
    p = jnp.exp(want[1])
    (mean, got), grad = jax.jit(jax.value_and_grad(estimate, has_aux=True))(params, p)
    np.testing.assert_allclose(p.sum(), 1, rtol=1e-5)
    np.testing.assert_allclose(got[0], want[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(got[1], want[1], rtol=1e-5)
    np.testing.assert_allclose(mean, value, rtol=1e-5)
    for name in params:
        np.testing.assert_allclose(grad[name], exact[name], rtol=2e-4, atol=2e-6, err_msg=name)
        assert np.all(np.abs(exact[name]) > 1e-3)


def test_spikes_are_those_of_straight_through_and_have_no_gradient():
    xs = 1.5 * jax.random.normal(jax.random.key(0), (5, 3, 4))

    def run(gradient, xs):
        neuron = js.Stochastic(js.LIF(), 0.4, gradient=gradient)
        return js.scan(neuron, neuron.init_state((3, 4)), xs)

    (score, spikes), (through, same) = (run(g, xs) for g in ("score", "straight_through"))
    np.testing.assert_array_equal(spikes, same)
    np.testing.assert_array_equal(score.keys, through.keys)
    assert through.log_prob == () and 0.1 < spikes.mean() < 0.9
    assert not np.any(jax.grad(lambda xs: run("score", xs)[1].sum())(xs))


@pytest.mark.slow
def test_in_a_network_in_every_way():
    """Orders, a batch that is mapped over, nested neurons and other keys."""
    rngs, xs = nnx.Rngs(0), jax.random.normal(jax.random.key(1), (6, 3, 4))
    inner = js.Refractory(stochastic(js.LIF(tau=3.0), 0.4))
    net = js.nn.Sequential(
        js.nn.Recurrent(inner, nnx.Linear(4, 4, rngs=rngs)),
        nnx.Linear(4, 2, rngs=rngs),
        js.nn.Spiking(stochastic(js.IF()), learn=("width",)),
    )
    graph, params = nnx.split(net)
    rest = js.neurons.reseed(net.init_state((3, 4)), jax.random.key(2))

    def loss(params, state, xs, order):
        state, y = js.scan(nnx.merge(graph, params), state, xs, order=order)
        log_p = js.neurons.log_prob(state)
        return js.losses.score_function(y.sum((0, 2)), log_p), log_p

    def run(order):
        return jax.jit(jax.value_and_grad(partial(loss, order=order), has_aux=True))

    (value, log_p), grad = run("layer")(params, rest, xs)
    assert log_p.shape == (3,) and np.all(log_p < 0)
    assert all(np.any(leaf != 0) for leaf in jax.tree.leaves(grad))
    alone = jax.tree.map(lambda a: a[:, None], rest)
    mapped = jax.vmap(run("layer"), (None, 0, 1))(params, alone, xs[:, :, None])
    averaged = jax.tree.map(lambda a: a.mean(0), mapped)
    for (other, _), other_grad in (run("step")(params, rest, xs), averaged):
        np.testing.assert_allclose(other, value, rtol=1e-5)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 1e-4, 1e-5), other_grad, grad)
    state = js.neurons.reseed(rest, jax.random.key(3))
    assert np.any(run("layer")(params, state, xs)[0][1] != log_p)


NEURON = stochastic(js.IF())
SCORE = "`score_function(%s=...)` must be"


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (
            lambda: js.Stochastic(js.IF(), gradient="reinforce"),
            "`Stochastic(gradient=...)` must be one of ('straight_through', 'score'), "
            "got 'reinforce'.",
        ),
        (
            lambda: js.neurons.log_prob(js.Stochastic(js.IF()).init_state((2, 3))),
            "`log_prob(state=...)` must be a state with the log-probabilities of spikes, got a "
            'NoiseState. Give `Stochastic(neuron, gradient="score")` to the network.',
        ),
        (
            lambda: js.neurons.log_prob([NEURON.init_state((2, 3)), NEURON.init_state((4, 3))]),
            "`log_prob(state=...)` must have one batch axis, first, got shapes [(2, 3), (4, 3)]. "
            "Map over the others.",
        ),
        (
            lambda: js.losses.score_function(0.0, jnp.zeros(2)),
            f"{SCORE % 'losses'} [N], got the shape (). Give one loss per sample.",
        ),
        (
            lambda: js.losses.score_function(jnp.zeros(0), jnp.zeros(0)),
            f"{SCORE[:-3] % 'losses'} not be empty, got the shape (0,).",
        ),
        (
            lambda: js.losses.score_function(jnp.zeros(2), jnp.zeros((2, 1))),
            f"{SCORE % 'log_prob'} [2], got the shape (2, 1). "
            "Give `jaxspike.neurons.log_prob(state)`.",
        ),
        (
            lambda: js.losses.score_function(jnp.zeros(2), jnp.zeros(2), jnp.zeros(3)),
            f"{SCORE % 'baseline'} a number or broadcast into the shape (2,), got the shape (3,).",
        ),
    ],
)
def test_refused(call, sentence):
    with pytest.raises(ValueError) as caught:
        call()
    assert str(caught.value) == sentence
