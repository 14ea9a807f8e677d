"""The networks of `benchmarks.models` by SpikingJelly, which draws the weights of all rows."""

import os

import numpy as np
import torch
from spikingjelly.activation_based import functional, layer, neuron, surrogate
from spikingjelly.activation_based.model.parametric_lif_net import DVSGestureNet
from spikingjelly.activation_based.model.sew_resnet import sew_resnet18 as wide_sew_resnet18
from spikingjelly.activation_based.model.spikformer import Spikformer
from torch import nn

from . import models_row
from .libraries import in_torch

ATAN = {"surrogate_function": surrogate.ATan(), "detach_reset": True}
NORMS = nn.BatchNorm1d | nn.BatchNorm2d


class Recurrent(nn.Module):
    """Neurons that get their last spikes through a linear layer.

    The library's `LinearRecurrentContainer` would multiply the current of each step by a matrix,
    which is not in this network and would take longer.
    """

    def __init__(self, node, features):
        super().__init__()
        self.neuron, self.feedback = node, layer.Linear(features, features, bias=False)

    def forward(self, x_seq):
        """``[T, N, features]``, step by step."""
        z, z_seq = torch.zeros_like(x_seq[0]), []
        for x in x_seq:
            z = self.neuron(x + self.feedback(z))
            z_seq.append(z)
        return torch.stack(z_seq)


