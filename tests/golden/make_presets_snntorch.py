"""Write `presets_snntorch.npz`: snnTorch's neurons, the contents as in `make_presets.py`.

The file was made with Python 3.11.7, torch 2.13.0 (CPU) and snntorch 1.0.0, in an environment of
its own:

    python3.11 -m venv snn
    snn/bin/pip install torch==2.13.0 numpy
    snn/bin/pip install --no-deps snntorch==1.0.0
    snn/bin/python tests/golden/make_presets_snntorch.py
"""

import warnings
from importlib.metadata import version

import torch
from make_presets import write

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import snntorch

CLASSES = {"leaky": "Leaky", "synaptic": "Synaptic", "lapicque": "Lapicque", "alpha": "Alpha"}
CASES = [
    ("snntorch_leaky", {"beta": 0.9}, ["beta", "threshold"], "x"),
    ("snntorch_leaky", {"beta": 0.8, "threshold": 0.7}, ["beta", "threshold"], "many"),
    ("snntorch_leaky", {"beta": 0.8, "reset_mechanism": "zero"}, ["beta", "threshold"], "x"),
    ("snntorch_leaky", {"beta": 0.6, "reset_mechanism": "none"}, ["beta", "threshold"], "low"),
    ("snntorch_leaky", {"beta": 0.8, "reset_delay": False}, ["beta", "threshold"], "low"),
    (
        "snntorch_leaky",
        {"beta": 0.7, "reset_mechanism": "zero", "reset_delay": False, "threshold": 0.9},
        ["beta", "threshold"],
        "many",
    ),
    ("snntorch_leaky", {"beta": [0.5, 0.6, 0.8, 0.9]}, ["beta"], "x"),
    ("snntorch_leaky", {"beta": 1.0}, [], "exact"),
    ("snntorch_leaky", {"beta": 1.0, "reset_delay": False}, [], "exact"),
    ("snntorch_synaptic", {"alpha": 0.6, "beta": 0.7}, ["alpha", "beta", "threshold"], "low"),
    (
        "snntorch_synaptic",
        {"alpha": 0.4, "beta": 0.8, "reset_mechanism": "zero"},
        ["alpha", "beta", "threshold"],
        "x",
    ),
    (
        "snntorch_synaptic",
        {"alpha": 0.4, "beta": 0.5, "reset_delay": False, "threshold": 1.5},
        ["alpha", "beta"],
        "low",
    ),
    ("snntorch_lapicque", {"beta": 0.7, "threshold": 0.5}, ["threshold"], "x"),
    (
        "snntorch_lapicque",
        {"R": 2.0, "C": 1.6, "time_step": 0.8, "reset_mechanism": "zero", "threshold": 0.6},
        ["threshold"],
        "x",
    ),
    ("snntorch_lapicque", {"beta": 0.8, "R": 3.0, "reset_mechanism": "none"}, [], "many"),
    ("snntorch_lapicque", {"beta": 0.8, "C": 0.7, "time_step": 0.5}, [], "x"),
    ("snntorch_alpha", {"alpha": 0.8, "beta": 0.5}, ["alpha", "beta", "threshold"], "many"),
    ("snntorch_alpha", {"alpha": 0.9, "beta": 0.6, "reset_mechanism": "none"}, ["beta"], "x"),
    # membranes that stay above the threshold
    (
        "snntorch_leaky",
        {"beta": 0.9, "reset_delay": False, "threshold": 0.4},
        ["beta", "threshold"],
        "many",
    ),
    (
        "snntorch_synaptic",
        {"alpha": 0.6, "beta": 0.7, "reset_delay": False},
        ["alpha", "beta", "threshold"],
        "x",
    ),
]


def run(preset, arguments, learned, x, w_y, w_v):
    """Spikes, membranes and gradients of one neuron over a sequence."""
    kind = preset.removeprefix("snntorch_")
    numbers = {k: torch.tensor(v) for k, v in arguments.items() if isinstance(v, float | list)}
    numbers.setdefault("threshold", torch.tensor(1.0))
    neuron = getattr(snntorch, CLASSES[kind])(**arguments | numbers)
    leaves = {name: numbers[name].clone().requires_grad_() for name in learned}
    for name, leaf in leaves.items():  # `learn_alpha` of Alpha is lost: it clamps the Parameter
        delattr(neuron, name)
        setattr(neuron, name, leaf)
    leaves["x"] = torch.tensor(x, requires_grad=True)
    state, spikes, membranes = (), [], []
    for step in leaves["x"]:
        s, *state = neuron(step, *state)
        spikes.append(s)
        membranes.append(state[-1])
    y, v = torch.stack(spikes), torch.stack(membranes)
    loss = (y * torch.tensor(w_y)).sum() + (v * torch.tensor(w_v)).sum()
    grads = torch.autograd.grad(loss, list(leaves.values()))
    out = {f"grad_{name}": g.numpy() for name, g in zip(leaves, grads, strict=True)}
    return out | {"y": y.detach().numpy(), "v": v.detach().numpy()}


if __name__ == "__main__":
    torch.set_num_threads(1)
    versions = {"torch": torch.__version__, "snntorch": version("snntorch")}
    write("snntorch", versions, CASES, run, "threshold")
