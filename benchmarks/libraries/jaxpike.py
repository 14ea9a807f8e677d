"""jaxpike."""

import math

import equinox as eqx
import jax
import jaxpike as jp

import jaxspike as js

from .in_jax import JaxLibrary, versions
from .library import MissingError


def neuron():
    """The neuron of the cases."""
    return jp.LIF(tau=1 / math.log(2), reset="zero", surrogate=jp.FastSigmoid(slope=1.0))


def dense(w):
    """A dense layer with the given weights."""
    layer = jp.Dense(*w.shape, key=jax.random.key(0), use_bias=False)
    return eqx.tree_at(lambda d: d.weight, layer, w.T)


class Jaxpike(JaxLibrary):
    """`jaxpike.unroll`."""

    def versions(self):
        return versions("jaxlib", "jaxpike")

    def __init__(self):
        self.neuron = neuron()  # outside jit: it looks at the value of tau

    def _network(self, params):
        return jp.Sequential(*(layer for w in params for layer in (dense(w), self.neuron)))

    def _run(self, net, x_seq):
        return jp.unroll(net, x_seq)[0]

    def layer(self, x_seq):
        return self._run(self.neuron, x_seq)

    def mlp(self, params, x_seq):
        return self._run(self._network(params), x_seq)

    def recurrent(self, params, x_seq):
        w_in, w_rec, w_out = map(dense, params)
        nodes = {"in": w_in, "hidden": self.neuron, "rec": w_rec, "out": w_out, "y": self.neuron}
        edges = [("input", "in"), ("in", "hidden"), ("hidden", "rec"), ("rec", "hidden")]
        edges += [("hidden", "out"), ("out", "y")]
        return self._run(jp.Graph(nodes, edges, output="y"), x_seq)

    def step(self, params, x):
        return self._network(params).init_state(x.shape), lambda s, x: self._network(params)(s, x)


class JaxpikeInScan(Jaxpike):
    """The networks of jaxpike in `jaxspike.scan`."""

    note = "its own step, over time by `jaxspike.scan`"

    def _run(self, net, x_seq):
        return js.scan(net, net.init_state(x_seq.shape[1:]), x_seq)[1]

    def step(self, params, x):
        raise MissingError("one step has no scan")


ROWS = {"jaxpike": Jaxpike, "jaxpike's step in js.scan": JaxpikeInScan}
