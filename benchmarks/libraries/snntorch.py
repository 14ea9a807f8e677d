"""snnTorch: a loop over time, as in its tutorials."""

import snntorch as snn
import torch
from snntorch import surrogate
from torch.nn.functional import linear

from . import images
from .in_torch import TorchLibrary, versions


def leaky():
    """The neuron of the cases."""
    return snn.Leaky(
        beta=0.5,
        spike_grad=surrogate.fast_sigmoid(slope=1),
        reset_mechanism="zero",
        reset_delay=False,
    )


class SnnTorch(TorchLibrary):
    """A loop over the steps of the network."""

    input_scale = 0.5
    note = "fires at h > 1"

    def versions(self):
        return versions("snntorch")

    def __init__(self):
        self.neurons = [leaky() for _ in range(20)]

    def layer(self, x_seq):
        node, spikes = self.neurons[0], []
        mem = node.reset_mem()
        for x in x_seq:
            s, mem = node(x, mem)
            spikes.append(s)
        return torch.stack(spikes)

    def mlp(self, params, x_seq):
        return self._steps(*self.step(params, x_seq[0]), x_seq)

    def image(self, topology, params, x_seq):
        def one(i, mem, h):
            return self.neurons[i](h, mem)[::-1]

        step = images.stepwise(topology, params, self.operations, one)
        return self._steps([self.neurons[i].reset_mem() for i in range(len(params))], step, x_seq)

    def _steps(self, state, step, x_seq):
        spikes = []
        for x in x_seq:
            state, s = step(state, x)
            spikes.append(s)
        return torch.stack(spikes)

    def recurrent(self, params, x_seq):
        w_in, w_rec, w_out = params
        hidden, out = self.neurons[:2]
        a, b, spikes = hidden.reset_mem(), out.reset_mem(), []
        z = x_seq.new_zeros(x_seq.shape[1], len(w_rec))
        for x in x_seq:
            z, a = hidden(linear(x, w_in.T) + linear(z, w_rec.T), a)
            y, b = out(linear(z, w_out.T), b)
            spikes.append(y)
        return torch.stack(spikes)

    def step(self, params, x):
        def step(state, x):
            new = []
            for node, mem, w in zip(self.neurons, state, params, strict=False):
                x, mem = node(linear(x, w.T), mem)
                new.append(mem)
            return new, x

        return [node.reset_mem() for node in self.neurons[: len(params)]], step


ROWS = {"snnTorch": SnnTorch}
