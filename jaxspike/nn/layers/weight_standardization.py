"""Layers that standardize their weights at every call."""

import math
from typing import Any

import jax.numpy as jnp
from flax import nnx

from ..._types import Array
from .conv import Conv


class _WeightStandardized:
    """Mixed into the class of a layer: standardizes its kernel."""

    def _add_gain(self, features: int, use_gain: bool, epsilon: float) -> None:
        self.epsilon = epsilon
        self.gain = nnx.Param(jnp.ones(features)) if use_gain else nnx.data(None)

    def __call__(self, x: Array) -> Array:
        graph: Any
        variables: Any
        graph, variables = nnx.split(self)
        kernel = self.kernel[...]  # type: ignore[attr-defined]
        axes = tuple(range(kernel.ndim - 1))
        fan_in = math.prod(kernel.shape[:-1])
        kernel = kernel - kernel.mean(axes, keepdims=True)
        variance = kernel.var(axes, ddof=1, keepdims=True)
        kernel = kernel / jnp.sqrt(variance * fan_in + self.epsilon)
        if self.gain is not None:
            kernel = kernel * jnp.broadcast_to(self.gain[...], kernel.shape)
        variables["kernel"] = variables["kernel"].replace(kernel)
        layer: Any = nnx.merge(graph, variables, copy=True)
        return super(_WeightStandardized, layer).__call__(x)  # type: ignore[misc]


class WSConv(_WeightStandardized, Conv):  # type: ignore[misc]
    """A convolution with standardized weights.

    Unlike in `flax.nnx.Conv`, the kernel of each output is ``gain * (w - mean(w)) / sqrt(n * var(w)
    + epsilon)`` over its n weights, with the unbiased variance: a sum of n inputs of variance 1 has
    the variance gain**2.

    Args:
        *args: Arguments of `flax.nnx.Conv`: ``in_features, out_features, kernel_size, strides``.
        use_gain: Whether there is a learned ``gain``, one per output, which starts at 1.
        epsilon: Added to the variance.
        **options: Options of `flax.nnx.Conv`.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> from flax import nnx
        >>> layer = js.nn.WSConv(3, 8, (3, 3), rngs=nnx.Rngs(0))
        >>> layer(jnp.ones((10, 4, 7, 7, 3))).shape
        (10, 4, 7, 7, 8)

    Source: Qiao, Wang, Liu, Shen, Yuille, "Micro-batch training with batch-channel normalization
    and weight standardization", 2019; Brock, De, Smith, ICLR 2021, for the gain; SpikingJelly
    ``layer.WSConv2d``.
    """

    def __init__(self, *args, use_gain: bool = True, epsilon: float = 1e-4, **options):
        super().__init__(*args, **options)
        self._add_gain(self.out_features, use_gain, epsilon)


class WSLinear(_WeightStandardized, nnx.Linear):  # type: ignore[misc]
    """A linear layer with standardized weights, as in `WSConv`.

    Args:
        *args: Arguments of `flax.nnx.Linear`: ``in_features, out_features``.
        use_gain, epsilon: As for `WSConv`.
        **options: Options of `flax.nnx.Linear`.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> from flax import nnx
        >>> layer = js.nn.WSLinear(8, 4, rngs=nnx.Rngs(0))
        >>> layer(jnp.ones((10, 4, 8))).shape
        (10, 4, 4)

    Source: SpikingJelly ``layer.WSLinear``; that of `WSConv`.
    """

    def __init__(self, *args, use_gain: bool = True, epsilon: float = 1e-4, **options):
        super().__init__(*args, **options)
        self._add_gain(self.out_features, use_gain, epsilon)
