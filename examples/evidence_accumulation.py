"""Evidence accumulation with backpropagation through time, e-prop and SLTT (Bellec et al., 2020).

    python examples/evidence_accumulation.py --rules full local random none --iterations 400

Seven cues come from the left and the right, 150 ms apart. More than a second after the last, a
recurrent network of 50 leaky and 50 adaptive neurons says on which side there were more. It is
trained on new random batches, so the error of a batch, before its update, is one on data never
seen. One time step is 3 ms. ``--learn out`` trains the readout alone, and ``--adaptation 0`` takes
the slow thresholds away: where a rule has its memory from.
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
RULES = {  # its name, and the credit
    "full": ("BPTT", "full"),
    "local": ("e-prop", "local"),
    "random": ("e-prop, random feedback", "local"),
    "none": ("SLTT", "none"),
}

DECAY, SLOW, REFRACTORY = math.exp(-DT / 20), math.exp(-DT / 2000), round(5 / DT)
THRESHOLD, BETA = 0.6, 1.7 * (1 - SLOW) / (1 - DECAY)
ADAPTS = jnp.arange(NEURONS) >= NEURONS // 2
SURROGATE = js.surrogate.Triangle(0.3 / THRESHOLD, width=THRESHOLD)
READOUT = js.LI(tau=1 / (1 - DECAY))
LEARNS = ("in", "rec", "out")


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


def step(params, feedback, beta, state, x):
    """One step: the output of the readout, and the spikes.

    A refractory neuron goes on to integrate its input, as in the code of the paper.
    """
    recurrent = params["rec"] * (1 - jnp.eye(NEURONS))
    reset = jax.lax.stop_gradient(state.z) * THRESHOLD
    v = DECAY * state.v + x @ params["in"] + state.z @ recurrent - reset
    a = SLOW * state.a + state.z
    z = js.surrogate.spike(v - THRESHOLD - beta * ADAPTS * a, SURROGATE)
    z = jnp.where(state.left > 0, 0.0, z)
    left = jax.lax.stop_gradient(jnp.where(z > 0, REFRACTORY, jnp.maximum(state.left - 1, 0)))
    out = js.learning.align(params["out"], params["out"] if feedback is None else feedback)
    r, y = READOUT(js.neurons.LIState(state.readout), out(z))
    return State(v, a, z, left, r.v), (y, z)


def loss(learned, rule, x_seq, answers):
    """Cross-entropy of the decision, and a cost of firing rates other than 10 Hz."""
    n = len(answers)
    rest = State(*(jnp.zeros((n, NEURONS)) for _ in range(4)), jnp.zeros((n, 2)))
    one = functools.partial(rule, learned)
    _, (y_seq, z_seq) = js.scan(one, rest, x_seq, order="step", segment="sqrt")
    y = y_seq[-DECIDE:]
    many = jnp.broadcast_to(answers, y.shape[:2])
    entropy = optax.softmax_cross_entropy_with_integer_labels(y, many).mean()
    rate = z_seq.mean((0, 1))
    error = (y.mean(0).argmax(-1) != answers).mean()
    return entropy + ((rate - TARGET) ** 2).sum(), (error, rate.mean())


def rule_of(name, fixed, feedback, adaptation):
    """The step of a rule, as a function of the weights that learn, the state and the input."""
    feedback = feedback if name == "random" else None

    def whole(learned, state, x):
        return step({**fixed, **learned}, feedback, adaptation * BETA, state, x)

    return js.learning.cut(whole, RULES[name][1])


def train(name, options):
    """The error of each batch, one after the other."""
    for_batches, first = jax.random.split(jax.random.key(options.seed))
    params = weights(first)
    learned = {name: params.pop(name) for name in options.learn}
    feedback = jax.random.normal(jax.random.fold_in(first, 1), (NEURONS, 2))
    rule = rule_of(name, params, feedback, options.adaptation)
    optimizer = optax.adam(optax.cosine_decay_schedule(options.lr, options.iterations))
    opt_state = optimizer.init(learned)

    @jax.jit
    def update(learned, opt_state, key):
        x_seq, answers = trials(key, options.batch)
        grads, about = jax.grad(loss, has_aux=True)(learned, rule, x_seq, answers)
        changes, opt_state = optimizer.update(grads, opt_state, learned)
        return optax.apply_updates(learned, changes), opt_state, about

    for key in jax.random.split(for_batches, options.iterations):
        learned, opt_state, (error, rate) = update(learned, opt_state, key)
        yield float(error), float(rate)


def title(name, options):
    """The name of a rule, with what is not as in the paper."""
    alone = "" if sorted(options.learn) == sorted(LEARNS) else ", " + " and ".join(options.learn)
    slow = "" if options.adaptation == 1 else f", adaptation {options.adaptation:g}"
    return RULES[name][0] + alone + slow


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
    """Read the command line, train with every rule, report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rules", nargs="*", choices=list(RULES), default=list(RULES))
    parser.add_argument("--learn", nargs="*", choices=LEARNS, default=LEARNS, help="which weights")
    parser.add_argument("--adaptation", type=float, default=1.0, help="of slow thresholds, times")
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
    for name in options.rules:
        recent, start = [], time.perf_counter()
        errors[title(name, options)] = recent
        for i, (error, rate) in enumerate(train(name, options), 1):
            recent.append(error)
            if i % options.every == 0:
                mean, hz = sum(recent[-options.every :]) / options.every, 1000 * rate / DT
                took = f"{hz:.0f} Hz, {time.perf_counter() - start:.0f} s"
                print(f"{title(name, options)} {i}: error {mean:.1%}, {took}", flush=True)
                if out:
                    out.write_text(json.dumps(errors) + "\n")
    if options.figure:
        draw(errors, options.figure)


if __name__ == "__main__":
    main()
