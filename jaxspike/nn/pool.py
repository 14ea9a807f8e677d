"""Pooling over the axes of one image, for steps and sequences alike."""

import itertools
import math
import operator
from collections.abc import Sequence

import jax.numpy as jnp
from flax import nnx
from jax import lax

from .._types import Array
from ..neurons.base import output_dtype

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
            raise ValueError(
                f"`{name}(strides=...)` must have one entry an axis of the window {self.window}, "
                f"got {self.strides}."
            )
        self.padding = padding if isinstance(padding, str) else _pairs(name, padding)

    def _space(self, x: Array) -> tuple[int, ...]:
        """The sizes of the spatial axes."""
        space = x.shape[-1 - len(self.window) : -1]
        if len(space) < len(self.window):
            raise ValueError(
                f"`{type(self).__name__}(x=...)` must be `[..., space, features]` with one spatial "
                f"axis for each of the window {self.window}, got the shape {x.shape}. "
                "Pool before `Flatten`, and give images `[N, H, W, C]`."
            )
        return space


class MaxPool(_Pool):
    """Maximum over windows of ``[..., H, W, C]``: of spikes, whether any neuron fired.

    Of equal entries of a window, the first has the gradient.

    Args:
        window: Size of the window along each spatial axis, such as ``(2, 2)``.
        strides: Step of the window; the window itself if None.
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

    Integers and booleans are converted to float32.

    Args:
        window: Size of the window along each spatial axis, such as ``(2, 2)``.
        strides: Step of the window; the window itself if None.
        padding: ``"VALID"``, ``"SAME"``, or a pair (before, after) for each spatial axis.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> js.nn.AvgPool((2, 2))(jnp.ones((10, 4, 28, 28, 16))).shape
        (10, 4, 14, 14, 16)
    """

    def __call__(self, x: Array) -> Array:
        self._space(x)
        return nnx.avg_pool(x.astype(output_dtype(x)), self.window, self.strides, self.padding)


def _max_of_slices(
    x: Array, space: Sequence[int], window: Sequence[int], strides: Sequence[int]
) -> Array:
    """The maximum as one strided slice after another; of equal entries the first has the gradient.

    That is what `lax.reduce_window` gives, whose gradient is 18 times slower on a CPU. The barrier
    keeps that of the slices out of the loops of the neurons before, which would repeat it.
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
        raise ValueError(
            f"`{name}({argument}=...)` must be a tuple of positive integers, one a spatial axis, "
            f"got {given!r}. Give (2, 2) for images."
        )
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
