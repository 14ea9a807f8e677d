"""Write `nir_norse.npz`: NIR files of and for Norse, and what Norse computes.

Made with Python 3.11.7 and torch 2.13.0 (CPU), numpy 2.4.6, norse 1.1.0, nirtorch 2.6, nir 1.0.8,
in an environment of its own:

    python3.11 -m venv nor
    nor/bin/pip install torch==2.13.0 norse==1.1.0 nirtorch==2.6 nir==1.0.8
    nor/bin/python tests/golden/make_nir_norse.py

Norse 1.1.0 writes time constants too small by the factor `dt`: `to_nir(..., dt=1)` writes them
right. Its neurons step by `dt = 0.001`. The case `imported` is a graph made by hand, with a
cycle without bias and a CubaLIF, run by `norse.torch.from_nir`. Contents: see `make_nir.py`.
"""

import nir
import norse.torch as norse
import numpy as np
import torch
from make_nir import coarse, fill, inputs, save

DT = 1e-3


def lif(tau_inv):
    p = norse.LIFBoxParameters(
        tau_mem_inv=tau_inv,
        v_th=torch.full_like(tau_inv, 0.25),
        v_leak=torch.full_like(tau_inv, 0.125),
    )
    return norse.LIFBoxCell(p, dt=DT)


def run(net, x):
    out, state = [], None
    for step in x:
        y, state = net(step, state)
        out.append(y)
    return torch.stack(out)


def exported(rng, *layers, **options):
    net = fill(norse.SequentialState(*layers), rng)
    x = inputs(rng, 6)
    graph = norse.to_nir(net, x[0], dt=1)
    return graph, x, run(net, x), {"dt": DT} | options


def imported(rng):
    def full(value, n):
        return np.full(n, value, np.float32)

    def cuba(n):
        return nir.CubaLIF(
            tau_mem=full(4e-3, n),
            tau_syn=full(2e-3, n),
            r=full(1.0, n),
            v_leak=full(0.0, n),
            v_threshold=full(0.5, n),
            w_in=full(2.0, n),
        )

    graph = nir.NIRGraph(
        {
            "input": nir.Input(np.array([6])),
            "w": nir.Affine(coarse(rng, 5, 6).numpy(), coarse(rng, 5, scale=0.2).numpy()),
            "lif": cuba(5),
            "w_rec": nir.Linear(coarse(rng, 5, 5, scale=0.5).numpy()),
            "out": nir.LIF(
                tau=full(4e-3, 5), r=full(1.0, 5), v_leak=full(0.0, 5), v_threshold=full(0.2, 5)
            ),
            "output": nir.Output(np.array([5])),
        },
        [
            ("input", "w"),
            ("w", "lif"),
            ("lif", "w_rec"),
            ("w_rec", "lif"),
            ("lif", "out"),
            ("out", "output"),
        ],
    )
    x = inputs(rng, 6)
    return graph, x, run(norse.from_nir(graph, dt=DT), x), {"dt": DT}


def main():
    tau = torch.tensor([100.0, 200, 250, 400, 500, 125, 160, 320])
    linear = torch.nn.Linear
    cases = {
        "lif": exported(
            np.random.default_rng(0), linear(6, 8), lif(tau), linear(8, 4), lif(tau[:4])
        ),
        "iaf": exported(
            np.random.default_rng(1),
            linear(6, 8),
            norse.IAFCell(norse.IAFParameters(v_th=torch.full((8,), 1.0)), dt=DT),
            if_convention="per_step",
        ),
        "li": exported(
            np.random.default_rng(2),
            linear(6, 8),
            lif(tau),
            linear(8, 3),
            norse.LIBoxCell(
                norse.LIBoxParameters(tau_mem_inv=tau[:3], v_leak=torch.zeros(3)), dt=DT
            ),
        ),
        "imported": imported(np.random.default_rng(3)),
    }
    save("norse", cases, ["norse", "nirtorch"])


if __name__ == "__main__":
    with torch.no_grad():
        main()
