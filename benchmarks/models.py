"""Whole networks: train step and inference beside SpikingJelly and sparxml.

    taskset -c 0 python -m benchmarks.models                  # every network
    taskset -c 0 python -m benchmarks.models shd --rounds 9   # one, into the results of the others
    python -m benchmarks.models --device gpu                  # the same on a GPU (NVIDIA, Linux)
    python -m benchmarks.models --small --label try           # the same networks, tiny

Every row is a process, in an environment of its own (created, or given with ``--python``), and all
start from the weights that SpikingJelly draws, with the statistics of one batch in the batch
normalizations, and get the same input, float32, dropout off. First come the spikes of all layers,
in evaluation and in training mode, the loss and the norm of its gradient; a row whose loss is
another one is not timed. Then the processes take turns, in another order each round. Give all one
core, as above: times of the CPU are the ones to believe where others use the machine. On a GPU the
time is that of the clock, the memory is the device's, products are in float32, not TF32, and this
Python needs a JAX for the GPU.

A train step is the forward and backward pass and an update by SGD; inference is the forward pass in
evaluation mode. "by hand" is the same network in JAX without jaxspike's walk over time and its
convolutions. "convolutions" is the control: SEW-ResNet-18 without neurons and normalizations.
Results go to ``results/LABEL/models.json`` after each network, and `python -m benchmarks.table`
makes the tables.
"""

import argparse
import dataclasses
import datetime
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

import numpy as np

from .compare import ON, RESULTS, Process, machine, pair, positive, present, results_before
from .environments import HERE, python
from .models_table import CLOCKS

REFERENCE = "SpikingJelly"
ROWS = {  # the module that runs it, and its environment; the first one draws the weights
    REFERENCE: ("models_spikingjelly", "spikingjelly"),
    "jaxspike": ("models_jaxspike", None),
    "by hand": ("models_jaxspike", None),
    "sparxml": ("models_sparxml", "sparxml"),
}
PROGRAMS = "train", "inference"
CLOSE = 0.05  # by how much a loss may differ: rounding decides a few spikes, and they many others


@dataclasses.dataclass(frozen=True)
class Network:
    """A network and its input.

    Attributes:
        title: Its name and what it gets.
        family: Its name in the modules of the rows.
        steps: Time steps.
        batch: Samples.
        sample: The shape of one step of one sample, channels last.
        classes: Outputs.
        sizes: Arguments of the family.
        density: The share of ones in its input, if that is not normally distributed.
        rate: The learning rate.
        gain: Multiplies random weights of normalizations and linear layers, so that all layers
            fire.
        missing: The rows that it does not have, and why.
    """

    title: str
    family: str
    steps: int
    batch: int
    sample: tuple[int, ...]
    classes: int
    sizes: dict[str, int]
    density: float | None = None
    rate: float = 0.05
    gain: float = 1.0
    missing: dict[str, str] = dataclasses.field(default_factory=dict)


