"""Write `spikingjelly_models.npz`, what the networks of `tests/models/test_models.py` compute.

The file was made with Python 3.11.7, torch 2.13.0 and torchvision 0.28.0 (on the CPU), numpy
2.4.6 and spikingjelly 2.0.0 (installed with --no-deps):

    PYTHONPATH=tests sj/bin/python tests/golden/make_spikingjelly_models.py

The networks are those of `spikingjelly.activation_based.model`, narrow and for small images; where
a constructor fixes a width, the same parts are put together here. Weights and inputs follow from
the seed in `info` by `tests/golden_weights.py`. Seeds are tried until every layer fires and no
rounding can decide a spike.

    info                JSON: `versions`, and for each network its `seed`, `gain`, the shape of one
                        step of its input (channels first), the `digest` of its state dict and the
                        firing rates by layer, `rates`; `torchvision`, the digests of its ANNs
    <net>/<layer>       the spikes of a layer, channels last, as packed bits
    <net>:y             the output in evaluation mode
    <net>:loss          in training mode, without dropout, sum(y * w)
    <net>:grads         its gradients in float64, `golden_weights.sample` of each parameter, sorted
    <net>:frozen        the same gradients in evaluation mode
"""

import copy
import json
import platform
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
import torchvision
from golden_weights import digest, sample, state_dict, uniform
from spikingjelly.activation_based import functional, layer, neuron, surrogate
from spikingjelly.activation_based.model import (
    ms_resnet,
    parametric_lif_net,
    sew_resnet,
    spiking_resnet,
    spiking_vgg,
)
from torch import nn

T, N = 3, 2
IF = {"spiking_neuron": neuron.IFNode, "detach_reset": True, "surrogate_function": surrogate.ATan()}
PLIF = {**IF, "spiking_neuron": neuron.ParametricLIFNode, "init_tau": 2.0}


