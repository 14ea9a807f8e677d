"""Write `spikingjelly_zoo.npz`, the numbers of SpikingJelly that `tests/test_zoo.py` compares with.

The file was made in the environment that `make_spikingjelly.py` describes:

    sj/bin/python tests/golden/make_spikingjelly_zoo.py

A case runs the step of one model over a sequence, with every parameter a tensor that takes a
gradient, and asserts that SpikingJelly's own module with these parameters gives the same outputs.
Everything is float32, time is axis 0, and the loss of a case is
`sum(y * w_y) + sum(last state * w_state)`.

    info        JSON: `versions`; `cases`: model, parameters, options, names of the states;
                `sequences`: model and options of the neurons without a step; and `defaults`: the
                arguments that SpikingJelly's classes have by default
    x           [T, N, F] standard normal numbers: the input of a case is `shift + scale * x`, or
                where it is negative 0 and else 1 if the case has `spikes`
    w_y, w_state
                [T, N, F] and [N, F] loss weights
    <i>_y       outputs of case i; <i>_grad_x, and for each state and parameter
    <i>_<state>_seq, <i>_grad_<state>0, <i>_grad_<parameter>
                the state after every step, and the gradients of the first state (at rest), of the
                input and of the parameter
    s<i>_y, s<i>_weight, s<i>_bias, s<i>_grad_x, s<i>_grad_<parameter>
                of sequence neuron i, for the input `0.5 + x` and the loss `sum(y * w_y)`
"""

import inspect
import json
import platform
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from spikingjelly._ops.clif.reference import step as clif_step
from spikingjelly._ops.eif.reference import step as eif_step
from spikingjelly._ops.izhikevich.reference import step as izhikevich_step
from spikingjelly._ops.qif.reference import step as qif_step
from spikingjelly.activation_based import functional, layer, neuron, surrogate

T, N, F = 16, 3, 7
GUARD = 1e-5  # no membrane comes nearer to a point where rounding could decide


# Models: (parameters, surrogate, options, states, x) -> y, new states, [(x - edge, ...) to guard]


def cuba_lif(p, g, o, s, x):
    v, c = s
    y, c, new = functional.cuba_lif_step(
        x,
        c,
        v,
        p["c_decay"],
        p["v_decay"],
        p["v_threshold"],
        p.get("v_reset"),
        g,
        o["detach_reset"],
    )
    return y, (new, c), [v * p["v_decay"] + c - p["v_threshold"]]


def qif(p, g, o, s, x):
    y, v, h = qif_step(
        x,
        s[0],
        p["tau"],
        p["a0"],
        p["v_rest"],
        p["v_c"],
        p["v_threshold"],
        p.get("v_reset"),
        g,
        o["detach_reset"],
    )
    return y, (v,), [h - p["v_threshold"]]


def eif(p, g, o, s, x):
    y, v, h = eif_step(
        x,
        s[0],
        p["tau"],
        p["v_rest"],
        p["theta_rh"],
        p["delta_T"],
        p["v_threshold"],
        p.get("v_reset"),
        g,
        o["detach_reset"],
    )
    return y, (v,), [h - p["v_threshold"]]


def izhikevich(p, g, o, s, x):
    y, v, w, h = izhikevich_step(
        x,
        *s,
        p["tau"],
        p["v_rest"],
        p["v_c"],
        p["a0"],
        p["a"],
        p["b"],
        p["tau_w"],
        p["v_threshold"],
        p.get("v_reset"),
        g,
        o["detach_reset"],
    )
    return y, (v, w), [h - p["v_threshold"]]


def charge(p, o, v, x):
    return functional.lif_charge(x, v, p["tau"], o["decay_input"], p.get("v_reset"))


def klif(p, g, o, s, x):
    y, v = functional.klif_step(
        x,
        s[0],
        p["k"],
        p["tau"],
        o["decay_input"],
        o["scale_reset"],
        p["v_threshold"],
        p.get("v_reset"),
        g,
        o["detach_reset"],
    )
    h = p["k"] * charge(p, o, s[0], x)
    return y, (v,), [h - p["v_threshold"], h]


