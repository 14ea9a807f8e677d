"""The process of a peer of `benchmarks.learning`, whatever its library.

    python -m benchmarks.learning_LIBRARY NETWORK FOLDER

Reads ``arrays.npz`` of the folder, writes the gradients of each row to ``0.npz``, ``1.npz``, and
answers with a description; then each line of standard input is a row to time.
"""

import json
import pathlib
import sys
import time

import numpy as np


def serve(rows, memory):
    """Describe the rows, then time those that are asked for.

    Args:
        rows: ``rows(network, params, x)``, with the weights by name and the input, returns the
            rows: by name the one with the same gradient, and a function without arguments that
            makes a function of the input, from rest, which returns the gradients by name.
        memory: ``memory(run, x)``, the MiB that a run takes for a while.
    """
    name, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    with np.load(folder / "arrays.npz") as file:
        params = {k[7:]: file[k] for k in file if k.startswith("params.")}
        x = file["x"]
    runs, about = {}, {}
    for i, (row, (same, make)) in enumerate(rows(name, params, x).items()):
        np.savez(folder / f"{i}.npz", **finished(make()(x)))
        run = runs[row] = make()
        sizes = [memory(run, np.concatenate([x] * times)) for times in (1, 10)]
        about[row] = {"same": same, "mib": sizes}
    print(json.dumps(about), flush=True)
    for line in sys.stdin:
        run = runs[line.strip()]
        finished(run(x))
        begin = time.process_time()
        finished(run(x))
        print(1e3 * (time.process_time() - begin), flush=True)


def finished(grads):
    """The gradients as arrays of NumPy, once they are there."""
    return {name: np.asarray(grad) for name, grad in grads.items()}


def temporary(run, x):
    """The temporary memory of a function that JAX compiles."""
    return run.lower(x).compile().memory_analysis().temp_size_in_bytes / 2**20
