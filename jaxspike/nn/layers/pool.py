"""Pooling and upsampling over the axes of one image, for steps and sequences alike."""

import itertools
import math
import operator
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax

from ..._check import axes, one_of
from ..._state import output_dtype
from ..._types import Array

Pair = tuple[int, int]
Padding = str | Sequence[Pair]


class _Pool(nnx.Module):
    def __init__(
        self,
        window: tuple[int, ...],
        strides: tuple[int, ...] | None = None,
        padding: Padding = "VALID",
        *,
        ceil_mode: bool = False,
    ):
        name = type(self).__name__
        self.window = sizes(name, "window", window)
        self.strides = self.window if strides is None else sizes(name, "strides", strides)
        if len(self.strides) != len(self.window):
            must = f"must be one per axis of window {self.window}, got {self.strides}"
            raise ValueError(f"`{name}(strides=...)` {must}.")
        self.padding = _checked_padding(name, padding, len(self.window))
        one_of(f"`{name}(ceil_mode=...)`", ceil_mode, (False, True))
        self.ceil_mode = ceil_mode

    def pads(self, space: Sequence[int]) -> list[Pair]:
        """The padding before and after each spatial axis of an image of the sizes ``space``."""
        given = self._given_pads(space)
        if not self.ceil_mode:
            return given
        all_ = zip(space, given, self.window, self.strides, strict=True)
        return [_up_to_last_window(n, *pad, w, stride) for n, pad, w, stride in all_]

    def _given_pads(self, space: Sequence[int]) -> list[Pair]:
        """The same without what ``ceil_mode`` adds."""
        if isinstance(self.padding, str):
            return lax.padtype_to_pads(space, self.window, self.strides, self.padding)
        return list(self.padding)

    def _space(self, x: Array) -> tuple[int, ...]:
        """The sizes of the spatial axes."""
        return _space(type(self).__name__, "window", x, self.window)

    def _check_overlap(self) -> None:
        """Refuse a padding with windows that have nothing but padding in them."""
        widest = [max(pair) for pair in self.padding if not isinstance(pair, str)]
        if any(map(operator.ge, widest, self.window)):
            raise ValueError(
                f"`{type(self).__name__}(padding=...)` must be smaller than the window "
                f"{self.window}, got {self.padding}."
            )

    def _reduce(self, x: Array, start, combine) -> Array:
        """Combine the entries of every window; padding counts as ``start``."""
        batch = (1,) * (x.ndim - len(self.window) - 1)
        pads = [*((0, 0) for _ in batch), *self.pads(self._space(x)), (0, 0)]
        window, strides = ((*batch, *sizes, 1) for sizes in (self.window, self.strides))
        return lax.reduce_window(x, start, combine, window, strides, pads)

    def sums(self, x: Array) -> Array:
        """The sum over every window; padding counts as zeros."""
        return self._reduce(x, np.zeros((), x.dtype), lax.add)  # a constant, or no gradient


class MaxPool(_Pool):
    """Maximum over windows of ``[..., H, W, C]``: for spikes, whether any neuron fired.

    Unlike `flax.nnx.max_pool`, its strides default to the window. Among equal entries of a window,
    the first receives the gradient. Padding is never the maximum.

    Args:
        window: Size of the window along each spatial axis, such as ``(2, 2)``.
        strides: Step of the window along each spatial axis; the window itself if None.
        padding: ``"VALID"``, ``"SAME"``, or a pair (before, after) for each spatial axis, such as
            ``((1, 1), (1, 1))`` for PyTorch's ``padding=1``. ``"SAME"`` is something else: for an
            output of ``ceil(H / stride)`` it pads as little as needed, the odd one after the image.
        ceil_mode: Whether entries after the last full window get a window too, as in PyTorch.

    Raises:
        ValueError: If an argument is something else, the padding is not smaller than the window, or
            the input has too few axes.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> js.nn.MaxPool((2, 2))(jnp.ones((10, 4, 28, 28, 16))).shape
        (10, 4, 14, 14, 16)
        >>> stem = js.nn.MaxPool((3, 3), (2, 2), ((1, 1), (1, 1)))             # of a ResNet
        >>> stem(jnp.ones((10, 4, 112, 112, 64))).shape
        (10, 4, 56, 56, 64)
    """

    def __init__(
        self,
        window: tuple[int, ...],
        strides: tuple[int, ...] | None = None,
        padding: Padding = "VALID",
        *,
        ceil_mode: bool = False,
    ):
        super().__init__(window, strides, padding, ceil_mode=ceil_mode)
        self._check_overlap()

    def __call__(self, x: Array) -> Array:
        space, lowest = self._space(x), _lowest(x.dtype)
        pads = self.pads(space)
        space = tuple(n + before + after for n, (before, after) in zip(space, pads, strict=True))
        if math.prod(self.window) > 16 or not all(map(operator.ge, space, self.window)):
            return self._reduce(x, lowest, lax.max)
        if any(map(any, pads)):
            batch = [(0, 0)] * (x.ndim - len(pads) - 1)
            x = jnp.pad(x, [*batch, *pads, (0, 0)], constant_values=lowest)
        return _max_of_slices(x, space, self.window, self.strides)


