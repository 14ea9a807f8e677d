"""Trained ANNs as spiking networks: test accuracy against the number of time steps.

    python examples/convert_ann.py --data FOLDER --net cnn residual --seeds 0 1 2 --save weights

FOLDER holds the four IDX files of MNIST or Fashion-MNIST (plain or .gz); an .npz with x_train,
y_train, x_test, y_test works too. Each network is trained as an ANN with relu and with QCFS, is
converted by several recipes, and sees every test image for 64 steps. Weights are read from the
folder of ``--save`` if they are there.
"""

import argparse
import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from images import read

import jaxspike as js

STEPS, AT = 64, (4, 8, 16, 32, 64)
LEVELS = 8  # of QCFS
BATCH = 250  # test images at once
CALIBRATION = 100, 20  # images in a batch, and batches
LAYER = {"per": "layer", "v_init": 0.0}
RECIPES = {  # of relu
    "default": {},
    "balanced": {"threshold": "balanced"},
    "99.9 %, per layer": {"threshold": "99.9%", **LAYER},
    "SpikingJelly's RateCodingRecipe()": {"threshold": "max", "average": 0.1, **LAYER},
}


class ANN(nnx.Module):
    """Convolutions with batch normalization, and a linear layer; from 28 x 28 to 7 x 7 pixels."""

    def __init__(self, channels, activation, rngs):
        pairs = list(zip((1, *channels), channels, strict=False))
        strides = [2] + [1] * (len(pairs) - 1)
        self.convs = nnx.List(
            nnx.Conv(a, b, (3, 3), s, padding=1, use_bias=False, rngs=rngs)
            for (a, b), s in zip(pairs, strides, strict=True)
        )
        self.norms = nnx.List(nnx.BatchNorm(b, momentum=0.9, rngs=rngs) for _, b in pairs)
        self.activations = nnx.List(activation() for _ in pairs)
        self.linear = nnx.Linear(49 * channels[-1], 10, rngs=rngs)

    def current(self, i, x):
        """The input of activation i."""
        return self.norms[i](self.convs[i](x))

    def layer(self, i, x):
        """Layer i."""
        return self.activations[i](self.current(i, x))


class CNN(ANN):
    """Three convolutions."""

    def __init__(self, activation, rngs):
        super().__init__((16, 16, 16), activation, rngs)

    def __call__(self, x):
        """Images to logits."""
        x = halve(self.layer(0, x))
        return self.linear(self.layer(2, self.layer(1, x)).reshape(len(x), -1))


class Residual(ANN):
    """A convolution and two residual blocks of two."""

    def __init__(self, activation, rngs):
        super().__init__((12,) * 5, activation, rngs)

    def block(self, i, x):
        """Layers i and i + 1, whose sum with x is rectified."""
        return self.activations[i + 1](x + self.current(i + 1, self.layer(i, x)))

    def __call__(self, x):
        """Images to logits."""
        x = halve(self.layer(0, x))
        return self.linear(self.block(3, self.block(1, x)).reshape(len(x), -1))


NETS = {"cnn": CNN, "residual": Residual}
ACTIVATIONS = {
    "relu": lambda: Rectify(),
    "qcfs": lambda: js.nn.QCFS(LEVELS, threshold=4.0),
}


class Rectify(nnx.Module):
    """A relu as a layer, which has no parameters."""

    def __call__(self, x):
        """The positive part."""
        return nnx.relu(x)


def halve(x):
    """Average pooling."""
    return nnx.avg_pool(x, (2, 2), (2, 2))


@nnx.jit
def train_step(ann, optimizer, x, labels):
    """One step on the cross-entropy."""

    def loss(ann):
        return optax.softmax_cross_entropy_with_integer_labels(ann(x), labels).mean()

    optimizer.update(ann, nnx.grad(loss)(ann))


