"""Statistics of spike trains equal NumPy, train by train, and known processes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxspike as js

T = 400
RATES = np.array([[0.0, 0.0025, 0.01], [0.1, 0.5, 1.0]])
SPIKES = np.asarray(np.random.default_rng(2).random((T, 2, 3)) < RATES, np.float32)


def train_by_train(f):
    return np.array([[f(SPIKES[:, i, j]) for j in range(3)] for i in range(2)])


def cv(train):
    intervals = np.diff(np.flatnonzero(train))
    return intervals.std() / intervals.mean() if len(intervals) > 1 else np.nan


def fano(train):
    counts = train[: T // 30 * 30].reshape(-1, 30).sum(1)
    return counts.var() / counts.mean() if counts.any() else np.nan


def test_numpy():
    assert len({int(n) for n in SPIKES.sum(0).ravel()}) == 6 and not SPIKES[:, 0, 0].any()
    got = jax.jit(js.statistics.firing_rate, static_argnums=1)(SPIKES, 1e-3)
    np.testing.assert_allclose(got, SPIKES.sum(0) / 0.4, rtol=1e-6)
    got = jax.jit(js.statistics.coefficient_of_variation)(SPIKES)
    np.testing.assert_allclose(got, train_by_train(cv), rtol=1e-5)
    got = jax.jit(js.statistics.fano_factor, static_argnums=1)(SPIKES, 30)
    np.testing.assert_allclose(got, train_by_train(fano), rtol=1e-5, atol=1e-6)


def test_intervals_are_at_the_spikes_that_end_them():
    got = np.asarray(js.statistics.interspike_intervals(SPIKES, dt=0.5))
    for i, j in np.ndindex(2, 3):
        at = np.flatnonzero(SPIKES[:, i, j])
        np.testing.assert_array_equal(np.flatnonzero(~np.isnan(got[:, i, j])), at[1:])
        np.testing.assert_array_equal(got[at[1:], i, j], np.diff(at) * 0.5)


def test_known_processes():
    drawn = js.encode.poisson(jax.random.key(0), jnp.full((50,), 0.2), 5000)
    cv = js.statistics.coefficient_of_variation(drawn).mean()
    np.testing.assert_allclose(cv, np.sqrt(0.8), atol=0.02)
    np.testing.assert_allclose(js.statistics.fano_factor(drawn, 50).mean(), 0.8, atol=0.05)
    np.testing.assert_allclose(js.statistics.firing_rate(drawn, 1e-3).mean(), 200, rtol=0.02)
    regular = jnp.zeros((100,)).at[3::7].set(2.0)  # two spikes at once are one time
    assert js.statistics.coefficient_of_variation(regular) == 0
    assert js.statistics.fano_factor(regular, 14) == 0
    assert js.statistics.firing_rate(regular) == 0.28


def test_trains_without_intervals():
    spikes = jnp.zeros((9, 3)).at[4, 1].set(1).at[2:4, 2].set(1)
    assert np.isnan(js.statistics.coefficient_of_variation(spikes)).all()
    np.testing.assert_array_equal(
        np.isnan(js.statistics.fano_factor(spikes, 3)), [True, False, False]
    )
    assert np.nansum(js.statistics.interspike_intervals(spikes)) == 1


@pytest.mark.parametrize(
    ("call", "kind", "sentence"),
    [
        (
            lambda s: s.fano_factor(SPIKES, 401),
            ValueError,
            "`fano_factor(window=...)` must be from 1 to 400, got 401.",
        ),
        (
            lambda s: s.firing_rate(SPIKES, 0.0),
            ValueError,
            "`firing_rate(dt=...)` must be greater than 0, got 0.0.",
        ),
        (
            lambda s: s.interspike_intervals(SPIKES, -1.0),
            ValueError,
            "`interspike_intervals(dt=...)` must be greater than 0, got -1.0.",
        ),
        (
            lambda s: s.coefficient_of_variation(SPIKES[:0]),
            ValueError,
            "`coefficient_of_variation(spikes=...)` must have at least one time step, "
            "got the shape (0, 2, 3).",
        ),
    ],
)
def test_arguments(call, kind, sentence):
    with pytest.raises(kind) as caught:
        call(js.statistics)
    assert str(caught.value) == sentence
