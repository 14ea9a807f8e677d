"""Write `spikingjelly_transformers.npz`: SpikingJelly's transformers and their attention layers.

Made in the environment that `make_spikingjelly.py` describes, with `tests` on the path:

    PYTHONPATH=tests sj/bin/python tests/golden/make_spikingjelly_transformers.py

The networks are SpikingJelly's own. Weights and inputs are `golden_files.uniform` of their names,
so that the file has the results alone. Seeds are drawn until every spiking layer fires and no
rounding can decide a spike: networks whose weights differ in the last digits give the same spikes,
and the gradients in float64, which are kept, are those in float32 within 2e-6.

    info                JSON: `versions`, the `shapes` of the state dict of each case, its `seed`,
                        the range of its `biases` and the shape of its input, `x`
    <case>|y            the output in evaluation, [T, N, *], channels last; [N, *] if the network
                        averages over time
    <case>|<path>       the spikes of a layer of neurons in evaluation, channels last, as bits
    <case>|grad|<name>  the gradient of a parameter in training for the loss sum(y * r), or of the
                        input, channels last: `x`
    <case>|stat|<name>  a running statistic before it, the only arrays that are no `uniform`
    <case>|train        the output in training
"""

import json
import platform
from importlib.metadata import version
from pathlib import Path

import golden_files
import numpy as np
import torch
from spikingjelly.activation_based import functional, layer, neuron
from spikingjelly.activation_based.layer.attention import SpikeDrivenSelfAttention
from spikingjelly.activation_based.model.maxformer import MaxFormer
from spikingjelly.activation_based.model.qkformer import QKFormer
from spikingjelly.activation_based.model.spike_driven_transformer import SpikeDrivenTransformer
from spikingjelly.activation_based.model.spikformer import Spikformer
from torch import nn

SMALL = {"in_channels": 2, "num_classes": 5, "mlp_ratio": 2.0}
IMAGE = {"img_size_h": 16, "img_size_w": 16, "patch_size": 4}

#: A network, the shape of its input [T, N, C, *], the range of its biases, and the parameters whose
#: gradients are kept.
CASES = {
    "token": (
        lambda: layer.TokenQKAttention(8, 2),
        (4, 3, 8, 6),
        (0.0, 0.8),
        ["qk_conv_bn.0.weight"],
    ),
    "channel": (
        lambda: layer.ChannelQKAttention(8, 2),
        (4, 3, 8, 6),
        (0.0, 0.8),
        ["qk_conv_bn.0.weight"],
    ),
    "sdsa": (
        lambda: layer.SpikeDrivenSelfAttention(8, 2),
        (4, 3, 8, 2, 3),
        (0.3, 1.0),
        ["q_conv.weight", "v_conv.weight", "proj_bn.bias"],
    ),
    "spikformer": (
        lambda: Spikformer(embed_dims=16, num_heads=2, depths=1, **IMAGE, **SMALL),
        (4, 2, 2, 16, 16),
        (0.4, 1.1),
        ["patch_embed.stages.0.conv_bn.block.0.weight", "blocks.0.attn.qkv_conv_bn.1.weight"],
    ),
    "spike_driven_transformer": (
        lambda: SpikeDrivenTransformer(
            embed_dims=16, num_heads=2, depths=1, pooling_stat="0011", **SMALL | {"mlp_ratio": 1.0}
        ),
        (4, 2, 2, 16, 16),
        (-0.4, 0.4),
        ["patch_embed.stages.0.0.weight", "blocks.0.attn.q_bn.weight"],
    ),
    "qkformer": (
        lambda: QKFormer(embed_dims=32, num_heads=(1, 2, 2), depths=(1, 1, 1), **SMALL),
        (4, 2, 2, 32, 32),
        (0.3, 1.0),
        ["patch_embed1.conv1.weight", "stage3.0.attn.qkv_conv_bn.1.weight"],
    ),
    "qkformer_channel": (
        lambda: QKFormer(
            embed_dims=32, num_heads=(1, 2, 2), depths=(1, 1, 1), qka_type="channel", **SMALL
        ),
        (4, 2, 2, 32, 32),
        (0.3, 1.0),
        ["patch_embed1.conv1.weight", "stage1.0.attn.qk_conv_bn.0.weight"],
    ),
    "maxformer": (
        lambda: MaxFormer(embed_dims=32, depths=(1, 1, 1), **SMALL),
        (4, 2, 2, 32, 32),
        (-0.5, 0.4),
        [
            "patch_embed1.conv1.weight",
            "stage2.0.dwconv.weight",
            "stage3.0.attn.qkv_conv_bn.1.weight",
        ],
    ),
    "maxformer_small": (
        lambda: MaxFormer(embed_dims=32, depths=(1, 1, 1), cifar=True, **SMALL),
        (4, 2, 2, 16, 16),
        (-0.5, 0.4),
        ["patch_embed1.conv.weight", "stage3.0.attn.qkv.1.weight"],
    ),
}


def last(x):
    """Channels last."""
    return x.detach().movedim(2, -1).numpy() if x.ndim > 3 else x.detach().numpy()


