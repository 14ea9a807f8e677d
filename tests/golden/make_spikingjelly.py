"""Write `spikingjelly.npz`, the numbers of SpikingJelly that `tests/test_golden.py` compares with.

The file was made with Python 3.11.7, torch 2.13.0 (CPU), numpy 2.4.6 and spikingjelly 2.0.0, in an
environment of its own (torchvision and the other dependencies are not needed):

    python3.11 -m venv sj
    sj/bin/pip install torch==2.13.0 numpy==2.4.6 loguru packaging tqdm
    sj/bin/pip install --no-deps spikingjelly==2.0.0
    sj/bin/python tests/golden/make_spikingjelly.py

Everything is float32, time is axis 0, and the loss of a case is
`sum(spikes * w_spikes) + sum(v_seq[-1] * w_v)`: its gradient flows through spikes and membrane.

    info            JSON: `versions`, and what was run: `cases`, `li` (taus), `surrogates`
    x               [2, T, N, F] inputs: 0 if the case has decay_input, else 1
    v0              [N, F] initial membrane of cases with `random_v0`; the others start at rest
    w_spikes, w_v   [T, N, F] and [N, F] loss weights
    spikes, v_seq, grad_x, grad_v0, grad_w
                    stacked over cases; v_seq is post-reset; grad_w is of the w of ParametricLIF,
                    where 1 / tau = sigmoid(w), and NaN elsewhere
    li_v, li_grad_x stacked over the taus of `li`, for x[0] and the loss sum(v * w_spikes)
    surrogate_x, surrogate_grad
                    [P] and [surrogates, P]
    net_*           Conv2d-IF-MaxPool2d-IF-Flatten-Linear-IF in torch's layout, channels first: the
                    input net_x, the spikes net_spikes_<i> of each IF, the weights net_<parameter>,
                    and of the loss sum(output * net_w) net_grad_x and net_grad_<parameter>
"""

import itertools
import json
import platform
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from spikingjelly.activation_based import functional, layer, neuron, surrogate

T, N, F = 16, 3, 7
GUARD = 1e-5  # no membrane comes nearer to a point where rounding could decide
SURROGATES = {  # name: its default alpha, and another
    "Sigmoid": (4.0, 2.5),
    "ATan": (2.0, 3.0),
    "PiecewiseQuadratic": (1.0, 0.7),
    "PiecewiseExp": (1.0, 1.6),
    "SoftSign": (2.0, 1.3),
    "SuperSpike": (1.0, 0.6),
    "Erf": (2.0, 1.2),
    "Rect": (1.0, 0.8),
}


