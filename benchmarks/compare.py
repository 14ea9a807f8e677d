"""jaxspike against other libraries, on this machine.

    python -m benchmarks.compare neuron_layer mlp      # some tables
    python -m benchmarks.compare                       # every table
    python -m benchmarks.compare --device gpu          # the same on a GPU (NVIDIA, Linux)
    python -m benchmarks.table                         # the tables of the pages from the results

Each row is a library in a process and an environment of its own, created from `requirements/` by
the Python that runs this (3.12 or newer, for the pinned JAX) or given with ``--python``. All get
the same arrays and run the same neuron. Their spikes and gradients are compared with those of a
hand-written loop before anything is timed. Then the processes take turns, in a different order each
round, so that a busy machine is busy for all of them. Each timed call follows one that is not
timed, since a call takes up to half longer right after another process has released much memory. In
a case that needs much memory, each row runs alone. Compilation is timed separately, three times. A
timed call ends when its results are available. Memory is what the operating system gave the process
during a call; on a GPU it is the device memory that XLA and PyTorch report for a call. Matmuls of
float32 use float32 on a GPU too, not TF32. Results go to ``results/LABEL/TABLE.json``, with every
time of every call.
"""

import argparse
import contextlib
import datetime
import json
import os
import pathlib
import platform
import random
import shutil
import signal
import subprocess
import tempfile
import time

import numpy as np

from .cases import TABLES
from .environments import HERE, ROWS, python
from .worker import LONG, SLOW

RESULTS = HERE / "results"
SHORTEST = 3.0  # ms: a call faster than this is repeated
ENOUGH = 8.0  # seconds: a row that took this long is run at most three times
CPUINFO = "/proc/cpuinfo"  # where Linux describes the processor
BURST = 50.0  # seconds of real-time priority, then an equally long pause

ON = {  # settings of each device
    "cpu": {
        "JAX_PLATFORMS": "cpu",
        # glibc's thresholds, at the limits that it raises them to by itself: without them, whether
        # an array of 16 MiB gets pages that the kernel must clear depends on what was freed before
        "MALLOC_MMAP_THRESHOLD_": str(2**25),
        "MALLOC_TRIM_THRESHOLD_": str(2**26),
    },
    "gpu": {
        "JAX_PLATFORMS": "cuda",
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",  # the rows share the device
        "JAX_DEFAULT_MATMUL_PRECISION": "highest",
    },
}
KNOWN = ("JAX_", "XLA_", "OMP_", "MKL_", "MALLOC_", "PYTORCH_")  # may change a time


