"""The numbers of other libraries in `golden/`, each file made by the script next to it."""

import json
import zlib
from pathlib import Path

import numpy as np


def load(name):
    """The arrays of a file, and its `info`."""
    with np.load(Path(__file__).parent / "golden" / name) as file:
        arrays = dict(file)
    return arrays, json.loads(str(arrays["info"]))


def assert_close(got, want):
    """Every number within 1e-6 absolute or 1e-5 relative."""
    got, want = np.asarray(got), np.asarray(want)
    assert got.shape == want.shape
    excess = np.abs(got - want) / np.maximum(1e-6, 1e-5 * np.abs(want))
    assert excess.max() <= 1, f"{excess.max():.3g} times the tolerance at {excess.argmax()}"


def uniform(name, shape, low, high):
    """Numbers of ``[low, high)``, always the same for a name, in float32."""
    seed = zlib.crc32(name.encode())
    n = np.arange(int(np.prod(shape)), dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    n += np.uint64(seed * 0xBF58476D1CE4E5B9 % 2**64)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        n = (n ^ (n >> np.uint64(shift))) * np.uint64(factor)
    unit = ((n ^ (n >> np.uint64(31))) >> np.uint64(40)).astype(np.float64) / 2**24
    return (low + (high - low) * unit).reshape(shape).astype(np.float32)


def state_dict(name, shapes, low=0.0, high=0.8):
    """Weights for a network of PyTorch with normalizations, by the names and shapes of its arrays.

    Kernels have a mean of zero, and biases are from ``low`` to ``high``, so that neurons fire;
    those of queries and keys are greater by 1, because the products of few spikes are small.
    """
    out = {}
    for key, shape in shapes.items():
        seed, leaf = f"{name}/{key}", key.rsplit(".", 1)[-1]
        if leaf == "num_batches_tracked":
            out[key] = np.zeros(shape, np.int64)
        elif leaf == "running_mean":
            out[key] = uniform(seed, shape, -0.2, 0.2)
        elif leaf == "running_var":
            out[key] = uniform(seed, shape, 0.2, 0.7)
        elif len(shape) > 1:
            scale = 2.0 * np.prod(shape[1:]) ** -0.5
            out[key] = uniform(seed, shape, -scale, scale)
        else:
            more = float("qkv" in key)
            ends = (0.8, 1.6) if leaf == "weight" else (low + more, high + more)
            out[key] = uniform(seed, shape, *ends)
    return out
