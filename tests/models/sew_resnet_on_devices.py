"""Run by test_sew_resnet_on_devices.py: train steps of SEW-ResNet-18 on the devices there are.

python sew_resnet_on_devices.py FILE LAYOUT...                     # the devices of this process
python sew_resnet_on_devices.py FILE LAYOUT... ADDRESS PROCESS     # this is process 0 or 1 of two

Each layout is written to FILE: the spikes of the first step, and losses, parameters and statistics.
"""

import re
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax.sharding import Mesh, NamedSharding, PartitionSpec as P

import jaxspike as js

T, N, SIZE, CLASSES, UPDATES = 4, 16, 16, 10, 3
SMALL = {"width": 8, "stem": "small", "depths": (1, 1, 1, 1)}  # blocks: for compile time
MOVED = r"= (\(?[^=]*?) (all-gather|all-to-all|collective-permute|reduce-scatter)(?:-start)?\("
LAYOUTS = {  # the axes of the mesh, and the one that splits the output channels of kernels
    "batch": ({"data": -1}, None),
    "channels": ({"data": -1, "model": 2}, "model"),
    "parameters": ({"data": -1}, "data"),
}


def train_step(net, optimizer):
    """A compiled train step, and its arguments but images and labels."""
    graph, params, rest = nnx.split(net, nnx.Param, ...)

    def step(params, rest, moments, images, labels):
        def loss(params):
            net = nnx.merge(graph, params, rest, copy=True)
            x = js.encode.direct(images, T)
            out = js.debug.record(net, net.init_state(images.shape, x.dtype), x, update=True)
            spikes = {name: record["output"] > 0 for name, record in out[2].items()}
            statistics = nnx.state(net, nnx.Not(nnx.Param))
            return js.losses.cross_entropy(out[1], labels), (statistics, spikes)

        (value, (rest, spikes)), gradients = jax.value_and_grad(loss, has_aux=True)(params)
        updates, moments = optimizer.update(gradients, moments, params)
        return optax.apply_updates(params, updates), rest, moments, value, spikes

    return step, (params, rest, optimizer.init(params))


def run(layout):
    """The results of some train steps, as NumPy arrays."""
    sizes, axis = LAYOUTS[layout]
    devices = np.array(jax.devices())
    mesh = Mesh(devices.reshape(*sizes.values()), tuple(sizes))
    net = js.models.sew_resnet18(CLASSES, **SMALL, rngs=nnx.Rngs(0))
    step, variables = train_step(net, optax.sgd(0.1, momentum=0.9))

    def where(a):
        split = axis and a.ndim and a.shape[-1] % mesh.shape[axis] == 0
        return NamedSharding(mesh, P(*[None] * (a.ndim - 1), axis) if split else P())

    variables = jax.tree.map(lambda a: a.astype(jnp.float64), variables)
    shardings = jax.tree.map(where, variables)
    variables = jax.tree.map(put, variables, shardings)
    rng = np.random.default_rng(0)
    images, labels = rng.normal(size=(N, SIZE, SIZE, 3)), rng.integers(0, CLASSES, N)
    batch = tuple(put(a, NamedSharding(mesh, P("data"))) for a in (images, labels))
    everywhere = NamedSharding(mesh, P())
    step = jax.jit(
        step, out_shardings=(*shardings, everywhere, NamedSharding(mesh, P(None, "data")))
    )
    step = step.lower(*variables, *batch).compile()
    if axis is None:
        assert not re.findall(MOVED, step.as_text())  # nothing but sums over the devices
    losses, first = [], None
    for _ in range(UPDATES):
        *variables, loss, spikes = step(*variables, *batch)
        losses.append(float(loss))
        first = first or spikes
    for a, sharding in zip(jax.tree.leaves(variables), jax.tree.leaves(shardings), strict=True):
        assert a.sharding.is_equivalent_to(sharding, a.ndim)
    whole = jax.jit(lambda tree: tree, out_shardings=everywhere)
    found = {"losses": np.array(losses)}
    for kind, tree in (("spikes", first), ("variables", variables)):
        found |= {f"{kind}.{i}": np.asarray(a) for i, a in enumerate(jax.tree.leaves(whole(tree)))}
    return found


def put(a, sharding):
    """An array that every process has, as one that is split over the devices of all."""
    a = np.asarray(a)
    return jax.make_array_from_callback(a.shape, sharding, lambda index: a[index])


def main():
    file, *layouts = sys.argv[1:]
    if layouts[-1] in ("0", "1"):
        *layouts, address, process = layouts
        jax.distributed.initialize(address, 2, int(process))
    results = {layout: run(layout) for layout in layouts}
    if jax.process_index() == 0:
        flat = {f"{layout}/{k}": a for layout, found in results.items() for k, a in found.items()}
        np.savez(file, **flat)
    print(jax.device_count(), "devices")


if __name__ == "__main__":
    main()
