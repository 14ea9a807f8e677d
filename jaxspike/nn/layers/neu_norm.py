"""`NeuNorm`: subtract a leaky trace of all channels from each."""

import math

import jax
import jax.numpy as jnp
from flax import nnx

from ..._check import at_least_float32, axes, in_range
from ..._state import output_dtype
from ..._types import Array, DType, Shape
from ..module import SpikingModule


class NeuNorm(SpikingModule):
    """Subtract a leaky trace of the spikes of all channels at the same place.

    ``a_t = k * a_{t-1} + (1 - k) / C**2 * sum_c x_t[c]`` and ``y_t = x_t - weight * a_t``, with
    ``a = 0`` before the first step. The state is ``a``, ``[N, H, W, 1]``.

    Args:
        shape: One sample of input, ``(H, W, C)``, or any other number of axes with C last.
        k: Decay of the trace per step, between 0 and 1.
        shared_across_channels: Whether ``weight`` is ``[H, W, 1]`` instead of ``[H, W, C]``.
        rngs: Source of keys for the weight, uniform within ``1 / sqrt(H * W)``.

    Raises:
        ValueError: If ``shape`` is not a shape, ``k`` is out of range, or the input has another
            shape.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> from flax import nnx
        >>> norm = js.nn.NeuNorm((8, 8, 3), rngs=nnx.Rngs(0))
        >>> state, y = norm(norm.init_state((4, 8, 8, 3)), jnp.ones((10, 4, 8, 8, 3)))

    Source: Wu, Deng, Li, Zhu, Xie, Shi, "Direct training for spiking neural networks: faster,
    larger, better", AAAI 2019; SpikingJelly ``layer.NeuNorm``.
    """

    def __init__(
        self,
        shape: Shape,
        k: float = 0.9,
        shared_across_channels: bool = False,
        *,
        rngs: nnx.Rngs,
    ):
        in_range("`NeuNorm(k=...)`", k, low=0, high=1)
        if not isinstance(shape, tuple | list) or len(shape) < 2:
            raise ValueError(f"`NeuNorm(shape=...)` must be (H, W, C) of a sample, got {shape!r}.")
        self.shape, self.k = tuple(shape), k
        *space, channels = shape
        size = (*space, 1 if shared_across_channels else channels)
        bound = math.prod(space) ** -0.5
        self.weight = nnx.Param(
            jax.random.uniform(rngs.params(), size, minval=-bound, maxval=bound)
        )

    def init_state(self, shape: Shape, dtype: DType = jnp.float32) -> Array:
        """The trace at rest, for one step of input of ``shape``."""
        return jnp.zeros((*shape[:-1], 1), dtype)

    def __call__(self, state: Array, x: Array) -> tuple[Array, Array]:
        """One step ``[N, H, W, C]``, or a sequence ``[T, N, H, W, C]``."""
        axes(f"`NeuNorm({self.shape})(x=...)`", x, "N", *self.shape)
        x = x.astype(output_dtype(x))
        wide = at_least_float32(x)
        total = wide.sum(-1, keepdims=True)
        trace = self.k * state + (1 - self.k) / self.shape[-1] ** 2 * total
        y = wide - self.weight[...] * trace
        return trace.astype(state.dtype), y.astype(x.dtype)
