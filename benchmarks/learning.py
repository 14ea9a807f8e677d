"""Learning rules beside backpropagation through time: time, memory and agreement.

    taskset -c 0 python -m benchmarks.learning            # every network, 9 rounds
    taskset -c 0 python -m benchmarks.learning --peers    # without other libraries
    python -m benchmarks.learning --device gpu            # on a GPU (NVIDIA, Linux)

A program returns the loss and the gradient of a whole sequence, for a batch of 16. Gradients that
must be equal are compared before anything is timed: those of a rule forward in time (`online`) and
in reverse (`cut`), and those of other libraries, each in a process and an environment of its own.
Then the programs take turns, in a different order each round, each timed right after an untimed run
of itself, in processor time, which other work on the machine disturbs less: give it one core, as
above. Memory, with T time steps and with ten times as many, is the temporary memory that XLA asks
for; of PyTorch, what the operating system gives the process during a run. On a GPU the time is that
of the clock, and the memory the device's; this Python needs a JAX for the GPU. Results go to
``results/LABEL/learning.json``, and `python -m benchmarks.table` makes the tables.
"""

import argparse
import datetime
import functools
import json
import math
import os
import pathlib
import random
import subprocess
import tempfile

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxspike as js

from .compare import ON, RESULTS, Process, machine, pair, positive, present
from .environments import HERE, python
from .learning_peer import ms_of

BATCH, CLASSES = 16, 10
STEPS = 32, 96, 320
ENOUGH = 6.0  # seconds: a program that took this long is timed at most three times
ALIF = js.ALIF(beta=0.2, detach_reset=True)
LIF = js.LIF(tau=10.0, decay_input=False)
SOFT = js.LIF(tau=2.0, v_reset=None, decay_input=False, detach_reset=True)
READOUT = js.LI(tau=20.0)
PEERS = {  # the networks of each
    "braintrace": ("recurrent", "deep"),
    "sparxml": ("leaky",),
    "spikingjelly": ("convolutional",),
}
SQRT, MIXED = 'BPTT, segment="sqrt"', '("full", "local"), window=32'


def loss(y):
    """Cross-entropy with one label for each sample."""
    labels = jnp.arange(len(y)) % CLASSES
    return optax.softmax_cross_entropy_with_integer_labels(y, labels).mean()


def leaky(params, state, x):
    """100 - 128 adaptive neurons, recurrent - 10 leaky readouts."""
    h, z, r = state
    h, z = ALIF(h, x @ params["in"] + z @ params["rec"])
    r, y = READOUT(r, z @ params["out"])
    return (h, z, r), loss(y)


def recurrent(params, state, x):
    """100 - 128 adaptive neurons, recurrent - 10 readouts without memory."""
    h, z = ALIF(state[0], x @ params["in"] + state[1] @ params["rec"])
    return (h, z), loss(z @ params["out"])


def deep(params, state, x):
    """100 - three layers of 128 leaky neurons - 10 readouts without memory."""
    new = []
    for h, name in zip(state, ("1", "2", "3"), strict=True):
        h, x = LIF(h, x @ params[name])
        new.append(h)
    return tuple(new), loss(x @ params["out"])


def convolutional(params, state, x):
    """28 x 28 - two strided convolutions with neurons that all filter alike - 10."""
    new = []
    for h, name in zip(state, ("1", "2"), strict=True):
        axes = ("NHWC", "HWIO", "NHWC")
        x = jax.lax.conv_general_dilated(x, params[name], (2, 2), "SAME", dimension_numbers=axes)
        h, x = SOFT(h, x)
        new.append(h)
    return tuple(new), loss(x.reshape(len(x), -1) @ params["out"])


RECURRENT = {"in": (100, 128), "rec": (128, 128), "out": (128, CLASSES)}
DEEP = {"1": (100, 128), "2": (128, 128), "3": (128, 128), "out": (128, CLASSES)}
CONVOLUTIONAL = {"1": (3, 3, 1, 16), "2": (3, 3, 16, 32), "out": (7 * 7 * 32, CLASSES)}
GAIN = {"rec": 0.3, "1": 2.0, "2": 2.0, "3": 2.0}  # of the standard deviation 1 / sqrt(fan-in)


