"""Write `spikingjelly_coding.npz`: SpikingJelly's surrogates, encoders, readouts and TET loss.

Made in the environment that `make_spikingjelly.py` describes. Everything is float32 and time is
axis 0.

    info                JSON: `versions`; `surrogates`, a list of [name, fields]; `latency`, a list
                        of [curve, steps]; `phase`, a list of steps
    surrogate_x         [P] points, 0 among them
    surrogate_grad      [surrogates, P] derivatives
    intensity           [N, F] values in [0, 1], both ends among them
    latency_<i>         [T, N, F] spikes of `latency[i]`
    phase_x             [N, F] values in [0, 1 - 2 ** -8]
    phase_<i>           [T, N, F] spikes of `phase[i]`, of phase_x cut to its range
    population_x, population, population_mean, population_std
                        [N, D] observations, their [T, N, D * P] activity, and [D, P] parameters
    logits, labels      [T, N, C] and [N]
    tet, tet_grad       the loss and its gradient
    votes               [T, N, C / 3] of VotingLayer(3)
"""

import json
import platform
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from spikingjelly.activation_based import encoding, functional, layer, surrogate

SURROGATES = [
    ("PiecewiseLeakyReLU", {}),
    ("PiecewiseLeakyReLU", {"w": 0.6, "c": 0.1}),
    ("LeakyKReLU", {}),
    ("LeakyKReLU", {"leak": 0.2, "k": 1.5}),
    ("S2NN", {}),
    ("S2NN", {"alpha": 2.5, "beta": 0.7}),
    ("QPseudoSpike", {}),
    ("QPseudoSpike", {"alpha": 3.5}),
    ("NonzeroSignLogAbs", {}),
    ("NonzeroSignLogAbs", {"alpha": 2.5}),
    ("SquarewaveFourierSeries", {}),
    ("SquarewaveFourierSeries", {"n": 4, "T_period": 5.0}),
    ("FakeNumericalGradient", {}),
    ("FakeNumericalGradient", {"alpha": 1.5}),
    ("LogTailedReLU", {}),
    ("LogTailedReLU", {"alpha": 0.3}),
    ("DeterministicPass", {}),
]
RENAMED = {"DeterministicPass": "StraightThrough"}
LATENCY = [(curve, steps) for curve in ("linear", "log") for steps in (1, 4, 16, 25)]
PHASE = [1, 3, 8]


def tensor(a):
    """A float32 tensor."""
    return torch.tensor(np.asarray(a), dtype=torch.float32)


def derivative(name, fields, x):
    """The derivative that a surrogate gives at `x`."""
    x = x.clone().requires_grad_()
    getattr(surrogate, name)(**fields)(x).sum().backward()
    return x.grad


def encoded(encoder, x, steps):
    """The spikes of a stateful encoder, step after step."""
    return torch.stack([encoder(x) for _ in range(steps)])


def main():
    """Run everything and write the file beside this script."""
    torch.set_num_threads(1)
    rng = np.random.default_rng(4)
    out = {"surrogate_x": tensor([0.0, *(np.linspace(-1.5, 1.5, 61) + 0.007)])}
    out["surrogate_grad"] = torch.stack(
        [derivative(name, fields, out["surrogate_x"]) for name, fields in SURROGATES]
    )

    x = rng.uniform(0, 1, (5, 40))
    x[0, :6] = 0, 1, 0.5, 0.25, 0.125, 1e-6
    out["intensity"] = tensor(x)
    for i, (curve, steps) in enumerate(LATENCY):
        out[f"latency_{i}"] = encoded(
            encoding.LatencyEncoder(steps, curve), out["intensity"], steps
        )
    out["phase_x"] = out["intensity"].clamp(0, 1 - 2.0**-8)
    for i, steps in enumerate(PHASE):
        phase_x = out["phase_x"].clamp(0, 1 - 2.0**-steps)
        out[f"phase_{i}"] = encoded(encoding.WeightedPhaseEncoder(steps), phase_x, steps)

    encoder = encoding.PopEncoder(3, 6, 2, (-2.0, 1.5), 0.4)
    out["population_x"] = tensor(rng.uniform(-2, 1.5, (7, 3)))
    out["population"] = encoder(out["population_x"])
    out["population_mean"], out["population_std"] = encoder.mean[0], encoder.std[0]

    out["logits"] = tensor(rng.normal(0, 1.5, (8, 5, 12))).requires_grad_()
    out["labels"] = torch.tensor(rng.integers(0, 12, 5))
    out["tet"] = functional.temporal_efficient_training_cross_entropy(out["logits"], out["labels"])
    out["tet"].backward()
    out["tet_grad"] = out["logits"].grad
    out["votes"] = layer.VotingLayer(3, step_mode="m")(out["logits"])

    versions = {"python": platform.python_version(), "numpy": np.__version__}
    versions |= {"torch": torch.__version__, "spikingjelly": version("spikingjelly")}
    names = [(RENAMED.get(name, name), fields) for name, fields in SURROGATES]
    info = {"versions": versions, "surrogates": names, "latency": LATENCY, "phase": PHASE}
    arrays = {k: v.detach().numpy() for k, v in out.items()}
    path = Path(__file__).with_name("spikingjelly_coding.npz")
    np.savez_compressed(path, info=np.array(json.dumps(info)), **arrays)
    print(f"{path.stat().st_size / 1000:.0f} kB, {versions}")


if __name__ == "__main__":
    main()
