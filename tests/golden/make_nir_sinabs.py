"""Write `nir_sinabs.npz`: networks of Sinabs, its NIR files, and what it computes.

Made with Python 3.11.7 and torch 2.13.0 (CPU), numpy 2.4.6, sinabs 3.1.3, nirtorch 2.6, nir 1.0.8,
in an environment of its own:

    python3.11 -m venv sin
    sin/bin/pip install torch==2.13.0 nirtorch==2.6 nir==1.0.8
    sin/bin/pip install --no-deps sinabs==3.1.3
    sin/bin/python tests/golden/make_nir_sinabs.py

Sinabs counts `tau` in steps, decays by `exp(-1 / tau)`, fires at the threshold too, as often as it
fits in the membrane, and subtracts it as often: the cases say so, its files do not. Contents: see
`make_nir.py`.
"""

import numpy as np
import sinabs.layers as sl
import torch
from make_nir import fill, inputs, save
from sinabs.nir import to_nir


def case(rng, shape, net, **options):
    net = fill(net, rng, 0.9)
    x = inputs(rng, *shape)
    with torch.no_grad():
        y = x
        for module in net:  # its neurons take [N, T, *], the layers of torch [N * T, *]
            if isinstance(module, sl.StatefulLayer):
                y = module(y.transpose(0, 1).contiguous()).transpose(0, 1)
            else:
                y = module(y.flatten(0, 1)).unflatten(0, y.shape[:2])
    for module in net:
        if isinstance(module, sl.StatefulLayer):
            module.reset_states()
    squeeze = torch.nn.Sequential(*(_squeezed(m) for m in net))
    graph = to_nir(squeeze, x[:1].flatten(0, 1)[:1])
    graph.infer_types()  # without it there is no input_shape, and `nir.write` fails
    common = {"fire": ">=", "reset": "subtract", "max_spike_count": None}
    return graph, x, y, common | options


def _squeezed(module):
    """The same neuron over [N * T, *], the kind that is exported."""
    if isinstance(module, sl.IAF):  # before LIF, of which it is one
        return sl.IAFSqueeze(spike_threshold=module.spike_threshold, batch_size=1)
    if isinstance(module, sl.LIF):
        p = {"tau_mem": module.tau_mem.detach(), "spike_threshold": module.spike_threshold}
        return sl.LIFSqueeze(batch_size=1, **p)
    return module


def main():
    nn = torch.nn
    tau = torch.tensor([2.0, 3, 4, 5, 6, 8, 10, 20])
    cases = {
        "iaf": case(
            np.random.default_rng(0),
            (6,),
            nn.Sequential(nn.Linear(6, 8), sl.IAF(), nn.Linear(8, 4), sl.IAF()),
            dt=1e-4,
            if_convention="per_step",
        ),
        "lif": case(
            np.random.default_rng(1),
            (6,),
            nn.Sequential(
                nn.Linear(6, 8), sl.LIF(tau_mem=tau, spike_threshold=torch.full((8,), 0.25))
            ),
            dt=1.0,
            method="exact",
        ),
        "images": case(
            np.random.default_rng(2),
            (2, 6, 8),
            nn.Sequential(
                nn.Conv2d(2, 4, 3, stride=2, padding=1, bias=False),
                sl.IAF(),
                sl.SumPool2d(kernel_size=(1, 2), stride=(1, 2)),
                nn.Flatten(),
                nn.Linear(24, 5),
                sl.IAF(),
            ),
            dt=1e-4,
            if_convention="per_step",
        ),
    }
    save("sinabs", cases, ["sinabs", "nirtorch"])


if __name__ == "__main__":
    main()
