"""The network "convolutional" of `benchmarks.learning` in SpikingJelly; see `learning_peer`."""

import functools
import os
import sys

import torch
from spikingjelly.activation_based import base, functional, layer, neuron
from spikingjelly.activation_based.learning import online_learning
from torch import nn

from . import learning_peer, worker
from .libraries import in_torch

CLASSES = 10


class Traced(base.MemoryModule):
    """The input with its trace, which OTTT has and `OTTTSequential` leaves out."""

    def __init__(self, tau):
        super().__init__()
        self.tau = tau
        self.register_memory("trace", 0.0)

    def forward(self, x):
        """The input and its trace."""
        self.trace = self.trace * (1 - 1 / self.tau) + x
        return [x, self.trace]


class Spikes(nn.Module):
    """The spikes without their trace: the readout, which has no memory, learns from these alone."""

    def forward(self, x):
        """The first of the two."""
        return x[0] if isinstance(x, list) else x


def network(params, node, first=(), over_time=False):
    """28 x 28 - two strided convolutions with neurons - 10."""
    options = {"tau": 2.0, "decay_input": False, "v_reset": None, "detach_reset": True}

    def convolution(name):
        axes = torch.tensor(params[name]).permute(3, 2, 0, 1)
        conv = nn.Conv2d(*axes.shape[1::-1], axes.shape[2:], 2, bias=False)
        conv.weight = nn.Parameter(axes.contiguous())
        return nn.ZeroPad2d((0, 1, 0, 1)), conv, node(**options)

    linear = nn.Linear(params["out"].shape[0], CLASSES, bias=False)
    weight = torch.tensor(params["out"]).view(7, 7, -1, CLASSES).permute(3, 2, 0, 1)
    linear.weight = nn.Parameter(weight.flatten(1))
    modules = *first, *convolution("1"), *convolution("2"), nn.Flatten()
    if over_time:
        modules = [m if isinstance(m, node) else layer.SeqToANNContainer(m) for m in modules]
        linear = layer.SeqToANNContainer(linear)
    net = nn.Sequential(layer.OTTTSequential(*modules), Spikes(), linear)
    functional.set_step_mode(net, "m" if over_time else "s")
    return net


def gradients(net):
    """Those of the network's weights, by the names and with the axes that they have in JAX."""
    one, two, out = (p.grad for p in net.parameters())
    out = out.view(CLASSES, -1, 7, 7).permute(2, 3, 1, 0).flatten(0, 2)
    found = {"1": one.permute(2, 3, 1, 0), "2": two.permute(2, 3, 1, 0), "out": out}
    return {name: grad.numpy(force=True) for name, grad in found.items()}


def rows(name, params, x):
    """Gradients in reverse, and step by step."""
    labels = torch.arange(x.shape[1]) % CLASSES

    def loss(y, labels):
        return nn.functional.cross_entropy(y, labels)

    def prepare(net, x):
        functional.reset_net(net)
        net.zero_grad()
        return torch.as_tensor(x).movedim(-1, 2).contiguous()

    def step_by_step(net, x):
        x = prepare(net, x)
        still = torch.optim.SGD(net.parameters(), 0.0)
        targets = labels[:, None].expand(-1, len(x))
        online_learning.ottt_online_training(net, still, x.transpose(0, 1), targets, loss, False)
        return gradients(net)

    def in_reverse(net, x):
        x = prepare(net, x)
        (len(x) * loss(net(x).flatten(0, 1), labels.repeat(len(x)))).backward()
        return gradients(net)

    def maker(run, node, **options):
        return lambda: functools.partial(run, network(params, node, **options))

    return {
        "SpikingJelly BPTT": ("BPTT", maker(in_reverse, neuron.LIFNode, over_time=True)),
        "SpikingJelly SLTT": ("none, in reverse", maker(step_by_step, neuron.SLTTLIFNode)),
        "SpikingJelly OTTT": (
            "local, in reverse",
            maker(step_by_step, neuron.OTTTLIFNode, first=(Traced(2.0),)),
        ),
    }


def memory(run, x):
    """The MiB that the operating system gives in addition."""
    return worker.peak(lambda: run(x), times=1)


def gpu_memory(run, x):
    """The MiB of the device that a run takes in addition."""
    return in_torch.device_memory(lambda: run(x)) / 2**20


if __name__ == "__main__":
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    if sys.argv[3] == "gpu":
        in_torch.use_gpu()
    learning_peer.main(rows, gpu_memory if sys.argv[3] == "gpu" else memory, torch.as_tensor)
