"""Evidence accumulation with backpropagation through time, e-prop and SLTT (Bellec et al., 2020).

    python examples/evidence_accumulation.py --credit full local none --iterations 400

Seven cues come from the left and the right, 150 ms apart. More than a second after the last, a
recurrent network of 50 leaky and 50 adaptive neurons says on which side there were more. It is
trained on new random batches, so the error of a batch, before its update, is one on data never
seen. One time step is 3 ms.
"""

import argparse
import functools
import json
import math
import time
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxspike as js

DT = 3  # ms per time step; all times below are in ms
CUES, APART, CUE, START, DELAY, DECISION = 7, 150, 100, 50, 1050, 150
STEPS, DECIDE = (CUES * APART + DELAY + DECISION) // DT, DECISION // DT
NEURONS, TARGET = 100, 0.01 * DT  # spikes per step
NAMES = {"full": "BPTT", "local": "e-prop", "none": "SLTT"}

DECAY, SLOW, REFRACTORY = math.exp(-DT / 20), math.exp(-DT / 2000), round(5 / DT)
THRESHOLD, BETA = 0.6, 1.7 * (1 - SLOW) / (1 - DECAY)
RISE = jnp.where(jnp.arange(NEURONS) < NEURONS // 2, 0.0, BETA)
SURROGATE = js.surrogate.Triangle(0.3 / THRESHOLD, width=THRESHOLD)
READOUT = js.LI(tau=1 / (1 - DECAY))


class State(NamedTuple):
    """Membrane potentials, adaptation, last spikes, refractory steps and readout, ``[N, *]``."""

    v: jax.Array
    a: jax.Array
    z: jax.Array
    left: jax.Array
    readout: jax.Array


def trials(key, n):
    """Spikes of 40 inputs, ``[T, n, 40]``: left, right, "decide now" and noise; and the answers."""
    to_side, to_cue, to_spike = jax.random.split(key, 3)
    side = jnp.where(jax.random.bernoulli(to_side, shape=(n, 1)), 0.7, 0.3)
    right = jax.random.bernoulli(to_cue, side, (n, CUES))
    t = DT * jnp.arange(STEPS) - START
    number, shown = t // APART, (t % APART < CUE) & (t >= 0) & (t < CUES * APART)
    to_right = right[:, jnp.clip(number, 0, CUES - 1)].T
    decide = jnp.broadcast_to(jnp.arange(STEPS)[:, None] >= STEPS - DECIDE, (STEPS, n))
    groups = [shown[:, None] & ~to_right, shown[:, None] & to_right, decide]
    rates = [0.04 * DT * g for g in groups] + [jnp.full((STEPS, n), 0.01 * DT)]
    rate = jnp.repeat(jnp.stack(rates, -1), 10, -1)
    spikes = jax.random.uniform(to_spike, rate.shape) < rate
    return spikes.astype(jnp.float32), (right.sum(1) > CUES // 2).astype(jnp.int32)


def weights(key):
    """Weights of the inputs, between the neurons, and of the readout."""
    shapes = {"in": (40, NEURONS), "rec": (NEURONS, NEURONS), "out": (NEURONS, 2)}
    keys = jax.random.split(key, len(shapes))
    return {
        name: jax.random.normal(k, shape) / math.sqrt(shape[0])
        for (name, shape), k in zip(shapes.items(), keys, strict=True)
    }


def step(params, state, x):
    """One step: the output of the readout, and the spikes.

    A refractory neuron goes on to integrate its input, as in the code of the paper.
    """
    recurrent = params["rec"] * (1 - jnp.eye(NEURONS))
    reset = jax.lax.stop_gradient(state.z) * THRESHOLD
    v = DECAY * state.v + x @ params["in"] + state.z @ recurrent - reset
    a = SLOW * state.a + state.z
    z = js.surrogate.spike(v - THRESHOLD - RISE * a, SURROGATE)
    z = jnp.where(state.left > 0, 0.0, z)
    left = jax.lax.stop_gradient(jnp.where(z > 0, REFRACTORY, jnp.maximum(state.left - 1, 0)))
    r, y = READOUT(js.neurons.LIState(state.readout), z @ params["out"])
    return State(v, a, z, left, r.v), (y, z)


def loss(params, x_seq, answers, credit):
    """Cross-entropy of the decision, and a cost of firing rates other than 10 Hz."""
    n = len(answers)
    rest = State(*(jnp.zeros((n, NEURONS)) for _ in range(4)), jnp.zeros((n, 2)))
    rule = functools.partial(js.learning.cut(step, credit), params)
    _, (y_seq, z_seq) = js.scan(rule, rest, x_seq, order="step", segment="sqrt")
    y = y_seq[-DECIDE:]
    many = jnp.broadcast_to(answers, y.shape[:2])
    entropy = optax.softmax_cross_entropy_with_integer_labels(y, many).mean()
    rate = z_seq.mean((0, 1))
    error = (y.mean(0).argmax(-1) != answers).mean()
    return entropy + ((rate - TARGET) ** 2).sum(), (error, rate.mean())


def train(credit, options):
    """The error of each batch, one after the other."""
    for_batches, first = jax.random.split(jax.random.key(options.seed))
    params = weights(first)
    optimizer = optax.adam(optax.cosine_decay_schedule(options.lr, options.iterations))
    opt_state = optimizer.init(params)

    @jax.jit
    def update(params, opt_state, key):
        x_seq, answers = trials(key, options.batch)
        grads, about = jax.grad(loss, has_aux=True)(params, x_seq, answers, credit)
        changes, opt_state = optimizer.update(grads, opt_state, params)
        return optax.apply_updates(params, changes), opt_state, about

    for key in jax.random.split(for_batches, options.iterations):
        params, opt_state, (error, rate) = update(params, opt_state, key)
        yield float(error), float(rate)


def draw(errors, path, window=20):
    """A figure of the mean error of the last batches, for every rule."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3), layout="constrained")
    ax = figure.subplots()
    for name, found in errors.items():
        mean = np.convolve(found, np.ones(window) / window, "valid")
        ax.plot(window + np.arange(len(mean)), 100 * mean, label=name)
    ax.axhline(7, color="gray", linestyle=":", linewidth=1)
    ax.set(xlabel="iteration", ylabel=f"error, mean of {window} batches, %", ylim=(0, 55))
    ax.legend(frameon=False)
    figure.savefig(path, dpi=100)


def main():
    """Read the command line, train with every credit, report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--credit", nargs="*", choices=list(NAMES), default=list(NAMES))
    parser.add_argument("--iterations", type=int, default=400)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--lr", type=float, default=5e-3, help="at the start; decays to 0")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--every", type=int, default=20, help="how often to report, in iterations")
    parser.add_argument("--out", type=Path, help="add the errors of all batches to this JSON file")
    parser.add_argument("--figure", type=Path, help="draw all errors here")
    options = parser.parse_args()
    out = options.out
    errors = json.loads(out.read_text()) if out and out.exists() else {}
    for credit in options.credit:
        recent, start = [], time.perf_counter()
        errors[NAMES[credit]] = recent
        for i, (error, rate) in enumerate(train(credit, options), 1):
            recent.append(error)
            if i % options.every == 0:
                mean, hz = sum(recent[-options.every :]) / options.every, 1000 * rate / DT
                took = f"{hz:.0f} Hz, {time.perf_counter() - start:.0f} s"
                print(f"{NAMES[credit]} {i}: error {mean:.1%}, {took}", flush=True)
                if out:
                    out.write_text(json.dumps(errors) + "\n")
    if options.figure:
        draw(errors, options.figure)


if __name__ == "__main__":
    main()
