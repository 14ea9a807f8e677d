"""What training SEW-ResNet-18 on ImageNet would take on 8 and 64 accelerators: an estimate.

    python -m benchmarks.scale

It compiles the train step of ``docs/imagenet.md`` for as many simulated devices and reads the
work of each device from the compiled program: operations, bytes, memory, and what the devices send
each other. Nothing is run. The results are written to ``results/scale.json``; with what makers
publish of their accelerators, and the `ASSUMED` shares of it, they make the tables that
``docs/training.md`` has. ``--tables`` prints them without compiling.
"""

import argparse
import collections
import datetime
import json
import math
import os
import pathlib
import re
import subprocess
import sys

from .environments import HERE

FILE = HERE / "results" / "scale.json"
IMAGES, EPOCHS = 1_281_167, 320
STEPS, BATCH, SIZE, CLASSES, WIDTH = 4, 32, 224, 1000, 64  # the batch is that of a device

#: As their makers publish them: operations a second in bfloat16 without sparsity, bytes a second
#: of the memory, its bytes, and bytes a second that a device can send to others among up to 8, and
#: beyond.
ACCELERATORS = {
    "H100": (989e12, 3.35e12, 80e9, 450e9, 50e9),
    "TPU v5e": (197e12, 819e9, 16e9, 200e9, 200e9),
}
#: Shares of the published numbers, and the seconds that one collective takes to begin.
ASSUMED = {"operations": 0.3, "memory": 0.7, "links": 0.7, "latency": 30e-6}
#: Forward, a convolution reads its input and writes its output; mean and variance read it; the
#: normalization with the neuron reads it and writes spikes. Backward, the neuron reads a gradient
#: and its current and writes; two sums for the normalization read both; the normalization reads
#: both and writes; the gradient of the kernel reads both, that of the input reads one and writes.
PASSES = 2 + 2 + 2 + 3 + 2 + 3 + 4
COLLECTIVES = "all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute"
BYTES = {"pred": 1, "s8": 1, "u8": 1, "bf16": 2, "f16": 2, "s32": 4, "u32": 4, "f32": 4, "s64": 8}


def convolutions(size=SIZE, width=WIDTH):
    """For each convolution the positions of an image, the weights of an output, and the outputs."""
    side = size // 2
    found, inputs = [(side**2, 7**2 * 3, width)], width
    side //= 2
    for stage in range(4):
        outputs = width * 2**stage
        if stage:
            side //= 2
            found.append((side**2, inputs, outputs))  # the shortcut
        found.append((side**2, 3**2 * inputs, outputs))
        found += 3 * [(side**2, 3**2 * outputs, outputs)]
        inputs = outputs
    return found


def counted(size=SIZE, width=WIDTH):
    """What a train step of one device does, counted by hand.

    The operations of the convolutions: a multiplication and an addition for each weight and
    position, forward, for the gradient of the kernel and for that of the input, which the stem has
    not. The bytes in bfloat16 if every layer is one pass over its numbers, `PASSES` in all for an
    output of a convolution. The bytes that the devices add, in float32: a gradient for each
    parameter, the mean, the variance and two sums of their gradients for each channel, the loss.
    """
    layers, images = convolutions(size, width), STEPS * BATCH
    macs = [math.prod(layer) for layer in layers]
    channels = sum(n for _, _, n in layers)
    last = layers[-1][-1]
    parameters = sum(m * n for _, m, n in layers) + 2 * channels + (last + 1) * CLASSES
    return {
        "operations": 2 * (3 * sum(macs) - macs[0]) * images,
        "bytes": 2 * PASSES * sum(places * n for places, _, n in layers) * images,
        "sums": 4 * (parameters + 4 * channels + 1),
    }


def collectives(text):
    """The number and the bytes of the collectives of a compiled program, by kind."""
    found = collections.defaultdict(lambda: [0, 0])
    for shapes, kind in re.findall(rf"= (.*?) ({'|'.join(COLLECTIVES)})(?:-start)?\(", text):
        found[kind][0] += 1
        for name, sizes in re.findall(r"(\w+)\[([\d,]*)\]", shapes):
            found[kind][1] += BYTES[name] * math.prod(int(n) for n in sizes.split(",") if n)
    return dict(found)


def measure(size, width):
    """What one device does in a train step, from the program compiled for all devices."""
    import jax
    import jax.numpy as jnp
    import optax
    from flax import nnx
    from jax.sharding import Mesh, NamedSharding, PartitionSpec as P

    import jaxspike as js

    mesh = Mesh(jax.devices(), ("data",))
    n = BATCH * jax.device_count()

    def make():
        net = js.models.sew_resnet18(CLASSES, width=width, rngs=nnx.Rngs(0))
        for _, layer in nnx.iter_modules(net):
            if isinstance(layer, nnx.Conv | nnx.BatchNorm):
                layer.dtype = jnp.bfloat16
        return net

    graph, params, rest = nnx.split(nnx.eval_shape(make), nnx.Param, ...)
    optimizer = optax.sgd(0.1, momentum=0.9)

    def train_step(params, rest, moments, images, labels):
        def loss(params):
            net = nnx.merge(graph, params, rest, copy=True)
            x = js.encode.direct(images.astype(jnp.bfloat16), STEPS)
            _, y = net(net.init_state(images.shape), x)
            return js.losses.cross_entropy(y, labels), nnx.state(net, nnx.Not(nnx.Param))

        (value, rest), gradients = jax.value_and_grad(loss, has_aux=True)(params)
        updates, moments = optimizer.update(gradients, moments, params)
        return optax.apply_updates(params, updates), rest, moments, value

    def on(spec, tree):
        return jax.tree.map(
            lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=NamedSharding(mesh, spec)),
            tree,
        )

    variables = on(P(), (params, rest, jax.eval_shape(optimizer.init, params)))
    images = jax.ShapeDtypeStruct((n, size, size, 3), jnp.float32)
    batch = on(P("data"), (images, jax.ShapeDtypeStruct((n,), jnp.int32)))
    compiled = jax.jit(train_step, donate_argnums=(0, 1, 2)).lower(*variables, *batch).compile()
    cost, memory = compiled.cost_analysis(), compiled.memory_analysis()
    return {
        "jax": jax.__version__,
        "devices": jax.device_count(),
        "operations": cost["flops"],
        "counted": counted(size, width),
        "bytes": cost["bytes accessed"],
        "memory": memory.argument_size_in_bytes + memory.temp_size_in_bytes,
        "collectives": collectives(compiled.as_text()),
    }