def run(net, x):
    """The output, and the spikes by layer."""
    spikes, hooks = {}, []
    for name, module in net.named_modules():
        if isinstance(module, neuron.BaseNode):

            def keep(module, args, y, name=name):
                owner = net.get_submodule(name.rpartition(".")[0])
                if name.endswith("attn_lif") and y.ndim > 4:  # by heads
                    y = y.flatten(2, 4 if isinstance(owner, SpikeDrivenSelfAttention) else 3)
                spikes[name] = y.detach().clone()

            hooks.append(module.register_forward_hook(keep))
    functional.reset_net(net)
    y = net(x)
    for hook in hooks:
        hook.remove()
    return y, spikes


def is_stable(net, x, state, rng):
    """Whether every layer fires, and weights that differ in the last digits change no spike."""
    with torch.no_grad():
        net.load_state_dict(state)
        _, spikes = run(net, x)
        if not all(0.01 < s.mean() < 0.95 for s in spikes.values()):
            return False
        for _ in range(12):
            net.load_state_dict(state)
            for p in net.parameters():
                p.mul_(1 + 2e-6 * torch.tensor(rng.uniform(-1, 1, p.shape), dtype=p.dtype))
            _, again = run(net, x)
            if any((again[k] != s).any() for k, s in spikes.items()):
                return False
    return True


def with_statistics(net, state, x):
    """The state dict with running statistics of about what the input has in training."""
    net.load_state_dict(state)
    norms = [m for m in net.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad():
        run(net.train(), x)
    for norm in norms:
        norm.momentum = 0.1
        norm.running_mean.copy_((norm.running_mean * 64).round() / 64)  # few digits to store
        norm.running_var.copy_((norm.running_var * 64).round().clamp_min(1) / 64)
        norm.num_batches_tracked.zero_()
    return {k: v.clone() for k, v in net.state_dict().items()}


def gradients(net, case, x, kept):
    """The output in training, and the gradients of the loss sum(y * r)."""
    net.zero_grad()
    x = x.clone().requires_grad_()
    y, _ = run(net, x)
    r = torch.tensor(golden_files.uniform(f"{case}:r", last(y).shape, -1.0, 1.0))
    (y * (r.movedim(-1, 2) if y.ndim > 3 else r)).sum().backward()
    parameters = dict(net.named_parameters())
    found = {k: parameters[k].grad.numpy().copy() for k in kept}
    return last(y), found | ({"x": last(x.grad)} if x[0].numel() < 1000 else {})


def record(case, make, shape, biases, kept):
    """The arrays of a case, its seed, and the shapes of its state dict."""
    torch.manual_seed(0)
    net = make()
    shapes = {k: tuple(v.shape) for k, v in net.state_dict().items()}
    for seed in range(300):
        arrays = golden_files.state_dict(f"{case}{seed}", shapes, *biases)
        x = torch.tensor(golden_files.uniform(f"{case}{seed}:x", shape, 0.0, 1.5))
        state = with_statistics(net, {k: torch.tensor(v) for k, v in arrays.items()}, x)
        rng = np.random.default_rng(seed)
        if not (is_stable(net.eval(), x, state, rng) and is_stable(net.train(), x, state, rng)):
            continue
        net.load_state_dict(state)
        _, single = gradients(net, case, x, kept)
        y_train, grads = gradients(net.double(), case, x.double(), kept)
        net.float()
        if all(np.abs(single[k] - g).max() < 2e-6 * np.abs(g).max() for k, g in grads.items()):
            break
    else:
        raise RuntimeError(case)
    net.eval().load_state_dict(state)
    y, spikes = run(net, x)
    out = {"y": last(y)} | {k: np.packbits(last(s).astype(bool)) for k, s in spikes.items()}
    out |= {"train": y_train.astype(np.float32)}
    stats = {k: v for k, v in state.items() if "running" in k}
    out |= {f"stat|{k}": v.numpy() for k, v in stats.items()}
    out |= {f"grad|{k}": g.astype(np.float32) for k, g in grads.items()}
    print(case, seed, {k: round(s.mean().item(), 2) for k, s in spikes.items()}, flush=True)
    return {f"{case}|{k}": v for k, v in out.items()}, seed, shapes


def main():
    """Run everything and write the file beside this script."""
    torch.set_num_threads(1)
    versions = {"python": platform.python_version(), "numpy": np.__version__}
    versions |= {"torch": torch.__version__, "spikingjelly": version("spikingjelly")}
    info = {"versions": versions, "shapes": {}, "seed": {}, "x": {}, "biases": {}}
    out = {}
    for case, (make, shape, biases, kept) in CASES.items():
        arrays, info["seed"][case], info["shapes"][case] = record(case, make, shape, biases, kept)
        out |= arrays
        info["x"][case], info["biases"][case] = shape, biases
    path = Path(__file__).with_name("spikingjelly_transformers.npz")
    np.savez_compressed(path, info=np.array(json.dumps(info)), **out)
    print(f"{path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
