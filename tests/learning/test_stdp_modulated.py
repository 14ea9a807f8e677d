"""Rules with a reward: against STDP, loops in NumPy and the solution of their equations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from plasticity import POST, PRE, RULE, RULES, K, M, N, T, W, raises, run

import jaxspike as js

REWARD = np.random.default_rng(5).normal(size=(T, N)).astype(np.float32)
MODULATED = {
    "MSTDP": js.learning.MSTDP(RULE),
    "MSTDPET": js.learning.MSTDPET(RULE, tau=6.0),
    "dopamine": js.learning.DopamineSTDP(RULE, tau=6.0, tau_dopamine=9.0, baseline=0.1),
}
# what STDP would do, one sample at a time: [T, N, M, K]
MARKS = np.stack([run(RULE, W, PRE[:, n : n + 1], POST[:, n : n + 1])[1] for n in range(N)], axis=1)


@pytest.mark.parametrize("name", RULES)
def test_a_reward_of_one_gives_the_rule_itself_one_step_later(name):
    rule, one = RULES[name], np.ones(T)
    want = run(rule, W, PRE, POST)[1]
    got = run(js.learning.MSTDP(rule), W, PRE, POST, one)[1]
    np.testing.assert_array_equal(got[0], 0)
    np.testing.assert_allclose(got[1:], want[:-1], rtol=1e-4, atol=1e-5)
    got = run(js.learning.MSTDP(rule, lag=False), W, PRE, POST, one)[1]
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


def test_each_sample_has_its_reward():
    want = np.einsum("tn,tnmk->tmk", REWARD[1:], MARKS[:-1])
    got = run(MODULATED["MSTDP"], W, PRE, POST, REWARD)[1]
    np.testing.assert_allclose(got[1:], want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("lag", [True, False])
def test_the_eligibility_trace_is_that_of_florian(lag):
    e, want = np.zeros((N, M, K)), []
    for t in range(T):
        mark = MARKS[t] if not lag else MARKS[t - 1] if t else 0
        e = np.exp(-1 / 6.0) * e + mark / 6.0
        want.append(np.einsum("n,nmk->mk", REWARD[t], e))
    got = run(MODULATED["MSTDPET"].replace(lag=lag), W, PRE, POST, REWARD)[1]
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


def test_dopamine_solves_its_equations():
    """Small Euler steps between the time steps."""
    rule, small = MODULATED["dopamine"], 400
    c, d, want = np.zeros((N, M, K)), np.zeros(N), []
    for t in range(6):
        c, d, dw = c + MARKS[t], d + REWARD[t], 0.0
        for _ in range(small):
            dw = dw + np.einsum("nmk,n->mk", c, d - 0.1) / small
            c, d = c - c / 6.0 / small, d - d / 9.0 / small
        want.append(dw)
    got = run(rule, W, PRE[:6], POST[:6], REWARD[:6])[1]
    np.testing.assert_allclose(got, want, rtol=1e-2, atol=3e-3)


@pytest.mark.parametrize("name", MODULATED)
def test_samples_add_up(name):
    rule = MODULATED[name]
    each = jax.vmap(lambda x, z, r: run(rule, W, x[:, None], z[:, None], r)[1], in_axes=1)
    want = each(PRE, POST, REWARD)
    got = run(rule, W, PRE, POST, REWARD)[1]
    assert np.abs(got).max() > 0.1
    np.testing.assert_allclose(got, want.sum(0), rtol=1e-4, atol=1e-5)
    mean = run(rule.replace(rule=RULE.replace(reduction="mean")), W, PRE, POST, REWARD)[1]
    np.testing.assert_allclose(mean, want.mean(0), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", MODULATED)
def test_any_linear_layer(name):
    """A convolution whose kernel covers the input is a dense layer."""
    conv = nnx.Conv(2, K, (2,), padding="VALID", rngs=nnx.Rngs(0))
    pre, post = PRE.reshape(T, N, 2, 2), POST.reshape(T, N, 1, K)
    got = run(MODULATED[name], conv, pre, post, REWARD)[1]
    want = run(MODULATED[name], W, PRE, POST, REWARD)[1]
    np.testing.assert_allclose(got.kernel.reshape(T, M, K), want, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(got.bias[...], 0)


def test_weights_stay_within_their_bounds():
    bounds = js.learning.Additive(0.1, w_max=0.9)
    rule = js.learning.MSTDP(RULE.replace(weight_dependence=bounds))
    dw = run(rule, W, PRE, POST, 10 * REWARD)[1]
    assert np.abs(dw).max() > 0.1
    assert (W + dw).min() >= 0.1 - 1e-6
    assert (W + dw).max() <= 0.9 + 1e-6


def test_the_mark_is_of_the_weight_at_its_time():
    rule = js.learning.MSTDP(RULE.replace(weight_dependence=js.learning.Proportional()))
    traces = rule.init_traces(W, (N, M))
    traces, _ = rule(traces, W, PRE[0], POST[0], 0.0)
    traces, dw = rule(traces, 0 * W, PRE[1], POST[1], 1.0)
    np.testing.assert_allclose(dw, W * MARKS[0].sum(0), rtol=1e-5)


def test_a_reward_learns_which_neuron_should_fire():
    """Two noisy neurons with the same input; the reward is for the first and against the second."""
    rule = js.learning.MSTDPET(js.learning.STDP(a_plus=1.0, a_minus=1.0), tau=10.0, lag=False)
    x = jnp.ones((1, 1))

    def step(carry, key):
        traces, w = carry
        z = (jax.random.uniform(key, (1, 2)) < 0.3).astype(jnp.float32)
        traces, dw = rule(traces, w, x, z, 0.01 * (z[:, 0] - z[:, 1]))
        return (traces, w + dw), None

    w = jnp.zeros((1, 2))
    carry = rule.init_traces(w, x.shape), w
    (_, w), _ = jax.lax.scan(step, carry, jax.random.split(jax.random.key(0), 300))
    assert w[0, 0] > 0.1
    assert w[0, 1] < -0.1


def test_refusals():
    rule = MODULATED["MSTDP"]
    traces = rule.init_traces(W, (N, M))
    sentence = (
        "`MSTDP(reward=...)` must be a number or broadcast into the shape (3,), got the shape (2,)."
    )
    raises(ValueError, sentence, rule, traces, W, PRE[0], POST[0], np.ones(2))
    sentence = "`MSTDPET(tau=...)` must be greater than 0, got -1.0."
    raises(ValueError, sentence, js.learning.MSTDPET, tau=-1.0)
    sentence = (
        "`MSTDP(rule=...)` must be a PlasticityRule, got MSTDP(). "
        "Give an instance of `PlasticityRule`."
    )
    raises(TypeError, sentence, js.learning.MSTDP, js.learning.MSTDP())
    sentence = (
        "`MSTDP(layer=...)` must be linear, got a WSLinear. "
        "Give a layer that is linear in its weights and in its input, or an array [m, n]."
    )
    layer = js.nn.WSLinear(M, K, rngs=nnx.Rngs(0))
    raises(TypeError, sentence, rule.init_traces, layer, (N, M))