def make_cases():
    """Descriptors of the spiking cases: the arguments of a neuron, and what it is run on."""

    def case(kind, v_reset, detach_reset, name, alpha, tau=None, decay_input=None, **rest):
        return {
            "neuron": kind,
            "tau": tau,
            "decay_input": decay_input,
            "v_reset": v_reset,
            "detach_reset": detach_reset,
            "surrogate": [name, alpha],
            **rest,
        }

    resets, taus, thresholds = (0.0, -0.3, None), (2.0, 3.7), (1.0, 0.8)
    cases = []
    # The whole product for two surrogates. The sums spread the other choices evenly over it.
    for (r, v_reset), d, s in itertools.product(enumerate(resets), (0, 1), (0, 1)):
        name = ("Sigmoid", "ATan")[s]
        rest = {"v_threshold": thresholds[(r + s) % 2], "random_v0": bool((r + d + s) % 2)}
        args = (v_reset, bool(d), name, SURROGATES[name][0])
        cases.append(case("IF", *args, **rest))
        for i in (0, 1):
            cases.append(case("LIF", *args, taus[(r + d + i) % 2], bool(i), **rest))
    # Every other surrogate, and the other alphas, with a hard and a soft reset.
    for k, (name, alphas) in enumerate(SURROGATES.items()):
        for j, v_reset in enumerate((resets[k % 2], None)):
            rest = {"v_threshold": thresholds[(j + k) % 2], "random_v0": bool(k // 2 % 2)}
            cases.append(case("IF", v_reset, False, name, alphas[1 - j], **rest))
            alpha = alphas[1] if name in ("Sigmoid", "ATan") else alphas[j]
            decay_input = bool((j + k // 2) % 2)
            cases.append(case("LIF", v_reset, False, name, alpha, taus[k % 2], decay_input, **rest))
    for k, (v_reset, i, tau) in enumerate(itertools.product((0.0, None), (0, 1), (2.0, 3.0))):
        name = ("Sigmoid", "ATan")[(k // 2 + k) % 2]
        rest = {"v_threshold": 1.0, "random_v0": bool(k // 4)}
        cases.append(case("PLIF", v_reset, k == 0, name, SURROGATES[name][0], tau, bool(i), **rest))
    return cases


def run_case(case, x, v0, w_spikes, w_v):
    """Spikes, membranes and gradients of one case, by the explicit-state functions."""
    kind, tau, th, v_reset = (case[k] for k in ("neuron", "tau", "v_threshold", "v_reset"))
    name, alpha = case["surrogate"]
    common = (th, v_reset, getattr(surrogate, name)(alpha), case["detach_reset"])
    x = x[0 if case["decay_input"] else 1].clone().requires_grad_()
    rest = torch.full_like(v0, 0.0 if v_reset is None else v_reset)
    v = (v0.clone() if case["random_v0"] else rest).requires_grad_()
    w = None
    if kind == "IF":
        node = neuron.IFNode(*common)
        s, last, v_seq = functional.if_multi_step(x, v, *common, store_v_seq=True)
    elif kind == "LIF":
        args = (tau, case["decay_input"], *common)
        node = neuron.LIFNode(*args)
        s, last, v_seq = functional.lif_multi_step(x, v, *args, store_v_seq=True)
    else:
        node = neuron.ParametricLIFNode(tau, case["decay_input"], *common)
        w = node.w
        args = (w, case["decay_input"], *common)
        s, last, v_seq = functional.plif_multi_step(x, v, *args, store_v_seq=True)
    ((s * w_spikes).sum() + (last * w_v).sum()).backward()

    with torch.no_grad():
        before = torch.cat([v[None], v_seq[:-1]])
        rate = 1.0 if kind == "IF" else 1.0 / tau if w is None else w.sigmoid()
        leak = 0.0 if kind == "IF" else (before - (v_reset or 0.0)) * rate
        h = before + x * (rate if case["decay_input"] else 1.0) - leak
        assert (s == (h >= th)).all()
        assert (h - th).abs().min() > GUARD, case
        if name == "Rect":  # its edges decide a gradient as the threshold decides a spike
            assert ((h - th).abs() - 0.5 / alpha).abs().min() > GUARD, case
        assert 0.1 <= s.mean() <= 0.6, (s.mean(), case)
        if not case["random_v0"]:  # the module is the same neuron, and starts at rest
            functional.set_step_mode(node, "m")
            assert (node(x) == s).all() and (node.v == last).all()
    grad_w = torch.tensor(torch.nan) if w is None else w.grad
    return {
        "spikes": s.bool(),
        "v_seq": v_seq,
        "grad_x": x.grad,
        "grad_v0": v.grad,
        "grad_w": grad_w,
    }


def run_li(tau, x, w_v_seq):
    """Membranes and gradient of a leaky integrator that never fires."""
    x = x.clone().requires_grad_()
    v = torch.stack(neuron.NonSpikingLIFNode(tau)(x))
    (v * w_v_seq).sum().backward()
    return {"li_v": v, "li_grad_x": x.grad}


def run_surrogate(name, alpha, x):
    """The derivative that a surrogate gives at `x`."""
    x = x.clone().requires_grad_()
    getattr(surrogate, name)(alpha)(x).sum().backward()
    return x.grad


def run_network(rng):
    """One convolutional network in multi-step mode, with the spikes of each layer."""
    t, n = 4, 2
    net = torch.nn.Sequential(
        layer.Conv2d(3, 4, 3, padding=1),
        neuron.IFNode(),
        layer.MaxPool2d(2),
        neuron.IFNode(v_threshold=1.5, v_reset=None),
        layer.Flatten(),
        layer.Linear(4 * 4 * 4, 10),
        neuron.IFNode(surrogate_function=surrogate.ATan()),
    )
    functional.set_step_mode(net, "m")
    scales = {"0.weight": 0.3, "0.bias": 0.1, "5.weight": 0.2, "5.bias": 0.1}
    for k, p in net.named_parameters():
        p.data = tensor(rng.normal(0.02, scales[k], p.shape))
    x = tensor(rng.uniform(0.0, 1.0, (t, n, 3, 8, 8))).requires_grad_()
    w = tensor(rng.uniform(-1.0, 1.0, (t, n, 10)))

    out, y = {}, x
    for module in net:
        if isinstance(module, neuron.IFNode):
            args = (module.v_threshold, module.v_reset, module.surrogate_function)
            v = torch.zeros_like(y[0])
            s, _, v_seq = functional.if_multi_step(y, v, *args, store_v_seq=True)
            margin = (torch.cat([v[None], v_seq[:-1]]) + y - module.v_threshold).abs()
            # Fed by spikes, halves are exact, and so is a hit of the threshold: it must fire.
            exact = (margin == 0) & (y.detach().frac() == 0).all()
            assert ((margin > GUARD) | exact).all()
            y = module(y)
            assert (y == s).all()
            assert 0.1 <= y.mean() <= 0.6, (len(out), y.mean())
            out[f"net_spikes_{len(out)}"] = y.bool()
        else:
            y = module(y)
    (y * w).sum().backward()
    for k, p in net.named_parameters():
        out[f"net_{k}"], out[f"net_grad_{k}"] = p, p.grad
    return out | {"net_x": x, "net_w": w, "net_grad_x": x.grad}


def tensor(a):
    """A float32 tensor."""
    return torch.tensor(np.asarray(a), dtype=torch.float32)


def main():
    """Run everything and write the file beside this script."""
    torch.set_num_threads(1)
    rng = np.random.default_rng(3)
    x = tensor(np.stack([rng.normal(1.3, 1.2, (T, N, F)), rng.normal(0.45, 0.5, (T, N, F))]))
    v0 = tensor(rng.uniform(-0.5, 0.7, (N, F)))
    w_spikes, w_v = tensor(rng.uniform(-1, 1, (T, N, F))), tensor(rng.uniform(-1, 1, (N, F)))
    # Off the kinks at 0, 1 / alpha and 0.5 / alpha, where a derivative is a convention.
    points = tensor(np.linspace(-1.5, 1.5, 61) + 0.007)

    cases, taus = make_cases(), [2.0, 3.7]
    surrogates = [(name, alpha) for name, alphas in SURROGATES.items() for alpha in alphas]
    runs = [run_case(case, x, v0, w_spikes, w_v) for case in cases]
    li_runs = [run_li(tau, x[0], w_spikes) for tau in taus]
    out = {k: torch.stack([r[k] for r in runs]) for k in runs[0]}
    out |= {k: torch.stack([r[k] for r in li_runs]) for k in li_runs[0]}
    out |= {"x": x, "v0": v0, "w_spikes": w_spikes, "w_v": w_v, "surrogate_x": points}
    out["surrogate_grad"] = torch.stack([run_surrogate(*s, points) for s in surrogates])
    out |= run_network(rng)

    versions = {"python": platform.python_version(), "numpy": np.__version__}
    versions |= {"torch": torch.__version__, "spikingjelly": version("spikingjelly")}
    info = {"versions": versions, "cases": cases, "li": taus, "surrogates": surrogates}
    arrays = {k: v.detach().numpy() for k, v in out.items()}
    path = Path(__file__).with_name("spikingjelly.npz")
    np.savez_compressed(path, info=np.array(json.dumps(info)), **arrays)
    rates = [r["spikes"].float().mean().item() for r in runs]
    print(f"{len(cases)} cases, firing rates {min(rates):.2f} to {max(rates):.2f}")
    print(f"{path.stat().st_size / 1000:.0f} kB, {versions}")


if __name__ == "__main__":
    main()
