"""Digits without labels: spike-timing-dependent plasticity, after Diehl and Cook (2015).

    python examples/unsupervised_digits.py --data FOLDER --neurons 100 --images 60000

FOLDER holds the four IDX files of MNIST, or is an .npz with x_train, y_train, x_test and y_test.
Neurons inhibit each other, their thresholds rise with every spike and decay over hours, and the
weights of each have a fixed sum. An image that causes fewer than five spikes is shown again, with
more spikes of the input. Labels are only used afterwards: a neuron is assigned the digit for which
it spikes most in the last 10,000 training images. Weights and thresholds stay fixed during the
test.
"""

import argparse
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp

import jaxspike as js
from jaxspike.demo.data import mnist

STEPS, RATE = 250, 0.128  # steps of 1 ms; spikes per step of a white pixel
REST, SLOW = 150, 1e7  # steps between images; time constant of the thresholds, in steps
ENOUGH, BRIGHTER = 5, 0.5  # spikes of all neurons for an image; more of the input until then
INHIBITION, TOTAL = 120.0, 78.4  # mV per spike of another neuron; sum of the weights of a neuron

# in mV above rest: 13 to the threshold, which rises by 0.05 at each spike, and 5 after a spike
ADAPTIVE = js.ALIF(0.99, a_decay=1.0, beta=0.05, v_threshold=13.0, v_reset=5.0)
NEURON = js.Refractory(ADAPTIVE, steps=5)
RULE = js.learning.STDP(
    20.0,
    a_plus=1e-2,
    a_minus=1e-4,
    pairing="nearest",
    weight_dependence=js.learning.Additive(0.0, w_max=1.0),
)


def present(w, a, image, key, *, learn):
    """Show one image: the new weights and spike counts `a`, and the spikes of each neuron."""

    def again(carry):
        w, a, _, rate, key = carry
        key, now = jax.random.split(key)
        w, a, counts = present_at(rate, w, a, image, now, learn=learn)
        if learn:
            a = a * jnp.exp(-(STEPS + REST) / SLOW)
        return w, a, counts, rate + BRIGHTER * RATE, key

    def goes_on(carry):
        return (carry[2].sum() < ENOUGH) & (carry[3] < 1)

    start = w, a, jnp.zeros(w.shape[1]), jnp.asarray(RATE), key
    return jax.lax.while_loop(goes_on, again, start)[:3]


def present_at(rate, w, a, image, key, *, learn):
    """Show one image once, with so many spikes per step of a white pixel."""
    n = w.shape[1]
    rest = NEURON.init_state((1, n))
    rest = rest._replace(neuron=rest.neuron._replace(a=a, v=jnp.zeros((1, n))))

    def step(carry, key):
        w, traces, state, last = carry
        x = (jax.random.uniform(key, (1, image.size)) < rate * image.ravel()).astype(jnp.float32)
        current = x @ w
        state, z = NEURON(state, current - INHIBITION * (last.sum() - last))
        z *= jax.nn.one_hot(jnp.argmax(z * (1 + current), -1), n)  # one neuron per step
        if learn:
            traces, dw = RULE(traces, w, x, z)
            w = w + dw
        return (w, traces, state, z), z[0]

    w = js.learning.normalize(w, TOTAL)
    carry = w, RULE.init_traces(w, (1, image.size)), rest, jnp.zeros((1, n))
    (w, _, state, _), z = jax.lax.scan(step, carry, jax.random.split(key, STEPS))
    return w, state.neuron.a, z.sum(0)


@jax.jit
def train(w, a, images, key):
    """Learn from images in order; also return the spikes of each neuron for each."""

    def one(carry, shown):
        w, a, counts = present(*carry, *shown, learn=True)
        return (w, a), counts

    return jax.lax.scan(one, (w, a), (images, jax.random.split(key, len(images))))


@jax.jit
def respond(w, a, images, key):
    """The spikes of each neuron for each image, without learning."""
    show = partial(present, w, a, learn=False)
    shown = images, jax.random.split(key, len(images))
    return jax.lax.map(lambda shown: show(*shown)[2], shown)


def classify(counts, assigned):
    """The digit whose neurons spike most on average."""
    return (counts @ assigned / jnp.maximum(assigned.sum(0), 1)).argmax(-1)


def assign(counts, labels):
    """The digit for which each neuron spikes most, as [neurons, 10] of zeros and ones."""
    labels = jax.nn.one_hot(labels, 10)
    rates = labels.T @ counts / jnp.maximum(labels.sum(0), 1)[:, None]
    return jax.nn.one_hot(rates.argmax(0), 10)


def main():
    """Read the command line, train, report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--neurons", type=int, default=100)
    parser.add_argument("--images", type=int, default=60_000, help="how many to learn from")
    parser.add_argument("--test", type=int, default=10_000, help="how many to test on")
    parser.add_argument("--every", type=int, default=1000, help="how often to report, in images")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    data = mnist(options.data)
    first, *keys = jax.random.split(jax.random.key(options.seed), options.images + 2)
    w = 0.3 * jax.random.uniform(first, (data.x_train[0].size, options.neurons))
    a, counts = jnp.zeros((1, options.neurons)), []
    images, labels = data.x_train[: options.images], data.y_train[: options.images]
    for start in range(0, len(images), options.every):
        shown = images[start : start + options.every]
        (w, a), spikes = train(w, a, jnp.asarray(shown), keys[start])
        counts.append(spikes)
        print(f"{start + len(shown)} images, {spikes.sum(1).mean():.1f} spikes each", flush=True)
    counts = jnp.concatenate(counts)[-10_000:]
    assigned = assign(counts, labels[-len(counts) :])
    test = respond(w, a, jnp.asarray(data.x_test[: options.test]), keys[-1])
    accuracy = (classify(test, assigned) == data.y_test[: options.test]).mean()
    print(f"test accuracy {100 * accuracy:.2f} % after {len(images)} images")


if __name__ == "__main__":
    main()
