"""SpikingJelly, multi-step mode."""

import torch
from spikingjelly.activation_based import functional, neuron, surrogate
from torch.nn.functional import linear

from .in_torch import TorchLibrary, versions

SURROGATE = surrogate.SuperSpike(alpha=1.0)


def lif(mode):
    """The neuron of the cases."""
    return neuron.LIFNode(tau=2.0, surrogate_function=SURROGATE, step_mode=mode)


class SpikingJelly(TorchLibrary):
    """Layer by layer in multi-step mode; a recurrent layer in a loop."""

    note = "with bfloat16 its functional form, which takes a float32 membrane"

    def versions(self):
        return versions("spikingjelly")

    def __init__(self):
        self.neurons = [lif("m") for _ in range(20)]  # more than any case has layers
        self.one = lif("s")

    def _run(self, node, x):
        functional.reset_net(node)
        return node(x)

    def layer(self, x_seq):
        if x_seq.dtype == torch.float32:
            return self._run(self.neurons[0], x_seq)
        rest = torch.zeros(x_seq.shape[1:])  # float32: else it leaves its fused path
        return functional.lif_multi_step(x_seq, rest, surrogate_function=SURROGATE)[0]

    def mlp(self, params, x_seq):
        for node, w in zip(self.neurons[: len(params)], params, strict=True):
            x_seq = self._run(node, linear(x_seq, w.T))
        return x_seq

    def recurrent(self, params, x_seq):
        w_in, w_rec, w_out = params
        functional.reset_net(self.one)
        current = linear(x_seq, w_in.T)
        z, z_seq = torch.zeros_like(current[0]), []
        for x in current:
            z = self.one(x + linear(z, w_rec.T))
            z_seq.append(z)
        return self._run(self.neurons[0], linear(torch.stack(z_seq), w_out.T))

    def step(self, params, x):
        nodes = [lif("s") for _ in params]

        def step(state, x):
            for node, w in zip(nodes, params, strict=True):
                x = node(linear(x, w.T))
            return [node.v for node in nodes], x

        return None, step


ROWS = {"SpikingJelly": SpikingJelly}
