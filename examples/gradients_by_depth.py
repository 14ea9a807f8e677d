"""How near the gradient of each learning rule is to that of backpropagation through time.

    python examples/gradients_by_depth.py --seeds 0 1 2 3 4

Four layers of 40 neurons with random weights see random spikes for 50 steps, with a label to
predict at every step. For each layer: the cosine of the gradient of its weights to the exact one,
mean over the seeds.
"""

import argparse
import functools
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxspike as js

STEPS, BATCH, INPUTS, WIDTH, LAYERS, CLASSES = 50, 32, 20, 40, 4, 3
NEURONS = {
    "LIF, tau=2": js.LIF(tau=2.0, decay_input=False, detach_reset=True),
    "LIF, tau=10": js.LIF(tau=10.0, decay_input=False, detach_reset=True),
    "ALIF": js.ALIF(detach_reset=True),
}
GAIN = {"LIF, tau=2": 2.5, "LIF, tau=10": 1.5, "ALIF": 1.5}
RULES = {
    "local": {"credit": "local"},
    "local, factored traces": {"credit": "local", "traces": "factored"},
    '("full", "local"), windows of 10': {"credit": ("full", "local"), "window": 10},
    '("full", "none"), windows of 10': {"credit": ("full", "none"), "window": 10},
    "none": {"credit": "none"},
}


def problem(name, seed):
    """A step with its loss, the weights, the state at rest, and the input."""
    neuron = NEURONS[name]
    to_w, to_x, to_y = jax.random.split(jax.random.key(seed), 3)
    sizes = [INPUTS, *[WIDTH] * LAYERS, CLASSES]
    keys = jax.random.split(to_w, len(sizes) - 1)
    params = [
        GAIN[name] * jax.random.normal(k, shape) / math.sqrt(shape[0])
        for k, shape in zip(keys, itertools.pairwise(sizes), strict=True)
    ]
    labels = jax.random.randint(to_y, (BATCH,), 0, CLASSES)
    xs = (jax.random.uniform(to_x, (STEPS, BATCH, INPUTS)) < 0.3).astype(jnp.float32)

    def step(params, state, x):
        new, rates = [], []
        for s, w in zip(state, params, strict=False):
            s, x = neuron(s, x @ w)
            new.append(s)
            rates.append(x.mean())
        y = x @ params[-1]
        loss = optax.softmax_cross_entropy_with_integer_labels(y, labels).mean()
        return new, (loss, jnp.stack(rates))

    return step, params, [neuron.init_state((BATCH, WIDTH))] * LAYERS, xs


def gradients(name, seed):
    """The exact gradient, that of each rule, and the firing rate of each layer."""
    step, params, state, xs = problem(name, seed)

    def total(params):
        losses, rates = js.scan(functools.partial(step, params), state, xs)[1]
        return losses.sum(), rates.mean(0)

    exact, rates = jax.jit(jax.grad(total, has_aux=True))(params)
    found = {}
    for rule, options in RULES.items():
        online = js.learning.online(step, has_aux=True, **options)
        start = online.init_state(params, state, xs[0])
        found[rule] = jax.jit(js.learning.accumulate(online))(params, start, xs)[1][1]
    return exact, found, rates


def cosine(a, b):
    """Of two arrays; zero if one of them is zero."""
    return float((a * b).sum() / jnp.maximum(jnp.linalg.norm(a) * jnp.linalg.norm(b), 1e-30))


def main():
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--neurons", nargs="+", choices=list(NEURONS), default=list(NEURONS))
    options = parser.parse_args()
    print("| neuron | gradient | " + " | ".join(f"layer {i + 1}" for i in range(LAYERS)) + " |")
    print("|---|---|" + "--:|" * LAYERS)
    for name in options.neurons:
        rows, rates = {rule: [] for rule in RULES}, []
        for seed in options.seeds:
            exact, found, rate = gradients(name, seed)
            rates.append(rate)
            for rule, grads in found.items():
                pairs = zip(grads[:LAYERS], exact[:LAYERS], strict=True)
                rows[rule].append([cosine(a, b) for a, b in pairs])
        for rule, values in rows.items():
            cells = " | ".join(f"{v:.2f}" for v in np.mean(values, 0))
            print(f"| {name} | {rule} | {cells} |", flush=True)
        cells = " | ".join(f"{r:.0%}" for r in np.mean(rates, 0))
        print(f"| {name} | firing rate | {cells} |", flush=True)


if __name__ == "__main__":
    main()
