"""Write `neurobench.npz`: networks of snnTorch and the metrics of NeuroBench.

Made with Python 3.11.7 and torch 2.13.0 (CPU), snntorch 1.0.0, neurobench 2.3.0, in an environment
of its own:

    python3.11 -m venv nb
    nb/bin/pip install torch==2.13.0 snntorch==1.0.0 tqdm
    nb/bin/pip install --no-deps neurobench==2.3.0
    nb/bin/python tests/golden/make_neurobench.py
"""

import json
import pathlib

import numpy as np
import snntorch as snn
import torch
from neurobench.benchmarks import Benchmark
from neurobench.metrics.static import ConnectionSparsity, Footprint, ParameterCount
from neurobench.metrics.workload import ActivationSparsity, MembraneUpdates, SynapticOperations
from neurobench.models import SNNTorchModel
from torch import nn

T, N = 6, 3


def leaky(**options):
    return snn.Leaky(beta=0.75, threshold=0.5, init_hidden=True, reset_mechanism="zero", **options)


def networks():
    yield (
        "dense",
        (12,),
        nn.Sequential(nn.Linear(12, 20), leaky(), nn.Linear(20, 5), leaky(output=True)),
    )
    yield (
        "convolutions",
        (2, 9, 9),
        nn.Sequential(
            nn.Conv2d(2, 6, 3, stride=2, padding=1, bias=False),
            leaky(),
            nn.Conv2d(6, 4, 3, padding=2, dilation=2, groups=2),
            leaky(),
            nn.Flatten(),
            nn.Linear(100, 5),
            leaky(output=True),
        ),
    )


def main():
    torch.manual_seed(0)
    out, info = {}, {}
    for name, shape, net in networks():
        for layer in net:
            if hasattr(layer, "weight"):
                layer.weight.data *= 4
                layer.weight.data[torch.rand(layer.weight.shape) < 0.3] = 0
        for kind in ("binary", "ternary", "real", "whole"):
            x = torch.rand(N, T, *shape)
            x = {
                "binary": (x > 0.6).float(),
                "ternary": (x > 0.7).float() - (x < 0.2).float(),
                "real": torch.where(x > 0.5, x, 0.0),
                "whole": torch.floor(4 * x),
            }[kind]
            data = torch.utils.data.TensorDataset(x, torch.zeros(N))
            loader = torch.utils.data.DataLoader(data, batch_size=N)
            metrics = [
                [ParameterCount, Footprint, ConnectionSparsity],
                [ActivationSparsity, MembraneUpdates, SynapticOperations],
            ]
            result = Benchmark(SNNTorchModel(net), loader, [], [], metrics).run(quiet=True)
            out[f"{name}.{kind}.x"] = x.transpose(0, 1).numpy()
            info[f"{name}.{kind}"] = {
                k: v for k, v in result.items() if k != "ActivationSparsityByLayer"
            }
        for key, value in net.state_dict().items():
            if key.endswith(("weight", "bias")):
                out[f"{name}.{key}"] = value.numpy()
    np.savez_compressed(
        pathlib.Path(__file__).with_name("neurobench.npz"), info=json.dumps(info), **out
    )


if __name__ == "__main__":
    main()