NOT_IN_SPARXML = {"sparxml": "has none of the other networks"}
IMAGES = {"batch": 16, "sample": (32, 32, 3), "classes": 10}
SEW = IMAGES | {"family": "sew_resnet18", "sizes": {"width": 64}}
SPIKFORMER = IMAGES | {
    "family": "spikformer",
    "sizes": {"dim": 384, "depth": 4, "num_heads": 12, "patch_size": 4},
    "gain": 2.0,
    "missing": NOT_IN_SPARXML,
}
SHD = {
    "family": "recurrent_net",
    "steps": 100,
    "batch": 128,
    "sample": (700,),
    "classes": 20,
    "density": 0.02,
}
NETWORKS = {
    "convolutions": Network(
        "convolutions of SEW-ResNet-18 alone, T=4",
        steps=4,
        # without normalizations a step of SGD would be far too long
        **SEW | {"family": "convolutions", "rate": 0.0, "missing": NOT_IN_SPARXML},
    ),
    "sew_resnet18": Network("SEW-ResNet-18, width 64, T=4", steps=4, **SEW),
    "sew_resnet18_t16": Network("SEW-ResNet-18, width 64, T=16", steps=16, **SEW),
    "spikformer": Network("Spikformer, 384 x 4, T=4", steps=4, **SPIKFORMER),
    "spikformer_t16": Network("Spikformer, 384 x 4, T=16", steps=16, **SPIKFORMER),
    "dvs_gesture": Network(
        "DVSGestureNet, width 128, T=16",
        "dvs_gesture_net",
        steps=16,
        batch=4,
        sample=(128, 128, 2),
        classes=11,
        sizes={"width": 128, "hidden": 512},
        density=0.05,
        gain=4.0,
        missing=NOT_IN_SPARXML,
    ),
    "shd": Network(
        "SHD, 700-256-256r-20, T=100",
        **SHD | {"sizes": {"width": 256}, "missing": NOT_IN_SPARXML},
    ),
    "shd_delays": Network(
        "SHD with delays up to 25, T=100",
        **SHD,
        sizes={"width": 256, "max_delay": 25},
        missing={
            REFERENCE: "has no learned delays: its `Delay` is one fixed number of steps",
            "sparxml": "has a delay for each weight, not for each neuron",
        },
    ),
}
SMALL = {  # to try everything out
    "sew_resnet18": {"sizes": {"width": 8}},
    "convolutions": {"sizes": {"width": 8}},
    "spikformer": {"sizes": {"dim": 32, "depth": 1, "num_heads": 4, "patch_size": 4}},
    "dvs_gesture_net": {"sizes": {"width": 4, "hidden": 16}, "sample": (32, 32, 2)},
    "recurrent_net": {"sample": (20,), "density": 0.2},
}


def smaller(network):
    """The network with few channels, samples and steps."""
    changes = {"title": f"{network.title}, small", "steps": 3, "batch": 2}
    changes |= SMALL[network.family]
    if "max_delay" in network.sizes:
        changes["sizes"] = {"width": 8, "max_delay": 2}
    elif network.family == "recurrent_net":
        changes["sizes"] = {"width": 8}
    return dataclasses.replace(network, **changes)


class NetworkProcess(Process):
    """The process of a row, for one network."""

    def __init__(self, row, given, folder, device):
        module, environment = ROWS[row]
        path = python(environment, given, device) if environment else sys.executable
        self.row = row
        self.process = subprocess.Popen(
            [path, "-m", f"benchmarks.{module}", row, str(folder), device],
            cwd=HERE.parent,
            env=os.environ | {"PYTHONPATH": str(HERE.parent)} | ON[device],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )


def write_input(network, folder):
    """Write the network and its input for the processes."""
    rng = np.random.default_rng(0)
    shape = (network.steps, network.batch, *network.sample)
    density = network.density
    x = rng.normal(size=shape) if density is None else rng.random(shape) < density
    labels = rng.integers(0, network.classes, network.batch)
    np.savez(folder / "input.npz", x=x.astype(np.float32), labels=labels)
    (folder / "network.json").write_text(json.dumps(dataclasses.asdict(network)))


def differences(there, here):
    """The spikes of a reference, those that differ, and the first layer in which some do.

    Args:
        there: The packed spikes of the reference, ``{"program/layer": bytes}``, in the order in
            which the layers run.
        here: The spikes of a row.

    Raises:
        ValueError: If the layers are not the same.
    """
    if set(there) != set(here):
        different = ", ".join(sorted(set(there) ^ set(here))[:3])
        raise ValueError(f"the rows must have the same layers, got only in one: {different}")
    found = {}
    for program in PROGRAMS:
        layers = {
            key.partition("/")[2]: {"spikes": count(bits), "different": count(bits ^ here[key])}
            for key, bits in there.items()
            if key.startswith(f"{program}/")
        }
        found[program] = {
            what: sum(layer[what] for layer in layers.values()) for what in ("spikes", "different")
        }
        first = next((name for name, layer in layers.items() if layer["different"]), None)
        if first is not None:
            found[program]["first"] = {"layer": first, **layers[first]}
    return found


def count(bits):
    """The number of ones."""
    return int(np.bitwise_count(bits).sum())


