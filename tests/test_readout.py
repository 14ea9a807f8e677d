"""Readouts: what they mean, and the dtypes that keep them right."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden_files import load

from jaxspike import readout

JELLY, _ = load("spikingjelly_coding.npz")
KEY = jax.random.key(0)
SPIKES = jax.random.bernoulli(KEY, 0.3, (7, 4, 6)).astype(jnp.float32).at[:, 0, 0].set(0)
V = jax.random.normal(KEY, (7, 4, 6))
READOUTS = {
    "count": readout.count,
    "rate": readout.rate,
    "maximum": readout.maximum,
    "last": readout.last,
    "first_spike_time": readout.first_spike_time,
    "voting": lambda x: readout.voting(readout.rate(x), 3),
}


def test_closed_forms():
    v = np.asarray(V, np.float64)
    np.testing.assert_array_equal(readout.count(SPIKES), np.asarray(SPIKES).sum(0))
    np.testing.assert_allclose(readout.rate(V), v.mean(0), rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(readout.maximum(V), v.max(0))
    np.testing.assert_allclose(readout.last(V), v[-1])


def test_a_count_beyond_what_bfloat16_can_hold():
    spikes = jnp.ones((300, 2), jnp.bfloat16)
    np.testing.assert_array_equal(readout.count(spikes), 300)
    assert readout.count(spikes).dtype == jnp.float32


def test_first_spike_time():
    s = np.asarray(SPIKES)
    want = np.where(s.any(0), s.argmax(0), 7)
    np.testing.assert_array_equal(readout.first_spike_time(SPIKES), want)
    silent = np.minimum(want, 6)
    np.testing.assert_array_equal(readout.first_spike_time(SPIKES, silent=6), silent)
    assert readout.first_spike_time(SPIKES, silent=-1)[0, 0] == -1


def test_gradient_of_the_first_spike_time():
    g = jax.grad(lambda s: readout.first_spike_time(s).sum())(SPIKES)
    want = np.zeros(SPIKES.shape)
    at = np.asarray(readout.first_spike_time(SPIKES, silent=6)).astype(int)
    np.put_along_axis(want, at[None], -1, 0)
    np.testing.assert_array_equal(g, want)


def test_voting_equals_spikingjelly():
    np.testing.assert_allclose(
        readout.voting(readout.rate(JELLY["logits"]), 4),
        JELLY["votes"].mean(0),
        rtol=1e-5,
        atol=1e-6,
    )
    np.testing.assert_allclose(readout.voting(JELLY["logits"], 4), JELLY["votes"], atol=1e-6)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.int32, bool])
@pytest.mark.parametrize("name", READOUTS)
def test_results_are_float32(name, dtype):
    f = jax.jit(READOUTS[name])
    got = f(SPIKES.astype(dtype))
    assert got.dtype == jnp.float32
    np.testing.assert_allclose(got, f(SPIKES), rtol=1e-6)


@pytest.mark.parametrize("name", READOUTS)
def test_jit_vmap_and_gradient(name):
    f = READOUTS[name]
    np.testing.assert_allclose(jax.jit(f)(V), f(V), rtol=1e-6)
    xs = jnp.stack([V, -V])
    got = jax.jit(jax.vmap(f))(xs)
    np.testing.assert_allclose(got, jnp.stack([f(x) for x in xs]), rtol=1e-6)
    g = jax.jit(jax.grad(lambda x: f(x).sum()))(V)
    assert jnp.isfinite(g).all()
    assert (g != 0).any((0, 2)).all()


@pytest.mark.parametrize(
    ("kind", "sentence", "call"),
    [
        (
            ValueError,
            "`rate(x_seq=...)` must have at least one time step, got the shape (0, 4).",
            lambda: readout.rate(jnp.zeros((0, 4))),
        ),
        (
            ValueError,
            "`count(x_seq=...)` must be [T, *], got the shape (). Time is the first axis.",
            lambda: readout.count(jnp.float32(1)),
        ),
        (
            TypeError,
            "`last(x_seq=...)` must be floating point, got complex64. Convert it first.",
            lambda: readout.last(V.astype(complex)),
        ),
        (
            ValueError,
            "`voting(classes=...)` must divide the last axis of (7, 4, 6), got 4.",
            lambda: readout.voting(V, 4),
        ),
        (
            TypeError,
            "`voting(classes=...)` must be an integer, got 2.0. Give an int.",
            lambda: readout.voting(V, 2.0),
        ),
    ],
)
def test_refusals(kind, sentence, call):
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value) == sentence
