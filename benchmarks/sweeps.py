"""Many small training runs in one `jax.vmap`, beside a Python loop over one compiled program.

    taskset -c 0 python -m benchmarks.sweeps

A run trains an MLP of LIF neurons, 784-128-10, on random labels of random spikes by SGD, with a
seed and a learning rate of its own. The losses of both programs are compared first. Then they take
turns, each timed right after an untimed run of itself, in seconds of CPU, which other programs on
the machine hardly change. A row has the runs per CPU second, the median over the rounds, the times
that of the loop, and the CPU seconds to trace and compile, once for all runs.
"""

import argparse
import functools
import statistics
import time

import jax
import jax.numpy as jnp
import numpy as np

import jaxspike as js

from .compare import positive

BATCH, INPUTS, CLASSES = 32, 784, 10
LIF = js.LIF(decay_input=False, detach_reset=True)


def step(params, state, x):
    """One time step of two layers."""
    hidden, z = LIF(state[0], x @ params[0])
    output, y = LIF(state[1], z @ params[1])
    return (hidden, output), y


def train(key, rate, *, hidden, length, updates):
    """The loss of every update, ``[updates]``."""
    weights, inputs, targets = jax.random.split(key, 3)
    shapes = (INPUTS, hidden), (hidden, CLASSES)
    keys = jax.random.split(weights, len(shapes))
    init = jax.nn.initializers.variance_scaling(9.0, "fan_in", "uniform")  # so that all layers fire
    params = [init(k, shape) for k, shape in zip(keys, shapes, strict=True)]
    x_seq = jax.random.bernoulli(inputs, 0.3, (length, BATCH, INPUTS)).astype(jnp.float32)
    labels = jax.random.randint(targets, (BATCH,), 0, CLASSES)
    state = tuple(LIF.init_state((BATCH, n)) for n in (hidden, CLASSES))

    def loss(params):
        spikes = js.scan(functools.partial(step, params), state, x_seq)[1]
        return js.losses.cross_entropy(spikes, labels, js.readout.count)

    def update(params, _):
        value, grads = jax.value_and_grad(loss)(params)
        return jax.tree.map(lambda p, g: p - rate * g, params, grads), value

    return jax.lax.scan(update, params, length=updates)[1]


def compiled(f, *args):
    """The compiled function, and the CPU seconds to trace and compile it."""
    begin = time.process_time()
    program = jax.jit(f).lower(*args).compile()
    return program, time.process_time() - begin


def seconds(run):
    """The CPU seconds of a run, right after an untimed one."""
    jax.block_until_ready(run())
    begin = time.process_time()
    jax.block_until_ready(run())
    return time.process_time() - begin


def compare(trainings, rounds, **sizes):
    """The rows of the table, and the losses of both programs, ``[2, trainings, updates]``."""
    keys = jax.random.split(jax.random.key(0), trainings)
    rates = jnp.geomspace(1e-3, 3e-2, trainings)
    one = functools.partial(train, **sizes)
    single, single_s = compiled(one, keys[0], rates[0])
    together, together_s = compiled(jax.vmap(one), keys, rates)
    pairs = [*zip(keys, rates, strict=True)]
    programs = {
        "Python loop": (lambda: [single(k, r) for k, r in pairs], single_s),
        "`jax.vmap`": (lambda: together(keys, rates), together_s),
    }
    losses = np.stack([np.stack([*run()]) for run, _ in programs.values()])
    took = {name: [] for name in programs}
    for i in range(rounds):
        for name in [*programs][:: 1 if i % 2 else -1]:
            took[name].append(seconds(programs[name][0]))
    first = next(iter(took.values()))
    rows = [
        {
            "name": name,
            "per_second": trainings / statistics.median(took[name]),
            "gain": statistics.median(a / b for a, b in zip(first, took[name], strict=True)),
            "compile_s": compile_s,
        }
        for name, (_, compile_s) in programs.items()
    ]
    return rows, losses


def main(arguments=None):
    """Read the command line, compare, measure, print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--trainings", type=positive, default=32)
    parser.add_argument("--hidden", type=positive, default=128, help="neurons of the hidden layer")
    parser.add_argument("--length", type=positive, default=10, help="time steps")
    parser.add_argument("--updates", type=positive, default=20, help="updates of each training")
    parser.add_argument("--rounds", type=positive, default=5)
    options = vars(parser.parse_args(arguments))
    print(f"jax {jax.__version__}, {options}", flush=True)
    rows, (alone, together) = compare(options.pop("trainings"), options.pop("rounds"), **options)
    difference = np.max(np.abs(together - alone) / alone)
    print(f"losses differ by at most {difference:.1e}, relative to the loss\n")
    print("| program | trainings per CPU second | times the loop | compile, CPU s |")
    print("|---|--:|--:|--:|")
    for row in rows:
        print(
            f"| {row['name']} | {row['per_second']:.3g} | {row['gain']:.2f} "
            f"| {row['compile_s']:.1f} |"
        )


if __name__ == "__main__":
    main()
