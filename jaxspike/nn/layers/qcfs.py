"""`QCFS`: an activation of few levels, to train an ANN for conversion."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import ArrayLike

from ..._check import all_known, floating, integer
from ..._types import Array


@jax.custom_jvp
def quantization_clip_floor_shift(x: Array, threshold: Array, levels: ArrayLike) -> Array:
    """The activation; it has this name in a traced program, by which a conversion finds it."""
    count = jnp.clip(jnp.floor(x * (levels / threshold) + 0.5), 0, levels)
    return count * (threshold / levels)


@quantization_clip_floor_shift.defjvp
def _derivative(primals, tangents):
    """Straight through the rounding, exact for the clip."""
    (x, threshold, levels), (dx, dthreshold, _) = primals, tangents
    y = quantization_clip_floor_shift(x, threshold, levels)
    inside = (x > 0) & (x < threshold)
    by_threshold = jnp.where(inside, (y - x) / threshold, (x >= threshold).astype(y.dtype))
    return y, jnp.where(inside, dx, 0) + by_threshold * dthreshold


class QCFS(nnx.Module):
    r"""Quantization clip-floor-shift: a relu of ``levels`` levels up to a learned threshold.

    .. math:: y = \frac{\theta}{L} \text{clip}\left(
        \left\lfloor \frac{x L}{\theta} + \frac12 \right\rfloor, 0, L\right)

    That is the mean output of an integrate-and-fire neuron with threshold :math:`\theta`, a soft
    reset and a first potential of :math:`\theta / 2` after T = L steps of the constant input x. An
    ANN that is trained with it loses little when `jaxspike.convert.spiking` converts it, and
    nothing when `jaxspike.convert.signed_spiking` does.

    The derivative in x is 1 where ``0 < x < threshold``, else 0; that in the threshold is
    ``(y - x) / threshold`` there, 1 above, 0 below: the rounding counts as the identity.

    Args:
        levels: The number of levels above zero, L, at least 1.
        threshold: The first threshold, above 0, in units of x: a number, or one per channel, the
            last axis.

    Attributes:
        threshold_raw: The `nnx.Param` that is learned: the logarithm of the threshold.

    Raises:
        TypeError: If ``levels`` is not an integer, or the input not floating point.
        ValueError: If ``levels`` is below 1, or ``threshold`` not above 0.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> activation = js.nn.QCFS(levels=4, threshold=2.0)
        >>> activation(jnp.array([-1.0, 0.2, 0.3, 1.0, 9.0]))
        Array([0. , 0. , 0.5, 1. , 2. ], dtype=float32)

    Source: Bu, Fang, Ding, Dai, Yu, Huang, "Optimal ANN-SNN conversion for high-accuracy and
    ultra-low-latency spiking neural networks", ICLR 2022.
    """

    function = staticmethod(quantization_clip_floor_shift)

    def __init__(self, levels: int = 8, threshold: ArrayLike = 8.0):
        self.levels = integer("`QCFS(levels=...)`", levels, low=1)
        if not all_known(threshold, lambda t: np.isfinite(t) & (t > 0)):
            raise ValueError(f"`QCFS(threshold=...)` must be greater than 0, got {threshold}.")
        self.threshold_raw = nnx.Param(jnp.log(jnp.asarray(threshold, jnp.float32)))

    @property
    def threshold(self) -> Array:
        """The threshold, above 0."""
        return jnp.exp(self.threshold_raw[...])

    def __call__(self, x: Array) -> Array:
        """``[..., C]``, the same shape."""
        x = floating("`QCFS(x=...)`", x)
        threshold = self.threshold.astype(x.dtype)
        return quantization_clip_floor_shift(x, threshold, float(self.levels))
