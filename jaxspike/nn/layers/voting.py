"""`Voting`: the mean over groups of neighboring neurons."""

from flax import nnx

from ..._check import integer
from ..._state import output_dtype
from ..._types import Array


class Voting(nnx.Module):
    """The mean over groups of neighboring neurons: ``[..., C * size]`` to ``[..., C]``.

    ``y[..., c] = mean(x[..., c * size : (c + 1) * size])``. As a layer at the end of a network it
    is what `jaxspike.readout.voting` is for its output.

    Args:
        size: Neurons in a group.

    Raises:
        TypeError: If ``size`` is not an integer.
        ValueError: If it is below 1, or in a call does not divide the last axis.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> js.nn.Voting(2)(jnp.array([[1.0, 0.0, 1.0, 1.0]]))
        Array([[0.5, 1. ]], dtype=float32)

    Source: SpikingJelly ``layer.VotingLayer``.
    """

    def __init__(self, size: int = 10):
        self.size = integer("`Voting(size=...)`", size, low=1)

    def __call__(self, x: Array) -> Array:
        if x.ndim == 0 or x.shape[-1] % self.size:
            raise ValueError(
                f"`Voting(size=...)` must divide the last axis of {x.shape}, got {self.size}."
            )
        return x.astype(output_dtype(x)).reshape(*x.shape[:-1], -1, self.size).mean(-1)
