"""`Flatten`: the axes of one image into one."""

from flax import nnx

from ..._types import Array


class Flatten(nnx.Module):
    """Merge the last axes: ``[..., H, W, C]`` to ``[..., H * W * C]``.

    It counts from the end, so it is the same for a step ``[N, *]`` and a sequence ``[T, N, *]``.

    Args:
        axes: How many axes to merge, at least 2.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> js.nn.Flatten()(jnp.ones((10, 4, 7, 7, 16))).shape
        (10, 4, 784)
    """

    def __init__(self, axes: int = 3):
        if isinstance(axes, bool) or not isinstance(axes, int) or axes < 2:
            raise ValueError(
                f"`Flatten(axes=...)` must be an integer of at least 2, got {axes!r}. "
                "It is the number of axes to merge: 3 for `[H, W, C]`."
            )
        self.axes = axes

    def __call__(self, x: Array) -> Array:
        if x.ndim < self.axes:
            raise ValueError(
                f"`Flatten(axes={self.axes})` must get at least {self.axes} axes, got {x.shape}. "
                "Give the number of axes that one sample has."
            )
        return x.reshape(*x.shape[: -self.axes], -1)
