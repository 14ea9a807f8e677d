"""Flax convolutions and pools as nodes."""

from collections.abc import Callable, Sequence

import numpy as np
from flax import nnx

from ..._types import Shape
from ...nn import AvgPool, MaxPool
from ..file import Tree

Refusal = Callable[[str, str], ValueError]
Pairs = list[tuple[int, int]]


def conv_tree(layer: nnx.Conv, shape: Shape, refuse: Refusal) -> Tree:
    """The node of a convolution over ``shape``, channels first."""
    kernel = np.asarray(layer.kernel[...], np.float32)
    axes = kernel.ndim - 2
    if axes not in (1, 2):
        raise refuse(f"a convolution over {axes} axes", "NIR has those over 1 and 2.")
    if len(shape) != axes + 1:
        fix = "`input_shape` is that of one sample, without batch."
        raise refuse(f"a convolution over {axes} axes of {len(shape) - 1}", fix)
    if layer.mask is not None or set(_many(layer.input_dilation, axes)) != {1}:
        raise refuse("a convolution with a mask or a dilated input", "Leave them out.")
    strides, dilation = _many(layer.strides, axes), _many(layer.kernel_dilation, axes)
    window = tuple(d * (k - 1) + 1 for d, k in zip(dilation, kernel.shape, strict=False))
    pads = _pads(layer.padding, shape[1:], window, strides, refuse)
    bias = np.zeros(kernel.shape[-1]) if layer.bias is None else layer.bias[...]
    return {
        "type": f"Conv{axes}d",
        "input_shape": shape[1] if axes == 1 else tuple(shape[1:]),
        "weight": np.ascontiguousarray(np.moveaxis(kernel, (-1, -2), (0, 1))),
        "stride": _one(strides),
        "padding": _symmetric(pads, window, strides, refuse),
        "dilation": _one(dilation),
        "groups": layer.feature_group_count,
        "bias": np.asarray(bias, np.float32),
    }


def pool_tree(layer: MaxPool | AvgPool, shape: Shape, refuse: Refusal) -> Tree:
    """The fields of a pool over ``shape``, channels first."""
    if len(layer.window) != 2 or len(shape) != 3:
        fix = "NIR has pools over the 2 axes of images."
        raise refuse(f"a pool with the window {layer.window} over {shape[1:]}", fix)
    pads = layer.pads(shape[1:])
    if isinstance(layer, AvgPool) and not layer.count_include_pad and any(map(any, pads)):
        raise refuse("`count_include_pad=False`", "In NIR padding counts as zeros.")
    padding = _symmetric(pads, (), layer.strides, refuse)
    return {
        "kernel_size": np.array(layer.window),
        "stride": np.array(layer.strides),
        "padding": np.array(padding),
    }


def _many(value: int | Sequence[int] | None, axes: int) -> Shape:
    if value is None or isinstance(value, int):
        return (1 if value is None else value,) * axes
    return tuple(value)


def _one(values: Shape) -> int | Shape:
    return values[0] if len(values) == 1 else values


def _pads(padding, shape: Shape, window: Shape, strides: Shape, refuse: Refusal) -> Pairs:
    if padding == "VALID":
        return [(0, 0)] * len(shape)
    if padding == "SAME":
        sizes = zip(shape, window, strides, strict=True)
        total = [max((-(-n // s) - 1) * s + w - n, 0) for n, w, s in sizes]
        return [(t // 2, t - t // 2) for t in total]
    if isinstance(padding, str):
        raise refuse(f"the padding {padding!r}", "NIR pads with zeros on both sides.")
    if isinstance(padding, int):
        padding = (padding,) * len(shape)
    return [(p, p) if isinstance(p, int) else tuple(p) for p in padding]


def _symmetric(pads: Pairs, window: Shape, strides: Shape, refuse: Refusal) -> int | Shape | str:
    """The padding as NIR has it: as much after as before, or "same"."""
    if all(before == after for before, after in pads):
        return _one(tuple(before for before, _ in pads))
    same = [((w - 1) // 2, w // 2) for w in window]
    if pads == same and set(strides) == {1}:
        return "same"
    raise refuse(f"the padding {pads}", "Give the same before and after, as in ((1, 1), (1, 1)).")
