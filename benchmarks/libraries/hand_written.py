"""Plain JAX, as written without a library, and the least work of a case."""

import jax
import jax.numpy as jnp

from .in_jax import JaxLibrary, versions


@jax.custom_vjp
def spike(x):
    """1 where ``x >= 0``."""
    return (x >= 0).astype(x.dtype)


spike.defvjp(lambda x: (spike(x), x), lambda x, g: (g / (1 + jnp.abs(x)) ** 2,))


def neuron(v, x):
    """One step of the neuron; the membrane is always float32."""
    h = v + (x.astype(v.dtype) - v) / 2
    s = spike(h - 1)
    return h * (1 - s), s.astype(x.dtype)


class Plain(JaxLibrary):
    """`jax.lax.scan` over the step of the whole network."""

    def versions(self):
        return versions("jaxlib")

    def layer(self, x_seq):
        return jax.lax.scan(neuron, jnp.zeros(x_seq.shape[1:]), x_seq)[1]

    def mlp(self, params, x_seq):
        state, step = self.step(params, x_seq[0])
        return jax.lax.scan(step, state, x_seq)[1]

    def image(self, topology, params, x_seq):
        step, state = self.stepwise(
            topology, params, x_seq, lambda i, v, h: neuron(v, h), jnp.zeros
        )
        return jax.lax.scan(step, state, x_seq)[1]

    def recurrent(self, params, x_seq):
        w_in, w_rec, w_out = params

        def step(state, x):
            hidden, z, out = state
            hidden, z = neuron(hidden, x @ w_in + z @ w_rec)
            out, y = neuron(out, z @ w_out)
            return (hidden, z, out), y

        hidden, out = (jnp.zeros((x_seq.shape[1], w.shape[1])) for w in (w_in, w_out))
        return jax.lax.scan(step, (hidden, hidden, out), x_seq)[1]

    def step(self, params, x):
        def step(state, x):
            new = []
            for v, w in zip(state, params, strict=True):
                v, x = neuron(v, x @ w)
                new.append(v)
            return new, x

        return [jnp.zeros((len(x), w.shape[1])) for w in params], step


class Floor(Plain):
    """The least work: each array of a layer is read or written once; matmuls alone.

    It is a program like the others, which XLA divides among cores as it likes and to which the
    system gives new pages, so a row can come out a little ahead of it.
    """

    same_neuron = False
    note = "not a network: each array of the layer is read and written once; the products alone"

    def layer(self, x_seq):
        return 2 * x_seq

    def mlp(self, params, x_seq):
        for w in params:
            x_seq = jnp.clip(self._product(x_seq, w), 0, 1)
        return x_seq

    def _product(self, x_seq, w):
        """With time and batch as one axis: XLA sums over one faster than over two."""
        return (x_seq.reshape(-1, len(w)) @ w).reshape(*x_seq.shape[:-1], -1)

    def image(self, topology, params, x_seq):
        return topology(params, x_seq, *self.operations, lambda h: jnp.clip(h, 0, 1))

    def _gradient(self, network, arrays):
        return (
            lambda x, weight: {"spikes": 2 * x + weight, "gradient": x - weight},
            (arrays["x"], arrays["weight"]),
        )


ROWS = {"lax.scan": Plain, "floor": Floor}
