"""Write `spikingjelly_conversion.npz`, ANNs that `tests/convert/test_spiking.py` converts and runs.

The file was made with Python 3.11.7, torch 2.13.0 (on the CPU), numpy 2.4.6 and spikingjelly 2.0.0:

    python -m venv sj && sj/bin/pip install torch==2.13.0 scipy loguru requests
    sj/bin/pip install --no-deps spikingjelly==2.0.0
    sj/bin/python tests/golden/make_spikingjelly_conversion.py

Everything is float32; images are channels-first, thresholds have a number or one for each channel.

    info            JSON: `versions`, and the options of each conversion: `modes`
    batches, x      calibration batches [3, 8, 1, 8, 8] and images [4, 1, 8, 8]
    <net>/<name>    the state dict of an ANN: `residual`, `pooled`
    <net>:y         its output
    <mode>:<k>      the threshold of activation k
    <mode>:y        the outputs [16, 4, 5] of the spiking network
    <mode>:n<k>     the number of spikes of each neuron of activation k in 16 steps
"""

import json
import platform
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from spikingjelly.activation_based import ann2snn, functional, neuron
from torch import nn

T = 16


class Residual(nn.Module):
    """Convolutions, batch normalization, a residual sum and average pooling."""

    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.conv2, self.bn2 = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.fc1, self.fc2 = nn.Linear(64, 12), nn.Linear(12, 5)
        self.relu1, self.relu2, self.relu3 = nn.ReLU(), nn.ReLU(), nn.ReLU()
        self.pool = nn.AvgPool2d(2)

    def forward(self, x):
        """Images to classes."""
        x = self.relu1(self.bn1(self.conv1(x)))
        x = self.pool(self.relu2(x + self.bn2(self.conv2(x))))
        return self.fc2(self.relu3(self.fc1(x.flatten(1))))


class Pooled(nn.Module):
    """Max pooling behind an activation."""

    def __init__(self):
        super().__init__()
        self.conv1, self.fc2 = nn.Conv2d(1, 4, 3, padding=1), nn.Linear(64, 5)
        self.relu1, self.pool = nn.ReLU(), nn.MaxPool2d(2)

    def forward(self, x):
        """Images to classes."""
        return self.fc2(self.pool(self.relu1(self.conv1(x))).flatten(1))


NETS = {"residual": Residual, "pooled": Pooled}
MODES = {
    "max": ("residual", {"mode": "Max"}),
    "percentile": ("residual", {"mode": "99.9%"}),
    "fraction": ("residual", {"mode": 0.5}),
    "channel": ("residual", {"mode": "Max", "channel_wise": True}),
    "half": ("residual", {"mode": "99%", "channel_wise": True, "half_threshold": True}),
    "pool": ("pooled", {"mode": "Max", "channel_wise": True, "pre_spike_maxpool": True}),
    "balanced": ("residual", {}),  # LocalThresholdBalancingRecipe, on all batches six times
}


def convert(ann, batches, options):
    """The spiking network, and its neurons in order."""
    loader = [(torch.tensor(x), torch.zeros(len(x))) for x in batches]
    if options:
        recipe = ann2snn.RateCodingRecipe(loader, **options)
    else:
        recipe = ann2snn.LocalThresholdBalancingRecipe(6 * loader)
    snn = ann2snn.FXConverter(recipe).convert(ann)
    functional.set_step_mode(snn, "s")
    return snn, [m for m in snn.modules() if isinstance(m, neuron.BaseNode)]


def main():
    """Make the file."""
    rng, arrays = np.random.default_rng(3), {}
    torch.manual_seed(3)
    batches = rng.uniform(0, 1, (3, 8, 1, 8, 8)).astype(np.float32)
    x = rng.uniform(0, 1, (4, 1, 8, 8)).astype(np.float32)
    nets = {}
    for name, make in NETS.items():
        nets[name] = net = make().eval()
        for module in net.modules():
            if isinstance(module, nn.Linear):
                module.weight.data *= 3
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.copy_(torch.tensor(rng.normal(0, 0.2, 4)))
                module.running_var.copy_(torch.tensor(rng.uniform(0.1, 0.3, 4)))
                module.weight.data = torch.tensor(rng.uniform(0.7, 1.4, 4), dtype=torch.float32)
        arrays |= {f"{name}/{k}": v.numpy() for k, v in net.state_dict().items()}
        with torch.no_grad():
            arrays[f"{name}:y"] = net(torch.tensor(x)).numpy()
    for mode, (name, options) in MODES.items():
        snn, neurons = convert(nets[name], batches, options)
        counts = [0] * len(neurons)
        outputs = []
        with torch.no_grad():
            for _ in range(T):
                spikes = []
                hooks = [
                    n.register_forward_hook(lambda m, a, y, s=spikes: s.append(y)) for n in neurons
                ]
                outputs.append(snn(torch.tensor(x)).numpy())
                counts = [c + s.numpy() for c, s in zip(counts, spikes, strict=True)]
                for hook in hooks:
                    hook.remove()
        arrays[f"{mode}:y"] = np.stack(outputs)
        for k, count in enumerate(counts):
            assert 0.02 < count.mean() / T < 0.95
            arrays[f"{mode}:n{k}"] = count.astype(np.uint8)
        scales = [m for m in snn.modules() if type(m).__name__.endswith("VoltageScaler")]
        for k, scale in enumerate(scales[1::2]):
            arrays[f"{mode}:{k}"] = scale.scale.detach().numpy().reshape(-1)
    info = {
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("torch", "numpy", "spikingjelly")},
        },
        "modes": {mode: [name, options] for mode, (name, options) in MODES.items()},
    }
    arrays["info"] = json.dumps(info)
    np.savez_compressed(
        Path(__file__).parent / "spikingjelly_conversion.npz",
        **{"batches": batches, "x": x, **arrays},
    )


if __name__ == "__main__":
    main()
