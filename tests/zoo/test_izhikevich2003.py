"""Izhikevich's simple model equals the MATLAB program of his paper, written here in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxspike as js

CELLS = {  # a, b, c, d in figure 2 of the paper
    "regular_spiking": (0.02, 0.2, -65.0, 8.0),
    "intrinsically_bursting": (0.02, 0.2, -55.0, 4.0),
    "chattering": (0.02, 0.2, -50.0, 2.0),
    "fast_spiking": (0.1, 0.2, -65.0, 2.0),
    "low_threshold_spiking": (0.02, 0.25, -65.0, 2.0),
    "thalamo_cortical": (0.02, 0.25, -65.0, 0.05),
    "resonator": (0.1, 0.26, -65.0, 2.0),
}


def program(x, a, b, c, d):
    """The loop of the paper: the spikes of a step are found, and reset, in the next."""
    v = np.full(x.shape[1:], -65.0)
    u = b * v
    fired, membranes = [], []
    for t in range(len(x)):
        fired.append(v >= 30)
        v, u = np.where(fired[-1], c, v), np.where(fired[-1], u + d, u)
        membranes.append((v, u))
        v = v + 0.5 * (0.04 * v**2 + 5 * v + 140 - u + x[t])
        v = v + 0.5 * (0.04 * v**2 + 5 * v + 140 - u + x[t])
        u = u + a * (b * v - u)
    return np.stack(fired[1:]), [np.stack(m[1:]) for m in zip(*membranes, strict=True)]


def run(neuron, x):
    def step(state, x):
        state, s = neuron(state, x)
        return state, (s, *state)

    return js.scan(step, neuron.init_state(x.shape[1:], x.dtype), x)[1]


def times(cell, current, steps):
    """The times of the spikes, in ms, at a current that is constant."""
    neuron = getattr(js.presets.izhikevich, cell)()
    return np.flatnonzero(run(neuron, jnp.full((steps, 1), current))[0])


def test_every_cell_type_is_tested():
    assert set(CELLS) == set(js.presets.izhikevich.__all__)


@pytest.mark.parametrize("cell", CELLS)
def test_the_program_of_the_paper(cell):
    x = 10 + 5 * np.random.default_rng(1).standard_normal((301, 2))
    want, (v, u) = program(x, *CELLS[cell])
    assert want.sum(0).min() >= 4
    neuron = getattr(js.presets.izhikevich, cell)()
    with jax.enable_x64(True):
        start = neuron.init_state((2,), jnp.float64)
        # the upswing magnifies rounding: every step from the reference, the run for a while
        before = type(start)(*(np.stack([a, *b[:-1]]) for a, b in zip(start, (v, u), strict=True)))
        after, spikes = neuron(before, x[:-1])
        np.testing.assert_array_equal(spikes, want)
        np.testing.assert_allclose(after.v, v, rtol=1e-11)
        np.testing.assert_allclose(after.u, u, rtol=1e-11)
        spikes, v_run, _ = run(neuron, jnp.asarray(x[:100]))
        np.testing.assert_array_equal(spikes, want[:100])
        np.testing.assert_allclose(v_run, v[:100], rtol=1e-4)


def test_cells_behave_as_they_are_called():
    intervals = np.diff(times("regular_spiking", 10.0, 300))
    assert intervals[0] < intervals[1] < intervals[2]  # adapts
    assert len(times("fast_spiking", 10.0, 300)) > 2 * len(times("regular_spiking", 10.0, 300))
    intervals = np.diff(times("intrinsically_bursting", 10.0, 300))
    assert intervals[0] < 10 and np.all(intervals[1:] > 30)  # one burst, then single spikes
    intervals = np.diff(times("chattering", 10.0, 300))
    assert np.sum(intervals < 10) > 5 and np.sum(intervals > 30) >= 4  # bursts, again and again


def test_a_thalamo_cortical_cell_fires_when_inhibition_ends():
    x = jnp.concatenate([jnp.full((300, 1), -10.0), jnp.zeros((100, 1))])
    spikes, *_ = run(js.presets.izhikevich.thalamo_cortical(), x)
    assert spikes[:300].sum() == 0 and spikes[300:].sum() >= 1
    spikes, *_ = run(js.presets.izhikevich.regular_spiking(), x)
    assert spikes.sum() == 0


def test_finer_steps_of_time():
    x = jnp.full((3000, 1), 10.0)
    fine = run(js.presets.izhikevich.regular_spiking(dt=0.1, substeps=1), x)[0]
    same = run(js.presets.izhikevich.regular_spiking(dt=0.1, substeps=10), x)[0]
    assert fine.sum() == same.sum() > 4
    np.testing.assert_allclose(np.flatnonzero(fine), np.flatnonzero(same), atol=30)


def test_gradients_by_finite_differences():
    """Between spikes, where the model is smooth."""
    with jax.enable_x64(True):
        x = jnp.full((3, 1), 5.0)

        def last(neuron):
            return run(neuron, x)[1][-1, 0]

        neuron = js.Izhikevich2003(surrogate=js.surrogate.Window(1e-3))
        grads = jax.grad(last)(neuron)
        for name in ("a", "b", "dt", "v_start"):
            value, h = getattr(neuron, name), 1e-6
            up, down = (last(neuron.replace(**{name: value + e})) for e in (h, -h))
            np.testing.assert_allclose(getattr(grads, name), (up - down) / (2 * h), rtol=1e-6)
