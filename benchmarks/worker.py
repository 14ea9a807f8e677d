"""The process of one row: it keeps a compiled program and runs it on request.

    python -m benchmarks.worker MODULE ROW DEVICE

Requests and answers are lines of JSON on standard input and output.
"""

import ctypes
import gc
import importlib
import json
import os
import sys
import time
import traceback

import numpy as np

from .libraries.library import Library, MissingError

SLOW = 2e3  # ms: the memory of such a call is measured once
LONG = 10e3  # ms: such a call is timed once, and its memory is that of the first call
COMPILES = 3  # how often a program is compiled to time it
LONGEST = 60e3  # ms: such a call is run once, for its results, its time and, on a CPU, its memory
LINUX = os.path.exists("/proc/self/clear_refs")  # where memory can be measured


def load(path):
    """The arrays of a case."""
    arrays = dict(np.load(path))
    n = sum(k.startswith("params.") for k in arrays)
    if n:
        arrays["params"] = [arrays.pop(f"params.{i}") for i in range(n)]
    return arrays


def save(path, results, scale):
    """Write results in the units of the case: undo the scale of inputs and weights."""
    units = {"gradient": scale} | {k: 1 / scale for k in results if k.startswith("p")}
    np.savez(path, **{k: v * np.float32(units.get(k, 1)) for k, v in results.items()})


class Worker:
    """A library and its compiled program."""

    def __init__(self, library):
        self.library, self.call = library, None

    def describe(self):
        """Versions and remarks."""
        library = self.library
        return {
            "versions": {"python": sys.version.split()[0]} | library.versions(),
            "note": library.note,
            "same_neuron": library.same_neuron,
        }

    def prepare(self, kind, network, arrays, dtype, results):
        """Compile a case, write its results, and measure the memory of a call."""
        library, compile_s = self.library, []
        for _ in range(COMPILES):
            self.call = None  # and its arrays
            self.call, seconds = library.compile(kind, network, load(arrays), dtype)
            if seconds is None:  # nothing to compile
                break
            compile_s.append(seconds)
        found, memory, ms = watch(self.call)
        found = {k: library.numpy(v) for k, v in found.items() if k != "state"}
        save(results, found, library.input_scale)
        del found
        if ms <= LONGEST:  # in a longer call, the extra work of a first call is a small part
            ms = self.run(1)["ms"]
        if library.device != "cpu":
            memory = library.device_memory(self.call) / 2**20
        elif ms <= LONG:
            memory = peak(self.call, 1 if ms > SLOW else 3)
        return {"compile_s": compile_s, "peak_mib": memory, "ms": ms}

    def run(self, repeat, before=0):
        """The time of a call, of ``repeat`` in a row, after ``before`` that are not timed."""
        for _ in range(before):
            self.call()
        start = time.perf_counter()
        for _ in range(repeat - 1):
            self.call()
        last = self.call()
        seconds = time.perf_counter() - start
        del last
        return {"ms": 1e3 * seconds / repeat}

    def priority(self, realtime):
        """Run every thread of this process at real-time priority, or as usual."""
        policy = (os.SCHED_FIFO, 10) if realtime else (os.SCHED_OTHER, 0)
        for thread in os.listdir("/proc/self/task"):
            os.sched_setscheduler(int(thread), policy[0], os.sched_param(policy[1]))
        return {}


def peak(call, times=3):
    """MiB that the operating system gives the process during a call."""
    taken = [watch(call)[1] for _ in range(times)]
    return None if None in taken else max(taken)


def watch(call):
    """The results of a call, its MiB if they can be measured, and its milliseconds."""
    give_back()
    if LINUX:
        with open("/proc/self/clear_refs", "w") as f:
            f.write("5")  # reset the peak
        before = _status("VmRSS")
    start = time.perf_counter()
    results = call()
    ms = 1e3 * (time.perf_counter() - start)
    return results, (_status("VmHWM") - before) / 1024 if LINUX else None, ms


def give_back(above=0.0):
    """On Linux, give free memory back to the system if the process holds more MiB than this."""
    if LINUX and _status("VmRSS") / 1024 > above:
        gc.collect()
        time.sleep(0.1)  # buffers are freed by other threads
        ctypes.CDLL(None).malloc_trim(0)


def _status(name):
    with open("/proc/self/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith(name))


def serve(make):
    """Answer requests by the methods of ``make()``, until standard input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # output of a library is not an answer
    worker = make()
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = getattr(worker, request.pop("do"))(**request)
        except MissingError as e:
            answer = {"reason": str(e)}
        except Exception as e:
            traceback.print_exc()
            message = str(e).partition("\n")[0]
            answer = {"reason": f"{type(e).__name__}: {message[:200]}"}
        print(json.dumps(answer), file=answers, flush=True)


def main():
    """Answer for the row of the command line."""
    module, row, Library.device = sys.argv[1:]
    serve(lambda: Worker(importlib.import_module(f"benchmarks.libraries.{module}").ROWS[row]()))


if __name__ == "__main__":
    main()
