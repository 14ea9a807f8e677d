"""Write `spikingjelly_networks.npz`, networks that `tests/test_convert.py` loads and runs.

The file was made with Python 3.11.7, torch 2.14.1 (on the CPU), numpy 2.4.6 and spikingjelly 2.0.0
in the environment that `make_spikingjelly.py` describes:

    sj/bin/python tests/golden/make_spikingjelly_networks.py

Everything is float32 in evaluation mode, time is axis 0, images are channels-first. Weights are
drawn until every spiking layer fires and no rounding can decide a spike: networks with weights that
differ in the last digits give the same spikes.

    info            JSON: `versions`, and the firing rates of the spiking layers: `rates`
    <net>/<name>    the state dict of a network: `residual`, `plif` (a convolutional net with
                    parametric neurons in containers), `dense` (the other neurons that learn), and
                    of torch layers alone: `conv1d`, `conv3d`, `transposed`, `norms`
    <net>:x, <net>:y
                    its input and its output
"""

import json
import platform
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from spikingjelly.activation_based import base, functional, layer, neuron
from torch import nn

T, N = 4, 2


class Block(nn.Module):
    """A spike-element-wise residual block with a convolution in the shortcut."""

    def __init__(self, c_in, c_out):
        super().__init__()
        self.conv1 = layer.Conv2d(c_in, c_out, 3, padding=1, stride=2, bias=False)
        self.bn1 = layer.BatchNorm2d(c_out)
        self.sn1 = neuron.IFNode()
        self.conv2 = layer.Conv2d(c_out, c_out, 3, padding=1, bias=False)
        self.bn2 = layer.BatchNorm2d(c_out)
        self.sn2 = neuron.ParametricLIFNode(init_tau=1.5, v_reset=None)
        self.downsample = nn.Sequential(
            layer.Conv2d(c_in, c_out, 1, stride=2, bias=False), layer.BatchNorm2d(c_out)
        )

    def forward(self, x):
        """Add the shortcut to the spikes."""
        y = self.sn1(self.bn1(self.conv1(x)))
        return self.sn2(self.bn2(self.conv2(y))) + self.downsample(x)


