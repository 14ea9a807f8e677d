"""Converted networks beside SpikingJelly's: spikes first, then the time of 64 steps.

    export XLA_FLAGS=--xla_cpu_multi_thread_eigen=false OMP_NUM_THREADS=1
    python -m benchmarks.conversion

Both libraries convert the same ANN by the same recipe, the 99 % percentile per channel and half a
threshold to start from, and run T steps of the same images. Their spikes are counted and their
outputs compared before anything is timed. Then they take turns, each timed right after an untimed
run of itself, in seconds of CPU, which other programs on the machine hardly change; with the
variables above, of one thread. A row has the median milliseconds, and how many times as fast as the
faster of SpikingJelly's two step modes it is, the median over the rounds.
"""

import argparse
import functools
import json
import os
import pathlib
import statistics
import subprocess
import tempfile
import time

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

import jaxspike as js

from .environments import HERE, python

STEPS = 64
RECIPE = {"mode": "99%", "channel_wise": True, "half_threshold": True}
NETWORKS = {  # channels of the convolutions
    "three convolutions": (16, 32, 32),
    "residual, five convolutions": (16, 16, 16, 16, 16),
}


class ANN(nnx.Module):
    """Convolutions with batch normalization, and a linear layer; from 28 x 28 to 7 x 7 pixels."""

    def __init__(self, channels, rngs):
        pairs = list(zip((1, *channels), channels, strict=False))
        self.convs = nnx.List(
            nnx.Conv(a, b, (3, 3), 1 + (i == 0), padding=1, use_bias=False, rngs=rngs)
            for i, (a, b) in enumerate(pairs)
        )
        self.norms = nnx.List(nnx.BatchNorm(b, rngs=rngs) for _, b in pairs)
        self.linear = nnx.Linear(49 * channels[-1], 10, rngs=rngs)

    def current(self, i, x):
        """The input of activation i."""
        return self.norms[i](self.convs[i](x))

    def block(self, i, x):
        """Layers i and i + 1, whose sum with x is rectified."""
        return nnx.relu(x + self.current(i + 1, nnx.relu(self.current(i, x))))

    def __call__(self, x):
        """Images to logits."""
        x = nnx.relu(self.current(0, x))
        residual = len(self.convs) == 5
        x = self.block(1, x) if residual else nnx.relu(self.current(1, x))
        x = nnx.avg_pool(x, (2, 2), (2, 2))
        x = self.block(3, x) if residual else nnx.relu(self.current(2, x))
        return self.linear(x.reshape(len(x), -1))


def make(channels):
    """An ANN with random weights, whose statistics are those of random images."""
    rngs = nnx.Rngs(0)
    ann = ANN(channels, rngs)
    for norm in ann.norms:
        norm.bias[...] = 0.3 * jax.random.normal(rngs.params(), norm.bias.shape)
    for _ in range(300):  # of batch normalization, with momentum 0.99
        ann(jax.random.uniform(rngs.params(), (32, 28, 28, 1)))
    ann.eval()
    return ann


def torch_arrays(ann):
    """Its weights with PyTorch's names and axes."""
    arrays = {}
    for i, (conv, norm) in enumerate(zip(ann.convs, ann.norms, strict=True)):
        arrays[f"conv{i}.weight"] = np.transpose(conv.kernel[...], (3, 2, 0, 1))
        arrays[f"norm{i}.weight"], arrays[f"norm{i}.bias"] = norm.scale[...], norm.bias[...]
        arrays[f"norm{i}.running_mean"] = norm.mean[...]
        arrays[f"norm{i}.running_var"] = norm.var[...]
    kernel = np.asarray(ann.linear.kernel[...]).reshape(7, 7, -1, 10)
    arrays["linear.weight"] = np.transpose(kernel, (3, 2, 0, 1)).reshape(10, -1)
    return {**arrays, "linear.bias": ann.linear.bias[...]}


