"""Write `presets_norse.npz`: Norse's neurons, the contents as in `make_presets.py`.

The file was made with Python 3.11.7, torch 2.13.0 (CPU) and norse 1.1.0, in an environment of its
own:

    python3.11 -m venv norse
    norse/bin/pip install torch==2.13.0 numpy nir nirtorch
    norse/bin/pip install --no-deps norse==1.1.0
    norse/bin/python tests/golden/make_presets_norse.py
"""

from importlib.metadata import version

import norse.torch as norse
import torch
from make_presets import write
from norse.torch.functional import iaf, leaky_integrator, leaky_integrator_box, lif, lif_box, reset

MODELS = {  # module, parameters
    "lif": (norse.LIFCell, lif.LIFParameters),
    "lif_box": (norse.LIFBoxCell, lif_box.LIFBoxParameters),
    "iaf": (norse.IAFCell, iaf.IAFParameters),
    "li": (norse.LICell, leaky_integrator.LIParameters),
    "li_box": (norse.LIBoxCell, leaky_integrator_box.LIBoxParameters),
}
RATES = ["tau_syn_inv", "tau_mem_inv"]
DYADIC = {"tau_mem_inv": 1.0, "dt": 0.5}
CASES = [
    ("norse_lif", {"v_th": 0.3}, [*RATES, "v_th"], "x"),
    (
        "norse_lif",
        {
            "tau_syn_inv": 0.6,
            "tau_mem_inv": 0.4,
            "dt": 1.0,
            "v_th": 0.8,
            "v_leak": 0.2,
            "v_reset": -0.3,
        },
        [*RATES, "v_leak", "v_th", "v_reset"],
        "x",
    ),
    ("norse_lif", {"tau_syn_inv": 300.0, "tau_mem_inv": [100.0, 200.0, 300.0, 400.0]}, [], "many"),
    (
        "norse_lif",
        {
            "tau_syn_inv": 2.0,
            "tau_mem_inv": 0.3,
            "dt": 0.8,
            "v_th": -5.0,
            "v_leak": -5.5,
            "v_reset": -7.0,
        },
        [],
        "many",
    ),
    ("norse_lif_box", {"tau_mem_inv": 400.0, "v_th": 0.4}, ["tau_mem_inv", "v_th"], "x"),
    (
        "norse_lif_box",
        {"tau_mem_inv": 300.0, "v_th": 0.4, "v_leak": 0.1, "v_reset": -0.2},
        ["tau_mem_inv", "v_leak", "v_th", "v_reset"],
        "x",
    ),
    (
        "norse_lif_box",
        {"tau_mem_inv": 300.0, "v_th": 0.3, "reset_method": "reset_subtract"},
        ["tau_mem_inv", "v_th"],
        "x",
    ),
    ("norse_lif_box", DYADIC | {"v_th": 0.25}, [], "exact"),
    ("norse_iaf", {"v_th": 1.2, "v_reset": -0.1}, ["v_th", "v_reset"], "x"),
    ("norse_iaf", {}, [], "exact"),
    ("norse_li", {}, RATES, "x"),
    ("norse_li", {"v_leak": 0.3, "dt": 0.002}, ["v_leak"], "x"),
    ("norse_li_box", {"tau_mem_inv": 200.0, "v_leak": -0.4}, ["tau_mem_inv", "v_leak"], "x"),
]


def run(preset, arguments, learned, x, w_y, w_v):
    """Spikes, membranes and gradients of one neuron over a sequence."""
    module, parameters = MODELS[preset.removeprefix("norse_")]
    fields = {k: torch.tensor(v) for k, v in arguments.items() if k not in ("dt", "reset_method")}
    leaves = {k: fields.get(k, getattr(parameters(), k)).clone().requires_grad_() for k in learned}
    if "reset_method" in arguments:
        fields["reset_method"] = getattr(reset, arguments["reset_method"])
    p = parameters(**fields)
    cell = module(p=p, dt=arguments.get("dt", 0.001))
    x = leaves["x"] = torch.tensor(x, requires_grad=True)
    state = cell.state_fallback(x[0])
    state = state._replace(v=state.v.detach() + torch.zeros_like(x[0]))
    cell.p = p._replace(**{k: leaf for k, leaf in leaves.items() if k != "x"})
    outputs, membranes = [], []
    for step in x:
        y, state = cell(step, state)
        outputs.append(y)
        membranes.append(state.v)
    y, v = torch.stack(outputs), torch.stack(membranes)
    loss = (y * torch.tensor(w_y)).sum() + (v * torch.tensor(w_v)).sum()
    grads = torch.autograd.grad(loss, list(leaves.values()))
    out = {f"grad_{name}": g.numpy() for name, g in zip(leaves, grads, strict=True)}
    return out | {"y": y.detach().numpy(), "v": v.detach().numpy()}


if __name__ == "__main__":
    torch.set_num_threads(1)
    versions = {"torch": torch.__version__, "norse": version("norse")}
    write("norse", versions, CASES, run, "v_th")