class Process:
    """A worker that answers requests."""

    def __init__(self, row, given, environment, device):
        command = [python(row.environment, given, device), "-m", "benchmarks.worker"]
        self.row = row
        self.process = subprocess.Popen(
            [*command, row.module, row.key or row.name, device],
            cwd=HERE.parent,
            env=os.environ | {"PYTHONPATH": str(HERE.parent)} | ON[device] | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def describe(self):
        """Ask for its description, kept in the attribute ``about``."""
        unknown = {"versions": {}, "note": "", "same_neuron": False}
        self.about = unknown | self.ask("describe")

    def ask(self, do, **arguments):
        """Send a request and wait for its answer."""
        try:
            self.process.stdin.write(json.dumps({"do": do} | arguments) + "\n")
            self.process.stdin.flush()
            return json.loads(self.process.stdout.readline())
        except (BrokenPipeError, json.JSONDecodeError):
            code = self.process.wait()
            killed = code == -signal.SIGKILL  # by the system, when memory runs out
            return {"reason": "the process " + ("was killed" if killed else f"ended with {code}")}

    def close(self):
        """End the process, if it has not ended."""
        with contextlib.suppress(BrokenPipeError), self.process:
            self.process.stdin.close()


def differences(results, reference, start):
    """Differences: the number of spikes; gradients or weight updates, in the Euclidean norm."""
    found = {"different_spikes": int((results["spikes"] != reference["spikes"]).sum())}
    moved = [k for k in reference if k == "gradient" or k.startswith("p")]
    if moved:
        before = {f"p{i}": p for i, p in enumerate(start)}
        a, b = (
            np.concatenate([(r[k] - before.get(k, 0)).ravel() for k in moved])
            for r in (results, reference)
        )
        found["gradient_difference"] = float(np.linalg.norm(a - b) / np.linalg.norm(b))
    return found


def prepare(processes, case, folder, reference=None):
    """Compile a case in every process and compare its results with those of the first row.

    Returns:
        The answers by row, and the results that the others are compared with.
    """
    arrays = case.arrays()
    start = arrays.pop("params", [])
    np.savez(folder / "arrays.npz", **arrays, **{f"params.{i}": p for i, p in enumerate(start)})
    del arrays
    rows = {}
    for process in processes:
        path = folder / "results.npz"
        answer = process.ask(
            "prepare",
            kind=case.kind,
            network=case.network,
            arrays=str(folder / "arrays.npz"),
            dtype=case.dtype,
            results=str(path),
        )
        if "reason" not in answer:
            with np.load(path) as file:
                results = dict(file)
            if process.row is ROWS[0]:
                reference = results
            answer["firing_rate"] = float(results["spikes"].mean())
            if reference is not None and process.about["same_neuron"]:
                answer |= differences(results, reference, start)
        rows[process.row.name] = answer
        print(
            f"  {process.row.name:28}", *(f"{k} {_short(v)}" for k, v in answer.items()), flush=True
        )
    return rows, reference


def measure(processes, rows, rounds, realtime):
    """Let the processes take turns; every row gets its times in ``ms``."""
    order = random.Random(0)
    turns = [p for p in processes if "reason" not in rows[p.row.name]]
    first = {p.row.name: rows[p.row.name].pop("ms") for p in turns}
    repeats = {name: max(1, round(SHORTEST / ms)) for name, ms in first.items()}
    times = {name: [ms] if ms > LONG else [] for name, ms in first.items()}
    for _ in range(rounds):
        for process in order.sample(turns, len(turns)):
            name = process.row.name
            repeat, so_far = repeats[name], times[name]
            enough = len(so_far) >= 3 and sum(so_far) * repeat > 1e3 * ENOUGH
            if enough or max(so_far, default=0) > LONG:
                continue
            with realtime(process):
                answer = process.ask("run", repeat=repeat, before=int(first[name] <= SLOW))
            if "reason" in answer:  # the process ended, perhaps out of memory
                rows[name] |= answer
            else:
                so_far.append(answer["ms"])
    for name, ms in times.items():
        rows[name]["ms"] = [round(t, 4) for t in ms]


def usual(process):
    """No change of priority."""
    return contextlib.nullcontext()


class RealTime:
    """Gives calls real-time priority, in bursts with pauses; needs root."""

    def __init__(self):
        self.left = BURST

    @contextlib.contextmanager
    def __call__(self, process):
        """Run the body at real-time priority."""
        if self.left < 0:
            time.sleep(BURST)
            self.left = BURST
        process.ask("priority", realtime=True)
        start = time.monotonic()
        yield
        self.left -= time.monotonic() - start
        process.ask("priority", realtime=False)
        time.sleep(0.02)  # for threads that spin after a call


def machine(device="cpu"):
    """The class of this machine, and its GPU if that is the device."""
    name = platform.processor() or platform.machine()
    with contextlib.suppress(OSError, KeyError), open(CPUINFO) as f:
        about = {k.strip(): v.strip() for k, _, v in (line.partition(":") for line in f)}
        name = about["model name"]
        name += f" (family {about['cpu family']}, model {about['model']})"  # the name is vague
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    found = {"cpu": name, "cores": os.cpu_count(), "memory_gib": round(memory)}
    if device == "gpu":
        query = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
        found["gpu"] = subprocess.run(query, check=True, stdout=subprocess.PIPE, text=True).stdout
        found["gpu"] = found["gpu"].splitlines()[0]
    return found


def groups(processes, case, start):
    """Yield the processes that take turns; in a large case, each row alone in a new process.

    A library may keep what it computed; a process that has ended keeps nothing. So the others are
    ended first: large cases are the last of a table.
    """
    some = [p for p in processes if not case.rows or p.row.name in case.rows]
    if not case.alone:
        yield some
        return
    for process in processes:
        process.close()
    for process in some:
        group = start([process.row])
        yield group
        group[0].close()


def run(table, options, given, environment):
    """Measure one table and write its results."""
    print(f"\n{table}", flush=True)
    wanted = [r for r in ROWS if not r.tables or table in r.tables]
    asked = options.rows or [r.name for r in wanted]
    wanted = [r for r in wanted if r.name in asked or r is ROWS[0]]  # others are compared with it

    def start(rows):
        processes = [Process(r, given, environment, options.device) for r in rows]
        for process in processes:
            process.describe()
        return processes

    realtime = RealTime() if options.realtime else usual
    path = RESULTS / options.label / f"{table}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    inherited = {k: v for k, v in os.environ.items() if k.startswith(KNOWN)}
    result = {
        "table": table,
        "date": datetime.date.today().isoformat(),
        "machine": machine(options.device),
        "environment": inherited | ON[options.device] | environment,
        "realtime": options.realtime,
    }
    before = results_before(path, result) if options.rows or options.cases else {}
    processes = start(wanted)
    about = {p.row.name: p.about for p in processes if p.row.name in asked}
    # remarks are written by hand: what is special about a case
    result |= {k: before.get(k, {}) for k in ("rows", "cases", "remarks")}
    result["rows"] |= about
    with tempfile.TemporaryDirectory() as folder:
        for case in _cases(table, options):
            print(case.name, flush=True)
            rows, reference = {}, None
            for group in groups(processes, case, start):
                found, reference = prepare(group, case, pathlib.Path(folder), reference)
                measure(group, found, options.rounds, realtime)
                rows |= found
            rows = {name: answer for name, answer in rows.items() if name in asked}
            result["cases"][case.name] = result["cases"].get(case.name, {}) | rows
            if not options.rows:
                result["remarks"].pop(case.name, None)
            path.write_text(json.dumps(result, indent=1) + "\n")  # in case it is stopped
    for process in processes:
        process.close()


def _cases(table, options):
    return [c for c in TABLES[table] if c.name.startswith(tuple(options.cases or [""]))]


def results_before(path, result):
    """The results to which some rows or cases are added: of this machine, day and environment."""
    if not path.exists():
        return {}
    before = json.loads(path.read_text())
    for what, value in result.items():
        if before[what] != value:
            raise SystemExit(
                f"{path} has results of another {what}, {before[what]!r}, not {value!r}: measure "
                "the whole table again, or give a --label"
            )
    return before


def pair(text):
    """A command-line argument ``NAME=VALUE``."""
    name, equal, value = text.partition("=")
    if not (name and equal):
        raise argparse.ArgumentTypeError(f"must be NAME=VALUE, got {text!r}")
    return name, value


def present(device):
    """A command-line device, whose driver must be there."""
    if device == "gpu" and not shutil.which("nvidia-smi"):
        raise argparse.ArgumentTypeError(
            "gpu needs an NVIDIA GPU and its driver; nvidia-smi is not there"
        )
    return device


def positive(text):
    """A command-line number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a number of at least 1, got {text!r}")
    return int(text)


def _short(value):
    if isinstance(value, list):
        return [_short(v) for v in value]
    return f"{value:.4g}" if isinstance(value, float) else value


def main(arguments=None):
    """Measure the tables that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("tables", nargs="*", help=", ".join(TABLES))
    parser.add_argument("--rounds", type=positive, default=9, help="timed calls per row")
    parser.add_argument("--rows", nargs="+", help="only these rows, added to those of the day")
    parser.add_argument("--cases", nargs="+", help="only cases that begin with these, added too")
    parser.add_argument("--device", choices=list(ON), default="cpu", type=present)
    parser.add_argument("--label", help="folder of the results (default: the device)")
    parser.add_argument("--realtime", action="store_true", help="real-time priority; needs root")
    parser.add_argument(
        "--python", nargs="+", type=pair, default=[], help="ENVIRONMENT=PATH of a ready Python"
    )
    parser.add_argument(
        "--env", nargs="+", type=pair, default=[], help="NAME=VALUE for every process"
    )
    options = parser.parse_args(arguments)
    options.label = options.label or options.device
    given, tables = dict(options.python), options.tables or list(TABLES)
    for what, asked, known in (
        ("table", tables, list(TABLES)),
        ("row", options.rows or [], [r.name for r in ROWS]),
        ("environment", given, sorted({r.environment for r in ROWS})),
    ):
        if unknown := [a for a in asked if a not in known]:
            parser.error(f"no {what} {', '.join(unknown)}; there are {', '.join(known)}")
    for name, path in given.items():
        if not shutil.which(path):
            parser.error(f"--python {name}={path}: there is no such program")
    if not any(_cases(table, options) for table in tables):
        names = "; ".join(c.name for table in tables for c in TABLES[table])
        parser.error(f"no case begins with {' or '.join(options.cases)}; there are {names}")
    for table in tables:
        if _cases(table, options):
            run(table, options, given, dict(options.env))


if __name__ == "__main__":
    main()