def rest(name):
    """The state at rest."""
    if name == "convolutional":
        return tuple(SOFT.init_state((BATCH, *s)) for s in ((14, 14, 16), (7, 7, 32)))
    if name == "deep":
        return tuple(LIF.init_state((BATCH, 128)) for _ in range(3))
    state = ALIF.init_state((BATCH, 128)), jnp.zeros((BATCH, 128))
    return (*state, READOUT.init_state((BATCH, CLASSES))) if name == "leaky" else state


NETWORKS = {  # step, shape of a sample, shapes of the weights
    "leaky": (leaky, (100,), RECURRENT),
    "recurrent": (recurrent, (100,), RECURRENT),
    "deep": (deep, (100,), DEEP),
    "convolutional": (convolutional, (28, 28, 1), CONVOLUTIONAL),
}


def arrays(name, steps):
    """Weights and input of a network."""
    _, sample, shapes = NETWORKS[name]
    rng = np.random.default_rng(0)

    def normal(name, shape):
        return GAIN.get(name, 1.0) * rng.normal(size=shape) / math.sqrt(math.prod(shape[:-1]))

    params = {k: jnp.asarray(normal(k, s), jnp.float32) for k, s in shapes.items()}
    return params, jnp.asarray(rng.random((steps, BATCH, *sample)) < 0.2, jnp.float32)


def reverse(step, state, **options):
    """A program that scans a step and differentiates the sum of its losses."""

    def program(params, x):
        def total(params):
            return js.scan(functools.partial(step, params), state, x, **options)[1].sum()

        return jax.value_and_grad(total)(params)

    return program


def forward(step, state, **options):
    """A program that computes the same forward in time."""
    online = js.learning.online(step, **options)

    def program(params, x):
        return js.learning.accumulate(online)(params, online.init_state(params, state, x[0]), x)[1]

    return program


def programs(name):
    """``{row: (program, the row that has its gradient)}`` of a network."""
    step, state, cut = NETWORKS[name][0], rest(name), js.learning.cut
    across = ("full", "local")
    return {
        "BPTT": (reverse(step, state), "BPTT"),
        SQRT: (reverse(step, state, order="step", segment="sqrt"), "BPTT"),
        "none, in reverse": (reverse(cut(step, "none"), state), "none, in reverse"),
        "none": (forward(step, state, credit="none"), "none, in reverse"),
        "none, window=32": (forward(step, state, credit="none", window=32), "none, in reverse"),
        "local, in reverse": (reverse(cut(step, "local"), state), "local, in reverse"),
        "local": (forward(step, state), "local, in reverse"),
        "local, window=32": (forward(step, state, window=32), "local, in reverse"),
        MIXED: (forward(step, state, credit=across, window=32), MIXED),
    }


def flat(grads):
    """All gradients in one vector."""
    return np.concatenate([np.ravel(grads[k]) for k in sorted(grads)])


def agreement(grads, same, exact):
    """The relative difference from the same gradient, and the cosine to that of BPTT."""
    a, b, c = flat(grads), flat(same), flat(exact)
    cosine = float(a @ c / np.linalg.norm(a) / np.linalg.norm(c))
    return {"difference": float(np.linalg.norm(a - b) / np.linalg.norm(b)), "cosine": cosine}


def temporary(program, name, steps):
    """The temporary memory of a program, in MiB."""
    shapes = jax.eval_shape(functools.partial(arrays, name, steps))
    compiled = jax.jit(program).lower(*shapes).compile()
    return compiled.memory_analysis().temp_size_in_bytes / 2**20


class Peer(Process):
    """The programs of a peer for a network, in a process of its own."""

    def __init__(self, peer, given, name, steps, results, device):
        """Start the process, which writes its gradients to a folder and describes them."""
        params, x = arrays(name, steps)
        folder = pathlib.Path(results)
        np.savez(folder / "arrays.npz", x=x, **{f"params.{k}": p for k, p in params.items()})
        command = [python(peer, given, device), "-m", f"benchmarks.learning_{peer}"]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        environment = os.environ | {"PYTHONPATH": str(HERE.parent)}
        environment["JAX_PLATFORMS"] = ON[device]["JAX_PLATFORMS"]
        command += name, str(folder), device
        self.process = subprocess.Popen(command, cwd=HERE.parent, env=environment, **pipes)
        answer = self.ask("prepare")
        if "reason" in answer:
            raise RuntimeError(f"{peer} could not prepare {name}: {answer['reason']}")
        self.rows = answer["rows"]
        self.grads = {row: dict(np.load(folder / f"{i}.npz")) for i, row in enumerate(self.rows)}

    def ms(self, row):
        """The time of one call, right after another."""
        return self.ask("run", row=row)["ms"]


