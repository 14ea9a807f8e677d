"""What each tap of the kernel of a convolution sees, and the products with it."""

import functools
import itertools
import operator
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from ..._types import Array, Shape


class Taps(NamedTuple):
    """The taps of the kernel of a convolution of ``[N, *, C]``.

    Attributes:
        size: The shape of the kernel, ``*``.
        places: The shape of the result, ``*``.
        strides: Strides of the window.
        pads: Zeros before and after each axis.
        dilation: The distance of two taps.
    """

    size: Shape
    places: Shape
    strides: Shape
    pads: tuple[tuple[int, int], ...]
    dilation: Shape

    @classmethod
    def of(cls, x: Array, kernel: Array, strides, padding, **options) -> "Taps":
        """Those of `jax.lax.conv_general_dilated`, with the axes of features last."""
        conv = functools.partial(
            lax.conv_general_dilated, window_strides=strides, padding=padding, **options
        )
        size, places = kernel.shape[:-2], jax.eval_shape(conv, x, kernel).shape[1:-1]
        dilation = options.get("rhs_dilation") or (1,) * len(size)
        if isinstance(padding, str):
            reach = [(n - 1) * d + 1 for n, d in zip(size, dilation, strict=True)]
            padding = lax.padtype_to_pads(x.shape[1:-1], reach, strides, padding)
        pads = tuple((int(before), int(after)) for before, after in padding)
        return cls(size, places, tuple(strides), pads, tuple(dilation))

    def seen(self, x: Array) -> list[Array]:
        """What each tap sees at each place: ``[N, *places, C]``."""
        pads = [(0, 0, 0), *((*pad, 0) for pad in self.pads), (0, 0, 0)]
        x = lax.pad(x, jnp.zeros((), x.dtype), pads)
        found = []
        for offset in itertools.product(*map(range, self.size)):
            start = [*map(operator.mul, offset, self.dilation)]
            steps = zip(start, self.strides, self.places, strict=True)
            stop = [i + s * (n - 1) + 1 for i, s, n in steps]
            ends = len(x), *stop, x.shape[-1]
            found.append(lax.slice(x, (0, *start, 0), ends, (1, *self.strides, 1)))
        return found

    def convolve(self, x: Array, kernel: Array, precision: lax.PrecisionLike = None) -> Array:
        """The convolution by ``[*size, C, D]`` as a sum of one product of matrices for each tap."""
        matrices = kernel.reshape(-1, *kernel.shape[-2:])
        products = [
            lax.dot_general(seen, matrix, (((x.ndim - 1,), (0,)), ((), ())), precision)
            for seen, matrix in zip(self.seen(x), matrices, strict=True)
        ]
        return functools.reduce(operator.add, products)
