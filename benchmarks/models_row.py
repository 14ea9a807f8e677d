"""The process of a row of `benchmarks.models`, whatever its library.

    python -m benchmarks.models_LIBRARY ROW FOLDER DEVICE

Requests and answers are lines of JSON (`worker.serve`). The folder has the network and its input;
SpikingJelly's process adds the weights, and every process its spikes.
"""

import json
import pathlib
import sys
import time
from importlib.metadata import version

import numpy as np

from .libraries.library import compiled_memory
from .worker import give_back, peak, serve

SHORT = 2.0  # seconds: a run as short as this is timed right after an untimed one
LARGE = 4096.0  # MiB: a process that holds more gives free memory back, so that all of them fit


class Row:
    """A network in a library; a subclass says how to build it.

    Attributes:
        name: The name of the row.
        device: "cpu" or "gpu".
        packages: Those whose versions matter.
        programs: The functions without arguments that are timed: "train" and "inference".
        lowered: In JAX, for each a function that lowers it.
    """

    packages: tuple[str, ...] = ()

    def __init__(self, name, folder, device="cpu"):
        self.name, self.folder, self.device = name, pathlib.Path(folder), device
        self.programs, self.lowered = {}, {}

    def build(self, network, x, labels):
        """Set the programs; run each once.

        Args:
            network: The fields of a `models.Network`.
            x: The input, ``[T, N, *]``, channels last.
            labels: The labels, ``[N]``.

        Returns:
            For each program the spikes of every layer, ``{path: [T, N, *]}``, channels last; and
            the answer to `prepare`: "loss" and "gradient", its Euclidean norm, in the first step,
            and "compile_s", for each program the CPU seconds to compile it, if it is.
        """
        raise NotImplementedError

    def prepare(self):
        """Build the network, and write the spikes of its first runs as packed bits."""
        network = json.loads((self.folder / "network.json").read_text())
        with np.load(self.folder / "input.npz") as file:
            spikes, about = self.build(network, file["x"], file["labels"])
        give_back()
        named = {f"{p}/{k}": np.packbits(z) for p in spikes for k, z in spikes[p].items()}
        np.savez(self.folder / f"{self.name}.npz", **named)
        python = {"python": sys.version.split()[0]}
        return about | {"versions": python | {p: version(p) for p in self.packages}}

    def run(self, program):
        """The seconds of a run, of the clock and of the CPU."""
        seconds = self._timed(program)
        if seconds["wall_s"] < SHORT:
            seconds = self._timed(program)
        give_back(above=LARGE)
        return seconds

    def memory(self, program):
        """MiB that a run takes: of the operating system, or, on a GPU, of the device."""
        if self.device == "gpu":
            return {"peak_mib": self.device_memory(program) / 2**20}
        return {"peak_mib": peak(self.programs[program], 2)}

    def device_memory(self, program):
        """Bytes that a run takes on a GPU in addition to its arguments."""
        return compiled_memory(self.lowered[program]().compile())

    def _timed(self, program):
        begin = time.perf_counter(), time.process_time()
        self.programs[program]()
        end = time.perf_counter(), time.process_time()
        return {"wall_s": end[0] - begin[0], "cpu_s": end[1] - begin[1]}


def first(call):
    """What a call returns, and the CPU seconds that it takes longer than the next one."""
    begin = time.process_time()
    result = call()
    middle = time.process_time()
    call()
    return result, (middle - begin) - (time.process_time() - middle)


def main(row):
    """Answer requests for the row of the command line, of class ``row``."""
    serve(lambda: row(*sys.argv[1:]))
