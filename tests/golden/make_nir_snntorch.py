"""Write `nir_snntorch.npz`: networks of snnTorch, its NIR files, and what it computes.

Made with Python 3.11.7 and torch 2.13.0 (CPU), numpy 2.4.6, snntorch 1.0.0, nirtorch 2.6,
nir 1.0.8, in an environment of its own:

    python3.11 -m venv snn
    snn/bin/pip install torch==2.13.0 snntorch==1.0.0 nirtorch==2.6 nir==1.0.8
    snn/bin/python tests/golden/make_nir_snntorch.py

The files are those of `snntorch.export_to_nir`, whose step is 1e-4. It writes every reset as a hard
one: the cases name the reset that the network has. Contents: see `make_nir.py`.
"""

import nir
import numpy as np
import snntorch as snn
import torch
from make_nir import N, T, fill, inputs, save
from snntorch.export_nir import _extract_snntorch_module, export_to_nir
from snntorch.utils import reset


def leaky(n, beta=0.875, **options):
    options = {"reset_mechanism": "zero", "reset_delay": False} | options
    return snn.Leaky(
        beta=torch.linspace(0.5, beta, n),
        threshold=torch.full((n,), 0.75),
        init_hidden=True,
        **options,
    )


def run(net, x):
    reset(net)
    return torch.stack([net(step) for step in x])


def case(rng, net, shape, **options):
    net = fill(net, rng)
    x = inputs(rng, *shape)
    graph = export_to_nir(net, x[0], ignore_dims=[0])
    return graph, x, run(net, x), {"dt": 1e-4} | options


def synaptic(n):
    return snn.Synaptic(
        alpha=torch.linspace(0.25, 0.75, n),
        beta=torch.full((n,), 0.875),
        threshold=torch.full((n,), 1.5),
        init_hidden=True,
        reset_mechanism="zero",
        reset_delay=False,
    )


class Images(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(2, 3, 3, padding=1)
        self.pool = torch.nn.AvgPool2d((2, 2), (2, 2))
        self.flatten = torch.nn.Flatten()
        self.linear = torch.nn.Linear(36, 5)
        self.lif = leaky(5)

    def forward(self, x):
        return self.lif(self.linear(self.flatten(self.pool(self.conv(x)))))


def recurrent(rng, linear_features):
    """An RLeaky, run by hand: W z[t-1] + b at every step, the first included."""
    net = snn.RLeaky(
        beta=torch.tensor(0.75),
        threshold=torch.tensor(1.0),
        all_to_all=True,
        linear_features=linear_features,
        reset_mechanism="zero",
        reset_delay=False,
        init_hidden=False,
    )
    fill(net, rng, 0.4)
    x = inputs(rng, linear_features)
    spk, mem = net.init_rleaky()
    out = []
    for step in x:
        spk, mem = net(step, spk, mem)
        out.append(spk)
    inner = _extract_snntorch_module(net)
    ends = {"input": nir.Input([linear_features]), "output": nir.Output([linear_features])}
    graph = nir.NIRGraph({**ends, "rlif": inner}, [("input", "rlif"), ("rlif", "output")])
    return graph, x, torch.stack(out), {"dt": 1e-4}


def main():
    sequential = torch.nn.Sequential
    linear = torch.nn.Linear
    cases = {
        "zero": case(
            np.random.default_rng(0),
            sequential(linear(6, 8), leaky(8), linear(8, 4, bias=False), leaky(4)),
            (6,),
        ),
        "subtract_delayed": case(
            np.random.default_rng(1),
            sequential(
                linear(6, 8),
                leaky(8, reset_mechanism="subtract", reset_delay=True),
                linear(8, 4),
                leaky(4, reset_mechanism="subtract", reset_delay=True),
            ),
            (6,),
            reset="subtract_delayed",
        ),
        "subtract_once": case(  # with membranes that stay above the threshold
            np.random.default_rng(2),
            sequential(
                linear(6, 16),
                leaky(16, reset_mechanism="subtract"),
                linear(16, 8),
                leaky(8, reset_mechanism="subtract"),
            ),
            (6,),
            reset="subtract_once",
        ),
        "synaptic": case(
            np.random.default_rng(3),
            sequential(linear(6, 8), synaptic(8), linear(8, 4), synaptic(4)),
            (6,),
        ),
        "images": case(np.random.default_rng(4), Images(), (2, 4, 12)),
        "recurrent": recurrent(np.random.default_rng(5), 6),
    }
    assert all(c[1].shape[:2] == (T, N) for c in cases.values())
    save("snntorch", cases, ["snntorch", "nirtorch"])


if __name__ == "__main__":
    with torch.no_grad():
        main()
