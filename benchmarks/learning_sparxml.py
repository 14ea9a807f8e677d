"""The network "leaky" of `benchmarks.learning` with sparxml's e-prop; see `learning_peer`."""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from sparx.dynamics import Output
from sparx.learn import online
from sparx.surrogate import Sigmoid, spike

from . import learning_peer

V_DECAY, A_DECAY, BETA, THRESHOLD = math.exp(-1 / 20), math.exp(-1 / 200), 0.2, 1.0
TAU = 20.0  # of the readout: `v + (x - v) / TAU`


class State(NamedTuple):
    """Membrane potential and adaptation."""

    v: jax.Array
    a: jax.Array


class ALIF:
    """The adaptive neuron of the network: sparxml's own has a reset that leaks."""

    graded = False

    def init_state(self, shape, dtype):
        """The state at rest."""
        return State(jnp.zeros(shape, dtype), jnp.zeros(shape, dtype))

    def step(self, state, inputs, dt):
        """One step."""
        h = state.v + inputs.jump
        z = spike(h - (THRESHOLD + BETA * state.a), Sigmoid(4.0))
        v = V_DECAY * h - jax.lax.stop_gradient(z) * THRESHOLD
        return State(v, A_DECAY * state.a + z), Output(z, jnp.ones_like(z))


def loss(y, labels):
    """Cross-entropy of a step."""
    return optax.softmax_cross_entropy_with_integer_labels(y, labels).mean()


def rows(name, params, x):
    """Gradients in reverse, and forward in time."""
    params = {k: jnp.asarray(p) for k, p in params.items()}
    classes = params["out"].shape[1]
    labels = jnp.arange(x.shape[1]) % classes
    weights = online.EPropParams(
        params["in"], params["rec"], params["out"] / TAU, jnp.zeros(classes)
    )
    tau = -1 / math.log1p(-1 / TAU)  # whose decay is that of the readout

    def gradients(x, rule):
        targets = jnp.broadcast_to(labels, x.shape[:2])
        grads = rule(ALIF(), weights, x, targets, loss, tau=tau)
        return {"in": grads.w_in, "rec": grads.w_rec, "out": grads.w_out / TAU}

    def forward(*arguments, tau):
        return online.eprop(*arguments, tau=tau)[1]

    def reverse(cell, *arguments, tau):
        return jax.grad(online.bptt_loss, 1)(cell, *arguments, tau=tau)

    def compiled(rule):
        return lambda: jax.jit(functools.partial(gradients, rule=rule))

    return {
        "sparxml BPTT": ("BPTT", compiled(reverse)),
        "sparxml eprop": ("local, in reverse", compiled(forward)),
    }


if __name__ == "__main__":
    learning_peer.main(rows, learning_peer.temporary, jnp.asarray)
