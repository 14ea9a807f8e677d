"""Shared by the scripts `make_nir_<library>.py`: the cases of a NIR file and its recordings.

    info            JSON: `versions`; `cases`, name -> the options that `from_nir` needs
    <case>.nir      the file, bytes; written by the library's own exporter if not said otherwise
    <case>.x        input [T, N, *], channels first, time the first axis
    <case>.y        output of the library's network [T, N, *]

Weights and inputs are random but coarse, so that many sums are exact; spikes are exact anyway.
"""

import io
import json
import platform
from importlib.metadata import version
from pathlib import Path

import nir
import numpy as np
import torch

T, N = 12, 3


def coarse(rng, *shape, scale=1.0, step=1 / 64):
    """Normal numbers on a grid, float32."""
    return torch.tensor(np.round(rng.normal(0, scale, shape) / step) * step, dtype=torch.float32)


def fill(module, rng, scale=0.6):
    """Coarse weights for every Linear and Conv in a module."""
    for m in module.modules():
        if isinstance(m, torch.nn.Linear | torch.nn.Conv1d | torch.nn.Conv2d):
            m.weight.data = coarse(rng, *m.weight.shape, scale=scale)
            if m.bias is not None:
                m.bias.data = coarse(rng, *m.bias.shape, scale=0.2)
    return module


def inputs(rng, *shape, mean=0.4):
    return torch.relu(coarse(rng, T, N, *shape) + mean)


def file_bytes(graph):
    """The file of a graph."""
    memory = io.BytesIO()
    nir.write(memory, graph)
    return np.frombuffer(memory.getvalue(), np.uint8)


def save(library, cases, packages):
    """Write `nir_<library>.npz` from name -> (graph, x, y, options)."""
    arrays = {}
    for name, (graph, x, y, _) in cases.items():
        y = y.detach().numpy()
        assert np.isfinite(y).all() and y.any(), name
        arrays |= {f"{name}.nir": file_bytes(graph), f"{name}.x": x.numpy(), f"{name}.y": y}
        print(name, "mean output", y.mean())
    versions = {p: version(p) for p in ("nir", "torch", "numpy", *packages)}
    info = {
        "versions": {"python": platform.python_version()} | versions,
        "cases": {name: case[3] for name, case in cases.items()},
    }
    path = Path(__file__).parent / f"nir_{library}.npz"
    np.savez_compressed(path, info=json.dumps(info), **arrays)
    print(path, path.stat().st_size)
