"""`Dropout`: one mask for a whole sequence."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from .._types import Array, Shape
from ._state import Rank
from .module import SpikingModule


class Dropout(SpikingModule):
    """Drop inputs with one mask for the whole sequence, as a fixed thinning of the network.

    In training, a sequence ``[T, N, *]`` draws one mask of shape ``[N, *]``: the same inputs are
    dropped at every time step, the others scaled by ``1 / (1 - rate)``. A single training step is
    an error, for it has no sequence to share its mask with. In evaluation (``net.eval()``) the
    input passes unchanged.

    Args:
        rate: Probability to drop, in [0, 1).
        rngs: Source of keys; its stream ``dropout`` is used, or the default one.

    Raises:
        ValueError: If ``rate`` is out of range, or a training step is not a sequence.
        TypeError: If ``rngs`` is missing.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> from flax import nnx
        >>> layer = js.nn.Dropout(0.5, rngs=nnx.Rngs(0))
        >>> _, y = layer(layer.init_state((1, 4)), jnp.ones((3, 1, 4)))
        >>> bool((y == y[0]).all())
        True

    Source: Lee, Sarwar, Panda, Srinivasan, Roy, "Enabling spike-based backpropagation for training
    deep neural network architectures", 2020; SpikingJelly ``layer.Dropout``.
    """

    def __init__(self, rate: float, *, rngs: nnx.Rngs | nnx.RngStream | None = None):
        if (
            isinstance(rate, bool)
            or not isinstance(rate, int | float | np.floating)
            or not 0 <= rate < 1
        ):
            raise ValueError(f"`Dropout(rate=...)` must be a number in [0, 1), got {rate!r}.")
        if not isinstance(rngs, nnx.Rngs | nnx.RngStream):
            raise TypeError(
                f"`Dropout(rngs=...)` must be an nnx.Rngs, got {rngs!r}. Give `rngs=nnx.Rngs(0)`."
            )
        self.rate = float(rate)
        self.deterministic = False  # what `net.eval()` and `net.train()` set
        self.rngs = (rngs.dropout if isinstance(rngs, nnx.Rngs) else rngs).fork()

    def init_state(self, shape: Shape, dtype: Any = jnp.float32) -> Rank:
        """Nothing but the rank of one step of input."""
        return Rank(len(shape))

    def __call__(self, state: Rank, x: Array) -> tuple[Rank, Array]:
        """One step ``[N, *]`` in evaluation, or a sequence ``[T, N, *]``."""
        if self._active():
            raise ValueError(
                f"`Dropout({self.rate})` in training mode must get a whole sequence `[T, N, *]`, "
                f"for which it draws one mask, got one step of shape {x.shape}. "
                "Call `net(state, x_seq)`, or freeze it with `net.eval()`."
            )
        return state, x

    def sequence(self, state: Rank, xs: Array) -> tuple[Rank, Array]:
        """Drop the same inputs at every time step of ``[T, N, *]``."""
        if not self._active():
            return state, xs
        keep = jax.random.bernoulli(self.rngs(), 1 - self.rate, xs.shape[1:])
        return state, jnp.where(keep, xs / (1 - self.rate), 0)

    def _active(self) -> bool:
        return not self.deterministic and self.rate > 0