def on_devices(count, *options):
    """`measure` in a process with so many simulated devices."""
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={count}"
    command = [sys.executable, "-m", "benchmarks.scale", "--measure", *options]
    env = os.environ | {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags.strip()}
    pipe = subprocess.PIPE
    done = subprocess.run(command, cwd=HERE.parent, env=env, check=True, stdout=pipe, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def estimate(row, accelerator):
    """Seconds of a train step: operations, memory, sums over the devices, and the whole step.

    The memory, and with it the step, at least and at most: with the bytes counted by hand, and with
    those of the program that was compiled for a CPU. Operations and memory overlap; sums, which a
    ring of devices sends, do not.
    """
    operations, memory, _, near, far = ACCELERATORS[accelerator]
    n = row["devices"]
    number, size = map(sum, zip(*row["collectives"].values(), strict=True))
    link = ASSUMED["links"] * (near if n <= 8 else far)
    work = row["operations"] / (ASSUMED["operations"] * operations)
    bounds = [b / (ASSUMED["memory"] * memory) for b in (row["counted"]["bytes"], row["bytes"])]
    sums = 2 * (n - 1) / n * size / link + ASSUMED["latency"] * number
    steps = [max(work, bound) + sums for bound in bounds]
    return {"operations": [work], "memory": bounds, "sums": [sums], "step": steps}


def tables(rows):
    """What the program does, and the estimates, as tables."""

    def sums(row):
        return sum(size for _, size in row["collectives"].values())

    lines = {
        "images in a batch": lambda row: f"{BATCH * row['devices']:,}",
        "TFLOP, of a device": lambda row: f"{row['operations'] / 1e12:.3f}",
        "... of convolutions, by hand": lambda row: f"{row['counted']['operations'] / 1e12:.3f}",
        "GB read and written, by XLA for a CPU": lambda row: f"{row['bytes'] / 1e9:.1f}",
        "... by hand, a pass for each layer": lambda row: f"{row['counted']['bytes'] / 1e9:.1f}",
        "GB of memory, by XLA for a CPU": lambda row: f"{row['memory'] / 1e9:.1f}",
        "collectives": lambda row: ", ".join(
            f"{n} {kind}" for kind, (n, _) in row["collectives"].items()
        ),
        "bytes that they add": lambda row: f"{sums(row):,}",
        "... by hand": lambda row: f"{row['counted']['sums']:,}",
    }
    work = [["", *(f"{row['devices']} devices" for row in rows)]]
    work += [[name, *map(cell, rows)] for name, cell in lines.items()]
    head = ["", "operations, ms", "memory, ms", "sums, ms", "step, ms", "images / s"]
    times = [[*head, f"{EPOCHS} epochs, hours"]]
    for row in rows:
        for name in ACCELERATORS:
            found, batch = estimate(row, name), BATCH * row["devices"]
            cells = [_range(1e3 * t for t in part) for part in found.values()]
            cells.append(_range(batch / t for t in reversed(found["step"])))
            hours = (EPOCHS * IMAGES / batch * t / 3600 for t in found["step"])
            times.append([f"{row['devices']} {name}", *cells, _range(hours)])
    return "\n".join(map(_table, (work, times)))


def _range(values):
    return " to ".join(f"{float(f'{value:.2g}'):,g}" for value in values)


def _table(rows):
    lines = [rows[0], ["---", *["--:"] * (len(rows[0]) - 1)], *rows[1:]]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def main(arguments=None):
    """Compile for every number of devices and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--devices", type=int, nargs="+", default=[8, 64])
    parser.add_argument("--size", type=int, default=SIZE, help="pixels of a side of an image")
    parser.add_argument("--width", type=int, default=WIDTH, help="channels of the first stage")
    parser.add_argument("--out", type=pathlib.Path, default=FILE)
    parser.add_argument("--measure", action="store_true", help="only this process, as JSON")
    parser.add_argument("--tables", action="store_true", help="only from the results in the file")
    options = parser.parse_args(arguments)
    sizes = options.size, options.width
    if options.measure:
        print(json.dumps(measure(*sizes)))
        return
    if not options.tables:
        rows = [
            on_devices(n, "--size", str(sizes[0]), "--width", str(sizes[1]))
            for n in options.devices
        ]
        result = {"date": datetime.date.today().isoformat(), "rows": rows}
        options.out.write_text(json.dumps(result, indent=1) + "\n")
    print(tables(json.loads(options.out.read_text())["rows"]), end="")


if __name__ == "__main__":
    main()
