"""The programs of the libraries that run on JAX."""

import time

import jax
import jax.numpy as jnp

from .library import Library


def versions(*packages):
    """Versions of JAX and of the named packages."""
    import importlib.metadata

    return {p: importlib.metadata.version(p) for p in ("jax", *packages)}


class JaxLibrary(Library):
    """A library on JAX: every program is compiled once, as a whole."""

    def compile(self, kind, network, arrays):
        program, args = getattr(self, f"_{kind}")(getattr(self, network), arrays)
        args = jax.block_until_ready(jax.tree.map(jnp.asarray, args))
        start = time.perf_counter()
        compiled = jax.jit(program).lower(*args).compile()
        seconds = time.perf_counter() - start
        return lambda: jax.block_until_ready(compiled(*args)), seconds

    def _forward(self, network, arrays):
        return lambda x: {"spikes": network(x)}, (arrays["x"] * self.input_scale,)

    def _gradient(self, network, arrays):
        def program(x, weight):
            spikes, pull = jax.vjp(network, x)
            return {"spikes": spikes, "gradient": pull(weight)[0]}

        return program, (arrays["x"] * self.input_scale, arrays["weight"])

    def _train(self, network, arrays):
        rate = arrays["rate"] * self.input_scale**2

        def loss(params, x, target):
            spikes = network(params, x)
            return ((spikes.mean(0) - target) ** 2).mean(), spikes

        def program(params, x, target):
            (value, spikes), grads = jax.value_and_grad(loss, has_aux=True)(params, x, target)
            new = jax.tree.map(lambda p, g: p - rate * g, params, grads)
            return {"loss": value, "spikes": spikes} | {f"p{i}": p for i, p in enumerate(new)}

        params = [p * self.input_scale for p in arrays["params"]]
        return program, (params, arrays["x"], arrays["target"])

    def _latency(self, network, arrays):
        params = [jnp.asarray(p * self.input_scale) for p in arrays["params"]]
        state, step = network(params, arrays["x"])

        def program(state, x):
            state, spikes = step(state, x)
            return {"spikes": spikes, "state": state}

        return program, (state, arrays["x"])