class SpikingJelly:
    """SpikingJelly's networks for an ANN, in a process of its own."""

    def __init__(self, path, ann, batches, x, recipes, steps, batch, folder, pooled=1):
        """Convert by recipes, and run all images; pooling is after layer or block ``pooled``."""
        folder = pathlib.Path(folder)
        residual = len(ann.convs) == 5
        info = {"steps": steps, "batch": batch, "recipes": recipes}
        info |= {"residual": residual, "pooled": pooled}
        images = {"batches": np.moveaxis(batches, -1, -3), "x": np.moveaxis(x, -1, -3)}
        np.savez(folder / "arrays.npz", info=json.dumps(info), **images, **torch_arrays(ann))
        script = HERE / "conversion_spikingjelly.py"
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen(
            [path, str(script), str(folder)], stderr=subprocess.DEVNULL, **pipes
        )
        if not self.process.stdout.readline():
            raise RuntimeError(f"{path} {script} ended without results")
        self.results = {}
        for i, name in enumerate(recipes):
            with np.load(folder / f"{i}.npz") as file:
                self.results[name] = dict(file)

    def ms(self, name, mode):
        """The time of one run over a batch, right after another."""
        self.process.stdin.write(f"{name}/{mode}\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def close(self):
        """End the process."""
        self.process.stdin.close()
        self.process.wait()


@functools.partial(nnx.jit, static_argnums=(2, 3))
def run(snn, x, steps, order):
    """The outputs for constant images."""
    x_seq = jnp.broadcast_to(x, (steps, *x.shape))
    return js.scan(snn, snn.init_state(x.shape), x_seq, order=order)[1]


@functools.partial(nnx.jit, static_argnums=2)
def spikes(snn, x, steps):
    """The number of spikes of each layer, and the mean output."""
    x_seq = jnp.broadcast_to(x, (steps, *x.shape))
    _, y, records = js.debug.record(snn, snn.init_state(x.shape), x_seq)
    return jnp.stack([r["output"].sum() for r in records.values()]), y.mean(0)


def time_of(program):
    """The milliseconds of CPU of a call, right after another."""
    jax.block_until_ready(program())
    begin = time.process_time()
    jax.block_until_ready(program())
    return 1e3 * (time.process_time() - begin)


def measure(path, channels, steps, batch, rounds):
    """Compare and time one network: ``{row: [ms per round]}``."""
    ann, rng = make(channels), np.random.default_rng(1)
    batches = rng.random((1, 64, 28, 28, 1), np.float32)
    x = rng.random((batch, 28, 28, 1), np.float32)
    snn = js.convert.spiking(ann, list(batches))
    with tempfile.TemporaryDirectory() as folder:
        peer = SpikingJelly(path, ann, batches, x, {"99": RECIPE}, steps, batch, folder)
        theirs = peer.results["99"]
        counts, mean = spikes(snn, x, steps)
        print(f"  spikes {counts.astype(int)}, SpikingJelly's {theirs['counts'].astype(int)}")
        print(f"  largest difference of the mean output {abs(mean - theirs['mean']).max():.2g}")
        programs = {
            **{
                f'jaxspike, order="{o}"': functools.partial(
                    time_of, functools.partial(run, snn, x, steps, o)
                )
                for o in ("step", "layer")
            },
            **{f'SpikingJelly, step_mode="{m}"': functools.partial(peer.ms, "99", m) for m in "sm"},
        }
        times = {row: [] for row in programs}
        for i in range(rounds):
            for row in list(programs)[:: 1 if i % 2 else -1]:
                times[row].append(programs[row]())
        peer.close()
    return times


def main():
    """Read the command line, compare, measure, print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--spikingjelly", metavar="PYTHON", help="where it is installed")
    options = parser.parse_args()
    given = {"spikingjelly": options.spikingjelly} if options.spikingjelly else {}
    path = python("spikingjelly", given)
    print(f"jax {jax.__version__}, load {os.getloadavg()[0]:.1f}")
    for name, channels in NETWORKS.items():
        print(name, flush=True)
        times = measure(path, channels, options.steps, options.batch, options.rounds)
        theirs = [min(pair) for pair in zip(*list(times.values())[2:], strict=True)]
        for row, ms in times.items():
            ratio = statistics.median(b / a for a, b in zip(ms, theirs, strict=True))
            print(f"| {row} | {statistics.median(ms):.0f} | {ratio:.2f} |", flush=True)


if __name__ == "__main__":
    main()
