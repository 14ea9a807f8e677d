"""Population coding: many output neurons per class tell the class in few time steps.

    python examples/population_coding.py --seeds 0 1 2

Networks with 1, 10 and 50 output neurons per class learn the 8x8 digits that come with the package
from 1, 2 and 8 time steps. The class is the one whose neurons fire most.
"""

import argparse
import functools

import numpy as np
import optax
from flax import nnx

import jaxspike as js
from jaxspike.demo.data import digits

HIDDEN, BATCH, CLASSES = 64, 100, 10
POPULATIONS, STEPS = (1, 10, 50), (1, 2, 8)
readout = functools.partial(js.readout.voting, classes=CLASSES)


def votes(spikes):
    """The mean number of spikes of the neurons of each class, ``[N, classes]``."""
    return readout(js.readout.count(spikes))


def network(rngs, features, population):
    """Two layers of leaky neurons."""
    lif = js.LIF(tau=2.0, v_threshold=0.3, surrogate=js.surrogate.ATan())
    return js.nn.Sequential(
        nnx.Linear(features, HIDDEN, rngs=rngs),
        lif,
        nnx.Linear(HIDDEN, CLASSES * population, rngs=rngs),
        lif,
    )


def accuracy(seed, data, population, steps, epochs):
    """The test accuracy of one network after training, and its spikes per image and class."""
    x_train, y_train, x_test, y_test = data
    net = network(nnx.Rngs(seed), x_train.shape[1], population)
    optimizer = nnx.Optimizer(net, optax.adam(3e-3), wrt=nnx.Param)

    def run(net, x):
        return net(net.init_state(x.shape), js.encode.direct(x, steps))[1]

    @nnx.jit
    def update(net, optimizer, x, y):
        grads = nnx.grad(lambda net: js.losses.cross_entropy(run(net, x), y, votes))(net)
        optimizer.update(net, grads)

    for epoch in range(epochs):
        batches = js.data.batches((x_train, y_train), BATCH, seed=seed, epoch=epoch, drop_last=True)
        for x, y in batches:
            update(net, optimizer, x, y)
    return float(js.losses.accuracy(nnx.jit(run)(net, x_test), y_test, votes))


def main():
    """Read the command line and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--epochs", type=int, default=20)
    options = parser.parse_args()
    x_train, y_train, x_test, y_test = digits()
    data = (x_train.reshape(-1, 64), y_train, x_test.reshape(-1, 64), y_test)
    print("| neurons per class |", *(f"T = {steps} |" for steps in STEPS))
    print("|--:|" + "--:|" * len(STEPS))
    for population in POPULATIONS:
        row = [
            np.mean([accuracy(seed, data, population, n, options.epochs) for seed in options.seeds])
            for n in STEPS
        ]
        print(f"| {population} |", *(f"{100 * mean:.1f} % |" for mean in row), flush=True)


if __name__ == "__main__":
    main()
