"""The library runs under the strictest settings of JAX."""

import jax
import jax.numpy as jnp
import pytest
from flax import nnx

import jaxspike as js

T, N, C = 5, 2, 4
X = jnp.ones((T, N, C))


def neuron_per_channel():
    lif = js.LIF(tau=jnp.linspace(2.0, 3.0, C))
    for order in ("layer", "step"):

        def loss(lif, order=order):
            return js.scan(lif, lif.init_state((N, C)), X, order=order)[1].sum()

        jax.grad(loss)(lif)


def network():
    rngs = nnx.Rngs(0)
    feedback = nnx.Linear(C, C, rngs=rngs)
    layers = js.nn.WSLinear(C, C, rngs=rngs), js.LIF(), js.nn.Recurrent(js.LIF(), feedback)
    net = js.nn.Sequential(*layers, nnx.Linear(C, C, rngs=rngs), js.Delay(2), js.IF())
    state = net.init_state((N, C))
    nnx.grad(lambda net: js.losses.mse(net(state, X)[1], jnp.zeros(N, int)))(net)


def gated():
    layer = js.nn.SpikingGRU(C, C, rngs=nnx.Rngs(0))
    nnx.grad(lambda layer: layer(layer.init_state((N, C)), X)[1].sum())(layer)


def encoders():
    js.encode.poisson(jax.random.key(0), X[0], T)
    js.encode.latency(X[0], T)
    js.encode.phase(X[0], T)


@pytest.mark.parametrize("program", [neuron_per_channel, network, gated, encoders])
def test_checks_and_no_rank_promotion(program):
    with jax.enable_checks(True), jax.numpy_rank_promotion("raise"):
        program()
