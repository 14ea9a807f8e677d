"""spyx."""

import spyx
from flax import nnx

import jaxspike as js

from .in_jax import JaxLibrary, versions
from .jaxspike import linear
from .library import MissingError


class Spyx(JaxLibrary):
    """`spyx.nn.run`."""

    input_scale = 0.5
    same_neuron = False
    note = (
        "its LIF has no hard reset: it subtracts the threshold, one step late, and fires at h > 1"
    )

    def versions(self):
        return versions("jaxlib", "flax", "spyx")

    def _neuron(self, shape):
        return spyx.nn.LIF(shape, beta=0.5, activation=spyx.axn.superspike(1), rngs=nnx.Rngs(0))

    def _network(self, params):
        layers = [f(w) for w in params for f in (linear, lambda w: self._neuron(w.shape[1:]))]
        return spyx.nn.Sequential(*layers)

    def _run(self, model, x_seq):
        return spyx.nn.run(model, x_seq)[0]

    def layer(self, x_seq):
        return self._run(self._neuron(x_seq.shape[2:]), x_seq)

    def mlp(self, params, x_seq):
        return self._run(self._network(params), x_seq)

    def recurrent(self, params, x_seq):
        w_in, w_rec, w_out = params
        hidden = spyx.nn.RLIF(
            w_rec.shape[1:], beta=0.5, activation=spyx.axn.superspike(1), rngs=nnx.Rngs(0)
        )
        hidden.recurrent_w = nnx.Param(w_rec)
        out = self._neuron(w_out.shape[1:])
        return self._run(spyx.nn.Sequential(linear(w_in), hidden, linear(w_out), out), x_seq)

    def image(self, topology, params, x_seq):
        def one(i, state, h):
            y, state = self._neuron(h.shape[1:])(h, state)
            return state, y

        step, state = self.stepwise(
            topology,
            params,
            x_seq,
            one,
            lambda shape: self._neuron(shape[1:]).initial_state(shape[0]),
        )
        return self._steps(step, state, x_seq)

    def _steps(self, step, state, x_seq):
        return spyx.nn.run(lambda x, s: step(s, x)[::-1], x_seq, state)[0]

    def step(self, params, x):
        def step(state, x):
            out, state = self._network(params)(x, state)
            return state, out

        return self._network(params).initial_state(len(x)), step


class SpyxInScan(Spyx):
    """The step of spyx in `jaxspike.scan`."""

    note = Spyx.note + "; its own step, over time by `jaxspike.scan`"

    def _run(self, model, x_seq):
        def step(state, x):
            out, state = model(x, state)
            return state, out

        return self._steps(step, model.initial_state(x_seq.shape[1]), x_seq)

    def _steps(self, step, state, x_seq):
        return js.scan(step, state, x_seq)[1]

    def step(self, params, x):
        raise MissingError("one step has no scan")


ROWS = {"spyx": Spyx, "spyx's step in js.scan": SpyxInScan}
