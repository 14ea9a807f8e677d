"""Norse: a loop over time of its one-step cell."""

import torch
from norse.torch import LIFBoxCell, LIFBoxParameters, Lift
from torch.nn.functional import linear

from .in_torch import TorchLibrary, versions


class Norse(TorchLibrary):
    """`Lift(LIFBoxCell)` per layer."""

    note = "fires at h > 1"

    def versions(self):
        return versions("norse")

    def __init__(self):
        parameters = LIFBoxParameters(
            tau_mem_inv=torch.tensor(0.5), method="super", alpha=torch.tensor(1.0)
        )
        self.cell = LIFBoxCell(parameters, dt=1.0)
        self.lifted = Lift(self.cell)

    def layer(self, x_seq):
        return self.lifted(x_seq)[0]

    def mlp(self, params, x_seq):
        for w in params:
            x_seq = self.layer(linear(x_seq, w.T))
        return x_seq

    def recurrent(self, params, x_seq):
        w_in, w_rec, w_out = params
        current = linear(x_seq, w_in.T)
        z, state, z_seq = torch.zeros_like(current[0]), None, []
        for x in current:
            z, state = self.cell(x + linear(z, w_rec.T), state)
            z_seq.append(z)
        return self.layer(linear(torch.stack(z_seq), w_out.T))

    def step(self, params, x):
        def step(state, x):
            new = []
            for s, w in zip(state, params, strict=True):
                x, s = self.cell(linear(x, w.T), s)
                new.append(s)
            return new, x

        return [None] * len(params), step


ROWS = {"Norse": Norse}
