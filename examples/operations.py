"""Accuracy against operations: train for fewer operations, and draw the front.

    python examples/operations.py --save front.png

A network of 64-100-10 integrate-and-fire neurons learns the 8x8 digits that come with the package,
once for each ``--price`` of an operation in the loss. Accuracy and operations are those of the
held-out digits, counted exactly. ``--save`` draws them.
"""

import argparse

import jax.numpy as jnp
import optax
from flax import nnx

import jaxspike as js
from jaxspike.demo.data import digits

STEPS, BATCH = 8, 128


def make(rngs):
    """Two layers of integrate-and-fire neurons."""
    neuron = js.IF(surrogate=js.surrogate.ATan(), detach_reset=True)
    return js.nn.Sequential(
        nnx.Linear(64, 100, rngs=rngs), neuron, nnx.Linear(100, 10, rngs=rngs), neuron
    )


def encode(x):
    """Images ``[N, 8, 8]`` as constant currents ``[T, N, 64]``."""
    return js.encode.direct(jnp.asarray(x).reshape(-1, 64), STEPS)


@nnx.jit
def train_step(net, optimizer, x_seq, labels, price):
    """One step on the cross-entropy plus the price of the operations of a sample."""

    def loss(net):
        step = js.cost.with_operations(net)
        _, (y_seq, n) = step(net.init_state(x_seq.shape[1:]), x_seq)
        error = js.losses.cross_entropy(y_seq, labels, js.readout.count)
        return error + price * n / len(labels)

    value, grads = nnx.value_and_grad(loss)(net)
    optimizer.update(net, grads)
    return value


def train(data, price, epochs, seed):
    """A network that was trained with a price, its accuracy, and its operations per sample."""
    net = make(nnx.Rngs(seed))
    optimizer = nnx.Optimizer(net, optax.adam(2e-3), wrt=nnx.Param)
    for epoch in range(epochs):
        batches = js.data.batches(
            (data.x_train, data.y_train), BATCH, seed=seed, epoch=epoch, drop_last=True
        )
        for x, labels in batches:
            train_step(net, optimizer, encode(x), jnp.asarray(labels), jnp.float32(price))
    x_seq = encode(data.x_test)
    state = net.init_state(x_seq.shape[1:])
    y_seq = nnx.jit(lambda net, x: net(state, x)[1])(net, x_seq)
    accuracy = js.losses.accuracy(y_seq, jnp.asarray(data.y_test), js.readout.count)
    return net, float(accuracy), js.cost.operations(net, state, x_seq).per_sample()


def draw(rows, path):
    """The front: accuracy over operations, a point per price."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 3.5), layout="constrained")
    ax = figure.subplots()
    operations, accuracies = [row[2] for row in rows], [row[1] for row in rows]
    ax.semilogx(operations, accuracies, "o-", color="#1f2933")
    for price, accuracy, n in rows:
        ax.annotate(f"{price:g}", (n, accuracy), (4, -10), textcoords="offset points", fontsize=8)
    ax.set(xlabel="accumulations per sample", ylabel="accuracy, %", title="Price per operation")
    ax.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)


def main():
    """Read the command line, train once per price, report."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--prices", type=float, nargs="+", default=[0, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2]
    )
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--save", help="a file to draw the front in")
    options = parser.parse_args()
    data, rows = digits(), []
    for price in options.prices:
        _, accuracy, counts = train(data, price, options.epochs, options.seed)
        rows.append((price, 100 * accuracy, counts["ac"]))
        print(
            f"price {price:g}: test accuracy {100 * accuracy:.2f} %, "
            f"{counts['ac']:,.0f} accumulations and {counts['mac']:,.0f} multiply-accumulates",
            flush=True,
        )
    if options.save:
        draw(rows, options.save)


if __name__ == "__main__":
    main()