class Residual(nn.Module):
    """A stem, a residual block and a head that flattens an image."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(layer.Conv2d(3, 4, 3, padding=1), layer.BatchNorm2d(4))
        self.sn = neuron.LIFNode(tau=2.0)
        self.block = Block(4, 6)
        self.fc = layer.Linear(6 * 4 * 3, 10)
        self.out = neuron.IFNode()

    def forward(self, x):
        """Images to spikes of classes."""
        y = self.block(self.sn(self.stem(x)))
        return self.out(self.fc(y.flatten(2)))


def plif():
    """A convolutional network with containers, as one writes it for speed."""
    return nn.Sequential(
        layer.SeqToANNContainer(nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4)),
        neuron.ParametricLIFNode(init_tau=2.0),
        layer.SeqToANNContainer(nn.MaxPool2d(2), nn.Conv2d(4, 6, 3, padding=1, groups=2)),
        neuron.ParametricLIFNode(init_tau=3.0, decay_input=False),
        layer.SeqToANNContainer(nn.AvgPool2d(2), nn.Flatten()),
        layer.Dropout(0.5),
        layer.Linear(6 * 2 * 3, 16, bias=False),
        neuron.ParametricLIFNode(init_tau=1.2),
        layer.Linear(16, 10),
        neuron.ParametricLIFNode(),
    )


def dense():
    """The other neurons that have something to learn."""
    return nn.Sequential(
        layer.Linear(12, 20),
        neuron.KLIFNode(),
        layer.SynapseFilter(tau=3.0, learnable=True),
        layer.Linear(20, 20),
        neuron.PSN(T),
        layer.Linear(20, 20),
        neuron.MaskedPSN(2, T, lambda_init=0.7),
        layer.Linear(20, 20),
        neuron.SlidingPSN(3, step_mode="m"),
        layer.Linear(20, 20),
        neuron.GatedLIFNode(T),
        layer.Linear(20, 10),
        neuron.LIFNode(tau=1.5),
    )


def randomise(net, rng, gain):
    """New weights and statistics for every layer that has some."""
    for module in net.modules():
        own = dict(module.named_parameters(recurse=False))
        for name, p in own.items():
            if p.ndim >= 2 and not isinstance(module, base.MemoryModule | neuron.PSN):
                value = rng.normal(0.3, 1.0, p.shape) * gain * p[0].numel() ** -0.5
            elif isinstance(module, nn.BatchNorm2d | nn.GroupNorm | nn.LayerNorm):
                value = rng.uniform(0.7, 1.4, p.shape) if name == "weight" else None
            elif name == "conduct":  # the same at every step
                value = np.broadcast_to(rng.normal(0.0, 0.5, p.shape[1:]), p.shape)
            else:
                value = p.detach().numpy() + rng.normal(0.0, 0.1, p.shape)
            value = rng.normal(0.1, 0.3, p.shape) if value is None else value
            p.data = torch.tensor(np.array(value), dtype=torch.float32)
        for name, b in module.named_buffers(recurse=False):
            if name == "running_mean":
                b.copy_(torch.tensor(rng.normal(0.0, 0.3, b.shape)))
            elif name == "running_var":
                b.copy_(torch.tensor(rng.uniform(0.3, 1.5, b.shape)))


def run(net, x):
    """Output and firing rates by layer."""
    rates, hooks = {}, []
    for name, module in net.named_modules():
        if type(module).__module__.startswith(neuron.__name__):

            def keep(module, args, y, name=name):
                rates[name] = y

            hooks.append(module.register_forward_hook(keep))
    functional.reset_net(net)
    y = net(x)
    for hook in hooks:
        hook.remove()
    return y, rates


def spiking(name, make, shape, gain):
    """A network whose layers all fire, away from the thresholds."""
    for seed in range(1000):
        rng = np.random.default_rng(seed)
        net = make().eval()
        functional.set_step_mode(net, "m")
        randomise(net, rng, gain)
        x = torch.tensor(rng.uniform(0.0, 1.5, (T, N, *shape)), dtype=torch.float32)
        y, spikes = run(net, x)
        rates = {k: s.mean().item() for k, s in spikes.items()}
        if not all(0.1 < r < 0.75 for r in rates.values()):
            continue
        state = {k: v.clone() for k, v in net.state_dict().items()}
        for _ in range(20):
            for p in net.parameters():
                p.data *= 1 + 2e-6 * torch.tensor(rng.uniform(-1, 1, p.shape), dtype=p.dtype)
            _, again = run(net, x)
            if any((again[k] != s).any() for k, s in spikes.items()):
                break
        else:
            return rates, arrays(name, state, x, y.reshape(T, N, -1))  # GatedLIFNode adds axes
    raise RuntimeError(name)


def plain(name, net, shape, rng):
    """Layers of torch alone."""
    net.eval()
    randomise(net, rng, gain=1.0)
    x = torch.tensor(rng.normal(size=(N, *shape)), dtype=torch.float32)
    return arrays(name, net.state_dict(), x, net(x))


def arrays(name, state, x, y):
    """The arrays of a network for the file."""
    out = {f"{name}/{k}": v for k, v in state.items()} | {f"{name}:x": x, f"{name}:y": y}
    return {k: v.detach().numpy() for k, v in out.items()}


def main():
    """Run everything and write the file beside this script."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    np.random.seed(0)
    rng = np.random.default_rng(0)
    rates, out = {}, {}
    for name, make, shape, gain in (
        ("residual", Residual, (3, 8, 6), 1.5),
        ("plif", plif, (2, 8, 12), 2.0),
        ("dense", dense, (12,), 3.0),
    ):
        rates[name], found = spiking(name, make, shape, gain)
        out |= found
    conv1d = nn.Sequential(nn.Conv1d(4, 6, 3, padding=1, groups=2), nn.Flatten(), nn.Linear(42, 5))
    out |= plain("conv1d", conv1d, (4, 7), rng)
    out |= plain("conv3d", nn.Sequential(nn.Conv3d(2, 3, (1, 2, 3))), (2, 3, 4, 5), rng)
    out |= plain("transposed", nn.Sequential(nn.ConvTranspose2d(3, 5, (2, 3))), (3, 4, 5), rng)
    norms = nn.Sequential(nn.GroupNorm(2, 4), nn.Flatten(), nn.LayerNorm(36), nn.Linear(36, 3))
    out |= plain("norms", norms, (4, 3, 3), rng)

    versions = {"python": platform.python_version(), "numpy": np.__version__}
    versions |= {"torch": torch.__version__, "spikingjelly": version("spikingjelly")}
    info = {"versions": versions, "rates": rates}
    path = Path(__file__).with_name("spikingjelly_networks.npz")
    np.savez_compressed(path, info=np.array(json.dumps(info)), **out)
    print(json.dumps(info, indent=1), f"{path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
