"""Write `snntorch_quant.npz`: the quantized states of snnTorch.

Made with Python 3.11.7 and torch 2.13.0 (CPU), snntorch 1.0.0, in an environment of its own:

    python3.11 -m venv quant
    quant/bin/pip install torch==2.13.0 snntorch==1.0.0
    quant/bin/python tests/golden/make_snntorch_quant.py
"""

import json
import pathlib

import numpy as np
import snntorch as snn
import torch
from snntorch.functional import quant

SETTINGS = [
    {"num_bits": 1},
    {"num_bits": 4, "threshold": 0.7, "lower_limit": 0.3, "upper_limit": 0.5},
    {"num_bits": 8},
    {"num_bits": 2, "uniform": False},
    {"num_bits": 5, "uniform": False, "threshold": 0.7, "upper_limit": 0.4},
    {"num_bits": 4, "uniform": False, "thr_centered": False, "lower_limit": 0.2},
    {"num_bits": 3, "uniform": False, "thr_centered": False, "multiplier": 0.6},
]
T, N = 30, 20


def main():
    torch.manual_seed(0)
    out = {"values": (4 * torch.rand(2000) - 2).numpy()}
    out["x"] = (0.8 * torch.rand(T, N) - 0.1).numpy()
    for i, setting in enumerate(SETTINGS):
        rounded = quant.state_quant(**setting)
        out[f"{i}.rounded"] = rounded(torch.from_numpy(out["values"])).numpy()
        neuron = snn.Leaky(beta=0.9, threshold=setting.get("threshold", 1.0), state_quant=rounded)
        v, spikes, membranes = torch.zeros(N), [], []
        for x in torch.from_numpy(out["x"]):
            s, v = neuron(x, v)
            spikes.append(s)
            membranes.append(v)
        out[f"{i}.spikes"] = torch.stack(spikes).detach().numpy()
        out[f"{i}.membranes"] = torch.stack(membranes).detach().numpy()
    path = pathlib.Path(__file__).with_name("snntorch_quant.npz")
    np.savez_compressed(path, info=json.dumps(SETTINGS), **out)


if __name__ == "__main__":
    main()
