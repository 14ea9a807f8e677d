"""Run by test_train.py: on several devices, and in two processes, the numbers of one device.

A run stopped with Ctrl-C and resumed from FOLDER gives the same numbers.

python train_on_devices.py FOLDER                   # the devices of this process
python train_on_devices.py FOLDER ADDRESS PROCESS   # this is process 0 or 1 of two
"""

import contextlib
import sys
from pathlib import Path

import jax
import numpy as np
import optax
from flax import nnx
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec as P

import jaxspike as js

STEPS, N, EPOCHS = 5, 16, 2


def loss(spikes, labels):
    return js.losses.cross_entropy(spikes, labels, js.readout.rate)


def make():
    rngs = nnx.Rngs(0)
    net = js.nn.Sequential(
        nnx.Linear(6, 32, use_bias=False, rngs=rngs),
        nnx.BatchNorm(32, rngs=rngs),
        js.nn.Spiking(js.LIF(v_threshold=0.5), learn=("tau",)),
        nnx.Linear(32, 4, rngs=rngs),
        js.LIF(v_threshold=0.3),
    )
    return net, nnx.Optimizer(net, optax.adam(1e-2), wrt=nnx.Param)


def batches(epoch):
    rng = np.random.default_rng(epoch)
    for _ in range(3):
        yield rng.normal(size=(STEPS, N, 6)).astype("f"), rng.integers(0, 4, N)


def place(tree, mesh, split_weights):
    """Parameters on a mesh: the same on every device, or the columns of matrices split."""

    def put(a):
        wide = split_weights and a.ndim == 2 and a.shape[1] % mesh.shape["model"] == 0
        return jax.device_put(a, NamedSharding(mesh, P(None, "model") if wide else P()))

    nnx.update(tree, jax.tree.map(put, nnx.to_pure_dict(nnx.state(tree))))


def train(mesh=None, *, split_weights=False, stop=None, **options):
    net, optimizer = make()
    data = batches
    if mesh is not None:
        place((net, optimizer), mesh, split_weights)
        x_split, y_split = (NamedSharding(mesh, P(*spec)) for spec in ((None, "data"), ("data",)))
        first, every = jax.process_index(), jax.process_count()
        mine = slice(first * N // every, (first + 1) * N // every)

        def data(epoch):  # every process brings its part of the batch
            for i, (x, y) in enumerate(batches(epoch)):
                if (epoch, i) == stop:
                    raise KeyboardInterrupt
                yield (
                    jax.make_array_from_process_local_data(x_split, x[:, mine], x.shape),
                    jax.make_array_from_process_local_data(y_split, y[mine], y.shape),
                )

    options = {"test": data, "progress": False, "carry_state": True, **options}
    history = js.train.fit(net, optimizer, loss, data, EPOCHS, **options)
    whole = jax.jit(lambda a: a, out_shardings=None if mesh is None else NamedSharding(mesh, P()))
    params = nnx.to_pure_dict(nnx.state(net))
    if mesh is not None:  # no update moved a parameter
        net, optimizer = make()
        place((net, optimizer), mesh, split_weights)
        given = jax.tree.leaves(nnx.to_pure_dict(nnx.state(net)))
        for a, b in zip(jax.tree.leaves(params), given, strict=True):
            assert a.sharding.is_equivalent_to(b.sharding, a.ndim)
    params = whole(params)
    return [np.asarray(a.addressable_data(0)) for a in jax.tree.leaves(params)], history


def main():
    folder = Path(sys.argv[1])
    if len(sys.argv) > 2:
        address, process = sys.argv[2], int(sys.argv[3])
        jax.distributed.initialize(address, 2, process)
    with jax.default_device(jax.local_devices()[0]):
        want, reported = train()
    n = jax.device_count()
    meshes = [((n, 1), False, AxisType.Auto)]
    if jax.process_count() == 1:
        meshes += [((n // 2, 2), True, AxisType.Auto), ((n, 1), False, AxisType.Explicit)]
    for shape, split, kind in meshes:
        devices = np.array(jax.devices()).reshape(shape)
        mesh = Mesh(devices, ("data", "model"), axis_types=(kind,) * 2)
        with jax.set_mesh(mesh) if kind == AxisType.Explicit else contextlib.nullcontext():
            got, history = train(mesh, split_weights=split)
        for a, b in zip(got, want, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)
        for a, b in zip(history, reported, strict=True):
            both = [(*epoch[:2], *epoch.test[:3]) for epoch in (a, b)]
            np.testing.assert_allclose(*both, rtol=1e-5, atol=1e-5)
        if jax.process_count() == 1 and not split:
            continue
        options = {"split_weights": split, "checkpoints": folder / str(split), "test": None}
        with contextlib.suppress(KeyboardInterrupt):
            train(mesh, stop=(1, 2), **options)
        resumed, history = train(mesh, **options)
        assert len(history) == EPOCHS
        for a, b in zip(resumed, got, strict=True):
            np.testing.assert_array_equal(a, b)
    print("equal")


if __name__ == "__main__":
    main()