def train(ann, data, options, seed):
    """Train an ANN in place; it is in evaluation mode then."""
    steps = options.epochs * (len(data[1]) // options.batch)
    optimizer = nnx.Optimizer(
        ann, optax.adam(optax.cosine_decay_schedule(options.lr, steps)), wrt=nnx.Param
    )
    ann.train()
    for epoch in range(options.epochs):
        batches = js.data.batches(data, options.batch, seed=seed, epoch=epoch, drop_last=True)
        for x, labels in batches:
            train_step(ann, optimizer, jnp.asarray(x), jnp.asarray(labels))
    ann.eval()


def trained(ann, data, options, seed, file):
    """Train an ANN in place, or read its weights."""
    leaves, tree = jax.tree.flatten(nnx.state(ann))
    if file.exists():
        with np.load(file) as saved:
            leaves = [jnp.asarray(saved[str(i)]) for i in range(len(leaves))]
        nnx.update(ann, jax.tree.unflatten(tree, leaves))
        ann.eval()
        return ann
    train(ann, data, options, seed)
    leaves = jax.tree.leaves(nnx.state(ann))
    file.parent.mkdir(parents=True, exist_ok=True)
    np.savez(file, **{str(i): np.asarray(leaf) for i, leaf in enumerate(leaves)})
    return ann


def score(predict, test):
    """Percent of right answers: a number, or one per number of steps, of ``predict(x)``."""
    right = [np.asarray(predict(x)) == labels for x, labels in js.data.batches(test, BATCH)]
    return 100 * np.concatenate(right, -1).mean(-1)


@functools.partial(nnx.jit, static_argnums=2)
def predict(snn, x, steps):
    """The answers after each step."""
    x_seq = jnp.broadcast_to(x, (steps, *x.shape))
    _, y_seq = js.scan(snn, snn.init_state(x.shape), x_seq, order="step")
    return snn.estimates(y_seq).argmax(-1)


def spiking_score(snn, test, steps=STEPS):
    """Percent of right answers after each step."""
    return score(lambda x: predict(snn, x, steps), test)


def rows_of(ann, quantized, batches, test):
    """Name, and accuracy at each number of steps or None, of each row."""
    answer = nnx.jit(lambda ann, x: ann(x).argmax(-1))
    yield "ANN", [float(score(functools.partial(answer, ann), test))] * len(AT)
    for name, recipe in RECIPES.items():
        many = batches * 30 if name == "balanced" else batches
        snn = js.convert.spiking(ann, many, **recipe)
        scores = spiking_score(snn, test)
        yield name, [float(scores[t - 1]) for t in AT]
        if name == "default":
            cells = []
            for t in AT[:3]:
                calibrated = js.convert.calibrate_potentials(snn, batches, steps=t)
                cells.append(float(spiking_score(calibrated, test, t)[-1]))
            yield "default, potentials calibrated", [*cells, None, None]
    yield "quantized ANN", [float(score(functools.partial(answer, quantized), test))] * len(AT)
    scores = spiking_score(js.convert.spiking(quantized, batches), test)
    yield "QCFS", [float(scores[t - 1]) for t in AT]
    snn = js.convert.signed_spiking(quantized, batches[0])
    scores = spiking_score(snn, test, AT[3])
    yield "QCFS, signed spikes", [*(float(scores[t - 1]) for t in AT[:4]), None]


def table(rows):
    """Rows of cells for each seed as lines: mean and standard deviation over the seeds."""
    yield f"| recipe | {' | '.join(f'T = {t}' for t in AT)} |"
    yield f"|---|{'--:|' * len(AT)}"
    for name, seeds in rows.items():
        columns = zip(*seeds, strict=True)
        cells = ["" if None in c else f"{np.mean(c):.2f} ± {np.std(c):.2f}" for c in columns]
        yield f"| {name} | {' | '.join(cells)} |"


def main():
    """Read the command line, train, convert, print a table for each network."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--net", choices=list(NETS), nargs="+", default=list(NETS))
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--lr", type=float, default=4e-3)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--save", type=Path, default=Path("weights"), help="folder of the weights")
    options = parser.parse_args()
    data, test = read(options.data)
    size, n = CALIBRATION
    batches = np.split(data[0][: size * n], range(size, min(size * n, len(data[0])), size))
    for name in options.net:
        rows = {}
        for seed in options.seeds:
            anns = []
            for kind, activation in ACTIVATIONS.items():
                ann = NETS[name](activation, nnx.Rngs(seed))
                file = options.save / f"{name}-{kind}-{seed}.npz"
                anns.append(trained(ann, data, options, seed, file))
            for row, cells in rows_of(*anns, batches, test):
                rows.setdefault(row, []).append(cells)
                print(name, seed, row, cells, flush=True)
        print("", f"{name}:", "", *table(rows), "", sep="\n", flush=True)


if __name__ == "__main__":
    main()