def time_of(run, args, device):
    """The milliseconds of a run, right after another."""
    return ms_of(lambda: jax.block_until_ready(run(*args)), device)


def measure(name, steps, rounds, peers=(), device="cpu"):
    """Compile, compare and time the programs of a network; the results by row."""
    args = arrays(name, steps)
    rows, timed, grads = {}, {}, {}
    for row, (program, same) in programs(name).items():
        run = jax.jit(program)
        grads[row] = jax.device_get(run(*args)[1])
        rows[row] = agreement(grads[row], grads[same], grads["BPTT"])
        rows[row]["mib"] = [temporary(program, name, t) for t in (steps, 10 * steps)]
        timed[row] = functools.partial(time_of, run, args, device)
    for peer in peers:
        for row, found in peer.rows.items():
            rows[row] = agreement(peer.grads[row], grads[found.pop("same")], grads["BPTT"])
            rows[row] |= found
            timed[row] = functools.partial(peer.ms, row)
    order, times = random.Random(0), {row: [] for row in rows}
    for _ in range(rounds):
        for row in order.sample(list(rows), len(rows)):
            if len(times[row]) < 3 or sum(times[row]) < 1e3 * ENOUGH:
                times[row].append(timed[row]())
    for row, ms in times.items():
        rows[row]["ms"] = [round(t, 3) for t in ms]
    return rows


def run(name, steps, rounds, peers, given, device):
    """The results of a network, beside the peers that have it."""
    with tempfile.TemporaryDirectory() as folder:
        wanted = [peer for peer in peers if name in PEERS[peer]]
        others = [Peer(peer, given, name, steps, folder, device) for peer in wanted]
    rows = measure(name, steps, rounds, others, device)
    for other in others:
        other.close()
    return rows


def use_gpu():
    """Compute on a GPU in this process, and with these settings in those that it starts."""
    os.environ.update(ON["gpu"])
    jax.config.update("jax_platforms", ON["gpu"]["JAX_PLATFORMS"])
    jax.config.update("jax_default_matmul_precision", ON["gpu"]["JAX_DEFAULT_MATMUL_PRECISION"])


def main(arguments=None):
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("networks", nargs="*", default=list(NETWORKS), help=", ".join(NETWORKS))
    parser.add_argument("--steps", type=positive, nargs="+", default=STEPS, help="multiples of 32")
    parser.add_argument("--rounds", type=positive, default=9, help="timed calls of each program")
    parser.add_argument("--device", choices=list(ON), default="cpu", type=present)
    parser.add_argument("--label", help="folder of the results (default: the device)")
    parser.add_argument("--peers", nargs="*", choices=list(PEERS), default=list(PEERS))
    parser.add_argument(
        "--python", nargs="+", type=pair, default=[], help="PEER=PATH of a ready Python"
    )
    options = parser.parse_args(arguments)
    if options.device == "gpu":
        use_gpu()
    result = {"date": datetime.date.today().isoformat(), "jax": jax.__version__}
    result |= {"machine": machine(options.device), "load": os.getloadavg()[0]}
    runs, given = [], dict(options.python)
    result["runs"] = runs
    path = RESULTS / (options.label or options.device) / "learning.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    for steps in options.steps:
        runs.append({"steps": steps, "networks": {}})
        for name in options.networks:
            rows = run(name, steps, options.rounds, options.peers, given, options.device)
            runs[-1]["networks"][name] = {"what": NETWORKS[name][0].__doc__, "rows": rows}
            path.write_text(json.dumps(result, indent=1) + "\n")
            lines = (f"{row}: {values}" for row, values in rows.items())
            print(f"{name}, T={steps}", *lines, sep="\n  ", flush=True)


if __name__ == "__main__":
    main()