def prepare(processes, folder):
    """Build the network in every process, one by one, and compare; the answers by row."""
    rows, there = {}, None
    for row, process in processes.items():
        answer = process.ask("prepare")
        if "reason" not in answer:
            with np.load(folder / f"{row}.npz") as file:
                here = dict(file)
            if there is None:
                there, loss = here, answer["loss"]
            answer["spikes"] = differences(there, here)
            answer["silent"] = [layer for layer, bits in here.items() if not bits.any()]
            if not abs(answer["loss"] - loss) <= CLOSE * abs(loss):
                answer = {"reason": f"its loss is {answer['loss']:.6f}, not {loss:.6f}"}
        rows[row] = answer
        print(f"  {row}: {answer}", flush=True)
    return rows


def measure(processes, rows, rounds, clock="cpu_s"):
    """Let the processes take turns; the seconds of each program, and its memory."""
    turns = [row for row in processes if "reason" not in rows[row]]

    def ask(row, do, program):
        """The answer; nothing of a process that has ended, perhaps out of memory."""
        if "reason" in rows[row]:
            return {}
        answer = processes[row].ask(do, program=program)
        if "reason" in answer:
            rows[row] = answer
            return {}
        return answer

    for row in turns:
        rows[row] |= {program: {"cpu_s": [], "wall_s": []} for program in PROGRAMS}
    for i in range(rounds):
        for row in turns[i % len(turns) :] + turns[: i % len(turns)]:
            for program in PROGRAMS:
                for what, seconds in ask(row, "run", program).items():
                    rows[row][program][what].append(round(seconds, 4))
        print(f"  round {i + 1} of {rounds}", flush=True)
        show({row: rows[row] for row in turns}, clock)
    for row in turns:
        for program in PROGRAMS:
            if answer := ask(row, "memory", program):
                rows[row][program] |= answer


def run(network, given, rounds, device):
    """The results of a network."""
    rows = {row: {"reason": why} for row, why in network.missing.items()}
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        write_input(network, folder)
        wanted = [row for row in ROWS if row not in rows]
        processes = {row: NetworkProcess(row, given, folder, device) for row in wanted}
        rows |= prepare(processes, folder)
        measure(processes, rows, rounds, CLOCKS[device])
        for process in processes.values():
            process.close()
    return {row: rows[row] for row in ROWS}


def main(arguments=None):
    """Measure the networks of the command line, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("networks", nargs="*", help=", ".join(NETWORKS))
    parser.add_argument("--rounds", type=positive, default=5, help="timed runs of each program")
    parser.add_argument("--device", choices=list(ON), default="cpu", type=present)
    parser.add_argument("--label", help="folder of the results (default: the device)")
    parser.add_argument("--small", action="store_true", help="tiny networks, to try it out")
    parser.add_argument(
        "--python", nargs="+", type=pair, default=[], help="ENVIRONMENT=PATH of a ready Python"
    )
    options = parser.parse_args(arguments)
    names = options.networks or list(NETWORKS)
    if unknown := [name for name in names if name not in NETWORKS]:
        parser.error(f"no network {', '.join(unknown)}; there are {', '.join(NETWORKS)}")
    given, known = dict(options.python), sorted({e for _, e in ROWS.values() if e})
    if unknown := [name for name in given if name not in known]:
        parser.error(f"no environment {', '.join(unknown)}; there are {', '.join(known)}")
    path = RESULTS / (options.label or options.device) / "models.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    result = {"machine": machine(options.device), "cores_used": len(os.sched_getaffinity(0))}
    networks = results_before(path, result).get("networks", {})
    result["networks"] = networks
    for name in names:
        network = smaller(NETWORKS[name]) if options.small else NETWORKS[name]
        print(network.title, flush=True)
        about = {"title": network.title, "date": datetime.date.today().isoformat()}
        about["load"] = os.getloadavg()[0]
        networks[name] = about | {"rows": run(network, given, options.rounds, options.device)}
        result["networks"] = {k: networks[k] for k in NETWORKS if k in networks}
        path.write_text(json.dumps(result, indent=1) + "\n")


def show(rows, clock):
    """Print the median seconds of a network so far."""
    for row, found in rows.items():
        cells = (f"{p} {statistics.median(found[p][clock]):.3f} s" for p in PROGRAMS)
        print(f"    {row}:", found.get("reason") or "; ".join(cells), flush=True)


if __name__ == "__main__":
    main()
