"""What attention layers share: normalized projections, and heads."""

import jax.numpy as jnp
from flax import nnx

from ..._check import integer
from ..._types import Array
from ...engine import fold_batch
from .batch_norm import BatchNorm


class LinearNorm(nnx.Sequential):
    """A linear layer over each token, and a batch normalization with the momentum of PyTorch."""

    def __init__(self, features: int, outputs: int, *, bias: bool = False, rngs: nnx.Rngs):
        linear = nnx.Linear(features, outputs, use_bias=bias, rngs=rngs)
        super().__init__(linear, BatchNorm(outputs, momentum=0.9, rngs=rngs))

    def __call__(self, x: Array) -> Array:  # type: ignore[override]
        """The normalized currents, ``[..., L, outputs]``."""
        return self.layers[1](fold_batch(self.layers[0], x))


def check_heads(owner: str, features: int, num_heads: int) -> None:
    """Refuse a number of heads that does not divide the features."""
    integer(f"`{owner}(num_heads=...)`", num_heads, low=1)
    if features % num_heads:
        raise ValueError(
            f"`{owner}(num_heads=...)` must divide the features, got {num_heads} for {features}."
        )


def split(x: Array, parts: int, num_heads: int) -> list[Array]:
    """The parts of ``[..., L, parts * C]``, each ``[..., L, num_heads, C / num_heads]``."""
    shape = *x.shape[:-1], num_heads, x.shape[-1] // (parts * num_heads)
    return [part.reshape(shape) for part in jnp.split(x, parts, axis=-1)]
