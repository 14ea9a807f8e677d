"""Training steps of whole networks, beside SpikingJelly: time, memory and compile time.

    python -m benchmarks.models spikformer sew_resnet18 --spikingjelly PYTHON --rounds 7

``PYTHON`` is that of an environment with SpikingJelly 2.0.0, torch and torchvision. Every row is a
process; all start from the weights that SpikingJelly draws, and get the same images, 32 x 32, B =
16, T = 4. First the spikes of all layers in training mode, the loss and the gradient are compared;
then the processes take turns, and a row has the median times, of the clock and of the CPU (the one
to believe where others use the machine; pin it to one core then), the memory of a step
(`worker.peak`) and the CPU time to trace and compile. A step is the forward and backward pass and
an update by SGD.
"by hand" is the same network with `jax.lax.scan` of each neuron and the gradient that JAX derives.
"""

import argparse
import functools
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np

T, N, RATE = 4, 16, 0.05
SIZES = {  # classes, and the widths of smaller networks to try it out
    "spikformer": {"dim": 384, "depth": 4, "num_heads": 12},
    "spikformer_small": {"dim": 128, "depth": 1, "num_heads": 4},
    "sew_resnet18": {"width": 64},
    "sew_resnet18_small": {"width": 8},
}


def in_torch(name, folder):
    """SpikingJelly's network: a step, and what it does in the first."""
    import torch
    from spikingjelly.activation_based import functional, neuron, surrogate
    from spikingjelly.activation_based.model import sew_resnet, spikformer

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    torch.manual_seed(0)
    size = SIZES[name]
    if name.startswith("spikformer"):
        image = {"img_size_h": 32, "img_size_w": 32, "patch_size": 4}
        sizes = {"embed_dims": size["dim"], "depths": size["depth"], "num_heads": size["num_heads"]}
        net = spikformer.Spikformer(T=T, num_classes=10, **image, **sizes)
    else:
        options = {"surrogate_function": surrogate.ATan(), "detach_reset": True}
        net = sew_resnet.sew_resnet18(
            num_classes=10, cnf="ADD", spiking_neuron=neuron.IFNode, **options
        )
        narrow(net, size["width"])
        functional.set_step_mode(net, "m")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(T, N, 3, 32, 32)).astype(np.float32)
    labels = rng.integers(0, 10, N)
    np.savez(folder / "weights.npz", **{k: v.numpy() for k, v in net.state_dict().items()})
    np.savez(folder / "images.npz", x=np.moveaxis(x, 2, -1), labels=labels)
    x, labels = torch.tensor(x), torch.tensor(labels)
    optimizer = torch.optim.SGD(net.parameters(), RATE)

    def step():
        functional.reset_net(net)
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(net(x).mean(0), labels)
        loss.backward()
        optimizer.step()
        return loss.item()

    spikes, hooks = {}, []
    for path, module in net.named_modules():
        if isinstance(module, neuron.BaseNode):

            def keep(module, args, y, path=path):
                y = y.flatten(2, 3) if path.endswith("attn_lif") else y
                spikes[path] = y.detach().movedim(2, -1).numpy() > 0

            hooks.append(module.register_forward_hook(keep))
    start = {k: p.detach().clone() for k, p in net.named_parameters()}
    loss = step()
    for hook in hooks:
        hook.remove()
    moved = [((p.detach() - start[k]).numpy() / -RATE).ravel() for k, p in net.named_parameters()]
    norm = float(np.linalg.norm(np.concatenate(moved)))
    return step, {"spikes": spikes, "loss": loss, "gradient": norm, "compile_s": None}


