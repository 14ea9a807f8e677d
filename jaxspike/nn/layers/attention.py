"""Attention over the time steps, channels and positions of a sequence."""

import jax
import jax.numpy as jnp
from flax import nnx

from ..._check import axes, integer
from ..._types import Array, Tree
from ..whole_sequence import WholeSequence, check_steps
from .conv import Conv


class _Excitation(nnx.Module):
    """Scores in (0, 1) for the last axis, from two summaries and one narrow network."""

    def __init__(self, name: str, features: int, reduction: int, rngs: nnx.Rngs):
        reduction = integer(f"`{name}`", reduction, low=1, high=features)
        narrow = features // reduction
        self.reduce = nnx.Linear(features, narrow, use_bias=False, rngs=rngs)
        self.expand = nnx.Linear(narrow, features, use_bias=False, rngs=rngs)

    def __call__(self, mean: Array, peak: Array) -> Array:
        a, b = (self.expand(nnx.relu(self.reduce(x))) for x in (mean, peak))
        return nnx.sigmoid(a + b)


def _over_time(excitation: _Excitation, xs: Array) -> Array:
    """``xs`` with every time step of every sample scaled by its score."""
    over = tuple(range(2, xs.ndim))
    scores = excitation(xs.mean(over).T, xs.max(over).T).T
    return xs * jnp.expand_dims(scores, over)


class TemporalWiseAttention(WholeSequence):
    """Scale every time step of every sample by a score in (0, 1).

    ``y_t = x_t * score_t`` with ``score = sigmoid(f(mean(x)) + f(max(x)))``: mean and maximum are
    over all axes but T and N, and ``f`` is ``expand(relu(reduce(.)))`` over T. It needs the whole
    sequence, also in evaluation. Entries that share the maximum also share its gradient.

    Args:
        steps: The number of time steps T.
        reduction: ``reduce`` has ``T // reduction`` outputs.
        rngs: Source of keys for the weights.

    Raises:
        TypeError: If ``steps`` or ``reduction`` is not an integer.
        ValueError: If ``reduction`` is not between 1 and T; in a call, if the input is a single
            step or has another number of steps.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> from flax import nnx
        >>> layer = js.nn.TemporalWiseAttention(10, reduction=5, rngs=nnx.Rngs(0))
        >>> state, y = layer(layer.init_state((4, 7, 7, 8)), jnp.ones((10, 4, 7, 7, 8)))

    Source: Yao et al., "Temporal-wise attention spiking neural networks for event streams
    classification", ICCV 2021; SpikingJelly ``layer.TemporalWiseAttention``.
    """

    def __init__(self, steps: int, reduction: int = 16, *, rngs: nnx.Rngs):
        self.steps = integer("`TemporalWiseAttention(steps=...)`", steps, low=1)
        name = "TemporalWiseAttention(reduction=...)"
        self.excitation = _Excitation(name, self.steps, reduction, rngs)

    def sequence(self, state: Tree, xs: Array) -> tuple[Tree, Array]:
        """Scale the steps of ``[T, N, *]``."""
        check_steps(self, xs)
        return state, _over_time(self.excitation, xs)


class MultiDimensionalAttention(WholeSequence):
    """Scale time steps, then channels, then positions of images by scores in (0, 1).

    Three times ``x = x * score(x)``, then ``relu``. The score of a time step is that of
    `TemporalWiseAttention`; the score of a channel is the same with C for T, and the mean and
    maximum over time and space; the score of a position is ``sigmoid(conv([mean, max]))``, over
    time and channels. It needs the whole sequence, also in evaluation. Entries that share the
    maximum also share its gradient.

    Args:
        steps: The number of time steps T.
        channels: The number of channels C.
        reduction_t: The narrow layer over time has ``T // reduction_t`` outputs.
        reduction_c: The narrow layer over channels has ``C // reduction_c`` outputs.
        kernel_size: Size of the convolution of the spatial score, odd.
        use_temporal: Whether to scale time steps.
        use_channel: Whether to scale channels.
        use_spatial: Whether to scale positions.
        rngs: Source of keys for the weights.

    Raises:
        TypeError: If a size is not an integer.
        ValueError: If a reduction is not between 1 and T or C, ``kernel_size`` is even, or nothing
            is to be scaled; in a call, if the input is a single step or is not ``[T, N, H, W, C]``.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> from flax import nnx
        >>> layer = js.nn.MultiDimensionalAttention(10, 8, 5, 4, rngs=nnx.Rngs(0))
        >>> state, y = layer(layer.init_state((4, 7, 7, 8)), jnp.ones((10, 4, 7, 7, 8)))

    Source: Yao et al., "Attention spiking neural networks", TPAMI 2023; SpikingJelly
    ``layer.MultiDimensionalAttention``.
    """

    def __init__(
        self,
        steps: int,
        channels: int,
        reduction_t: int = 16,
        reduction_c: int = 16,
        kernel_size: int = 3,
        *,
        use_temporal: bool = True,
        use_channel: bool = True,
        use_spatial: bool = True,
        rngs: nnx.Rngs,
    ):
        name = "MultiDimensionalAttention"
        if not (use_temporal or use_channel or use_spatial):
            raise ValueError(
                f"`{name}(use_temporal=..., ...)` must be True for one, got all False."
            )
        self.steps = integer(f"`{name}(steps=...)`", steps, low=1)
        self.channels = integer(f"`{name}(channels=...)`", channels, low=1)
        size = integer(f"`{name}(kernel_size=...)`", kernel_size, low=1)
        if size % 2 == 0:
            raise ValueError(f"`{name}(kernel_size=...)` must be odd, got {size}.")

        def excitation(use, features, argument, reduction):
            where = f"{name}({argument}=...)"
            return _Excitation(where, features, reduction, rngs) if use else None

        self.temporal = excitation(use_temporal, steps, "reduction_t", reduction_t)
        self.channel = excitation(use_channel, channels, "reduction_c", reduction_c)
        self.spatial = Conv(2, 1, (size, size), use_bias=False, rngs=rngs) if use_spatial else None

    def sequence(self, state: Tree, xs: Array) -> tuple[Tree, Array]:
        """Scale ``[T, N, H, W, C]``."""
        where = f"`MultiDimensionalAttention(channels={self.channels})(x=...)`"
        axes(where, xs, "T", "N", "H", "W", self.channels)
        check_steps(self, xs)
        if self.temporal is not None:
            xs = _over_time(self.temporal, xs)
        if self.channel is not None:
            over = (0, 2, 3)
            xs = xs * self.channel(xs.mean(over), xs.max(over))[:, None, None]
        if self.spatial is not None:
            summary = jnp.stack((xs.mean((0, -1)), xs.max((0, -1))), -1)
            xs = xs * nnx.sigmoid(self.spatial(summary))
        return state, jax.nn.relu(xs)
