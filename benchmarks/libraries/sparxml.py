"""sparxml, imported as sparx."""

import math

import flax.linen as nn
import sparx

import jaxspike as js

from .in_jax import JaxLibrary, versions
from .library import MissingError

NEURON = {
    "tau": 1 / math.log(2),
    "reset": "zero",
    "surrogate": sparx.surrogate.FastSigmoid(slope=1.0),
}


class Network(nn.Module):
    """`nn.Dense` and `sparx.nn.LIF` in alternation."""

    features: tuple

    @nn.compact
    def __call__(self, x):
        for n in self.features:
            x = sparx.nn.LIF(**NEURON)(nn.Dense(n, use_bias=False)(x))
        return x


class RecurrentNetwork(nn.Module):
    """A recurrent layer and a feedforward layer."""

    features: tuple

    @nn.compact
    def __call__(self, x):
        hidden, out = self.features
        x = nn.Dense(hidden, use_bias=False)(x)
        x = sparx.nn.Recurrent(sparx.nn.LIF(**NEURON))(x)
        return sparx.nn.LIF(**NEURON)(nn.Dense(out, use_bias=False)(x))


def variables(params):
    """The variables of `Network`."""
    return {"params": {f"Dense_{i}": {"kernel": w} for i, w in enumerate(params)}}


class Sparx(JaxLibrary):
    """`sparx.nn` layers over the whole sequence."""

    input_scale = 0.5

    def versions(self):
        return versions("jaxlib", "flax", "sparxml")

    def layer(self, x_seq):
        return sparx.nn.LIF(**NEURON).apply({}, x_seq)

    def mlp(self, params, x_seq):
        return Network(tuple(w.shape[1] for w in params)).apply(variables(params), x_seq)

    def recurrent(self, params, x_seq):
        w_in, w_rec, w_out = params
        tree = variables([w_in, w_out])
        tree["params"]["Recurrent_0"] = {"recurrent": w_rec}
        return RecurrentNetwork((w_in.shape[1], w_out.shape[1])).apply(tree, x_seq)

    def step(self, params, x):
        net = Network(tuple(w.shape[1] for w in params))

        def step(state, x):
            y, new = net.apply(variables(params) | state, x[None], mutable="state")
            return new, y[0]

        _, state = net.apply(variables(params), x[None] * 0, mutable="state")
        return state, step


class SparxInScan(Sparx):
    """The cell of sparx in `jaxspike.scan`."""

    note = "its own step, over time by `jaxspike.scan`"

    def layer(self, x_seq):
        cell = sparx.nn.LIF(**NEURON).apply({}, x_seq, method="model")

        def step(state, x):
            state, out = cell.step(state, sparx.dynamics.SynapticInput(jump=x), 1.0)
            return state, out.value

        return js.scan(step, cell.init_state(x_seq.shape[1:], x_seq.dtype), x_seq)[1]

    def mlp(self, params, x_seq):
        for w in params:
            x_seq = self.layer(x_seq @ w)
        return x_seq

    def recurrent(self, params, x_seq):
        raise MissingError("its recurrent cell is not a step of x alone")

    def step(self, params, x):
        raise MissingError("one step has no scan")


ROWS = {"sparxml": Sparx, "sparxml's step in js.scan": SparxInScan}
