"""The cases: computations and their arrays. NumPy only."""

import dataclasses
from collections.abc import Callable

import numpy as np

Arrays = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Case:
    """One line of a table.

    Attributes:
        name: The text of the line.
        kind: The program: "forward", "gradient", "train" or "latency"; see `Library.compile`.
        network: The method of `Library` that is the network.
        arrays: Makes the arrays that every library gets.
        dtype: The type that the library converts them to: "float32" or "bfloat16".
        alone: Whether only one row at a time can be in memory; then no turns are taken, and every
            row has a new process. Such cases are the last of a table.
        rows: The rows that run it; all if empty.
    """

    name: str
    kind: str
    network: str
    arrays: Callable[[], Arrays]
    dtype: str = "float32"
    alone: bool = False
    rows: tuple[str, ...] = ()


def layer(steps: int, shape: tuple[int, ...], dtype: str = "float32") -> Arrays:
    """Input of a neuron layer, and a weight for every spike, in float32 but exact in ``dtype``.

    In bfloat16 a membrane can be at the threshold to the bit, where libraries differ.
    """
    rng = np.random.default_rng(0)
    x = 2 * rng.standard_normal((steps, *shape), np.float32)
    arrays = {"x": x, "weight": rng.standard_normal(x.shape, np.float32)}
    return arrays if dtype == "float32" else {k: bfloat16(a) for k, a in arrays.items()}


def bfloat16(x: np.ndarray) -> np.ndarray:
    """float32 with the last 16 bits cut off."""
    return (x.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)


def network(steps: int, batch: int, *shapes: tuple[int, int], gain: float = 2.0) -> Arrays:
    """Random spikes, weights that make every layer fire, a target rate and a learning rate.

    Without ``steps`` the input is that of one step. A deep network needs ``gain=3`` to fire.
    """
    rng = np.random.default_rng(0)
    size = (steps, batch, shapes[0][0]) if steps else (batch, shapes[0][0])
    x = (rng.random(size) < 0.2).astype(np.float32)
    params = [rng.standard_normal(s, np.float32) * (5 / s[0]) ** 0.5 for s in shapes]
    params = [np.float32(gain) * p.astype(np.float32) for p in params]
    target = rng.random((batch, shapes[-1][1]), np.float32)
    return {"x": x, "params": params, "target": target, "rate": np.float32(1.0)}


def images(steps, batch, *shapes):
    """Images of Fashion-MNIST's size, and weights of convolutions and a last linear layer.

    Weights are multiples of 3/1024 and the pixels 0 or 1: sums are exact in any order and never
    the threshold itself, so that all libraries find the same spikes.
    """
    rng = np.random.default_rng(0)
    x = (rng.random((steps, batch, 28, 28, 1)) < 0.3).astype(np.float32)
    params = [rng.standard_normal(s) * 6 / np.prod(s[:-1]) ** 0.5 for s in shapes]
    params = [(np.round(p * 1024 / 3) * 3 / 1024).astype(np.float32) for p in params]
    target = rng.random((batch, shapes[-1][1]), np.float32)
    return {"x": x, "params": params, "target": target, "rate": np.float32(1.0)}


CNN = (3, 3, 1, 128), (3, 3, 128, 128), (7 * 7 * 128, 10)
SEW = (3, 3, 1, 64), *((3, 3, 64, 64),) * 4, (7 * 7 * 64, 10)
LAYERS = (
    (4, (32, 64, 32, 32)),
    (8, (32, 64, 16, 16)),
    (16, (64, 4096)),
    (32, (24, 4000)),
    (100, (128, 512)),
    (500, (16, 512)),
    (32, (64, 65536)),  # last, since it can be too large for a process
)
MLP = (784, 800), (800, 10)
SHD = (700, 256), (256, 256), (256, 20)
SINGLE = (  # one row per library, for cases that take minutes
    *("lax.scan", "jaxspike", "floor", "spyx", "sparxml", "jaxpike"),
    *("SpikingJelly", "snnTorch", "Norse"),
)


def _layer(kind, dtype="float32"):
    return [
        Case(
            f"T={steps}, {' x '.join(map(str, shape))}",
            kind,
            "layer",
            lambda steps=steps, shape=shape: layer(steps, shape, dtype),
            dtype,
            alone=steps * np.prod(shape) > 10**8,
        )
        for steps, shape in LAYERS
    ]


def _network(name, kind, method, steps, batch, *shapes, alone=False, rows=(), gain=2.0):
    def arrays():
        return network(steps, batch, *shapes, gain=gain)

    return Case(name, kind, method, arrays, alone=alone, rows=rows)


TABLES = {
    "neuron_layer": _layer("gradient"),
    "neuron_layer_forward": _layer("forward"),
    "neuron_layer_bfloat16": _layer("gradient", "bfloat16"),
    "neuron_layer_forward_bfloat16": _layer("forward", "bfloat16"),
    "mlp": [
        _network(f"T={steps}, B=128, 784-800-10", "train", "mlp", steps, 128, *MLP)
        for steps in (4, 20, 100)
    ],
    "linear": [
        _network(f"T=500, B=16, {n}-{n}", "train", "mlp", 500, 16, (n, n), alone=n > 512, rows=rows)
        for n, rows in ((512, ()), (4096, ()), (16384, SINGLE))
    ],
    "recurrent": [
        _network("T=250, B=256, 700-256r-20", "train", "recurrent", 250, 256, *SHD),
    ],
    "images": [
        Case(
            f"T=4, B=16, 28 x 28, {name}",
            "train",
            method,
            lambda shapes=shapes: images(4, 16, *shapes),
        )
        for name, method, shapes in (
            ("conv 128 - conv 128 - 10", "convolutional", CNN),
            ("2 SEW blocks of 64", "residual", SEW),
        )
    ],
    "memory": [
        _network(f"T={steps}, B=16, 256-256-20", "train", "mlp", steps, 16, (256, 256), (256, 20))
        for steps in (1000, 2000, 4000)  # shorter ones fit into memory allocated before
    ],
    "depth": [
        _network(
            f"depth {n}, width 256, T=20, B=16",
            "train",
            "mlp",
            20,
            16,
            *((256, 256),) * n,
            gain=3.0,
        )
        for n in (1, 5, 10, 20)
    ],
    "latency": [_network("one step, B=1, 784-800-10", "latency", "step", 0, 1, *MLP)],
}
TITLES = {
    "neuron_layer": "Neuron layer, spikes and gradient of the input",
    "neuron_layer_forward": "Neuron layer, spikes",
    "neuron_layer_bfloat16": "Neuron layer, spikes and gradient of the input, bfloat16",
    "neuron_layer_forward_bfloat16": "Neuron layer, spikes, bfloat16",
    "mlp": "Train step, linear - neuron - linear - neuron",
    "linear": "Train step, linear - neuron",
    "recurrent": "Train step, recurrent layer",
    "images": "Train step, spiking CNN and residual net",
    "memory": 'Memory of a train step, MiB (step by step, segment="sqrt")',
    "depth": "Compiling a train step, seconds",
    "latency": "Streaming, one step",
}
