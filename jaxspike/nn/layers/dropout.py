"""`Dropout`: one mask for a whole sequence."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import nnx

from ..._check import drop_rate, instance, integer
from ..._types import Array, DType, Shape
from ..empty_state import EmptyState
from ..module import SpikingModule
from ..whole_sequence import refuse_training_step


def own_keys(name: str, rngs) -> nnx.RngStream:
    """The layer's own source of keys, from the stream ``dropout`` or the default stream."""
    kinds, fix = nnx.Rngs | nnx.RngStream, "Give `rngs=nnx.Rngs(0)`."
    instance(f"`{name}(rngs=...)`", rngs, kinds, "an nnx.Rngs", fix)
    return (rngs.dropout if isinstance(rngs, nnx.Rngs) else rngs).fork()


class Dropout(SpikingModule):
    """Drop inputs with one mask for the whole sequence.

    Unlike `flax.nnx.Dropout`, it draws one mask of shape ``[N, *]`` for a training sequence
    ``[T, N, *]``: the same inputs are dropped at every time step, and the others are scaled by
    ``1 / (1 - rate)``. A single step is an error in training, since it has no sequence to share its
    mask with. In evaluation (``net.eval()``) the input passes unchanged.

    Args:
        rate: Probability to drop, in [0, 1).
        broadcast_dims: Axes of one step that share their mask, counted from the end.
            ``(-3, -2)`` drops whole channels of images ``[N, H, W, C]``.
        rngs: Source of keys: its stream ``dropout`` or, without one, the default stream.

    Raises:
        ValueError: If ``rate`` is out of range, ``broadcast_dims`` are not negative or not axes of
            the input, or a single step is given in training.
        TypeError: If ``rate`` is not a number, or ``rngs`` is missing.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> from flax import nnx
        >>> layer = js.nn.Dropout(0.5, rngs=nnx.Rngs(0))
        >>> _, y = layer(layer.init_state((1, 4)), jnp.ones((3, 1, 4)))
        >>> bool((y == y[0]).all())
        True

    Source: Lee, Sarwar, Panda, Srinivasan, Roy, "Enabling spike-based backpropagation for training
    deep neural network architectures", 2020; SpikingJelly ``layer.Dropout``
    and ``layer.Dropout2d``.
    """

    def __init__(
        self,
        rate: float,
        broadcast_dims: Sequence[int] = (),
        *,
        rngs: nnx.Rngs | nnx.RngStream | None = None,
    ):
        self.rate = drop_rate("`Dropout(rate=...)`", rate)
        if not all(isinstance(axis, int) and axis < 0 for axis in broadcast_dims):
            raise ValueError(
                f"`Dropout(broadcast_dims=...)` must be negative integers, got {broadcast_dims}. "
                "Count axes from the end: (-3, -2) for `[H, W, C]`."
            )
        self.broadcast_dims = tuple(broadcast_dims)
        self.deterministic = False  # what `net.eval()` and `net.train()` set
        self.rngs = own_keys("Dropout", rngs)

    def init_state(self, shape: Shape, dtype: DType = jnp.float32) -> EmptyState:
        """The number of axes of one step of input, and nothing else."""
        return EmptyState(len(shape))

    def __call__(self, state: EmptyState, x: Array) -> tuple[EmptyState, Array]:
        """One step ``[N, *]`` in evaluation, or a sequence ``[T, N, *]``."""
        if self._active():
            refuse_training_step(self, x)
        return state, x

    def sequence(self, state: EmptyState, xs: Array) -> tuple[EmptyState, Array]:
        """Drop the same inputs at every time step of ``[T, N, *]``."""
        if not self._active():
            return state, xs
        shape = list(xs.shape[1:])
        where = f"`Dropout(broadcast_dims=...)` for steps of shape {xs.shape[1:]}"
        for axis in self.broadcast_dims:
            shape[integer(where, axis, low=-len(shape), high=-1)] = 1
        keep = jax.random.bernoulli(self.rngs(), 1 - self.rate, shape)
        return state, jnp.where(keep, xs / (1 - self.rate), 0)

    def _active(self) -> bool:
        return not self.deterministic and self.rate > 0
