"""Write `plasticity_spikingjelly.npz`: the learners of SpikingJelly, step by step.

Made in the environment that `make_spikingjelly.py` describes. Everything is float32; weights have
the layout that they have here, features last, and so have images.

    info            JSON: `versions`; `cases`, by name [tau_pre, tau_post, further arguments]
    <case>|x        [T, N, *], the input of the layer
    <case>|z        the spikes of the neurons behind it
    <case>|w        the weight, which stays the same
    <case>|reward   [T] or [T, N], of a learner with a reward
    <case>|dw       [T, *w], what `step(on_grad=False)` returned
"""

import json
import platform
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from spikingjelly.activation_based import learning, neuron
from torch import nn

RNG = np.random.default_rng(3)
T, N = 12, 3


def f_pre(w):
    """The factor of depression in all cases but the default."""
    return 0.3 + 0.5 * w


def f_post(w):
    """The factor of potentiation in all cases but the default."""
    return 1 - w


def random(*shape, low=0.0, high=1.0):
    """A float32 tensor of uniform numbers."""
    return torch.tensor(RNG.uniform(low, high, shape), dtype=torch.float32)


def record(out, case, learner, synapse, shape, rewards=None, to=lambda w: w.T, image=False):
    """Run a synapse and IF neurons over a sequence, with one step of the learner per time step."""
    synapse.weight.data = random(*synapse.weight.shape, high=0.6)
    fire = neuron.IFNode()
    learner = learner(synapse, fire)
    last = (lambda a: a.movedim(1, -1)) if image else (lambda a: a)
    xs, zs, dws = [], [], []
    with torch.no_grad():
        for t in range(T):
            x = (random(*shape) > 0.6).float()
            z = fire(synapse(x))
            reward = () if rewards is None else (rewards[t],)
            dws.append(to(learner.step(*reward, on_grad=False)))
            xs.append(last(x))
            zs.append(last(z))
    out |= {f"{case}|x": torch.stack(xs), f"{case}|z": torch.stack(zs)}
    out |= {f"{case}|w": to(synapse.weight), f"{case}|dw": torch.stack(dws)}
    if rewards is not None:
        out[f"{case}|reward"] = rewards
    assert 0.1 < out[f"{case}|z"].mean() < 0.8, case


def kernel(w):
    """The weight of a convolution as a kernel."""
    return w.movedim((0, 1), (-1, -2))


def main():
    """Run everything and write the file beside this script."""
    torch.set_num_threads(1)
    out, functions = {}, {"f_pre": f_pre, "f_post": f_post}

    def linear():
        return nn.Linear(5, 4, bias=False)

    def stdp(synapse, fire, tau_pre=2.0, tau_post=3.0, **kwargs):
        return learning.STDPLearner("s", synapse, fire, tau_pre, tau_post, **kwargs)

    def mstdp(synapse, fire):
        return learning.MSTDPLearner("s", synapse, fire, 2.0, 3.0, **functions)

    def mstdpet(synapse, fire):
        return learning.MSTDPETLearner("s", synapse, fire, 2.0, 3.0, 5.0, **functions)

    def with_functions(synapse, fire):
        return stdp(synapse, fire, **functions)

    record(out, "default", stdp, linear(), (N, 5))
    record(out, "linear", with_functions, linear(), (N, 5))
    conv = nn.Conv2d(2, 3, 3, stride=2, padding=1, bias=False)
    record(out, "conv2d", with_functions, conv, (N, 2, 6, 5), to=kernel, image=True)
    conv = nn.Conv1d(2, 3, 2, stride=1, padding=1, bias=False)
    record(out, "conv1d", with_functions, conv, (N, 2, 6), to=kernel, image=True)
    record(out, "mstdp", mstdp, linear(), (N, 5), random(T, N, low=-1))
    record(out, "mstdpet", mstdpet, linear(), (5,), random(T, low=-1))
    versions = {"python": platform.python_version(), "numpy": np.__version__}
    versions |= {"torch": torch.__version__, "spikingjelly": version("spikingjelly")}
    arrays = {k: v.detach().numpy().astype(np.float32) for k, v in out.items()}
    path = Path(__file__).with_name("plasticity_spikingjelly.npz")
    np.savez_compressed(path, info=np.array(json.dumps({"versions": versions})), **arrays)
    print(f"{path.stat().st_size / 1000:.0f} kB, {versions}")
    for k, v in arrays.items():
        print(k, v.shape, f"{np.abs(v).mean():.3f}")


if __name__ == "__main__":
    main()
