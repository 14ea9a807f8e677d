"""Write `spikingjelly_spikformer.npz`, a small Spikformer that `tests/convert` loads and runs.

The file was made with Python 3.11.7, torch 2.13.0 (on the CPU) and spikingjelly 2.0.0 in the
environment that `make_spikingjelly.py` describes:

    sj/bin/python tests/golden/make_spikingjelly_spikformer.py

The network is SpikingJelly's own; its weights and input are drawn as in
`make_spikingjelly_networks.py`.

    info        JSON: `versions`, and the firing rates of the spiking layers: `rates`
    spikformer/<name>
                the state dict
    spikformer:x, spikformer:y
                its input [T, N, C, H, W] and its output
"""

import json
import platform
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from make_spikingjelly_networks import spiking
from spikingjelly.activation_based.model.spikformer import Spikformer


def make():
    """16 tokens of 16 features, in 2 heads."""
    return Spikformer(
        img_size_h=16,
        img_size_w=16,
        patch_size=4,
        in_channels=2,
        num_classes=5,
        embed_dims=16,
        num_heads=2,
        mlp_ratio=2,
        depths=2,
    )


def main():
    """Run the network and write the file beside this script."""
    torch.set_num_threads(1)
    rates, out = spiking("spikformer", make, (2, 16, 16), 1.5)
    versions = {"python": platform.python_version(), "numpy": np.__version__}
    versions |= {"torch": torch.__version__, "spikingjelly": version("spikingjelly")}
    info = {"versions": versions, "rates": rates}
    path = Path(__file__).with_name("spikingjelly_spikformer.npz")
    np.savez_compressed(path, info=np.array(json.dumps(info)), **out)
    print(json.dumps(info, indent=1), f"{path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
