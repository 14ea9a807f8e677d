"""The networks of `benchmarks.learning` in braintrace, with its own modules and drivers.

    python -m benchmarks.learning_braintrace NETWORK FOLDER

Reads ``arrays.npz`` of the folder, writes the gradients of each row to ``0.npz``, ``1.npz``, and
answers with a description; then each line of standard input is a row to time.
"""

import functools
import json
import math
import pathlib
import sys
import time
import warnings

import brainstate
import braintrace
import jax
import jax.numpy as jnp
import numpy as np
import optax

V_DECAY, A_DECAY, BETA, THRESHOLD = math.exp(-1 / 20), math.exp(-1 / 200), 0.2, 1.0
TAU = 10.0
ROWS = {  # name: the row with the same gradient, steps in a window
    "braintrace D_RTRL": ("local, in reverse", None),
    "braintrace D_RTRL, window=32": ('("full", "local"), window=32', 32),
}


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


def program(name, params, x, window):
    """A compiled function of the input: gradients and losses."""
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
        return drive(x, reduction="sum", return_value=True)

    return run


def main():
    """Describe the rows, then time those that are asked for."""
    name, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    warnings.simplefilter("ignore")  # the readout has no state, and needs none
    with np.load(folder / "arrays.npz") as file:
        params = {k[7:]: jnp.asarray(file[k]) for k in file if k.startswith("params.")}
        x = jnp.asarray(file["x"])
    runs, about = {}, {}
    for i, (row, (same, window)) in enumerate(ROWS.items()):
        run = runs[row] = program(name, params, x, window)
        sizes = []
        for xs in (x, jnp.concatenate([x] * 10)):
            memory = run.lower(xs).compile().memory_analysis()
            sizes.append(memory.temp_size_in_bytes / 2**20)
        grads, _ = program(name, params, x, window)(x)  # from rest
        np.savez(folder / f"{i}.npz", **{k[-1]: np.asarray(g) for k, g in grads.items()})
        about[row] = {"same": same, "mib": sizes}
    print(json.dumps(about), flush=True)
    for line in sys.stdin:
        run = runs[line.strip()]
        jax.block_until_ready(run(x))
        begin = time.process_time()
        jax.block_until_ready(run(x))
        print(1e3 * (time.process_time() - begin), flush=True)


if __name__ == "__main__":
    main()
