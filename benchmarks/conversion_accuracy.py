"""Trained ANNs, converted by jaxspike and by SpikingJelly: accuracy on a whole test set.

    python -m benchmarks.conversion_accuracy --data FOLDER --weights FOLDER --net cnn --seeds 0 1 2

The weights are those that `examples/convert_ann.py` saved. Both libraries convert the same ANN by
the same recipe on the same batches, and every test image is shown for 64 steps. A row has the
accuracy at T = 4, 8, 16, 32 and 64; then come the spikes of each layer in either library, and the
number of images whose answer after 64 steps differs.
"""

import argparse
import functools
import pathlib
import sys
import tempfile

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

import jaxspike as js

from .conversion import SpikingJelly
from .environments import HERE, python

sys.path.append(str(HERE.parent / "examples"))
import convert_ann as example
from images import read

RECIPES = {  # SpikingJelly's arguments and jaxspike's
    "RateCodingRecipe()": ({}, {"threshold": "max", "per": "layer", "v_init": 0.0, "average": 0.1}),
    'RateCodingRecipe("99%", channel_wise=True, half_threshold=True)': (
        {"mode": "99%", "channel_wise": True, "half_threshold": True},
        {"threshold": "99%", "average": 0.1},
    ),
}
BATCH = 250


@functools.partial(nnx.jit, static_argnums=2)
def run(snn, x, steps):
    """The answers after each step, and the number of spikes of each layer."""
    x_seq = jnp.broadcast_to(x, (steps, *x.shape))

    def step(carry, x):
        state, counts = carry
        state, y, records = js.debug.record(snn, state, x)
        return (state, counts + jnp.stack([r["output"].sum() for r in records.values()])), y

    first = (snn.init_state(x.shape), jnp.zeros(len(snn.neurons)))
    (_, counts), y = jax.lax.scan(step, first, x_seq)
    return jnp.cumsum(y, 0).argmax(-1), counts


def ours(ann, batches, x, recipe, steps):
    """The answers of jaxspike after each step, and the number of spikes of each layer."""
    snn = js.convert.spiking(ann, batches, **recipe)
    found = [run(snn, part, steps) for part in np.split(x, range(BATCH, len(x), BATCH))]
    answers, counts = zip(*found, strict=True)
    return np.concatenate(answers, 1), np.sum(np.array(counts, np.float64), 0)


def compare(path, ann, batches, x, labels, steps):
    """Print the rows of one ANN."""
    theirs = {name: options for name, (options, _) in RECIPES.items()}
    with tempfile.TemporaryDirectory() as folder:
        stacked = np.stack(batches)
        peer = SpikingJelly(path, ann, stacked, x, theirs, steps, BATCH, folder, pooled=0)
        peer.close()
    for name, (_, recipe) in RECIPES.items():
        result = peer.results[name]
        answers, counts = ours(ann, batches, x, recipe, steps)
        for library, given in (("SpikingJelly", result["answers"]), ("jaxspike", answers)):
            right = 100 * (given == labels).mean(1)
            cells = " | ".join(f"{right[t - 1]:.2f}" for t in example.AT if t <= steps)
            print(f"| {library} {name} | {cells} |")
        print(f"  spikes {counts.astype(int)}, SpikingJelly's {result['counts'].astype(int)}")
        different = (answers[-1] != result["answers"][-1]).sum()
        print(f"  different answers: {different} of {len(x)}", flush=True)


def main():
    """Read the command line and the weights, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--weights", type=pathlib.Path, required=True)
    parser.add_argument("--net", choices=list(example.NETS), nargs="+", default=list(example.NETS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--steps", type=int, default=example.STEPS)
    parser.add_argument("--images", type=int, help="use only the first of the test set")
    parser.add_argument("--spikingjelly", metavar="PYTHON", help="where it is installed")
    options = parser.parse_args()
    given = {"spikingjelly": options.spikingjelly} if options.spikingjelly else {}
    path = python("spikingjelly", given)
    data, (x, labels) = read(options.data)
    x, labels = x[: options.images], labels[: options.images]
    size, n = example.CALIBRATION
    batches = list(data[0][: size * n].reshape(n, size, *data[0].shape[1:]))
    for net in options.net:
        for seed in options.seeds:
            ann = example.NETS[net](example.ACTIVATIONS["relu"], nnx.Rngs(seed))
            file = options.weights / f"{net}-relu-{seed}.npz"
            if not file.exists():
                sys.exit(f"{file} is missing; `examples/convert_ann.py --save` writes it")
            example.trained(ann, data, options, seed, file)
            ann.eval()
            print(f"{net}, seed {seed}", flush=True)
            compare(path, ann, batches, x, labels, options.steps)


if __name__ == "__main__":
    main()