def clif(p, g, o, s, x):
    y, v, m = clif_step(x, *s, p["tau"], p["v_threshold"], g)
    return y, (v, m), [s[0] - s[0] / p["tau"] + x - p["v_threshold"]]


def ilif(p, g, o, s, x):
    y, v = functional.ilif_step(x, s[0], p["tau"], p["v_threshold"], g, o["detach_reset"])
    h = (s[0] - s[0] / p["tau"] + x) / p["v_threshold"]
    halves = [h - 0.5 - n for n in range(o["max_spike_count"])]
    return y, (v,), [*halves, h, h - o["max_spike_count"]]


def ternary_if(p, g, o, s, x):
    args = (p["v_threshold"], p.get("v_reset"), g, o["detach_reset"])
    y, v = functional.ternary_if_step(x, s[0], *args)
    h = s[0] + x
    return y, (v,), [h - p["v_threshold"], h + p["v_threshold"]]


def ternary_lif(p, g, o, s, x):
    args = (p["v_threshold"], p.get("v_reset"), g, o["detach_reset"])
    y, v = functional.ternary_lif_step(x, s[0], p["tau"], o["decay_input"], *args)
    h = charge(p, o, s[0], x)
    return y, (v,), [h - p["v_threshold"], h + p["v_threshold"]]


def liaf(p, g, o, s, x):
    act = getattr(torch, o["activation"])
    args = (act, o["threshold_related"], g, o["detach_reset"])
    y, v = functional.liaf_step(
        x, s[0], p["tau"], o["decay_input"], p["v_threshold"], p.get("v_reset"), *args
    )
    h = charge(p, o, s[0], x)
    return y, (v,), [h - p["v_threshold"], h]


def raf(p, g, o, s, x):
    # functional.raf_step with tensors in place of the numbers b, omega and dt
    v, u = s
    r, angle = torch.exp(p["b"] * p["dt"]), p["omega"] * p["dt"]
    h = r * (u * torch.sin(angle) + v * torch.cos(angle))
    u = r * (u * torch.cos(angle) - v * torch.sin(angle)) + x
    y = g(h - p["v_threshold"])
    v = functional.voltage_reset(h, y, p["v_threshold"], p.get("v_reset"), o["detach_reset"])
    return y, (v, u), [h - p["v_threshold"]]


def gated_lif(p, g, o, s, x):
    v, y = s
    names = ("alpha", "beta", "gamma", "tau", "v_threshold", "linear_decay", "v_subreset")
    y, v = functional.gated_lif_step(x, v, y, *(p[n] for n in names), p["conduct"], g)
    return y, (v, y), [v - p["v_threshold"]]


def synapse_filter(p, g, o, s, x):
    y = functional.synapse_filter_step(x, s[0], 1 / p["tau"])
    return y, (y,), []


# Modules: the same model by SpikingJelly's class


def node(kind):
    """A neuron class made of those of our parameters and options that it takes."""

    def make(p, g, o):
        accepted = inspect.signature(kind).parameters
        args = {k: v for k, v in {**p, **o}.items() if k in accepted}
        if "v_reset" in accepted:
            args.setdefault("v_reset", None)
        module = kind(surrogate_function=g, **args)
        if "k" in p:
            torch.nn.init.constant_(module.k, p["k"])
        return module

    return make


def cuba_module(p, g, o):
    module = node(neuron.CUBALIFNode)(p, g, o)
    module.detach_reset = o["detach_reset"]
    return module


def liaf_module(p, g, o):
    act = getattr(torch, o["activation"])
    common = (p["v_threshold"], p.get("v_reset"), g, o["detach_reset"])
    return neuron.LIAFNode(act, o["threshold_related"], p["tau"], o["decay_input"], *common)


def gated_module(p, g, o):
    module = neuron.GatedLIFNode(T, surrogate_function=g)
    for name, value in p.items():
        torch.nn.init.constant_(getattr(module, name), float(np.log(value / (1 - value))))
    return Channels(module)


