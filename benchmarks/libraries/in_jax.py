"""The programs of the libraries that run on JAX."""

import time

import jax
import jax.numpy as jnp
import numpy as np

from . import images
from .library import Library, compiled_memory


def versions(*packages):
    """Versions of JAX and of the named packages."""
    import importlib.metadata

    return {p: importlib.metadata.version(p) for p in ("jax", *packages)}


def conv(x, w):
    """A 3 x 3 convolution of ``[..., H, W, C]``."""
    y = jax.lax.conv_general_dilated(
        x.reshape(-1, *x.shape[-3:]), w, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    return y.reshape(*x.shape[:-1], -1)


def pool(x):
    """The mean of 2 x 2."""
    *lead, h, w, c = x.shape
    return x.reshape(*lead, h // 2, 2, w // 2, 2, c).mean((-4, -2))


def linear(x, w):
    """A matmul with flattened images."""
    return x.reshape(*x.shape[:-3], -1) @ w


class JaxLibrary(Library):
    """A library on JAX: every program is compiled once, as a whole."""

    operations = (conv, pool, linear)

    def stepwise(self, topology, params, x_seq, one, rest):
        """The step of a network of images and its state; a state is ``rest(shape)``."""
        shapes = []

        def shape_of(i, state, h):
            shapes.append(h.shape)
            return state, h

        probe = images.stepwise(topology, params, self.operations, shape_of)
        jax.eval_shape(lambda x: probe([None] * len(params), x), x_seq[0])
        step = images.stepwise(topology, params, self.operations, one)
        return step, [rest(shape) for shape in shapes]

    def compile(self, kind, network, arrays, dtype):
        program, args = getattr(self, f"_{kind}")(getattr(self, network), arrays)

        def put(a):
            return jnp.asarray(a, None if dtype == "float32" else dtype)

        args = jax.block_until_ready(jax.tree.map(put, args))
        jax.clear_caches()
        start = time.perf_counter()
        self.compiled = compiled = jax.jit(program).lower(*args).compile()
        seconds = time.perf_counter() - start
        return lambda: jax.block_until_ready(compiled(*args)), seconds

    def numpy(self, array):
        return np.asarray(array, np.float32)

    def device_memory(self, call):
        return compiled_memory(self.compiled)

    def _forward(self, network, arrays):
        def program(x):
            return {"spikes": network(x).astype(x.dtype)}

        return program, (arrays["x"] * self.input_scale,)

    def _gradient(self, network, arrays):
        def program(x, weight):
            spikes, pull = jax.vjp(lambda x: network(x).astype(x.dtype), x)
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
