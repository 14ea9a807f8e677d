"""The process of a peer of `benchmarks.learning`, whatever its library.

    python -m benchmarks.learning_LIBRARY NETWORK FOLDER DEVICE

Requests and answers are lines of JSON (`worker.serve`). The folder has the weights and the input in
``arrays.npz``; the gradients of the rows go to ``0.npz``, ``1.npz`` and so on.
"""

import pathlib
import sys
import time

import numpy as np

from . import worker

CLOCKS = {"cpu": time.process_time, "gpu": time.perf_counter}  # what is compared on each device


class Peer:
    """The rows of a library for a network.

    Args:
        rows: ``rows(network, params, x)``, with the weights by name and the input, returns the
            rows: by name the one with the same gradient, and a function without arguments that
            makes a function of the input, from rest, which returns the gradients by name.
        memory: ``memory(run, x)``, the MiB that a run takes for a while.
        put: Makes an array of the library, on its device, of one of NumPy.
        name: The network.
        folder: Where the arrays are.
        device: "cpu" or "gpu".
    """

    def __init__(self, rows, memory, put, name, folder, device):
        self.folder, self.memory, self.runs = pathlib.Path(folder), memory, {}
        self.put, self.device = put, device
        with np.load(self.folder / "arrays.npz") as file:
            params = {k[7:]: file[k] for k in file if k.startswith("params.")}
            self.x = file["x"]
        self.rows = rows(name, params, self.x)

    def prepare(self):
        """Write the gradients; describe the rows."""
        about = {}
        for i, (row, (same, make)) in enumerate(self.rows.items()):
            np.savez(self.folder / f"{i}.npz", **finished(make()(self.x)))
            run = self.runs[row] = make()
            longer = [self.put(np.concatenate([self.x] * times)) for times in (1, 10)]
            about[row] = {"same": same, "mib": [self.memory(run, x) for x in longer]}
        self.x = self.put(self.x)
        return {"rows": about}

    def run(self, row):
        """The milliseconds of a run."""
        return {"ms": ms_of(lambda: finished(self.runs[row](self.x)), self.device)}


def main(rows, memory, put):
    """Answer requests for the network of the command line."""
    worker.serve(lambda: Peer(rows, memory, put, *sys.argv[1:]))


def ms_of(call, device):
    """The milliseconds of a call right after another, of the processor or, on a GPU, the clock."""
    call()
    begin = CLOCKS[device]()
    call()
    return 1e3 * (CLOCKS[device]() - begin)


def finished(grads):
    """The gradients as arrays of NumPy, once they are there."""
    return {name: np.asarray(grad) for name, grad in grads.items()}


def temporary(run, x):
    """The temporary memory of a function that JAX compiles."""
    return run.lower(x).compile().memory_analysis().temp_size_in_bytes / 2**20
