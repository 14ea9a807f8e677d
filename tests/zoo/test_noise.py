"""Neurons with noise: probabilities within binomial intervals, gradients, keys, refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxspike as js

T, N, C = 6, 3, 4
NEURONS = (js.Stochastic(js.LIF(), 0.3), js.MembraneNoise(js.LIF(), 0.3))
XS = 2 * jax.random.normal(jax.random.key(0), (T, N, C))


@pytest.fixture(scope="module")
def runs():
    """Each neuron in every way, in one program."""

    def one(neuron, xs):
        state = neuron.init_state((N, C))
        middle, start = js.scan(neuron, state, xs[:2])
        other = js.neurons.reseed(state, jax.random.key(1))
        return {
            "layer": js.scan(neuron, state, xs),
            "again": js.scan(neuron, state, xs, order="step"),
            "lax": jax.lax.scan(neuron, state, xs),
            "vmap": jax.vmap(js.scan, (None, 0, 1), (0, 1))(neuron, state, xs),
            "pieces": (start, js.scan(neuron, middle, xs[2:])),
            "reseeded": js.scan(neuron, other, xs),
        }

    return jax.jit(lambda xs: [one(neuron, xs) for neuron in NEURONS])(XS)


@pytest.mark.slow
def test_the_same_keys_give_the_same_spikes_in_every_way(runs):
    for run in runs:
        for way in ("again", "lax", "vmap"):
            np.testing.assert_array_equal(run[way][1], run["layer"][1])
            np.testing.assert_array_equal(run[way][0].keys, run["layer"][0].keys)
        start, (_, end) = run["pieces"]
        np.testing.assert_array_equal(jnp.concatenate([start, end]), run["layer"][1])
        assert np.any(run["reseeded"][1] != run["layer"][1])
        assert 0.1 < run["layer"][1].mean() < 0.9


def test_spikes_have_the_probability_of_the_distance_to_threshold():
    n, width = 4000, 0.4
    distance = jnp.array([-1.0, -0.2, 0.0, 0.5, 1.5])
    neuron = js.Stochastic(js.IF(), width)
    x = jnp.broadcast_to(distance + 1, (n, 5))

    @jax.jit
    def run(x):
        state = neuron.init_state(x.shape)
        return neuron(state, x)[1], jax.grad(lambda x: neuron(state, x)[1].sum())(x)

    spikes, slope = run(x)
    p = 1 / (1 + np.exp(-np.asarray(distance, np.float64) / width))
    # 4 standard deviations of a binomial distribution
    assert np.all(np.abs(spikes.mean(0) - p) < 4 * np.sqrt(p * (1 - p) / n))
    np.testing.assert_allclose(slope[0], p * (1 - p) / width, rtol=1e-4)
    assert abs(np.corrcoef(spikes[:, 2], spikes[:, 3])[0, 1]) < 4 / np.sqrt(n)


@pytest.mark.slow
def test_the_membrane_spreads_as_the_formula_says():
    neuron = js.MembraneNoise(js.LI(tau=2.0), 0.3)
    run = jax.jit(lambda xs: js.scan(neuron, neuron.init_state((50, 40)), xs)[1])
    v = run(jnp.zeros((30, 50, 40)))
    decay = 0.5  # LI puts out what is left of the noise after the step
    np.testing.assert_allclose(v[10:].std(), 0.3 * decay / np.sqrt(1 - decay**2), rtol=0.02)
    assert abs(v[10:].mean()) < 0.01


def test_in_a_network_with_a_learned_field_and_new_keys_per_batch():
    layer = js.nn.Spiking(js.Stochastic(js.LIF(tau=3.0)), learn=("neuron_tau", "width"))
    net = js.nn.Sequential(layer, js.nn.Spiking(js.MembraneNoise(js.LIF())))
    state = net.init_state((N, C))
    new = js.neurons.reseed(state, jax.random.key(0))
    assert jax.tree.structure(new) == jax.tree.structure(state)
    assert np.any(new[0].keys != state[0].keys)
    assert np.any(new[0].keys != new[1].keys)
    np.testing.assert_array_equal(new[0].neuron.v, state[0].neuron.v)


class Twice(js.IF):
    def step(self, state, x):
        state, first = super().step(state, x)
        return super().step(state, first)


def call(neuron):
    neuron(neuron.init_state((2,)), XS[0, 0, :2])


@pytest.mark.parametrize(
    ("build", "kind", "sentence"),
    [
        (
            lambda: js.Stochastic(js.LI()),
            TypeError,
            "`Stochastic(neuron=...)` must be a neuron with a surrogate, got LI(). "
            "Give one that spikes, such as `LIF()`.",
        ),
        (
            lambda: js.Stochastic(js.ILIF())(
                js.Stochastic(js.ILIF()).init_state((2,)), XS[0, 0, :2]
            ),
            TypeError,
            "`Stochastic(neuron=...)` must fire once per step, got a neuron that does so 0 times, "
            "ILIF(). Give another, such as `LIF()`.",
        ),
        (
            lambda: call(js.Stochastic(Twice())),
            TypeError,
            "`Stochastic(neuron=...)` must fire once per step, got a neuron that does so 2 times, "
            "Twice(). Give another, such as `LIF()`.",
        ),
        (
            lambda: js.MembraneNoise(js.Delay())(
                js.MembraneNoise(js.Delay()).init_state((2,)), XS[0, 0, :2]
            ),
            TypeError,
            "`MembraneNoise(neuron=...)` must be a neuron whose state has a membrane `v`, got "
            "Delay(). Give one such as `LIF()`.",
        ),
        (
            lambda: js.Stochastic(js.LIF(), seed=-1),
            ValueError,
            "`Stochastic(seed=...)` must be at least 0, got -1.",
        ),
        (
            lambda: js.neurons.reseed((), 3),
            TypeError,
            "`reseed(key=...)` must be a random key, got 3. Give `jax.random.key(seed)`.",
        ),
    ],
)
def test_refused(build, kind, sentence):
    with pytest.raises(kind) as caught:
        build()
    assert str(caught.value) == sentence
