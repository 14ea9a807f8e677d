"""A convolutional spiking network on N-MNIST, digits as an event camera sees them.

    python examples/nmnist.py --data FOLDER --seeds 0 1 2

FOLDER holds the data set as it is published, Train/0 to Train/9 and Test/0 to Test/9 with .bin
files; an .npz with the events of all recordings ({train,test}_t, _x, _yy, _p, their _off and the
labels _y) does too. The accuracy is that of the last epoch on the whole test set.
"""

import argparse
from pathlib import Path

import jax
import numpy as np
import optax
from flax import nnx
from report import report

import jaxspike as js

STEPS, SIZE = 10, (34, 34)


def recordings(path, part):
    """The events of one part of the data set, with their labels."""
    if path.is_dir():
        for file in sorted((path / part.title()).glob("*/*.bin")):
            yield js.data.read_nmnist(file), int(file.parent.name)
    else:
        arrays = np.load(path)
        columns = [arrays[f"{part}_{name}"] for name in ("t", "x", "yy", "p")]
        bounds = arrays[f"{part}_off"]
        for a, b, y in zip(bounds[:-1], bounds[1:], arrays[f"{part}_y"], strict=True):
            yield js.data.Events(*(column[a:b] for column in columns)), int(y)


def read(path, part):
    """Frames ``[N, T, H, W, 2]`` of equally long time steps, and labels."""
    frames, labels = [], []
    for events, label in recordings(path, part):
        frames.append(js.data.to_frames(events, SIZE, frames=STEPS))
        labels.append(label)
    return np.stack(frames), np.array(labels)


def network(rngs, width=16):
    """Three convolutions with neurons; the output is a current for each digit."""

    def block(inputs, outputs):
        return (
            nnx.Conv(inputs, outputs, (3, 3), use_bias=False, rngs=rngs),
            nnx.BatchNorm(outputs, momentum=0.9, rngs=rngs),
            js.LIF(tau=2.0, decay_input=False),
            js.nn.AvgPool((2, 2)),
        )

    return js.nn.Sequential(
        *block(2, width),
        *block(width, 2 * width),
        *block(2 * width, 2 * width),
        js.nn.Flatten(),
        js.nn.Dropout(0.3, rngs=rngs),
        nnx.Linear(4 * 4 * 2 * width, 10, rngs=rngs),
    )


def encode(key, x, *, train):
    """Time in front; in training the camera is moved by up to two pixels."""
    x = x.swapaxes(0, 1)
    if train:
        up, left = jax.random.randint(key, (2,), -2, 3)
        x = jax.numpy.roll(x, (up, left), (-3, -2))
    return x


def run(options, seed):
    """Train from one seed; the history, and the score on the test set."""
    (x, y), (x_test, y_test) = (read(options.data, part) for part in ("train", "test"))
    net = network(nnx.Rngs(seed))
    steps = options.epochs * (len(x) // options.batch)
    schedule = optax.warmup_cosine_decay_schedule(0.0, options.lr, steps // 20, steps)
    optimizer = nnx.Optimizer(net, optax.adamw(schedule, weight_decay=1e-3), wrt=nnx.Param)

    def loss(out, labels):
        return js.losses.cross_entropy(out, labels, js.readout.rate)

    def accuracy(out, labels):
        return js.losses.accuracy(out, labels, js.readout.rate)

    def train(epoch):
        return js.data.batches((x, y), options.batch, seed=seed, epoch=epoch, drop_last=True)

    history = js.train.fit(
        net,
        optimizer,
        loss,
        train,
        options.epochs,
        key=jax.random.key(seed),
        encode=lambda key, x: encode(key, x, train=True),
        accuracy=accuracy,
    )
    test = list(js.data.batches((x_test, y_test), 100))
    score = js.train.evaluate(
        net, test, loss, accuracy=accuracy, encode=lambda key, x: encode(key, x, train=False)
    )
    return history, score


def main():
    """Read the command line, train, report."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=25)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    report(run, parser.parse_args())


if __name__ == "__main__":
    main()
