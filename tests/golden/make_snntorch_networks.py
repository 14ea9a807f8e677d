"""Write `snntorch_networks.npz`, networks that `tests/test_convert.py` loads and runs.

The file was made with Python 3.11.7, torch 2.13.0 (CPU), numpy 2.4.6 and snntorch 1.0.0 in the
environment that `make_snntorch.py` describes:

    snn/bin/python tests/golden/make_snntorch_networks.py

Everything is float32 and time is axis 0. Weights are drawn until every layer fires and networks
with weights that differ in the last digits give the same spikes.

    info            JSON: `versions`, and the firing rates of the layers: `rates`
    <net>/<name>    the state dict of a network: `immediate` (Leaky with reset_delay=False, the
                    second with a learned beta and threshold for each neuron), `delayed` (Leaky with
                    the default, subtract one step later), `synaptic`
    <net>:x, <net>:y
                    its input [T, N, F] and its spikes
"""

import json
import platform
from importlib.metadata import version
from pathlib import Path

import numpy as np
import snntorch as snn
import torch
from torch import nn

T, N, F = 12, 3, 8


class Net(nn.Module):
    """Two layers, written as the tutorials of snnTorch do."""

    def __init__(self, lif1, lif2):
        super().__init__()
        self.fc1, self.lif1 = nn.Linear(F, 16), lif1
        self.fc2, self.lif2 = nn.Linear(16, 5, bias=False), lif2

    def forward(self, x_seq):
        """Spikes of both layers over time."""
        state1, state2 = (at_rest(lif) for lif in (self.lif1, self.lif2))
        spikes = []
        for x in x_seq:
            s1, *state1 = self.lif1(self.fc1(x), *state1)
            s2, *state2 = self.lif2(self.fc2(s1), *state2)
            spikes.append((s1, s2))
        return [torch.stack(s) for s in zip(*spikes, strict=True)]


def at_rest(lif):
    """The first state; without it a neuron continues from its last call."""
    state = lif.reset_mem()
    return state if isinstance(state, tuple) else (state,)


def immediate(rng):
    """Leaky that is reset in the same step, as the LIF of other libraries is."""
    beta = torch.tensor(rng.uniform(0.6, 0.95, 5), dtype=torch.float32)
    threshold = torch.tensor(rng.uniform(0.7, 1.3, 5), dtype=torch.float32)
    second = {"beta": beta, "threshold": threshold, "learn_beta": True, "learn_threshold": True}
    return Net(
        snn.Leaky(beta=0.9, reset_delay=False, reset_mechanism="zero"),
        snn.Leaky(**second, reset_delay=False, reset_mechanism="zero"),
    )


def delayed(rng):
    """Leaky as it is by default."""
    return Net(snn.Leaky(beta=0.9), snn.Leaky(beta=0.8, threshold=0.9, learn_beta=True))


def synaptic(rng):
    """Second order, reset in the same step."""
    return Net(
        snn.Synaptic(alpha=0.7, beta=0.8, reset_delay=False),
        snn.Synaptic(alpha=0.5, beta=0.9, reset_delay=False, reset_mechanism="zero"),
    )


def recorded(name, make):
    """A network whose layers fire, away from the thresholds."""
    for seed in range(1000):
        rng = np.random.default_rng(seed)
        net = make(rng)
        for p in (net.fc1.weight, net.fc2.weight):
            p.data = tensor(rng.normal(0.2, 0.8, p.shape) * p[0].numel() ** -0.5)
        x = tensor(rng.uniform(0.0, 1.2, (T, N, F)))
        spikes = net(x)
        rates = [s.mean().item() for s in spikes]
        if not all(0.1 < r < 0.7 for r in rates):
            continue
        state = {k: v.clone() for k, v in net.state_dict().items()}
        for _ in range(20):
            for p in net.parameters():
                p.data *= 1 + 2e-6 * tensor(rng.uniform(-1, 1, p.shape))
            if any((a != b).any() for a, b in zip(net(x), spikes, strict=True)):
                break
        else:
            out = {f"{name}/{k}": v for k, v in state.items()}
            out |= {f"{name}:x": x, f"{name}:y": spikes[1].bool()}
            return rates, {k: v.detach().numpy() for k, v in out.items()}
    raise RuntimeError(name)


def tensor(a):
    """A float32 tensor."""
    return torch.tensor(np.array(a), dtype=torch.float32)


def main():
    """Run everything and write the file beside this script."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    rates, out = {}, {}
    for make in (immediate, delayed, synaptic):
        rates[make.__name__], found = recorded(make.__name__, make)
        out |= found
    versions = {"python": platform.python_version(), "numpy": np.__version__}
    versions |= {"torch": torch.__version__, "snntorch": version("snntorch")}
    info = {"versions": versions, "rates": rates}
    path = Path(__file__).with_name("snntorch_networks.npz")
    np.savez_compressed(path, info=np.array(json.dumps(info)), **out)
    print(json.dumps(info, indent=1), f"{path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