class Channels(torch.nn.Module):
    """Two axes of one for GatedLIFNode, which insists on images."""

    def __init__(self, module):
        super().__init__()
        self.module = module

    def forward(self, x):
        return self.module(x[..., None, None])[..., 0, 0]


MODELS = {
    "CubaLIF": (cuba_lif, cuba_module, ("v", "c")),
    "QIF": (qif, node(neuron.QIFNode), ("v",)),
    "EIF": (eif, node(neuron.EIFNode), ("v",)),
    "Izhikevich": (izhikevich, node(neuron.IzhikevichNode), ("v", "w")),
    "KLIF": (klif, node(neuron.KLIFNode), ("v",)),
    "CLIF": (clif, node(neuron.ComplementaryLIFNode), ("v", "m")),
    "ILIF": (ilif, node(neuron.ILIFNode), ("v",)),
    "TernaryIF": (ternary_if, node(neuron.TernaryIFNode), ("v",)),
    "TernaryLIF": (ternary_lif, node(neuron.TernaryLIFNode), ("v",)),
    "ResonateAndFire": (raf, node(neuron.RAFNode), ("v", "u")),
    "LIAF": (liaf, liaf_module, ("v",)),
    "GatedLIF": (gated_lif, gated_module, ("v", "s")),
    "SynapseFilter": (
        synapse_filter, lambda p, g, o: layer.SynapseFilter(p["tau"]), ("i",),
    ),
}  # fmt: skip

CLASSES = {
    "CubaLIF": neuron.CUBALIFNode,
    "QIF": neuron.QIFNode,
    "EIF": neuron.EIFNode,
    "Izhikevich": neuron.IzhikevichNode,
    "KLIF": neuron.KLIFNode,
    "CLIF": neuron.ComplementaryLIFNode,
    "ILIF": neuron.ILIFNode,
    "TernaryIF": neuron.TernaryIFNode,
    "TernaryLIF": neuron.TernaryLIFNode,
    "ResonateAndFire": neuron.RAFNode,
    "LIAF": neuron.LIFNode,
    "SynapseFilter": layer.SynapseFilter,
}

FIRE = {"v_threshold": 1.0, "v_reset": 0.0}
LIF = {"tau": 2.0, **FIRE}
QIF = {"tau": 2.0, "v_c": 0.8, "a0": 1.0, "v_threshold": 1.0, "v_rest": 0.0, "v_reset": -0.1}
EIF = {"tau": 2.0, "delta_T": 1.0, "theta_rh": 0.8, "v_threshold": 1.0, "v_rest": 0.0}
EIF |= {"v_reset": -0.1}
IZHI = {"tau": 2.0, "v_c": 0.8, "a0": 1.0, "v_threshold": 1.0, "v_reset": 0.0, "v_rest": -0.1}
IZHI |= {"tau_w": 2.0, "a": 0.0, "b": 0.0}
CUBA = {"c_decay": 0.5, "v_decay": 0.75, "v_threshold": 0.5, "v_reset": 0.0}
RAF = {"b": -0.2, "omega": 1.0, "dt": 1.0, **FIRE}
GATED = {"alpha": 0.5, "beta": 0.5, "gamma": 0.5, "tau": 0.25, "v_threshold": 0.5}
GATED |= {"linear_decay": 0.0625, "v_subreset": 0.5, "conduct": 0.5}
NO_DETACH, DETACH = {"detach_reset": False}, {"detach_reset": True}
DECAY, WHOLE = {"decay_input": True}, {"decay_input": False}
SOFT = {"v_reset": None}
SIGMOID, ATAN, RECT = ("Sigmoid", 4.0), ("ATan", 2.0), ("Rect", 1.0)