class AvgPool(_Pool):
    """Mean over windows of ``[..., H, W, C]``.

    Unlike in `flax.nnx.avg_pool`, the strides default to the window, and integers and booleans are
    converted to float32.

    Args:
        window, strides, padding, ceil_mode: As for `MaxPool`.
        count_include_pad: Whether padding counts as zeros; else the mean is over the entries of the
            image alone. What ``ceil_mode`` adds never counts.

    Raises:
        ValueError: If an argument is something else, the padding is not smaller than the window
            without ``count_include_pad``, or the input has too few axes.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> js.nn.AvgPool((2, 2))(jnp.ones((10, 4, 28, 28, 16))).shape
        (10, 4, 14, 14, 16)
    """

    def __init__(
        self,
        window: tuple[int, ...],
        strides: tuple[int, ...] | None = None,
        padding: Padding = "VALID",
        *,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ):
        super().__init__(window, strides, padding, ceil_mode=ceil_mode)
        one_of("`AvgPool(count_include_pad=...)`", count_include_pad, (False, True))
        self.count_include_pad = count_include_pad
        if not count_include_pad:
            self._check_overlap()

    def __call__(self, x: Array) -> Array:
        x = x.astype(output_dtype(x))
        total = self.sums(x)
        return total / self._counts(self._space(x)).astype(x.dtype)

    def _counts(self, space: Sequence[int]) -> np.ndarray:
        """The number of entries that count in each window, ``[H, W, 1]``; ``[]`` if all do."""
        pads, given = self.pads(space), self._given_pads(space)
        if pads == given and (self.count_include_pad or not any(map(any, given))):
            return np.asarray(math.prod(self.window))
        counts = np.ones(1, np.int64)
        for axis in reversed(range(len(space))):
            n, (low, high) = space[axis], given[axis] if self.count_include_pad else (0, 0)
            windows = (n + sum(pads[axis]) - self.window[axis]) // self.strides[axis] + 1
            start = np.arange(windows) * self.strides[axis] - pads[axis][0]
            inside = np.minimum(start + self.window[axis], n + high) - np.maximum(start, -low)
            counts = inside.reshape(-1, *[1] * counts.ndim) * counts
        return counts


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


def _checked_padding(name: str, padding: Padding, n_axes: int) -> str | tuple[Pair, ...]:
    if isinstance(padding, str) and padding in ("VALID", "SAME"):
        return padding
    pairs = isinstance(padding, Sequence) and all(
        isinstance(pair, Sequence)
        and len(pair) == 2
        and all(isinstance(n, int) and n >= 0 for n in pair)
        for pair in padding
    )
    if not pairs or isinstance(padding, str) or len(padding) != n_axes:
        raise ValueError(
            f'`{name}(padding=...)` must be "VALID", "SAME" or a pair (before, after) for each '
            f"spatial axis, got {padding!r}. Give ((1, 1), (1, 1)) for images."
        )
    return tuple((before, after) for before, after in padding)


def _up_to_last_window(n: int, before: int, after: int, window: int, stride: int) -> Pair:
    """The padding with what ``ceil_mode`` adds after; no window starts beyond the image."""
    last = -(-(n + before + after - window) // stride)
    if last * stride >= n + before:
        last -= 1
    return before, max(after, last * stride + window - n - before)


def _lowest(dtype) -> np.ndarray:
    """The smallest value of a dtype."""
    if jnp.issubdtype(dtype, jnp.bool_):
        return np.asarray(False)
    whole = jnp.issubdtype(dtype, jnp.integer)
    return np.asarray(jnp.iinfo(dtype).min if whole else -jnp.inf, dtype)


def _space(name: str, argument: str, x: Array, per_axis: tuple[int, ...]) -> tuple[int, ...]:
    """The sizes of the spatial axes of ``x``."""
    layout = ("...", *len(per_axis) * "*", "C")
    fix = "Pool before `Flatten`, and give one entry for each spatial axis."
    axes(f"`{name}({argument}={per_axis})(x=...)`", x, *layout, fix=fix)
    return x.shape[-len(per_axis) - 1 : -1]
