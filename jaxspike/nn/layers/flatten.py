"""`Flatten`: merge the axes of an image."""

from flax import nnx

from ..._check import axes, integer
from ..._types import Array


class Flatten(nnx.Module):
    """Merge the last axes: ``[..., H, W, C]`` to ``[..., H * W * C]``.

    It counts axes from the end, so steps ``[N, *]`` and sequences ``[T, N, *]`` are treated alike.

    Args:
        axes: The number of axes to merge, at least 2.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> js.nn.Flatten()(jnp.ones((10, 4, 7, 7, 16))).shape
        (10, 4, 784)
    """

    def __init__(self, axes: int = 3):
        self.axes = integer("`Flatten(axes=...)`", axes, low=2)

    def __call__(self, x: Array) -> Array:
        fix = "Give the number of axes that one sample has."
        axes(f"`Flatten(axes={self.axes})(x=...)`", x, "...", *self.axes * "*", fix=fix)
        return x.reshape(*x.shape[: -self.axes], -1)
