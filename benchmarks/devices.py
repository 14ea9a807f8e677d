"""A train step on 1, 2, 4 and 8 simulated devices: the cost of sharding, and its correctness.

    python -m benchmarks.devices

The devices share one CPU. Up to its number of cores more of them can be faster, since the loops of
the neurons then run side by side; beyond that, a longer step shows the overhead of dividing the
batch and of adding up the gradients. Each number of devices runs in a process of its own; spikes
must be equal to those of one device, loss and new weights to 1e-5. The results are written to
``results/cpu/devices.json``, from which ``python -m benchmarks.table`` makes the last table of
``results/cpu/README.md``.
"""

import argparse
import datetime
import hashlib
import json
import os
import pathlib
import subprocess
import sys
import time

from .compare import ON, machine, positive
from .environments import HERE
from .table import sharded

STEPS, BATCH = 20, 128


def measure(calls):
    """The milliseconds of each call, a digest of the spikes, the loss and the new weights."""
    import jax
    import jax.numpy as jnp
    import numpy as np
    from flax import nnx
    from jax.sharding import Mesh, NamedSharding, PartitionSpec

    import jaxspike as js

    mesh = Mesh(np.array(jax.devices()), ("batch",))
    rngs = nnx.Rngs(0)
    net = js.nn.Sequential(
        nnx.Linear(784, 800, rngs=rngs), js.IF(), nnx.Linear(800, 10, rngs=rngs), js.IF()
    )
    graph, params = nnx.split(net)
    rng = np.random.default_rng(0)
    images = rng.random((STEPS, BATCH, 784), np.float32)
    labels = rng.integers(0, 10, BATCH)
    images = jax.device_put(images, NamedSharding(mesh, PartitionSpec(None, "batch")))
    labels = jax.device_put(labels, NamedSharding(mesh, PartitionSpec("batch")))
    params = jax.device_put(params, NamedSharding(mesh, PartitionSpec()))

    @jax.jit
    def train_step(params, images, labels):
        def loss(params):
            net = nnx.merge(graph, params)
            _, spikes = net(net.init_state(images.shape[1:]), images)
            return js.losses.cross_entropy(spikes, labels, js.readout.count), spikes

        (value, spikes), grads = jax.value_and_grad(loss, has_aux=True)(params)
        return jax.tree.map(lambda p, g: p - 0.1 * g, params, grads), value, spikes

    begin = time.perf_counter()
    compiled = train_step.lower(params, images, labels).compile()
    compile_s, ms = time.perf_counter() - begin, []
    for _ in range(calls + 1):
        begin = time.perf_counter()
        new, value, spikes = jax.block_until_ready(compiled(params, images, labels))
        ms.append(1e3 * (time.perf_counter() - begin))
    moved = jax.tree.map(jnp.subtract, new, params)
    return {
        "jax": jax.__version__,
        "devices": jax.device_count(),
        "compile_s": compile_s,
        "ms": ms[1:],
        "firing_rate": float(spikes.mean()),
        "spikes": hashlib.sha256(np.packbits(np.asarray(spikes) > 0)).hexdigest(),
        "loss": float(value),
        "moved": [
            np.asarray(m).ravel()[:: max(1, m.size // 1000)].tolist()
            for m in jax.tree.leaves(moved)
        ],
    }


def difference(row, one):
    """The largest relative difference of loss and weights; different spikes are an error."""
    if row["spikes"] != one["spikes"]:
        raise ValueError(f"{row['devices']} devices must give the spikes of one, got others.")
    pairs = [([row["loss"]], [one["loss"]]), *zip(row["moved"], one["moved"], strict=True)]
    largest = 0.0
    for a, b in pairs:
        scale = max(map(abs, b))
        largest = max(largest, *(abs(x - y) / scale for x, y in zip(a, b, strict=True)))
    if largest > 1e-5:
        raise ValueError(f"{row['devices']} devices must agree to 1e-5, differ by {largest:.1e}.")
    return largest


def main(arguments=None):
    """Measure every number of devices and write a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--counts", type=positive, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--calls", type=positive, default=15, help="timed calls of each")
    parser.add_argument("--measure", action="store_true", help="only this process, as JSON")
    parser.add_argument(
        "--out", type=pathlib.Path, default=HERE / "results" / "cpu" / "devices.json"
    )
    options = parser.parse_args(arguments)
    if options.measure:
        print(json.dumps(measure(options.calls)))
        return
    rows = []
    for count in options.counts:
        flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={count}"
        environment = os.environ | ON["cpu"] | {"XLA_FLAGS": flags.strip()}
        command = [sys.executable, "-m", "benchmarks.devices", "--measure"]
        answer = subprocess.run(
            [*command, "--calls", str(options.calls)],
            cwd=HERE.parent,
            env=environment,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        rows.append(json.loads(answer.stdout.splitlines()[-1]))
    for row in rows:
        row["difference"] = difference(row, rows[0])
    for row in rows:
        del row["moved"]
    result = {"date": datetime.date.today().isoformat(), "machine": machine(), "devices": rows}
    options.out.write_text(json.dumps(result, indent=1) + "\n")
    print(sharded(result), end="")


if __name__ == "__main__":
    main()
