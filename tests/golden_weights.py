"""Weights by a formula, so that no file need hold them; for the tests and the scripts in `golden/`.

They follow from names and shapes in PyTorch, through a generator whose numbers NumPy guarantees.
"""

import hashlib
import zlib

import numpy as np


def state_dict(shapes, seed, gain):
    """Weights and statistics for a state dict, from the shape of each entry.

    Convolutions and linear layers have weights of about ``gain / sqrt(inputs)``.
    """
    out = {}
    for key, shape in shapes.items():
        owner, _, name = key.rpartition(".")
        random = np.random.RandomState((zlib.crc32(key.encode()) + seed) % 2**32)
        if name == "num_batches_tracked":
            value = np.zeros(shape)
        elif name == "running_var":
            value = random.uniform(0.3, 1.5, shape)
        elif name == "weight" and f"{owner}.running_var" in shapes:
            value = random.uniform(0.7, 1.4, shape)
        elif name == "weight":
            value = random.normal(0.0, 1.0, shape) * gain * np.prod(shape[1:]) ** -0.5
        else:  # a bias, a running mean, the raw time constant of a neuron
            value = random.normal(0.0, 0.3, shape)
        out[key] = value.astype(np.int64 if name == "num_batches_tracked" else np.float32)
    return out


def uniform(shape, seed, high=1.0):
    """Numbers in [0, high), such as the pixels of images."""
    return np.random.RandomState(seed).uniform(0, high, shape).astype(np.float32)


def digest(shapes):
    """A text that differs where names or shapes do."""
    lines = "\n".join(f"{key} {tuple(shape)}" for key, shape in sorted(shapes.items()))
    return hashlib.sha256(lines.encode()).hexdigest()[:16]


def sample(array):
    """Six entries of an array, evenly spaced, and its largest absolute value."""
    flat = np.asarray(array, np.float64).reshape(-1)
    return np.append(flat[np.linspace(0, len(flat) - 1, 6).astype(int)], np.abs(flat).max())
