"""Write `lemaire.npz`: networks of SpikingJelly and their energy after Lemaire et al. 2022.

Made with Python 3.11.7 and torch 2.13.0 (CPU), spikingjelly 2.0.0, in an environment of its own:

    python3.11 -m venv sj
    sj/bin/pip install torch==2.13.0 spikingjelly==2.0.0
    sj/bin/python tests/golden/make_lemaire.py
"""

import json
import pathlib

import numpy as np
import torch
from spikingjelly.activation_based import neuron
from spikingjelly.activation_based.op_counter.analytical_energy import estimate_lemaire_energy
from torch import nn

T = 6


class OverTime(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x_seq):
        return torch.stack([self.net(x) for x in x_seq])


def main():
    torch.manual_seed(0)
    out, info = {}, {}
    for name, make in (("IF", neuron.IFNode), ("LIF", neuron.LIFNode)):
        net = nn.Sequential(nn.Linear(300, 40), make(), nn.Linear(40, 5, bias=False), make())
        for layer in (net[0], net[2]):
            layer.weight.data *= 6
        x = torch.rand(T, 1, 300)
        for kind, x_seq in (("spikes", (x > 0.6).float()), ("real", x)):
            for layer in (net[1], net[3]):
                layer.reset()
            report = estimate_lemaire_energy(OverTime(net), x_seq)
            info[f"{name}.{kind}"] = report.breakdown_pj
            out[f"{name}.{kind}.x"] = x_seq.numpy()
        out |= {f"{name}.{key}": value.numpy() for key, value in net.state_dict().items()}
    net = nn.Sequential(
        *(nn.Conv2d(2, 4, 3), neuron.IFNode(), nn.Conv2d(4, 3, 1, bias=False), neuron.IFNode())
    )
    for layer in (net[0], net[2]):
        layer.weight.data *= 4
    x = torch.zeros(T, 1, 2, 7, 7)
    x[..., 2:5, 2:5] = torch.rand(T, 1, 2, 3, 3)  # away from the borders, where it only estimates
    for kind, x_seq in (("spikes", (x > 0.5).float()), ("real", x)):
        for layer in (net[1], net[3]):
            layer.reset()
        info[f"conv.{kind}"] = estimate_lemaire_energy(OverTime(net), x_seq).breakdown_pj
        out[f"conv.{kind}.x"] = x_seq.numpy()
    out |= {f"conv.{key}": value.numpy() for key, value in net.state_dict().items()}
    path = pathlib.Path(__file__).with_name("lemaire.npz")
    np.savez_compressed(path, info=json.dumps(info), **out)


if __name__ == "__main__":
    main()