def sew_resnet18(network):
    """SEW-ResNet-18 of another width, with the stem for small images."""
    options = {"cnf": "ADD", "spiking_neuron": neuron.IFNode, **ATAN}
    net = wide_sew_resnet18(num_classes=network["classes"], **options)
    width = network["sizes"]["width"]
    for path, module in [*net.named_modules()]:
        if isinstance(module, nn.Conv2d):
            inputs, outputs = (n if n == 3 else n * width // 64 for n in module.weight.shape[1::-1])
            same = {"stride": module.stride, "padding": module.padding, "bias": False}
            new = layer.Conv2d(inputs, outputs, module.kernel_size, **same)
            if path == "conv1":
                new = layer.Conv2d(3, width, 3, padding=1, bias=False)
        elif isinstance(module, NORMS):
            new = layer.BatchNorm2d(module.num_features * width // 64)
        elif path == "fc":
            new = layer.Linear(module.in_features * width // 64, module.out_features)
        elif path == "maxpool":
            new = nn.Identity()
        else:
            continue
        put(net, path, new)
    return net


def convolutions(network):
    """A narrow SEW-ResNet-18 without neurons and normalizations."""
    net = sew_resnet18(network)
    without(net, NORMS | neuron.BaseNode)
    return net


def spikformer(network):
    """Spikformer for small images."""
    sizes, (height, width, _) = network["sizes"], network["sample"]
    image = {"img_size_h": height, "img_size_w": width, "patch_size": sizes["patch_size"]}
    names = {"embed_dims": "dim", "depths": "depth", "num_heads": "num_heads"}
    options = {theirs: sizes[ours] for theirs, ours in names.items()}
    return Spikformer(T=network["steps"], num_classes=network["classes"], **image, **options)


def dvs_gesture_net(network):
    """DVSGestureNet without dropout."""
    sizes = network["sizes"]
    options = {"spiking_neuron": neuron.ParametricLIFNode, "init_tau": 2.0, **ATAN}
    net = DVSGestureNet(sizes["width"], **options)
    without(net, layer.Dropout)
    height, width, _ = network["sample"]
    inputs = (height // 32) * (width // 32) * sizes["width"]
    put(net, "conv_fc.22", layer.Linear(inputs, sizes["hidden"]))
    put(net, "conv_fc.25", layer.Linear(sizes["hidden"], 10 * network["classes"]))
    return net


def recurrent_net(network):
    """Two layers of LIF neurons, the second one recurrent."""
    width = network["sizes"]["width"]

    def part(inputs):
        yield layer.Linear(inputs, width, bias=False)
        yield layer.BatchNorm1d(width)
        node = neuron.LIFNode(tau=10.0, decay_input=False, detach_reset=True)
        yield node if inputs != width else Recurrent(node, width)
        yield nn.Identity()

    (inputs,) = network["sample"]
    return nn.Sequential(*part(inputs), *part(width), layer.Linear(width, network["classes"]))


FAMILIES = (sew_resnet18, convolutions, spikformer, dvs_gesture_net, recurrent_net)


def put(net, path, module):
    """Replace a module of a network."""
    owner, _, name = path.rpartition(".")
    setattr(net.get_submodule(owner), name, module)


def without(net, kinds):
    """Replace modules of these kinds by the identity."""
    for path, module in [*net.named_modules()]:
        if isinstance(module, kinds):
            put(net, path, nn.Identity())


def see_statistics(net, x):
    """Let batch normalization know the statistics of its input."""
    norms = [m for m in net.modules() if isinstance(m, NORMS)]
    for norm in norms:
        norm.momentum = None  # the mean of all batches so far
    with torch.no_grad():
        net(x)
    for norm in norms:
        norm.momentum = 0.1


def watched(net, run):
    """The result of ``run()``, and the spikes of every layer in it."""
    spikes, hooks = {}, []
    for path, module in net.named_modules():
        over_time = getattr(module, "step_mode", "m") == "m"
        if isinstance(module, neuron.BaseNode | Recurrent) and over_time:

            def keep(module, args, y, path=path):
                y = y.flatten(2, 3) if path.endswith("attn_lif") else y  # of all heads
                name = path.replace(".block", "").removesuffix(".neuron")
                spikes[name] = y.movedim(2, -1).numpy(force=True) > 0

            hooks.append(module.register_forward_hook(keep))
    result = run()
    for hook in hooks:
        hook.remove()
    return result, spikes


class SpikingJelly(models_row.Row):
    """Multi-step mode: layer by layer."""

    packages = ("spikingjelly", "torch", "torchvision")

    def build(self, network, x, labels):
        torch.set_num_threads(len(os.sched_getaffinity(0)))
        if self.device == "gpu":
            in_torch.use_gpu()
        torch.manual_seed(0)
        (make,) = (f for f in FAMILIES if f.__name__ == network["family"])
        net = make(network)
        functional.set_step_mode(net, "m")
        for module in net.modules():
            if isinstance(module, Recurrent):
                module.neuron.step_mode = "s"
        # Channels last in memory are faster by a tenth, but the statistics of a large batch are
        # then off by 1e-3: the step that is compared has channels first.
        x, labels = torch.tensor(x).movedim(-1, 2), torch.tensor(labels)
        for module in net.modules():
            if isinstance(module, NORMS | nn.Linear):
                module.weight.data.mul_(network["gain"])
        see_statistics(net, x)
        weights = {k: v.numpy(force=True) for k, v in net.state_dict().items()}
        np.savez(self.folder / "weights.npz", **weights)
        optimizer = torch.optim.SGD(net.parameters(), network["rate"])

        def train(x=x):
            net.train()
            functional.reset_net(net)
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(net(x).mean(0), labels)
            loss.backward()
            optimizer.step()
            return loss.item()

        @torch.inference_mode()
        def infer():
            net.eval()
            functional.reset_net(net)
            y = net(x).mean(0)
            if self.device == "gpu":
                torch.cuda.synchronize()
            return y

        self.programs = {"inference": infer, "train": train}
        spikes = {"inference": watched(net, infer)[1]}
        loss, spikes["train"] = watched(net, lambda: train(x.contiguous()))
        grads = torch.cat([p.grad.ravel() for p in net.parameters()])
        return spikes, {"loss": loss, "gradient": grads.norm().item(), "compile_s": {}}

    def device_memory(self, program):
        return in_torch.device_memory(self.programs[program])


if __name__ == "__main__":
    models_row.main(SpikingJelly)