def narrow(net, width):
    """Give a residual network of SpikingJelly another width, and the stem for small images."""
    import torch
    from spikingjelly.activation_based import layer

    for path, module in [*net.named_modules()]:
        owner, _, name = path.rpartition(".")
        if isinstance(module, torch.nn.Conv2d):
            inputs, outputs = (n if n == 3 else n * width // 64 for n in module.weight.shape[1::-1])
            options = {"stride": module.stride, "padding": module.padding, "bias": False}
            new = layer.Conv2d(inputs, outputs, module.kernel_size, **options)
            if path == "conv1":
                new = layer.Conv2d(3, width, 3, padding=1, bias=False)
        elif isinstance(module, torch.nn.BatchNorm2d):
            new = layer.BatchNorm2d(module.num_features * width // 64)
        elif path == "fc":
            new = layer.Linear(module.in_features * width // 64, module.out_features)
        elif path == "maxpool":
            new = torch.nn.Identity()
        else:
            continue
        setattr(net.get_submodule(owner), name, new)


def in_jax(name, folder, by_hand):
    """The network of jaxspike: a step, and what it does in the first."""
    import jax
    import optax
    from flax import nnx

    import jaxspike as js

    size, options = SIZES[name], {}
    if by_hand:
        options = {"neuron": Scanned(js.LIF(detach_reset=True))}
        options["attention_neuron"] = Scanned(js.LIF(v_threshold=0.5, detach_reset=True))
    if name.startswith("spikformer"):
        make = functools.partial(js.models.spikformer, patch_size=4, **size)
    else:
        make = functools.partial(js.models.sew_resnet18, stem="small", **size)
        if by_hand:
            surrogate = js.surrogate.ATan()
            options = {"neuron": Scanned(js.IF(surrogate=surrogate, detach_reset=True))}
    net = make(10, rngs=nnx.Rngs(0), **options)
    images = dict(np.load(folder / "images.npz"))
    x, labels = jax.numpy.asarray(images["x"]), jax.numpy.asarray(images["labels"])
    net = js.convert.from_torch(net, dict(np.load(folder / "weights.npz")), x.shape[1:])
    net.train()
    optimizer = nnx.Optimizer(net, optax.sgd(RATE), wrt=nnx.Param)

    def loss_of(net, state, x):
        _, y = net(state, x)
        return optax.softmax_cross_entropy_with_integer_labels(y.mean(0), labels).mean()

    @nnx.jit(donate_argnames=("net", "optimizer"))
    def train(net, optimizer, x):
        state = net.init_state(x.shape[1:])
        loss, grads = nnx.value_and_grad(loss_of)(net, state, x)
        optimizer.update(net, grads)
        return loss, optax.global_norm(grads)

    spikes = {}
    if not by_hand:
        state = net.init_state(x.shape[1:])
        _, _, seen = nnx.jit(js.debug.record)(nnx.clone(net), state, x)
        spikes = {k: np.asarray(v["output"]) > 0 for k, v in seen.items()}
    begin = time.process_time()
    loss, norm = jax.block_until_ready(train(net, optimizer, x))
    first = time.process_time() - begin

    def step():
        return float(train(net, optimizer, x)[0])

    begin = time.process_time()
    step()
    compile_s = first - (time.process_time() - begin)
    about = {"loss": float(loss), "gradient": float(norm), "compile_s": compile_s}
    return step, {"spikes": spikes} | about


def Scanned(neuron):  # noqa: N802, as a class that would need jaxspike here
    """A neuron as a layer that is `jax.lax.scan` of its step."""
    import jax

    import jaxspike as js

    class ScannedNeuron(js.nn.SpikingModule):
        """State and gradient as JAX derives them."""

        def init_state(self, shape, dtype=jax.numpy.float32):
            return neuron.init_state(shape, dtype)

        def __call__(self, state, x):
            return neuron(state, x)

        def sequence(self, state, xs):
            return jax.lax.scan(neuron, state, xs)

    return ScannedNeuron()


def work(row, name, folder):
    """The process of a row: it answers each line of its input."""
    from .worker import peak

    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    if row == "SpikingJelly":
        step, about = in_torch(name, folder)
    else:
        step, about = in_jax(name, folder, row == "by hand")
    np.savez_compressed(folder / f"{row}.npz", **about.pop("spikes"))
    print(json.dumps(about), file=answers, flush=True)
    for line in sys.stdin:
        if line.strip() == "memory":
            answer = peak(step, 2)
        else:
            begin = time.perf_counter(), time.process_time()
            step()
            answer = time.perf_counter() - begin[0], time.process_time() - begin[1]
        print(json.dumps(answer), file=answers, flush=True)


def compare(name, pythons, rounds):
    """Rows of a network: start the processes one by one, then let them take turns."""
    rows = {}
    with tempfile.TemporaryDirectory() as folder:
        processes = {}
        for row, python in pythons.items():
            command = [python, "-m", "benchmarks.models", "--worker", row, name, folder]
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
            processes[row] = subprocess.Popen(command, **pipes)
            rows[row] = json.loads(processes[row].stdout.readline())

        def ask(row, what):
            process = processes[row]
            process.stdin.write(what + "\n")
            process.stdin.flush()
            return json.loads(process.stdout.readline())

        there, here = (np.load(f"{folder}/{row}.npz") for row in ("SpikingJelly", "jaxspike"))
        names = [(k, k.replace(".block", "")) for k in there]
        rows["different spikes"] = sum(int((there[a] != here[b]).sum()) for a, b in names)
        rows["spikes"] = sum(int(there[a].sum()) for a, _ in names)
        rows["neurons x T"] = sum(there[a].size for a, _ in names)
        order = [*processes]
        times = {row: [] for row in order}
        for i in range(rounds):
            for row in order[i % len(order) :] + order[: i % len(order)]:
                times[row].append(ask(row, "step"))
        for row, process in processes.items():
            rows[row]["times_s"], rows[row]["cpu_s"] = zip(*times[row], strict=True)
            rows[row]["peak_mib"] = ask(row, "memory")
            process.stdin.close()
            process.wait()
    return rows


def show(name, rows):
    """A table, with the median of the ratios to SpikingJelly in the same round."""
    print(f"\n{name}: {rows['different spikes']} of {rows['spikes']} spikes differ, in training")
    print(
        "\n| | step, s | SpikingJelly / it | CPU, s | SpikingJelly / it | peak MiB "
        "| compile, CPU s | loss | gradient |"
    )
    print("|---|--:|--:|--:|--:|--:|--:|--:|--:|")
    for row in ("SpikingJelly", "jaxspike", "by hand"):
        r = rows[row]
        times = [cell for kind in ("times_s", "cpu_s") for cell in compared(rows, row, kind)]
        compiled = "-" if r["compile_s"] is None else f"{r['compile_s']:.1f}"
        print(
            f"| {row} | {' | '.join(times)} | {r['peak_mib']:.0f} "
            f"| {compiled} | {r['loss']:.6f} | {r['gradient']:.5f} |",
            flush=True,
        )


def compared(rows, row, kind):
    """The median seconds of a row, and the median of the ratios to it."""
    pairs = zip(rows["SpikingJelly"][kind], rows[row][kind], strict=True)
    return [
        f"{statistics.median(rows[row][kind]):.2f}",
        f"{statistics.median(a / b for a, b in pairs):.2f}",
    ]


def main():
    """Read the command line, measure, print a table for each network."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("networks", nargs="*", default=["spikformer", "sew_resnet18"])
    parser.add_argument("--spikingjelly", default=sys.executable)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        row, name, folder = options.worker
        return work(row, name, pathlib.Path(folder))
    ours = {"jaxspike": sys.executable, "by hand": sys.executable}
    for name in options.networks:
        rows = compare(name, {"SpikingJelly": options.spikingjelly} | ours, options.rounds)
        show(name, rows)
    return None


if __name__ == "__main__":
    main()
