"""Write `presets_sinabs.npz`: the neurons of Sinabs, the contents as in `make_presets.py`.

The file was made with Python 3.11.7, torch 2.13.0 (CPU) and sinabs 3.1.3, in an environment of its
own:

    python3.11 -m venv sinabs
    sinabs/bin/pip install torch==2.13.0 numpy matplotlib pbr pandas nir nirtorch
    sinabs/bin/pip install --no-deps sinabs==3.1.3
    sinabs/bin/python tests/golden/make_presets_sinabs.py
"""

from importlib.metadata import version

import sinabs.activation as activation
import torch
from make_presets import write
from sinabs.layers import IAF, LIF

CASES = [
    ("sinabs_lif", {"tau_mem": 4.0, "norm_input": False}, ["tau_mem"], "x"),
    ("sinabs_lif", {"tau_mem": 5.0, "spike_threshold": 0.3}, ["tau_mem"], "many"),
    (
        "sinabs_lif",
        {"tau_mem": 3.0, "tau_syn": 2.0, "spike_threshold": 0.4, "min_v_mem": -0.5},
        ["tau_mem", "tau_syn"],
        "many",
    ),
    (
        "sinabs_lif",
        {"tau_mem": 8.0, "tau_syn": 1.5, "max_num_spikes_per_bin": 1, "norm_input": False},
        ["tau_mem", "tau_syn"],
        "x",
    ),
    (
        "sinabs_lif",
        {"tau_mem": 4.0, "norm_input": False, "reset_fn": "MembraneReset", "min_v_mem": -0.8},
        ["tau_mem"],
        "many",
    ),
    ("sinabs_lif", {"tau_mem": [2.0, 3.0, 5.0, 9.0], "norm_input": False}, ["tau_mem"], "x"),
    ("sinabs_iaf", {}, [], "x"),
    ("sinabs_iaf", {"max_num_spikes_per_bin": 2, "min_v_mem": -1.0}, [], "many"),
    ("sinabs_iaf", {"max_num_spikes_per_bin": 1, "reset_fn": "MembraneReset"}, [], "x"),
    ("sinabs_iaf", {"tau_syn": 2.0, "spike_threshold": 1.3}, [], "x"),
    ("sinabs_iaf", {"spike_threshold": 0.5}, [], "exact"),
    ("sinabs_iaf", {"max_num_spikes_per_bin": 1}, [], "exact"),
]


def run(preset, arguments, learned, x, w_y, w_v):
    """Spikes, membranes and gradients of one neuron over a sequence."""
    fields = dict(arguments)
    most = fields.pop("max_num_spikes_per_bin", None)
    fields["spike_fn"] = {None: activation.MultiSpike, 1: activation.SingleSpike}.get(
        most, activation.MaxSpike(most)
    )
    fields["reset_fn"] = getattr(activation, fields.get("reset_fn", "MembraneSubtract"))()
    for name in ("tau_mem", "tau_syn", "spike_threshold"):
        if name in fields:
            fields[name] = torch.tensor(fields[name])
    layer = {"sinabs_lif": LIF, "sinabs_iaf": IAF}[preset](record_states=True, **fields)
    x = torch.tensor(x, requires_grad=True)
    leaves = {name: getattr(layer, name) for name in learned} | {"x": x}
    y = layer(x.transpose(0, 1)).transpose(0, 1)
    v = layer.recordings["v_mem"].transpose(0, 1)
    loss = (y * torch.tensor(w_y)).sum() + (v * torch.tensor(w_v)).sum()
    grads = torch.autograd.grad(loss, list(leaves.values()))
    out = {f"grad_{name}": g.numpy() for name, g in zip(leaves, grads, strict=True)}
    return out | {"y": y.detach().numpy(), "v": v.detach().numpy()}


if __name__ == "__main__":
    torch.set_num_threads(1)
    versions = {"torch": torch.__version__, "sinabs": version("sinabs")}
    write("sinabs", versions, CASES, run, "spike_threshold")
