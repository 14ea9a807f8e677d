"""Parallel order against layer order: one recurrence of many neurons, forward and with a gradient.

    python -m benchmarks.parallel        # the table of docs/walks.md
    python -m benchmarks.parallel --long # and 10,000 steps

The orders alternate in one process. A row has the firing rate, the iterations of the fixed point
("loop" after those that were given up), and the median milliseconds of layer and parallel order,
forward, and with the gradient of the input.
"""

import argparse
import functools
import statistics
import time

import jax
import jax.numpy as jnp
import numpy as np

import jaxspike as js
from jaxspike.engine.loop.fixed_point import Recurrence
from jaxspike.engine.program.loop import Loop
from jaxspike.engine.program.step import trace_step

N, C = 8, 128
LIF = functools.partial(js.LIF, tau=20.0, decay_input=False)
# a neuron and a scale of its input, which determines how often it fires
CASES = {
    "LI": (js.LI(tau=20.0), 1.0),
    "synapse": (js.SynapseFilter(tau=20.0), 0.1),
    "LIF, soft reset, rare": (LIF(v_reset=None), 0.05),
    "LIF, soft reset, often": (LIF(v_reset=None), 0.3),
    "LIF, hard reset, rare": (LIF(), 0.05),
    "LIF, hard reset, often": (LIF(), 0.3),
}


def iterations(neuron, state, xs):
    """How many guesses there are, and whether the last one is right; None without guesses."""
    step, consts, _ = trace_step(neuron, state, xs[0])
    affine = Loop(step, len(xs)).affine
    if not affine.has_decisions:
        return None
    found = Recurrence(affine, len(xs), consts, jax.tree.leaves(state), [xs])
    guess = jax.jit(lambda: tuple(found.guessed()))()
    return int(guess[0]), int(guess[3]) == len(xs)


def programs(neuron, state):
    """Forward and gradient of each order."""

    def forward(order, xs):
        return js.scan(neuron, state, xs, order=order)[1]

    def gradient(order, xs):
        return jax.grad(lambda xs: (forward(order, xs) ** 2).sum())(xs)

    return [
        jax.jit(functools.partial(f, order))
        for f in (forward, gradient)
        for order in ("layer", "parallel")
    ]


def measure(name, steps, rounds):
    """A row: the rate, the iterations, and the median milliseconds of each program."""
    neuron, scale = CASES[name]
    state = neuron.init_state((N, C))
    xs = scale * (0.5 + jax.random.normal(jax.random.key(0), (steps, N, C)))
    runs = programs(neuron, state)
    results = [jax.block_until_ready(run(xs)) for run in runs]
    for layer, parallel in (results[:2], results[2:]):
        np.testing.assert_allclose(parallel, layer, rtol=1e-4, atol=1e-4)
    times = [[] for _ in runs]
    for _ in range(rounds):
        for run, found in zip(runs, times, strict=True):
            start = time.perf_counter()
            jax.block_until_ready(run(xs))
            found.append(1e3 * (time.perf_counter() - start))
    guesses = iterations(neuron, state, xs)
    rate = "-" if guesses is None else f"{jnp.mean(results[0]):.2%}"
    count = "-" if guesses is None else f"{guesses[0]}" + (", loop" if not guesses[1] else "")
    return [name, steps, rate, count, *(f"{statistics.median(found):.2f}" for found in times)]


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--long", action="store_true", help="10,000 steps too")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    print("| | T | rate | iterations | layer | parallel | layer, gradient | parallel, gradient |")
    print("|---|--:|--:|--:|--:|--:|--:|--:|")
    for name in CASES:
        for steps in (100, 1000, *([10_000] if options.long else [])):
            row = measure(name, steps, options.rounds)
            print(f"| {' | '.join(map(str, row))} |", flush=True)


if __name__ == "__main__":
    main()
