"""The networks of `benchmarks.learning` in braintrace, with its own modules and drivers.

See `learning_peer`.
"""

import functools
import math
import warnings

import brainstate
import braintrace
import jax
import jax.numpy as jnp
import optax

from . import learning_peer

V_DECAY, A_DECAY, BETA, THRESHOLD = math.exp(-1 / 20), math.exp(-1 / 200), 0.2, 1.0
TAU = 10.0


@jax.custom_jvp
def spike(v):
    """A step with the derivative of a sigmoid of slope 4."""
    return (v >= 0).astype(v.dtype)


@spike.defjvp
def _(values, tangents):
    s = jax.nn.sigmoid(4 * values[0])
    return spike(values[0]), 4 * s * (1 - s) * tangents[0]


class Network(brainstate.nn.Module):
    """Weights, and one hidden state of zeros for each name in `hidden`."""

    hidden: tuple[str, ...] = ()

    def __init__(self, params):
        super().__init__()
        self.weights = {k: brainstate.ParamState(p) for k, p in params.items()}

    def init_state(self, batch_size=None, **_):
        """The state at rest."""
        for name in self.hidden:
            setattr(self, name, brainstate.HiddenState(jnp.zeros((batch_size, 128))))

    def product(self, x, name):
        """A matrix product with a trace."""
        return braintrace.matmul(x, self.weights[name].value)


class Recurrent(Network):
    """100 - 128 adaptive neurons, recurrent - 10."""

    hidden = "h", "a"  # charged membrane before the spike, and adaptation

    def spikes(self):
        """Those of the present state."""
        return spike(self.h.value - (THRESHOLD + BETA * self.a.value))

    def update(self, x):
        """One step."""
        z = self.spikes()
        v = V_DECAY * self.h.value - jax.lax.stop_gradient(z) * THRESHOLD
        a = A_DECAY * self.a.value + z
        self.h.value = v + self.product(x, "in") + self.product(z, "rec")
        self.a.value = a
        return self.product(self.spikes(), "out")


class Deep(Network):
    """100 - three layers of 128 leaky neurons - 10."""

    hidden = "h1", "h2", "h3"

    def update(self, x):
        """One step."""
        for name in ("1", "2", "3"):
            state = getattr(self, f"h{name}")
            h = state.value - state.value / TAU + self.product(x, name)
            x = spike(h - THRESHOLD)
            state.value = (1 - x) * h
        return self.product(x, "out")


def loss(y):
    """Cross-entropy with one label for each sample."""
    labels = jnp.arange(len(y)) % y.shape[-1]
    return optax.softmax_cross_entropy_with_integer_labels(y, labels).mean()


def rows(name, params, x):
    """Single steps, and windows."""
    params = {k: jnp.asarray(p) for k, p in params.items()}

    def program(window):
        network = {"recurrent": Recurrent, "deep": Deep}[name](params)
        options = {"vjp_method": "multi-step"} if window else {}
        learner = braintrace.compile(network, "d_rtrl", x[0], batch_size=x.shape[1], **options)

        def step(x):
            if window is None:
                return loss(learner(x))
            return jax.vmap(loss)(learner(braintrace.MultiStepData(x)))

        drive = functools.partial(learner.etrace_grad, step_fn=step, chunk_size=window)

        @brainstate.transform.jit
        def run(x):
            grads, _ = drive(x, reduction="sum", return_value=True)
            return {k[-1]: g for k, g in grads.items()}

        return run

    return {
        "braintrace D_RTRL": ("local, in reverse", lambda: program(None)),
        "braintrace D_RTRL, window=32": ('("full", "local"), window=32', lambda: program(32)),
    }


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # the readout has no state, and needs none
    learning_peer.main(rows, learning_peer.temporary, jnp.asarray)
