"""A convolution for sequences."""

from typing import Any

from flax import nnx

from ..._types import Array
from ...engine import batch_outermost, conv_by_taps, conv_in_chunks


class Conv(nnx.Conv):
    """`flax.nnx.Conv`, made for sequences.

    `flax.nnx.Conv` merges the axes of ``[T, N, H, W, C]`` to T * N images. If the batch N is
    sharded over several devices, XLA can merge it behind T only by gathering it, and every device
    convolves all images. Here N goes before T on several devices, and each convolves its own
    images. A `Sequential` does the same for a `flax.nnx.Conv` in it; a network with a ``__call__``
    of its own needs this layer.

    On one CPU it is faster. Over a sequence, if its output has at most 49 pixels and its kernel 9,
    or its kernel one, and ``in_features * out_features`` is at least 1024, it is a product of
    matrices for each pixel of the kernel (float32 and float64), which may round otherwise.
    The gradient of the kernel for larger images takes a few of them at a time.

    Args:
        *args: Arguments of `flax.nnx.Conv`: ``in_features, out_features, kernel_size, strides``.
        **options: Options of `flax.nnx.Conv`.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> from flax import nnx
        >>> layer = js.nn.Conv(3, 8, (3, 3), rngs=nnx.Rngs(0))
        >>> layer(jnp.ones((10, 4, 7, 7, 3))).shape
        (10, 4, 7, 7, 8)
    """

    def __init__(self, *args, **options):
        super().__init__(*args, **{"conv_general_dilated": conv_in_chunks, **options})

    def __call__(self, inputs: Array, out_sharding=None) -> Array:
        """Convolve ``[..., H, W, C]``."""
        axes = len(self.kernel_size) + 1
        layer: Any = self
        # one step stays one convolution, for `js.scan` and the tools that read it
        if self.conv_general_dilated is conv_in_chunks and getattr(inputs, "ndim", 0) > axes + 1:
            layer = _With(self, conv_general_dilated=conv_by_taps)
        return batch_outermost(lambda x: nnx.Conv.__call__(layer, x, out_sharding), inputs, axes)


class _With:
    """An object with other attributes."""

    def __init__(self, of: object, **attributes: object):
        self._of = of
        vars(self).update(attributes)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._of, name)
