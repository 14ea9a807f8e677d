"""Rules without a loss, and spikes for them, that several files of tests share."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxspike as js

T, N, M, K = 24, 3, 4, 5  # time steps, samples, inputs, neurons


def raises(kind, sentence, f, *args, **kwargs):
    with pytest.raises(kind) as caught:
        f(*args, **kwargs)
    assert str(caught.value) == sentence


def spikes(*shape, seed=0, rate=0.3):
    return (np.random.default_rng(seed).random((T, *shape)) < rate).astype(np.float32)


@jax.jit
def run(rule, layer, pre, post, *reward):
    """The last traces, and the change at every step, the layer being the same at all."""

    def step(traces, signals):
        return rule(traces, layer, *signals)

    traces = rule.init_traces(layer, pre.shape[1:])
    return jax.lax.scan(step, traces, (pre, post, *reward))


def total(rule, layer, pre, post):
    return jax.tree.map(lambda dw: dw.sum(0), run(rule, layer, pre, post)[1])


W = jnp.asarray(np.random.default_rng(9).uniform(0.2, 0.8, (M, K)), jnp.float32)
PRE, POST = spikes(N, M), spikes(N, K, seed=1)
RULE = js.learning.STDP(3.0, tau_minus=4.0, a_plus=0.7, a_minus=0.5)
RULES = {
    "STDP": RULE,
    "nearest": RULE.replace(pairing="nearest"),
    "earlier steps": RULE.replace(same_step=False),
    "triplet": js.learning.TripletSTDP(3.0, tau_minus=4.0, tau_x=5.0, tau_y=6.0, a2_plus=0.2),
    "post spike": js.learning.PostSpikeSTDP(4.0, rate=0.3, x_target=0.4),
    "scaling": js.learning.SynapticScaling(0.2, tau=5.0, rate=0.3),
}