CASES = [  # model, parameters, options, surrogate, (shift, scale) of the input
    ("CubaLIF", CUBA, NO_DETACH, RECT, (0.15, 0.5)),
    ("CubaLIF", CUBA | {"c_decay": 0.3, "v_decay": 0.9, **SOFT}, DETACH, ATAN, (0.1, 0.4)),
    ("CubaLIF", CUBA | {"v_reset": -0.2}, NO_DETACH, ATAN, (0.2, 0.5)),
    ("QIF", QIF, NO_DETACH, SIGMOID, (0.9, 1.0)),
    ("QIF", QIF | {"tau": 3.0, "a0": 1.5, "v_rest": 0.1, **SOFT}, NO_DETACH, ATAN, (0.9, 1.0)),
    ("QIF", QIF | {"v_threshold": 0.9}, DETACH, SIGMOID, (0.9, 1.0)),
    ("EIF", EIF, NO_DETACH, SIGMOID, (0.5, 1.4)),
    ("EIF", EIF | {"tau": 3.0, "delta_T": 0.5, "v_rest": 0.1, **SOFT}, NO_DETACH, ATAN, (0.8, 1.4)),
    ("EIF", EIF | {"theta_rh": 0.7}, DETACH, SIGMOID, (0.5, 1.4)),
    ("Izhikevich", IZHI, NO_DETACH, SIGMOID, (0.8, 1.4)),
    ("Izhikevich", IZHI | {"a": 0.3, "b": 0.4, "tau_w": 5.0}, NO_DETACH, ATAN, (1.2, 1.4)),
    ("Izhikevich", IZHI | {"tau": 3.0, "a": 0.2, "b": 0.2, **SOFT}, DETACH, SIGMOID, (1.4, 1.6)),
    ("KLIF", LIF | {"k": 1.0}, NO_DETACH | DECAY | {"scale_reset": False}, SIGMOID, (1.3, 1.2)),
    (
        "KLIF", LIF | {"k": 1.4, "v_reset": -0.3},
        NO_DETACH | WHOLE | {"scale_reset": True}, ATAN, (0.2, 0.5),
    ),
    (
        "KLIF", LIF | {"k": 1.4, "tau": 3.0, **SOFT},
        NO_DETACH | DECAY | {"scale_reset": True}, SIGMOID, (1.3, 1.2),
    ),
    ("KLIF", LIF | {"k": 0.8, **SOFT}, DETACH | WHOLE | {"scale_reset": False}, ATAN, (0.6, 0.5)),
    ("CLIF", {"tau": 2.0, "v_threshold": 1.0}, {}, RECT, (0.8, 0.8)),
    ("CLIF", {"tau": 3.0, "v_threshold": 0.8}, {}, ATAN, (0.7, 0.8)),
    (
        "ILIF", {"tau": 4 / 3, "v_threshold": 1.0},
        NO_DETACH | {"max_spike_count": 4}, ("MultiLevelSpikeCount", 4), (0.6, 1.3),
    ),
    (
        "ILIF", {"tau": 2.0, "v_threshold": 0.7},
        DETACH | {"max_spike_count": 2}, ("MultiLevelSpikeCount", 2), (0.3, 0.8),
    ),
    ("TernaryIF", FIRE, NO_DETACH, SIGMOID, (0.1, 0.7)),
    ("TernaryIF", FIRE | {"v_threshold": 0.8, **SOFT}, NO_DETACH, ATAN, (0.1, 0.7)),
    ("TernaryIF", FIRE | {"v_reset": -0.2}, DETACH, ATAN, (0.1, 0.7)),
    ("TernaryLIF", LIF, NO_DETACH | DECAY, SIGMOID, (0.2, 2.0)),
    ("TernaryLIF", LIF | {"tau": 3.0, "v_reset": 0.2}, DETACH | WHOLE, ATAN, (0.0, 0.8)),
    ("TernaryLIF", LIF | {"tau": 3.0, **SOFT}, NO_DETACH | WHOLE, SIGMOID, (0.1, 0.8)),
    ("ResonateAndFire", RAF, NO_DETACH, SIGMOID, (0.4, 1.2)),
    ("ResonateAndFire", RAF | {"omega": 0.7, "dt": 0.8, **SOFT}, NO_DETACH, ATAN, (0.4, 1.0)),
    ("ResonateAndFire", RAF | {"b": -0.4, "v_threshold": 0.6}, DETACH, SIGMOID, (0.4, 1.2)),
    (
        "LIAF", LIF, NO_DETACH | DECAY | {"activation": "relu", "threshold_related": True},
        SIGMOID, (1.3, 1.2),
    ),
    (
        "LIAF", LIF | {"tau": 3.0, **SOFT},
        DETACH | WHOLE | {"activation": "tanh", "threshold_related": False}, ATAN, (0.4, 0.6),
    ),
    ("GatedLIF", GATED, {}, SIGMOID, (0.6, 0.7)),
    (
        "GatedLIF",
        {"alpha": 0.7, "beta": 0.3, "gamma": 0.2, "tau": 0.6, "v_threshold": 0.4}
        | {"linear_decay": 0.1, "v_subreset": 0.3, "conduct": 0.8}, {}, ATAN, (0.3, 0.6),
    ),
    ("SynapseFilter", {"tau": 100.0}, {"spikes": True}, None, (-0.5, 1.0)),
    ("SynapseFilter", {"tau": 3.0}, {"spikes": True}, None, (-0.5, 1.0)),
]  # fmt: skip


