"""Write `nir_spikingjelly.npz`: networks of SpikingJelly, its NIR files, and what it computes.

Made with Python 3.11.7 and torch 2.13.0 (CPU), numpy 2.4.6, spikingjelly 2.0.0, nirtorch 2.6,
nir 1.0.8, in an environment of its own:

    python3.11 -m venv sj
    sj/bin/pip install torch==2.13.0 spikingjelly==2.0.0 nirtorch==2.6 nir==1.0.8
    sj/bin/python tests/golden/make_nir_spikingjelly.py

The files are those of `export_to_nir` with `dt = 1e-4`. SpikingJelly fires at the threshold too,
which NIR cannot say: the cases name it. Contents: see `make_nir.py`.
"""

import numpy as np
import torch
from make_nir import fill, inputs, save
from spikingjelly.activation_based import functional, layer, neuron
from spikingjelly.activation_based.nir_exchange import export_to_nir


def case(rng, shape, *layers, scale=0.6):
    net = fill(torch.nn.Sequential(*layers), rng, scale)
    x = inputs(rng, *shape)
    functional.set_step_mode(net, "s")
    y = torch.stack([net(step) for step in x])
    functional.reset_net(net)
    graph = export_to_nir(net, x[0], dt=1e-4)
    return graph, x, y, {"dt": 1e-4, "fire": ">="}


def main():
    cases = {
        "lif": case(
            np.random.default_rng(0),
            (6,),
            layer.Linear(6, 8),
            neuron.LIFNode(tau=2.0, v_threshold=0.5),
            layer.Linear(8, 4),
            neuron.LIFNode(tau=4.0, decay_input=False, v_reset=-0.25),
        ),
        "if": case(
            np.random.default_rng(1),
            (6,),
            layer.Linear(6, 8),
            neuron.IFNode(v_reset=0.25),  # starts there
            layer.Linear(8, 4, bias=False),
            neuron.IFNode(v_threshold=0.5),
        ),
        "cuba": case(
            np.random.default_rng(2),
            (6,),
            layer.Linear(6, 8),
            neuron.CUBALIFNode(c_decay=0.5, v_decay=0.75, v_threshold=1.0),
        ),
        "images": case(
            np.random.default_rng(3),
            (2, 6, 8),
            layer.Conv2d(2, 4, 3, stride=(1, 2), padding=1),
            neuron.LIFNode(tau=2.0, v_threshold=0.5),
            layer.AvgPool2d(2, 2),
            layer.Flatten(),
            layer.Linear(24, 5),
            neuron.ParametricLIFNode(init_tau=2.0, v_threshold=0.5),
        ),
        "signal": case(
            np.random.default_rng(4),
            (2, 9),
            layer.Conv1d(2, 3, 4, stride=2, padding=1, dilation=2),
            neuron.IFNode(),
        ),
    }
    cases["if"][3]["start"] = "v_reset"
    save("spikingjelly", cases, ["spikingjelly", "nirtorch"])


if __name__ == "__main__":
    with torch.no_grad():
        main()
