"""Spiking networks on MNIST or Fashion-MNIST.

    python examples/images.py --data FOLDER --net mlp --seeds 0 1 2

FOLDER holds the four IDX files (plain or .gz); an .npz with x_train, y_train, x_test, y_test does
too. The accuracy is that of the last epoch on the whole test set. Every pixel is an input current
that lasts T = 4 time steps, and the output is the number of spikes (mlp) or the mean current (cnn).
"""

import argparse
import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from report import report

import jaxspike as js

STEPS = 4
FILES = {
    "x_train": "train-images-idx3-ubyte",
    "y_train": "train-labels-idx1-ubyte",
    "x_test": "t10k-images-idx3-ubyte",
    "y_test": "t10k-labels-idx1-ubyte",
}


def read(path):
    """Images ``[N, 28, 28, 1]``, 0 to 1, and labels, of the training and the test set."""
    if path.is_dir():
        found = {key: next(path.glob(f"{name}*")) for key, name in FILES.items()}
        arrays = {key: js.data.read_idx(file) for key, file in found.items()}
    else:
        arrays = np.load(path)
    for part in ("train", "test"):
        x = arrays[f"x_{part}"].astype(np.float32)[..., None] / 255
        yield x, arrays[f"y_{part}"].astype(np.int32)


def mlp(rngs):
    """784-800-10 integrate-and-fire neurons."""
    neuron = js.IF(surrogate=js.surrogate.Sigmoid())
    return js.nn.Sequential(
        js.nn.Flatten(),
        nnx.Linear(784, 800, rngs=rngs),
        neuron,
        nnx.Linear(800, 10, rngs=rngs),
        neuron,
    )


def cnn(rngs, width):
    """Three convolutions with neurons, and a readout of currents."""

    def block(inputs, outputs):
        return (
            nnx.Conv(inputs, outputs, (3, 3), use_bias=False, rngs=rngs),
            nnx.BatchNorm(outputs, momentum=0.9, rngs=rngs),
            js.LIF(tau=2.0, decay_input=False),
        )

    return js.nn.Sequential(
        *block(1, width),
        js.nn.MaxPool((2, 2)),
        *block(width, 2 * width),
        js.nn.MaxPool((2, 2)),
        *block(2 * width, 2 * width),
        js.nn.Flatten(),
        nnx.Linear(49 * 2 * width, 10, rngs=rngs),
    )


def encode(key, x, *, shift=0):
    """The images as a lasting current, moved by up to ``shift`` pixels."""
    if shift:
        move = jax.random.randint(key, (len(x), 2), 0, 2 * shift + 1)
        wide = jnp.pad(x, ((0, 0), (shift, shift), (shift, shift), (0, 0)))
        x = jax.vmap(lambda image, at: jax.lax.dynamic_slice(image, (*at, 0), (28, 28, 1)))(
            wide, move
        )
    return js.encode.direct(x, STEPS)


def run(options, seed):
    """Train from one seed; the history."""
    (x, y), (x_test, y_test) = read(options.data)
    rngs = nnx.Rngs(seed)
    net = mlp(rngs) if options.net == "mlp" else cnn(rngs, options.width)
    readout = js.readout.count if options.net == "mlp" else js.readout.rate
    steps = options.epochs * (len(x) // options.batch)
    schedule = optax.warmup_cosine_decay_schedule(0.0, options.lr, steps // 20, steps)
    optimizer = nnx.Optimizer(net, optax.adam(schedule), wrt=nnx.Param)

    def train(epoch):
        return js.data.batches((x, y), options.batch, seed=seed, epoch=epoch, drop_last=True)

    def loss(out, labels):
        return js.losses.cross_entropy(out, labels, readout)

    def accuracy(out, labels):
        return js.losses.accuracy(out, labels, readout)

    history = js.train.fit(
        net,
        optimizer,
        loss,
        train,
        options.epochs,
        key=jax.random.key(seed),
        encode=functools.partial(encode, shift=options.shift),
        accuracy=accuracy,
        checkpoints=options.checkpoints and options.checkpoints / str(seed),
    )
    test = js.data.batches((x_test, y_test), 500)
    return history, js.train.evaluate(net, test, loss, accuracy=accuracy, encode=encode)


def main():
    """Read the command line, train, report."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--net", choices=("mlp", "cnn"), default="mlp")
    parser.add_argument("--width", type=int, default=16, help="channels of the first convolution")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--shift", type=int, default=0, help="move images by up to so many pixels")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--checkpoints", type=Path)
    options = parser.parse_args()
    report(run, options)


if __name__ == "__main__":
    main()
