"""The networks of `benchmarks.conversion` and `examples/convert_ann.py`, converted by SpikingJelly.

    python benchmarks/conversion_spikingjelly.py FOLDER

Reads ``arrays.npz`` of the folder: weights with PyTorch's axes, calibration batches, and images x.
Writes ``0.npz``, ``1.npz``, ...: for each recipe its answers after each step, the number of spikes
of each layer, and the mean output. Then each line of standard input, a recipe and a step mode, is
answered with the milliseconds of CPU of a run over the first batch of x.
"""

import json
import pathlib
import sys
import time

import numpy as np
import torch
from spikingjelly.activation_based import ann2snn, functional, neuron
from torch import nn


class ANN(nn.Module):
    """Convolutions with batch normalization, and a linear layer."""

    def __init__(self, arrays, residual, pooled):
        super().__init__()
        self.residual, self.pooled = residual, pooled
        for i in range(sum(k.endswith("running_mean") for k in arrays)):
            weight = arrays[f"conv{i}.weight"]
            stride = 2 if i == 0 else 1
            conv = nn.Conv2d(*weight.shape[1::-1], 3, stride, padding=1, bias=False)
            setattr(self, f"conv{i}", conv)
            setattr(self, f"norm{i}", nn.BatchNorm2d(len(weight)))
            setattr(self, f"relu{i}", nn.ReLU())
        self.pool = nn.AvgPool2d(2)
        self.linear = nn.Linear(*arrays["linear.weight"].shape[::-1])
        state = {k: torch.tensor(arrays[k]) for k in self.state_dict() if k in arrays}
        self.load_state_dict(state, strict=False)
        self.eval()

    def current(self, i, x):
        """The input of activation i."""
        return getattr(self, f"norm{i}")(getattr(self, f"conv{i}")(x))

    def layer(self, i, x):
        """Layer i."""
        return getattr(self, f"relu{i}")(self.current(i, x))

    def block(self, i, x):
        """Layers i and i + 1, whose sum with x is rectified."""
        return getattr(self, f"relu{i + 1}")(x + self.current(i + 1, self.layer(i, x)))

    def forward(self, x):
        """Images to logits, by three layers or blocks; pooling is after the one ``pooled``."""
        x = self.layer(0, x)
        for stage in range(3):
            if stage:
                x = self.block(2 * stage - 1, x) if self.residual else self.layer(stage, x)
            if stage == self.pooled:
                x = self.pool(x)
        return self.linear(x.flatten(1))


def convert(ann, batches, options):
    """The spiking network of a recipe, or of local threshold balancing without options."""
    loader = [(torch.tensor(x), torch.zeros(len(x))) for x in batches]
    if options is None:
        recipe = ann2snn.LocalThresholdBalancingRecipe(30 * loader)
    else:
        recipe = ann2snn.RateCodingRecipe(loader, **options)
    return ann2snn.FXConverter(recipe).convert(ann)


def run(snn, x, steps, mode):
    """Outputs ``[T, N, 10]`` for constant images, in single steps or all at once."""
    functional.reset_net(snn)
    functional.set_step_mode(snn, mode)
    if mode == "m":
        return snn(x.expand(steps, *x.shape))
    return torch.stack([snn(x) for _ in range(steps)])


def results(snn, x, steps, batch):
    """Answers after each step, spikes of each layer, and the mean output, for all images."""
    nodes = [m for m in snn.modules() if isinstance(m, neuron.BaseNode)]
    counts, answers, means = [0.0] * len(nodes), [], []

    def count(i, spikes):
        counts[i] += spikes.sum().item()

    hooks = [n.register_forward_hook(lambda _, a, z, i=i: count(i, z)) for i, n in enumerate(nodes)]
    for part in torch.split(x, batch):
        y = run(snn, part, steps, "s")
        answers.append(y.cumsum(0).argmax(-1).to(torch.uint8))
        means.append(y.mean(0))
    for hook in hooks:
        hook.remove()
    return {"answers": torch.cat(answers, 1), "mean": torch.cat(means), "counts": np.array(counts)}


def main():
    """Convert, write the results, then time what is asked for."""
    folder = pathlib.Path(sys.argv[1])
    with np.load(folder / "arrays.npz") as file:
        arrays = dict(file)
    info, x = json.loads(str(arrays["info"])), torch.tensor(arrays["x"])
    steps, batch, networks = info["steps"], info["batch"], {}
    with torch.no_grad():
        for i, (name, options) in enumerate(info["recipes"].items()):
            ann = ANN(arrays, info["residual"], info["pooled"])
            snn = convert(ann, arrays["batches"], options)
            networks[name] = snn
            np.savez(folder / f"{i}.npz", **results(snn, x, steps, batch))
        print("ready", flush=True)
        for line in sys.stdin:
            name, mode = line.strip().split("/")
            run(networks[name], x[:batch], steps, mode)
            begin = time.process_time()
            run(networks[name], x[:batch], steps, mode)
            print(1e3 * (time.process_time() - begin), flush=True)


if __name__ == "__main__":
    main()
