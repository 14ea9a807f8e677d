"""Convolutions of small images as products of matrices, for XLA:CPU."""

import functools
import math
from typing import Any

import jax
import numpy as np
from jax import lax

from ..._types import Array
from .. import device
from .chunked_convolution import conv_in_chunks, is_usual
from .taps import Taps

TAPS = 9  # of a kernel at most
PLACES = 49  # of an image at most, above which XLA:CPU is as fast, but for one tap
MATRIX = 2**10  # numbers in the matrix of a tap, below which its products are too small to be fast


def conv_by_taps(x: Array, kernel: Array, strides, padding, **options) -> Array:
    """`conv_in_chunks`, or where that is faster a sum of products, one for each tap of the kernel.

    A tap is a position in the kernel, where it has a matrix ``[C, D]``. For 3 x 3 taps, 512
    channels and images of 4 x 4 or 7 x 7, the sum takes half the time of XLA:CPU's convolution with
    jaxlib 0.12, its gradient of x 0.4 times and that of the kernel 0.7 to 0.8 times; with 0.10 it
    is 0.7 to 0.8 times for all but the kernel. For images of 2 x 2 it takes an eighth. The gradient
    of a kernel of one tap, which is a product of matrices, takes a tenth and less.

    Args:
        x: Images, ``[N, *, C]``.
        kernel: The kernel, ``[*, C, D]``.
        strides: Strides of the window.
        padding: Padding of the images.
        **options: Further arguments of `jax.lax.conv_general_dilated`.
    """
    if device.one_cpu() and is_usual(x, kernel, options) and _is_exact(x, kernel, options):
        taps, precision = Taps.of(x, kernel, strides, padding, **options), options.get("precision")
        if _is_small(taps, kernel):
            hashable = tuple(precision) if isinstance(precision, list) else precision
            return _convolve(x, kernel, taps, hashable)
    return conv_in_chunks(x, kernel, strides, padding, **options)


@functools.partial(jax.jit, static_argnums=(2, 3))
def _convolve(x: Array, kernel: Array, taps: Taps, precision: lax.PrecisionLike) -> Array:
    # the gradient needs once more what each tap sees: nine times the size of x, not to be stored
    return jax.checkpoint(lambda x, kernel: taps.convolve(x, kernel, precision))(x, kernel)


def _is_exact(x: Array, kernel: Array, options: dict[str, Any]) -> bool:
    """Whether the sum has the type of the convolution, and is not rounded to less on the way."""
    full = x.dtype == kernel.dtype and x.dtype in (np.float32, np.float64)
    return full and options.get("out_sharding") is None


def _is_small(taps: Taps, kernel: Array) -> bool:
    n, places = math.prod(taps.size), math.prod(taps.places)
    few = n == 1 or (0 < n <= TAPS and places <= PLACES)
    return few and places > 0 and math.prod(kernel.shape[-2:]) >= MATRIX
