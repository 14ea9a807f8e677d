"""A train step on 1, 2, 4 and 8 simulated devices: what sharding costs, and that it is right.

    python -m benchmarks.devices

The devices share one CPU. Up to its number of cores more of them can be faster, since the loops of
the neurons then run side by side; beyond that, a longer step shows the overhead of dividing the
batch and of adding up the gradients. Each number of devices is a process of its own.
Written to ``results/cpu/devices.json``.
"""

import datetime
import json
import os
import statistics
import subprocess
import sys
import time

from .environments import HERE

COUNTS, STEPS, BATCH, CALLS = (1, 2, 4, 8), 20, 128, 15


def measure():
    """The milliseconds of each call, the loss and the updated weights' sums, on all devices."""
    import jax
    import jax.numpy as jnp
    import numpy as np
    import optax
    from flax import nnx
    from jax.sharding import Mesh, NamedSharding, PartitionSpec

    import jaxspike as js

    mesh = Mesh(np.array(jax.devices()), ("batch",))
    rngs = nnx.Rngs(0)
    net = js.nn.Sequential(
        nnx.Linear(784, 800, rngs=rngs),
        js.IF(),
        nnx.Linear(800, 10, rngs=rngs),
        js.IF(),
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
            counts = spikes.sum(0)
            return optax.softmax_cross_entropy_with_integer_labels(counts, labels).mean(), spikes

        (value, spikes), grads = jax.value_and_grad(loss, has_aux=True)(params)
        return jax.tree.map(lambda p, g: p - 0.1 * g, params, grads), value, spikes.sum()

    begin = time.perf_counter()
    compiled = train_step.lower(params, images, labels).compile()
    compile_s, ms = time.perf_counter() - begin, []
    for _ in range(CALLS + 1):
        begin = time.perf_counter()
        new, value, spikes = jax.block_until_ready(compiled(params, images, labels))
        ms.append(1e3 * (time.perf_counter() - begin))
    weights = jax.tree.leaves(new)
    return {
        "compile_s": compile_s,
        "ms": ms[1:],
        "loss": float(value),
        "spikes": float(spikes),
        "weights": [float(jnp.linalg.norm(w)) for w in weights],
        "jax": jax.__version__,
    }


def main():
    """Measure every number of devices and write a table."""
    rows = {}
    for count in COUNTS:
        environment = os.environ | {
            "XLA_FLAGS": f"--xla_force_host_platform_device_count={count}",
            "JAX_PLATFORMS": "cpu",
        }
        command = [sys.executable, "-m", "benchmarks.devices", "measure"]
        answer = subprocess.run(
            command, env=environment, check=True, stdout=subprocess.PIPE, text=True
        )
        rows[count] = json.loads(answer.stdout.splitlines()[-1])
    one = rows[1]
    print("| devices | ms | times one | compile, s | spikes that differ | loss differs by |")
    print("|--:|--:|--:|--:|--:|--:|")
    for count, row in rows.items():
        ms, alone = statistics.median(row["ms"]), statistics.median(one["ms"])
        print(
            f"| {count} | {ms:.1f} | {ms / alone:.2f} | {row['compile_s']:.2f} "
            f"| {abs(row['spikes'] - one['spikes']):.0f} | {abs(row['loss'] - one['loss']):.0e} |"
        )
    result = {"date": datetime.date.today().isoformat(), "devices": rows}
    path = HERE / "results" / "cpu" / "devices.json"
    path.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    if sys.argv[1:] == ["measure"]:
        print(json.dumps(measure()))
    else:
        main()
