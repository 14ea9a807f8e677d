"""Upsampling, and pooling to a given size, over the axes of one image."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import nnx

from .._check import one_of
from .._types import Array
from ..neurons.base import output_dtype
from .pool import sizes


class Upsample(nnx.Module):
    """Enlarge ``[..., H, W, C]`` by whole factors.

    The spatial axes are the ones before the last, as many as there are factors.

    Args:
        factor: Factor of each spatial axis, such as ``(2, 2)``.
        method: ``"nearest"`` repeats entries; ``"linear"`` interpolates between the centres of the
            pixels, of integers and booleans in float32: bilinear for images, trilinear for volumes.

    Raises:
        ValueError: If ``factor`` or ``method`` is none of these, or the input has too few axes.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> js.nn.Upsample((2, 2))(jnp.ones((10, 4, 7, 7, 16))).shape
        (10, 4, 14, 14, 16)

    Source: SpikingJelly ``layer.Upsample(scale_factor=...)``, torch's with
    ``align_corners=False``.
    """

    def __init__(self, factor: Sequence[int], method: str = "nearest"):
        one_of("`Upsample(method=...)`", method, ("nearest", "linear"))
        self.factor, self.method = sizes("Upsample", "factor", factor), method

    def __call__(self, x: Array) -> Array:
        space = _space("Upsample", "factor", x, self.factor)
        shape = [n * factor for n, factor in zip(space, self.factor, strict=True)]
        shape = [*x.shape[: -len(shape) - 1], *shape, x.shape[-1]]
        if self.method == "linear":  # between integers there are none
            x = x.astype(output_dtype(x))
        return jax.image.resize(x, shape, self.method, antialias=False)


class AdaptiveAvgPool(nnx.Module):
    """Mean over windows of ``[..., H, W, C]`` that give the output a size, whatever that of x.

    Output i of n is the mean of the entries from ``floor(i * H / n)`` to
    ``ceil((i + 1) * H / n) - 1``, and so for the other axes. ``AdaptiveAvgPool((1, 1))`` is the
    global mean.

    Args:
        size: Size of the output along each spatial axis, such as ``(1, 1)``.

    Raises:
        ValueError: If ``size`` is not positive integers, or the input has too few axes.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> js.nn.AdaptiveAvgPool((1, 1))(jnp.ones((10, 4, 7, 7, 16))).shape
        (10, 4, 1, 1, 16)

    Source: SpikingJelly ``layer.AdaptiveAvgPool2d``.
    """

    def __init__(self, size: Sequence[int]):
        self.size = sizes("AdaptiveAvgPool", "size", size)

    def __call__(self, x: Array) -> Array:
        space = _space("AdaptiveAvgPool", "size", x, self.size)
        first = x.ndim - 1 - len(space)
        for axis, (old, new) in enumerate(zip(space, self.size, strict=True), first):
            windows = [(i * old // new, -(-(i + 1) * old // new)) for i in range(new)]
            x = jnp.stack(
                [jax.lax.slice_in_dim(x, *w, axis=axis).mean(axis) for w in windows], axis
            )
        return x


def _space(name: str, argument: str, x: Array, per_axis: tuple[int, ...]) -> tuple[int, ...]:
    """The sizes of the spatial axes of ``x``."""
    axes = len(per_axis)
    if x.ndim < axes + 1:
        raise ValueError(
            f"`{name}({argument}={per_axis})` must get at least {axes + 1} axes, got {x.shape}. "
            "Give one entry for each spatial axis."
        )
    return x.shape[-axes - 1 : -1]
