"""jaxspike."""

import jax
from flax import nnx

import jaxspike as js

from .in_jax import JaxLibrary, versions
from .library import MissingError

NEURON = js.LIF(tau=2.0, surrogate=js.surrogate.SuperSpike(alpha=1.0))


def linear(w):
    """A linear layer with the given weights."""
    return nnx.Linear(
        *w.shape, use_bias=False, kernel_init=lambda *_: w, rngs=nnx.Rngs(params=jax.random.key(0))
    )


class LayerOrder(JaxLibrary):
    """Layer by layer, the default."""

    def versions(self):
        return versions("jaxlib", "flax") | {"jaxspike": js.__version__}

    def layer(self, x_seq):
        return js.scan(NEURON, NEURON.init_state(x_seq.shape[1:]), x_seq)[1]

    def _network(self, params):
        return js.nn.Sequential(*(layer for w in params for layer in (linear(w), NEURON)))

    def _recurrent(self, params):
        w_in, w_rec, w_out = params
        hidden = js.nn.Recurrent(NEURON, linear(w_rec))
        return js.nn.Sequential(linear(w_in), hidden, linear(w_out), NEURON)

    def mlp(self, params, x_seq):
        return self._run(self._network(params), x_seq)

    def recurrent(self, params, x_seq):
        return self._run(self._recurrent(params), x_seq)

    def _run(self, net, x_seq):
        return net(net.init_state(x_seq.shape[1:]), x_seq)[1]

    def step(self, params, x):
        state = self._network(params).init_state(x.shape)
        return state, lambda state, x: self._network(params)(state, x)


class StepOrder(LayerOrder):
    """Step by step."""

    def _run(self, net, x_seq):
        return js.scan(net, net.init_state(x_seq.shape[1:]), x_seq, order="step")[1]

    def layer(self, x_seq):
        raise MissingError("the same program as in layer order")

    def step(self, params, x):
        raise MissingError("the same program as in layer order")


ROWS = {"jaxspike": LayerOrder, 'jaxspike, order="step"': StepOrder}
