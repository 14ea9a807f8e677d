"""Write `snntorch.npz`: snnTorch's delta encoder, losses with their gradients, and accuracies.

The file was made with Python 3.11.7, torch 2.13.0 (CPU), numpy 2.4.6 and snntorch 1.0.0, in an
environment of its own:

    python3.11 -m venv snn
    snn/bin/pip install torch==2.13.0 numpy==2.4.6
    snn/bin/pip install --no-deps snntorch==1.0.0
    snn/bin/python tests/golden/make_snntorch.py

Everything is float32 and time is axis 0. Spikes are exactly 0 or 1.

    info                    JSON: `versions`; `delta`, a list of arguments; `losses`, a list of
                            [name, arguments, input], the input one of `spikes`, `membrane`
    spikes, membrane        [T, N, C]; the first and the last output of the first sample are silent
    labels, times           [N] and [N, C]
    signal                  [T, N, F]
    delta_<i>               [T, N, F] of `delta[i]`
    loss, grad              [losses] and [losses, T, N, C]
    accuracy                rate, temporal and population (3 classes)
"""

import json
import platform
from importlib.metadata import version
from pathlib import Path

import numpy as np
import snntorch.functional as SF  # noqa: N812
import torch
from snntorch import spikegen

T, N, C = 25, 8, 6
DELTA = [
    {},
    {"threshold": 0.3, "off_spike": True},
    {"threshold": 0.2, "off_spike": True, "padding": True},
    {"threshold": 0.4, "padding": True},
]
LOSSES = [
    ("ce_rate_loss", {}, "spikes"),
    ("ce_rate_loss", {}, "membrane"),
    ("ce_count_loss", {}, "spikes"),
    ("ce_count_loss", {"population_code": True, "num_classes": 3}, "spikes"),
    ("ce_max_membrane_loss", {}, "membrane"),
    ("mse_count_loss", {}, "spikes"),
    ("mse_count_loss", {"correct_rate": 0.83, "incorrect_rate": 0.11}, "spikes"),
    (
        "mse_count_loss",
        {"correct_rate": 0.83, "incorrect_rate": 0.11, "population_code": True, "num_classes": 3},
        "spikes",
    ),
    ("mse_membrane_loss", {}, "membrane"),
    ("mse_membrane_loss", {"on_target": 1.5, "off_target": 0.2}, "membrane"),
    ("ce_temporal_loss", {}, "spikes"),
    ("ce_temporal_loss", {"inverse": "reciprocal"}, "spikes"),
    ("mse_temporal_loss", {}, "spikes"),  # all targets become 0: its default -1 is lost
    ("mse_temporal_loss", {"on_target": 0, "off_target": T - 1}, "spikes"),
    ("mse_temporal_loss", {"on_target": 3, "off_target": 9, "tolerance": 2}, "spikes"),
    ("mse_temporal_loss", {"target_is_time": True}, "spikes"),
]


def tensor(a):
    """A float32 tensor."""
    return torch.tensor(np.asarray(a), dtype=torch.float32)


def main():
    """Run everything and write the file beside this script."""
    torch.set_num_threads(1)
    rng = np.random.default_rng(5)
    spikes = rng.uniform(0, 1, (T, N, C)) < rng.uniform(0, 0.5, (N, C))
    spikes[:, 0, [0, -1]] = False
    out = {"spikes": tensor(spikes), "membrane": tensor(rng.normal(0.3, 0.8, (T, N, C)))}
    labels = rng.integers(0, C, N)
    labels[::3] = spikes.sum(0).argmax(-1)[::3]  # some of them right
    labels[1::3] = spikes.argmax(0).argmin(-1)[1::3]
    out["labels"] = torch.tensor(labels)
    out["times"] = tensor(rng.integers(0, T, (N, C)))
    out["signal"] = tensor(np.cumsum(rng.normal(0, 0.3, (T, 3, 4)), 0))
    for i, fields in enumerate(DELTA):
        out[f"delta_{i}"] = spikegen.delta(out["signal"], **fields)

    losses, grads = [], []
    for name, fields, which in LOSSES:
        x = out[which].clone().requires_grad_()
        classes = fields.get("num_classes", C)
        target = out["times"].clone() if fields.get("target_is_time") else out["labels"] % classes
        loss = getattr(SF, name)(**fields)(x, target).squeeze()
        loss.backward()
        losses.append(loss)
        grads.append(x.grad)
    out["loss"], out["grad"] = torch.stack(losses), torch.stack(grads)
    out["accuracy"] = tensor(
        [
            SF.accuracy_rate(out["spikes"], out["labels"]),
            SF.accuracy_temporal(out["spikes"], out["labels"]),
            SF.accuracy_rate(out["spikes"], out["labels"] % 3, True, 3),
        ]
    )

    versions = {"python": platform.python_version(), "numpy": np.__version__}
    versions |= {"torch": torch.__version__, "snntorch": version("snntorch")}
    info = {"versions": versions, "delta": DELTA, "losses": LOSSES}
    arrays = {k: v.detach().numpy() for k, v in out.items()}
    path = Path(__file__).with_name("snntorch.npz")
    np.savez_compressed(path, info=np.array(json.dumps(info)), **arrays)
    print(f"{path.stat().st_size / 1000:.0f} kB, {versions}")
    print(out["loss"].detach().numpy(), out["accuracy"].numpy())


if __name__ == "__main__":
    main()
