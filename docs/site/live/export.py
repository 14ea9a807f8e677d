"""Train the network of the live page, and write it and what it must compute.

`python docs/site/live/export.py` (with `pip install 'jaxspike[demo,onnx]'`) writes `digits.onnx`,
the network with its loops over time, and `expected.json`: for a drawing and 20 digits that were
held out, the spikes of every neuron, as jaxspike computes them.
"""

import itertools
import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax2onnx import to_onnx

import jaxspike as js
from jaxspike.demo.data import digits

HERE = pathlib.Path(__file__).parent
HIDDEN, STEPS, EPOCHS, BATCH = 96, 8, 40, 64
STROKES = [[(9, 4), (9, 17), (23, 17)], [(19, 11), (19, 27)]]  # a four: corners, x and y of 32


class Digits(js.nn.SpikingModule):
    """64 pixels, 96 hidden neurons and 10 classes; returns the spikes of both layers."""

    def __init__(self, rngs):
        self.linear1, self.hidden = nnx.Linear(64, HIDDEN, rngs=rngs), js.LIF(tau=2.0)
        self.linear2, self.output = nnx.Linear(HIDDEN, 10, rngs=rngs), js.LIF(tau=2.0)

    def __call__(self, state, x):
        """One time step, or a sequence."""
        hidden, z = self.hidden(state["hidden"], self.linear1(x))
        output, y = self.output(state["output"], self.linear2(z))
        return {"hidden": hidden, "output": output}, (z, y)


@nnx.jit
def update(net, optimizer, x, labels):
    """One step of training."""

    def loss(net):
        y = net(net.init_state(x.shape), js.encode.direct(x, STEPS))[1][1]
        return js.losses.cross_entropy(y, labels, js.readout.count)

    optimizer.update(net, nnx.grad(loss)(net))


def moved(rng, x):
    """Images shifted by up to half a pixel, as a drawing may be."""
    images, shift = x.reshape(-1, 8, 8), rng.uniform(0, 0.5, (2, len(x), 1, 1))
    for axis, share in zip((1, 2), shift, strict=True):
        images = (1 - share) * images + share * np.roll(images, rng.choice((-1, 1)), axis)
    return images.reshape(-1, 64).astype(np.float32)


def train():
    """A network that reads digits, and its test accuracy."""
    data, rng = digits(), np.random.default_rng(0)
    x, x_test = data.x_train.reshape(-1, 64), data.x_test.reshape(-1, 64)
    net = Digits(nnx.Rngs(0))
    optimizer = nnx.Optimizer(net, optax.adam(3e-3), wrt=nnx.Param)
    for _ in range(EPOCHS):
        order = rng.permutation(len(x))[: len(x) // BATCH * BATCH].reshape(-1, BATCH)
        for rows in order:
            update(net, optimizer, moved(rng, x[rows]), data.y_train[rows])
    spikes = run(net, x_test, STEPS)[1]
    return net, float((spikes.sum(0).argmax(-1) == data.y_test).mean())


def drawing():
    """What a pen of 3 x 3 pixels leaves of the strokes, 32 x 32 binary pixels."""
    ink = np.zeros((32, 32), int)
    for stroke in STROKES:
        for (x0, y0), (x1, y1) in itertools.pairwise(stroke):
            ink[min(y0, y1) - 1 : max(y0, y1) + 2, min(x0, x1) - 1 : max(x0, x1) + 2] = 1
    return ink


def counted(ink):
    """The 8 x 8 pixels of a drawing: scaled to fill the frame, counted in blocks of 4 x 4."""
    ys, xs = np.nonzero(ink)
    scale = max(np.ptp(xs) + 1, np.ptp(ys) + 1) / 32
    place = (np.arange(32) + 0.5 - 16) * scale
    columns = np.floor((xs.min() + xs.max() + 1) / 2 + place).astype(int)
    rows = np.floor((ys.min() + ys.max() + 1) / 2 + place).astype(int)
    padded = np.pad(ink, 32)[rows[:, None] + 32, columns + 32]
    return padded.reshape(8, 4, 8, 4).sum((1, 3)).reshape(64)


def run(net, x, steps):
    """The spikes of both layers for images shown at every step."""
    return net(net.init_state(x.shape), js.encode.direct(jnp.asarray(x), steps))[1]


def sequence(net):
    """The network as a function of one array: the spikes of both layers, and their counts."""

    def f(x_seq):
        _, (z, y) = net(net.init_state(x_seq.shape[1:]), x_seq)
        return z, y, y.sum(0)

    return f


def main():
    """Train, export, and record what the network does."""
    net, accuracy = train()
    data, steps, ink = digits(), 16, drawing()
    x = np.concatenate([counted(ink)[None] / 16, data.x_test.reshape(-1, 64)[:20]])
    x, labels = x.astype(np.float32), [4, *data.y_test[:20].tolist()]
    z, y = (np.asarray(s).astype(int) for s in run(net, x, steps))
    expected = {
        "accuracy": round(accuracy, 4),
        "steps": steps,
        "pixels": (x * 16).astype(int).tolist(),
        "strokes": STROKES,  # of the first
        "ink": "".join(map(str, ink.ravel())),
        "labels": labels,
        "hidden": ["".join(map(str, s.ravel())) for s in z.transpose(1, 0, 2)],
        "output": ["".join(map(str, s.ravel())) for s in y.transpose(1, 0, 2)],
    }
    (HERE / "expected.json").write_text(json.dumps(expected) + "\n")
    model = to_onnx(sequence(net), [("T", "N", 64)])
    (HERE / "digits.onnx").write_bytes(model.SerializeToString())
    print(f"test accuracy {accuracy:.1%}, hidden rate {z.mean():.1%}, output rate {y.mean():.1%}")


if __name__ == "__main__":
    jax.config.update("jax_platforms", "cpu")
    main()