def resnet(module, block, depths, width, small, **options):
    """A residual network of `module`, with fewer channels than its constructor makes."""
    kind = module.SEWResNet if module is sew_resnet else module.SpikingResNet
    net = kind.__new__(kind)
    nn.Module.__init__(net)
    net._norm_layer, net.inplanes, net.dilation = layer.BatchNorm2d, width, 1
    net.groups, net.base_width = 1, 64
    size, stride = (3, 1) if small else (7, 2)
    net.conv1 = layer.Conv2d(3, width, size, stride, size // 2, bias=False)
    net.bn1 = layer.BatchNorm2d(width)
    net.sn1 = neuron.IFNode(detach_reset=True, surrogate_function=surrogate.ATan())
    net.maxpool = nn.Identity() if small else layer.MaxPool2d(3, 2, 1)
    block = getattr(module, block)
    for i, depth in enumerate(depths):
        made = net._make_layer(block, width * 2**i, depth, stride=1 + (i > 0), **options, **IF)
        setattr(net, f"layer{i + 1}", made)
    net.avgpool = layer.AdaptiveAvgPool2d((1, 1))
    net.fc = layer.Linear(width * 8 * block.expansion, 10)
    return net


def vgg(cfg, batch_norm, width, hidden):
    """A spiking VGG with fewer channels and hidden neurons than its constructor makes."""
    net = spiking_vgg.SpikingVGG.__new__(spiking_vgg.SpikingVGG)
    nn.Module.__init__(net)
    options = {k: v for k, v in IF.items() if k != "spiking_neuron"}
    cfg = [c if c == "M" else c * width // 64 for c in spiking_vgg.cfgs[cfg]]
    net.features = net.make_layers(cfg, batch_norm, None, neuron.IFNode, **options)
    net.avgpool = layer.AdaptiveAvgPool2d((7, 7))
    net.classifier = nn.Sequential(
        layer.Linear(8 * width * 49, hidden),
        neuron.IFNode(**options),
        layer.Dropout(),
        layer.Linear(hidden, hidden),
        neuron.IFNode(**options),
        layer.Dropout(),
        layer.Linear(hidden, 10),
    )
    return net


def plif(kind, width, hidden, pooled):
    """A network of `parametric_lif_net` for smaller images."""
    net = kind(width, **PLIF)
    first, second = (i for i, m in enumerate(net.conv_fc) if isinstance(m, layer.Linear))
    net.conv_fc[first] = layer.Linear(pooled * width, hidden)
    net.conv_fc[second] = layer.Linear(hidden, net.conv_fc[second].out_features)
    return net


def conv_net(width, pooled):
    """The `conv_net` of jaxspike, for images that are pooled to so many pixels."""
    layers, inputs = [], 1
    for i, outputs in enumerate((width, 2 * width, 2 * width)):
        layers.append(layer.Conv2d(inputs, outputs, 3, padding=1, bias=False))
        layers += layer.BatchNorm2d(outputs), neuron.LIFNode(tau=2.0, decay_input=False)
        layers += [layer.MaxPool2d(2, 2)] if i < 2 else []
        inputs = outputs
    return nn.Sequential(*layers, layer.Flatten(), layer.Linear(pooled * inputs, 10))


SMALL, DEEP = (2, 2, 2, 2), (3, 4, 6, 3)
NETS = {  # how to make it, the shape of one step of input, gain
    "sew_resnet18": (
        lambda: resnet(sew_resnet, "BasicBlock", SMALL, 4, False, cnf="ADD"),
        (3, 32, 32),
        1.5,
    ),
    "sew_resnet18_and": (
        lambda: resnet(sew_resnet, "BasicBlock", SMALL, 4, True, cnf="AND"),
        (3, 8, 8),
        2.0,
    ),
    "sew_resnet34_iand": (
        lambda: resnet(sew_resnet, "BasicBlock", DEEP, 4, False, cnf="IAND"),
        (3, 32, 32),
        1.5,
    ),
    "sew_resnet50_iand": (
        lambda: resnet(sew_resnet, "Bottleneck", DEEP, 2, False, cnf="IAND"),
        (3, 32, 32),
        2.0,
    ),
    "spiking_resnet18": (
        lambda: resnet(spiking_resnet, "BasicBlock", SMALL, 4, False),
        (3, 32, 32),
        1.5,
    ),
    "spiking_resnet50": (
        lambda: resnet(spiking_resnet, "Bottleneck", DEEP, 2, False),
        (3, 32, 32),
        2.0,
    ),
    "ms_resnet18": (
        lambda: ms_resnet.MSResNet(T, 3, 10, SMALL, base_channels=4),
        (3, 32, 32),
        1.0,
    ),
    "max_resnet18": (
        lambda: ms_resnet.MaxResNet(T, 3, 10, (3, 3, 2), 4, 3, 1, False, (8, 16, 32)),
        (3, 8, 8),
        1.5,
    ),
    "spiking_vgg11": (lambda: vgg("A", False, 4, 16), (3, 32, 32), 2.0),
    "spiking_vgg16_bn": (lambda: vgg("D", True, 4, 16), (3, 32, 32), 1.5),
    "mnist_net": (
        lambda: plif(parametric_lif_net.MNISTNet, 4, 16, 4),
        (1, 8, 8),
        3.0,
    ),
    "nmnist_net": (
        lambda: plif(parametric_lif_net.NMNISTNet, 4, 16, 4),
        (2, 9, 9),
        3.0,
    ),
    "cifar10_net": (
        lambda: plif(parametric_lif_net.CIFAR10Net, 4, 16, 4),
        (3, 8, 8),
        5.0,
    ),
    "cifar10_dvs_net": (
        lambda: plif(parametric_lif_net.CIFAR10DVSNet, 4, 16, 1),
        (2, 16, 16),
        3.0,
    ),
    "dvs_gesture_net": (
        lambda: plif(parametric_lif_net.DVSGestureNet, 4, 16, 1),
        (2, 32, 32),
        3.0,
    ),
    "conv_net": (lambda: conv_net(4, 4), (1, 8, 8), 3.0),
    "spiking_mlp": (
        lambda: nn.Sequential(
            layer.Linear(12, 16), neuron.IFNode(), layer.Linear(16, 10), neuron.IFNode()
        ),
        (12,),
        3.0,
    ),
}


def run(net, x):
    """Output and spikes by layer."""
    spikes, hooks = {}, []
    for name, module in net.named_modules():
        if isinstance(module, neuron.BaseNode):

            def keep(module, args, y, name=name):
                spikes[name] = y.detach()

            hooks.append(module.register_forward_hook(keep))
    functional.reset_net(net)
    y = net(x)
    for hook in hooks:
        hook.remove()
    return y, spikes


def is_stable(net, x, spikes):
    """Whether weights that differ in the last digits give the same spikes."""
    before = {k: v.clone() for k, v in net.state_dict().items()}
    random = np.random.RandomState(0)
    for _ in range(10):
        for p in net.parameters():
            noise = torch.tensor(random.uniform(-1, 1, p.shape), dtype=p.dtype)
            p.data *= 1 + 2e-6 * noise
        _, again = run(net, x)
        if any((again[k] != s).any() for k, s in spikes.items()):
            return False
    net.load_state_dict(before)
    return True


def gradients(net, x, seed):
    """The loss and samples of its gradients in float64; None if rounding decides spikes."""
    with torch.no_grad():
        _, spikes = run(net, x)
        stable = is_stable(net, x, spikes)
    if not stable:
        return None
    exact = copy.deepcopy(net).double()
    y, again = run(exact, x.double())
    if any((again[k] != s).any() for k, s in spikes.items()):
        return None
    loss = (y * torch.tensor(uniform(y.shape, seed + 1)).double()).sum()
    loss.backward()
    grads = dict(sorted(exact.named_parameters()))
    return loss.detach(), np.stack([sample(p.grad.numpy()) for p in grads.values()])


def channels_last(x):
    """An array whose third axis becomes the last one."""
    return np.moveaxis(x.numpy(), 2, -1)


def golden(make, shape, gain):
    """What a network computes, with the first seed for which it is certain."""
    for seed in range(1000):
        net = make().eval()
        functional.set_step_mode(net, "m")
        shapes = {k: tuple(v.shape) for k, v in net.state_dict().items()}
        weights = state_dict(shapes, seed, gain)
        net.load_state_dict({k: torch.tensor(v) for k, v in weights.items()})
        x = torch.tensor(uniform((T, N, *shape), seed, 1.5))
        with torch.no_grad():
            y, spikes = run(net, x)
        rates = {k: s.mean().item() for k, s in spikes.items()}
        if not all(0.01 < r < 0.9 for r in rates.values()):
            continue
        frozen = gradients(net, x, seed)
        net.train()
        for module in net.modules():
            if isinstance(module, layer.Dropout):
                module.p = 0.0
        trained = frozen and gradients(net, x, seed)
        if trained is None:
            continue
        info = {"seed": seed, "gain": gain, "shape": shape, "digest": digest(shapes)}
        info["rates"] = {k: round(r, 3) for k, r in rates.items()}
        bits = {k: np.packbits(channels_last(s).astype(bool)) for k, s in spikes.items()}
        arrays = {"loss": trained[0].numpy(), "grads": trained[1], "frozen": frozen[1]}
        return info, bits, {"y": y.numpy()} | arrays
    raise RuntimeError(shape)


def main():
    """Run everything and write the file beside this script."""
    torch.set_num_threads(1)
    versions = {"python": platform.python_version(), "numpy": np.__version__}
    versions |= {"torch": torch.__version__, "torchvision": torchvision.__version__}
    info, out = {"versions": versions | {"spikingjelly": version("spikingjelly")}}, {}
    info["torchvision"] = {}
    for name in ("resnet18", "resnet34", "resnet50"):
        state = getattr(torchvision.models, name)().state_dict()
        info["torchvision"][name] = digest({k: tuple(v.shape) for k, v in state.items()})
    for name, (make, shape, gain) in NETS.items():
        info[name], bits, arrays = golden(make, shape, gain)
        rates = list(info[name]["rates"].values())
        print(name, "seed", info[name]["seed"], "rates", min(rates), max(rates), flush=True)
        out |= {f"{name}/{k}": v for k, v in bits.items()}
        out |= {f"{name}:{k}": v for k, v in arrays.items()}
    path = Path(__file__).with_name("spikingjelly_models.npz")
    np.savez_compressed(path, info=np.array(json.dumps(info)), **out)
    print(json.dumps(info["versions"]), f"{path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
