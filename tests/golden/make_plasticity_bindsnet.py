"""Write `plasticity_bindsnet.npz`: the learning rules of BindsNET, step by step.

The file was made with Python 3.11.7, torch 2.14.1 and bindsnet 0.3.4, in an environment of its own:

    python3.11 -m venv bindsnet
    bindsnet/bin/pip install torch==2.14.1 torchvision==0.29.1 bindsnet==0.3.4
    bindsnet/bin/python tests/golden/make_plasticity_bindsnet.py

Each case is a network of two groups of neurons whose spikes are given, run for T steps of 1 ms in
which the rule changes the weight. Everything is float32.

    info            JSON: `versions`; `cases`, by name the arguments
    x, z            [T, N, 5] and [T, N, 4]: the spikes before and behind the connection; of one
                    sample, N = 1, for `x1`, `z1`
    image, maps     [T, N, 4, 3, 2] and [T, N, 2, 3, 3]: the same for a convolution, features last
    reward          [T]
    <case>|w0       the weight before the first step
    <case>|w        [T, *w], the weight after each step
    norm|w          w0 normalized to a sum of 3
"""

import json
import platform
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from bindsnet import learning
from bindsnet.network import Network
from bindsnet.network.nodes import Input
from bindsnet.network.topology import Connection, Conv2dConnection

RNG = np.random.default_rng(4)
T, N = 12, 3
BOUNDS = {"wmin": 0.0, "wmax": 1.0}
CASES = {  # the rule, arguments of the connection, whether traces add up, samples, run arguments
    "post_pre": ("PostPre", {"nu": (0.02, 0.05), **BOUNDS}, False, N, {}),
    "post_pre, additive": ("PostPre", {"nu": (0.02, 0.05), **BOUNDS}, True, N, {}),
    "weight_dependent": ("WeightDependentPostPre", {"nu": (0.02, 0.05), **BOUNDS}, False, N, {}),
    "hebbian": ("Hebbian", {"nu": (0.002, 0.005), **BOUNDS}, False, N, {}),
    "diehl_and_cook": (
        "DiehlAndCook",
        {"nu": (0.0, 0.05), "x_tar": 0.4, "mu": 0.5, **BOUNDS},
        True,
        N,
        {},
    ),
    "mstdp": ("MSTDP", {"nu": 0.05, "tc_plus": 15.0, "tc_minus": 25.0}, False, N, {}),
    "mstdp, zero lag": ("MSTDP", {"nu": 0.05, "zero_lag": True}, False, N, {}),
    "mstdpet": ("MSTDPET", {"nu": 0.5, "tc_e_trace": 10.0}, False, N, {}),
    "mstdpet, one sample": (
        "MSTDPET",
        {"nu": 0.5},
        False,
        1,
        {"a_plus": 0.8, "a_minus": -0.6},
    ),
}


def spikes(*shape):
    """A float32 array of zeros and ones."""
    return (RNG.random((T, *shape)) < 0.3).astype(np.float32)


def given(network, name, shape, additive):
    """A group of neurons whose spikes are given."""
    group = Input(shape=shape, traces=True, traces_additive=additive, tc_trace=20.0)
    network.add_layer(group, name)
    return group


def run(rule, arguments, additive, pre, post, rewards, options, w0, **geometry):
    """The weights after each step, `dt` 1 ms."""
    network = Network(dt=1.0, batch_size=pre.shape[1])
    before = given(network, "X", pre.shape[2:], additive)
    behind = given(network, "Z", post.shape[2:], additive)
    kind = Conv2dConnection if geometry else Connection
    connection = kind(
        before,
        behind,
        w=torch.tensor(w0),
        update_rule=getattr(learning, rule),
        **arguments,
        **geometry,
    )
    network.add_connection(connection, "X", "Z")
    weights = []
    for t in range(T):
        network.layers["X"].s = torch.tensor(pre[t] > 0)
        for name, signal in (("X", pre), ("Z", post)):
            network.layers[name].forward(torch.tensor(signal[t]))
        connection.update(reward=torch.tensor(rewards[t]), **options)
        weights.append(connection.w.detach().numpy().copy())
    return np.stack(weights)


def main():
    """Run everything and write the file beside this script."""
    torch.set_num_threads(1)
    out = {"x": spikes(N, 5), "z": spikes(N, 4)}
    out["reward"] = RNG.uniform(-1, 1, T).astype(np.float32)
    for case, (rule, arguments, additive, n, options) in CASES.items():
        w0 = RNG.uniform(0.1, 0.9, (5, 4)).astype(np.float32)
        out[f"{case}|w0"] = w0
        signals = out["x"][:, :n], out["z"][:, :n]
        out[f"{case}|w"] = run(rule, arguments, additive, *signals, out["reward"], options, w0)
    image, maps = spikes(N, 2, 4, 3), spikes(N, 3, 2, 3)
    w0 = RNG.uniform(0.1, 0.9, (3, 2, 3, 3)).astype(np.float32)
    geometry = {"kernel_size": 3, "stride": (2, 1), "padding": 1}
    arguments = {"nu": (0.002, 0.005), **BOUNDS}
    w = run("PostPre", arguments, False, image, maps, out["reward"], {}, w0, **geometry)
    out |= {"image": np.moveaxis(image, 2, -1), "maps": np.moveaxis(maps, 2, -1)}
    out |= {"conv|w0": w0.transpose(2, 3, 1, 0), "conv|w": w.transpose(0, 3, 4, 2, 1)}
    w0 = RNG.uniform(-1, 1, (5, 4)).astype(np.float32)
    w0[:, 1] = 0
    network = Network()
    groups = given(network, "X", (5,), False), given(network, "Z", (4,), False)
    connection = Connection(*groups, w=torch.tensor(w0), norm=3.0)
    connection.normalize()
    out |= {"norm|w0": w0, "norm|w": connection.w.detach().numpy()}
    versions = {"python": platform.python_version(), "numpy": np.__version__}
    versions |= {"torch": torch.__version__, "bindsnet": version("bindsnet")}
    info = {"versions": versions, "cases": CASES}
    path = Path(__file__).with_name("plasticity_bindsnet.npz")
    np.savez_compressed(path, info=np.array(json.dumps(info)), **out)
    print(f"{path.stat().st_size / 1000:.0f} kB, {versions}")
    for k, v in out.items():
        print(k, v.shape, f"{np.abs(v).mean():.3f}")
        if k.endswith("|w") and k != "norm|w":
            assert np.abs(v[-1] - out[k + "0"]).max() > 0.01, k


if __name__ == "__main__":
    main()
