"""Pooling and upsampling over the axes of one image, for steps and sequences alike."""

import itertools
import math
import operator
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax

from ..._check import axes, one_of
from ..._state import output_dtype
from ..._types import Array

Padding = str | Sequence[tuple[int, int]]


class _Pool(nnx.Module):
    def __init__(
        self,
        window: tuple[int, ...],
        strides: tuple[int, ...] | None = None,
        padding: Padding = "VALID",
    ):
        name = type(self).__name__
        self.window = sizes(name, "window", window)
        self.strides = self.window if strides is None else sizes(name, "strides", strides)
        if len(self.strides) != len(self.window):
            must = f"must be one per axis of window {self.window}, got {self.strides}"
            raise ValueError(f"`{name}(strides=...)` {must}.")
        self.padding = padding if isinstance(padding, str) else _pairs(name, padding)

    def _space(self, x: Array) -> tuple[int, ...]:
        """The sizes of the spatial axes."""
        return _space(type(self).__name__, "window", x, self.window)


class MaxPool(_Pool):
    """Maximum over windows of ``[..., H, W, C]``: for spikes, whether any neuron fired.

    Unlike `flax.nnx.max_pool`, its strides default to the window. Among equal entries of a window,
    the first receives the gradient.

    Args:
        window: Size of the window along each spatial axis, such as ``(2, 2)``.
        strides: Step of the window along each spatial axis; the window itself if None.
        padding: ``"VALID"``, ``"SAME"``, or a pair (before, after) for each spatial axis.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> js.nn.MaxPool((2, 2))(jnp.ones((10, 4, 28, 28, 16))).shape
        (10, 4, 14, 14, 16)
    """

    def __call__(self, x: Array) -> Array:
        space = self._space(x)
        fits = all(map(operator.ge, space, self.window))
        if self.padding == "VALID" and fits and math.prod(self.window) <= 16:
            return _max_of_slices(x, space, self.window, self.strides)
        return nnx.max_pool(x, self.window, self.strides, self.padding)


class AvgPool(_Pool):
    """Mean over windows of ``[..., H, W, C]``; padding counts as zeros.

    Unlike in `flax.nnx.avg_pool`, the strides default to the window, and integers and booleans are
    converted to float32.

    Args:
        window: Size of the window along each spatial axis, such as ``(2, 2)``.
        strides: Step of the window along each spatial axis; the window itself if None.
        padding: ``"VALID"``, ``"SAME"``, or a pair (before, after) for each spatial axis.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> js.nn.AvgPool((2, 2))(jnp.ones((10, 4, 28, 28, 16))).shape
        (10, 4, 14, 14, 16)
    """

    def __call__(self, x: Array) -> Array:
        self._space(x)
        x = x.astype(output_dtype(x))
        total = nnx.pool(x, 0.0, jax.lax.add, self.window, self.strides, self.padding)
        return total / math.prod(self.window)


class Upsample(nnx.Module):
    """Enlarge ``[..., H, W, C]`` by whole factors.

    The spatial axes are the ones before the last, as many as there are factors.

    Args:
        factor: Factor of each spatial axis, such as ``(2, 2)``.
        method: ``"nearest"`` repeats entries; ``"linear"`` interpolates between the centers of the
            pixels: bilinear for images, trilinear for volumes. It converts integers and booleans to
            float32.

    Raises:
        ValueError: If ``factor`` or ``method`` is something else, or the input has too few axes.

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
        if self.method == "linear":  # there is nothing between two integers
            x = x.astype(output_dtype(x))
        return jax.image.resize(x, shape, self.method, antialias=False)


class AdaptiveAvgPool(nnx.Module):
    """Mean over windows of ``[..., H, W, C]`` chosen for an output of a given size.

    Output i of n is the mean of the entries from ``floor(i * H / n)`` to
    ``ceil((i + 1) * H / n) - 1``, and likewise for the other axes.
    ``AdaptiveAvgPool((1, 1))`` is the global mean.

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


def _max_of_slices(
    x: Array, space: Sequence[int], window: Sequence[int], strides: Sequence[int]
) -> Array:
    """The maximum of strided slices; among equal entries, the first receives the gradient.

    `lax.reduce_window` gives the same, with a gradient that is 18 times slower on a CPU. The
    barrier keeps the gradient of the slices out of the loops of the neurons before them, which
    would repeat it.
    """
    x = lax.optimization_barrier(x)

    def entries(offsets: tuple[int, ...]) -> Array:
        ends = (n - w + at + 1 for n, w, at in zip(space, window, offsets, strict=True))
        return x[(..., *map(slice, offsets, ends, strides), slice(None))]

    first, *others = map(entries, itertools.product(*map(range, window)))
    for other in others:
        first = jnp.where((other > first) | jnp.isnan(other), other, first)
    return first


def sizes(name: str, argument: str, given: Sequence[int]) -> tuple[int, ...]:
    """A positive integer for each spatial axis."""
    ok = isinstance(given, Sequence) and all(isinstance(n, int) and n >= 1 for n in given)
    if not ok or not given:
        where, fix = f"`{name}({argument}=...)`", "Give one per spatial axis, as in (2, 2)."
        raise ValueError(f"{where} must be positive integers, got {given!r}. {fix}")
    return tuple(given)


def _pairs(name: str, padding: Sequence[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    ok = isinstance(padding, Sequence) and all(
        isinstance(pair, Sequence) and len(pair) == 2 for pair in padding
    )
    if not ok:
        raise ValueError(
            f'`{name}(padding=...)` must be "VALID", "SAME" or a pair (before, after) for each '
            f"spatial axis, got {padding!r}. Give ((1, 1), (1, 1)) for images."
        )
    return tuple((before, after) for before, after in padding)


def _space(name: str, argument: str, x: Array, per_axis: tuple[int, ...]) -> tuple[int, ...]:
    """The sizes of the spatial axes of ``x``."""
    layout = ("...", *len(per_axis) * "*", "C")
    fix = "Pool before `Flatten`, and give one entry for each spatial axis."
    axes(f"`{name}({argument}={per_axis})(x=...)`", x, *layout, fix=fix)
    return x.shape[-len(per_axis) - 1 : -1]
