"""A convolution for sequences."""

from flax import nnx

from ..._types import Array
from ...engine import batch_outermost, conv_in_chunks


class Conv(nnx.Conv):
    """`flax.nnx.Conv`, with the same results, made for sequences.

    `flax.nnx.Conv` merges the axes of ``[T, N, H, W, C]`` to T * N images. If the batch N is
    sharded over several devices, XLA can merge it behind T only by gathering it, and every device
    convolves all images. Here N goes before T on several devices, and each convolves its own
    images. A `Sequential` does the same for a `flax.nnx.Conv` in it; a network with a ``__call__``
    of its own needs this layer. On a CPU, the gradient of the kernel takes as little as a third
    of the time.

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
        return batch_outermost(
            lambda x: nnx.Conv.__call__(self, x, out_sharding), inputs, len(self.kernel_size) + 1
        )