def run_case(case, x, w_y, w_state):
    """Outputs, states and gradients of one case."""
    model, parameters, options, name_alpha, (shift, scale) = case
    step, module, names = MODELS[model]
    parameters = {k: v for k, v in parameters.items() if v is not None}
    g = getattr(surrogate, name_alpha[0])(name_alpha[1]) if name_alpha else None
    p = {k: torch.tensor(v).requires_grad_() for k, v in parameters.items()}
    x = ((shift + scale * x) >= 0).float() if options.get("spikes") else shift + scale * x
    x = x.clone().requires_grad_()
    rest = {"v": parameters.get("v_reset", 0.0) if model not in ("CLIF", "ILIF") else 0.0}
    first = [torch.full_like(w_state, rest.get(n, 0.0)).requires_grad_() for n in names]
    states, ys, seqs, edges = tuple(first), [], [], []
    for t in range(T):
        y, states, near = step(p, g, options, states, x[t])
        ys.append(y)
        seqs.append(states)
        edges += near
    y = torch.stack(ys)
    ((y * w_y).sum() + sum((s * w_state).sum() for s in states)).backward()

    with torch.no_grad():
        if edges:
            if name_alpha[0] == "Rect":  # its edges decide a gradient as the threshold a spike
                edges += [e.abs() - 0.5 / name_alpha[1] for e in edges]
            assert torch.stack(edges).abs().min() > GUARD, case
            if model != "LIAF":
                assert 0.1 <= (y != 0).float().mean() <= 0.6, ((y != 0).float().mean(), case)
        net = module(parameters, g, {k: v for k, v in options.items() if k != "spikes"})
        # step by step: in multi-step mode LIAFNode 2.0.0 returns spikes, not activations
        own = net(x) if model == "GatedLIF" else torch.stack([net(x_t) for x_t in x])
        tolerance = 0 if name_alpha and model != "LIAF" else 1e-5
        assert (own - y).abs().max() <= tolerance, (case, (own - y).abs().max())
    out = {"y": y, "grad_x": x.grad}
    for name, start, seq in zip(names, first, zip(*seqs, strict=True), strict=True):
        out |= {f"{name}_seq": torch.stack(seq), f"grad_{name}0": start.grad}
    return out | {f"grad_{k}": v.grad for k, v in p.items()}


SEQUENCES = [  # model, options
    ("PSN", {}),
    ("MaskedPSN", {"k": 3, "lambda_": 0.4}),
    ("MaskedPSN", {"k": 4, "lambda_": 1.0}),
    ("SlidingPSN", {"k": 3}),
    ("SlidingPSN", {"k": 20}),
]


