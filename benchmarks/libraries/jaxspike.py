"""jaxspike."""

from functools import partial

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


class Jaxspike(JaxLibrary):
    """Layers of Flax called with the sequence; or, given options of `jaxspike.scan`, that."""

    def __init__(self, **options):
        self.options = options

    def versions(self):
        return versions("jaxlib", "flax") | {"jaxspike": js.__version__}

    def layer(self, x_seq):
        self._same_as_layer_order()
        state = NEURON.init_state(x_seq.shape[1:])
        return js.scan(NEURON, state, x_seq, **self.options)[1]

    def _same_as_layer_order(self):
        if "order" in self.options:
            raise MissingError("the same program as in layer order")

    def _network(self, params):
        return js.nn.Sequential(*(layer for w in params for layer in (linear(w), NEURON)))

    def mlp(self, params, x_seq):
        return self._run(self._network(params), x_seq)

    def recurrent(self, params, x_seq):
        w_in, w_rec, w_out = params
        hidden = js.nn.Recurrent(NEURON, linear(w_rec))
        return self._run(js.nn.Sequential(linear(w_in), hidden, linear(w_out), NEURON), x_seq)

    def image(self, topology, params, x_seq):
        step, state = self.stepwise(
            topology, params, x_seq, lambda i, state, h: NEURON(state, h), NEURON.init_state
        )
        return js.scan(step, state, x_seq, **self.options)[1]

    def _run(self, net, x_seq):
        state = net.init_state(x_seq.shape[1:])
        if self.options:
            return js.scan(net, state, x_seq, **self.options)[1]
        return net(state, x_seq)[1]

    def step(self, params, x):
        self._same_as_layer_order()
        state = self._network(params).init_state(x.shape)
        return state, lambda state, x: self._network(params)(state, x)


ROWS = {
    "jaxspike": Jaxspike,
    'jaxspike, order="step"': partial(Jaxspike, order="step"),
    'jaxspike, js.scan order="layer"': partial(Jaxspike, order="layer"),
    'jaxspike, order="step", segment="sqrt"': partial(Jaxspike, order="step", segment="sqrt"),
    "jaxspike, segment=50": partial(Jaxspike, segment=50),
    'jaxspike, segment="sqrt"': partial(Jaxspike, segment="sqrt"),
}