def run_sequence(model, options, rng, x, w_y):
    """Outputs and gradients of a neuron without a step, with random weights."""
    if model == "SlidingPSN":
        net = neuron.SlidingPSN(options["k"], step_mode="m")
    elif model == "MaskedPSN":
        net = neuron.MaskedPSN(options["k"], T, step_mode="m")
        net._lambda_ = torch.tensor(options["lambda_"]).requires_grad_()
    else:
        net = neuron.PSN(T)
    net.weight.data = tensor(rng.normal(0.05, 0.4, net.weight.shape))
    net.bias.data = tensor(rng.normal(-0.6, 0.2, net.bias.shape))
    x = (0.5 + x).requires_grad_()
    y = net(x)
    (y * w_y).sum().backward()
    with torch.no_grad():
        if model == "SlidingPSN":
            weight = net.gen_gemm_weight(T)
        else:
            weight = net.masked_weight() if model == "MaskedPSN" else net.weight
        h = torch.addmm(net.bias, weight, x.flatten(1)).view(x.shape)
        assert ((h >= 0) == y).all()
        assert h.abs().min() > GUARD
        assert 0.1 <= y.mean() <= 0.6, (model, y.mean())
    out = {"y": y, "grad_x": x.grad, "weight": net.weight, "bias": net.bias.flatten()}
    out |= {"grad_weight": net.weight.grad, "grad_bias": net.bias.grad.flatten()}
    if model == "MaskedPSN" and options["lambda_"] < 1:  # at 1 SpikingJelly takes a shorter way
        out["grad_lambda_"] = net._lambda_.grad
    if model == "SlidingPSN":
        out |= {k: out[k][0] for k in ("bias", "grad_bias")}
    return out


def defaults(kind):
    """The default arguments of a class; a surrogate by its name and slope."""
    out = {}
    for name, argument in inspect.signature(kind).parameters.items():
        value = argument.default
        if name == "surrogate_function":
            alpha = getattr(value, "alpha", None) or value.max_spike_count
            out["surrogate"] = [type(value).__name__, alpha]
        elif value is None or isinstance(value, bool | int | float):
            out[name] = value
    return out


def tensor(a):
    """A float32 tensor."""
    return torch.tensor(np.asarray(a), dtype=torch.float32)


def main():
    """Run everything and write the file beside this script."""
    torch.set_num_threads(1)
    rng = np.random.default_rng(5)
    x = tensor(rng.normal(0.0, 1.0, (T, N, F)))
    w_y, w_state = tensor(rng.uniform(-1, 1, (T, N, F))), tensor(rng.uniform(-1, 1, (N, F)))
    out = {"x": x, "w_y": w_y, "w_state": w_state}
    cases, rates = [], []
    for i, case in enumerate(CASES):
        run = run_case(case, x, w_y, w_state)
        out |= {f"{i}_{k}": v for k, v in run.items()}
        keys = ("model", "parameters", "options", "surrogate", "input")
        cases.append(dict(zip(keys, case, strict=True)) | {"states": MODELS[case[0]][2]})
        rates.append((run["y"] != 0).float().mean().item())
        print(f"{case[0]:16} active {rates[-1]:.2f}")
    for i, (model, options) in enumerate(SEQUENCES):
        run = run_sequence(model, options, rng, x, w_y)
        out |= {f"s{i}_{k}": v for k, v in run.items()}
        print(f"{model:16} active {run['y'].mean().item():.2f}")

    versions = {"python": platform.python_version(), "numpy": np.__version__}
    versions |= {"torch": torch.__version__, "spikingjelly": version("spikingjelly")}
    info = {"versions": versions, "cases": cases, "sequences": SEQUENCES}
    info["defaults"] = {model: defaults(kind) for model, kind in CLASSES.items()}
    arrays = {k: v.detach().numpy() for k, v in out.items()}
    path = Path(__file__).with_name("spikingjelly_zoo.npz")
    np.savez_compressed(path, info=np.array(json.dumps(info)), **arrays)
    print(f"{len(cases)} cases, {path.stat().st_size / 1000:.0f} kB, {versions}")


if __name__ == "__main__":
    main()
