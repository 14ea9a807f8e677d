"""`DropConnectLinear`: a linear layer that drops weights for a whole sequence."""

import jax
import jax.numpy as jnp
from flax import nnx

from ..._check import drop_rate
from ..._types import Array, DType, Shape
from ..empty_state import EmptyState
from ..module import SpikingModule
from ..whole_sequence import refuse_training_step
from .dropout import own_keys


class DropConnectLinear(SpikingModule, nnx.Linear):
    """A linear layer that drops weights, independently per sample, for the whole sequence.

    Unlike `flax.nnx.Linear`, a training sequence ``[T, N, *, in_features]`` draws masks of ones and
    zeros, of the shape of the kernel and the bias, for each of the N samples:
    ``y = x @ (mask * kernel) + mask * bias`` at every time step, without rescaling. A single step
    is an error in training. In evaluation the output is the mean,
    ``y = (1 - rate) * (x @ kernel + bias)``.

    Args:
        in_features: Size of the last axis of the input.
        out_features: Size of the last axis of the output.
        rate: Probability to drop a weight, in [0, 1).
        rngs: Source of keys for the parameters and, from its stream ``dropout``, for the masks.
        **options: Options of `flax.nnx.Linear`, such as ``use_bias`` and ``kernel_init``.

    Raises:
        ValueError: If ``rate`` is out of range, or a single step is given in training.
        TypeError: If ``rate`` is not a number, or ``rngs`` is missing.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> from flax import nnx
        >>> layer = js.nn.DropConnectLinear(8, 4, rate=0.5, rngs=nnx.Rngs(0))
        >>> _, y = layer(layer.init_state((2, 8)), jnp.ones((3, 2, 8)))
        >>> bool((y == y[0]).all()), bool((y[0, 0] == y[0, 1]).all())
        (True, False)

    Source: Wan, Zeiler, Zhang, LeCun, Fergus, "Regularization of neural networks using
    DropConnect", ICML 2013; SpikingJelly ``layer.DropConnectLinear(invariant=True,
    activation=None)``, which estimates the mean by sampling.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        rate: float = 0.5,
        *,
        rngs: nnx.Rngs,
        **options,
    ):
        self.rate = drop_rate("`DropConnectLinear(rate=...)`", rate)
        self.deterministic = False  # what `net.eval()` and `net.train()` set
        self.rngs = own_keys("DropConnectLinear", rngs)
        nnx.Linear.__init__(self, in_features, out_features, rngs=rngs, **options)

    def init_state(self, shape: Shape, dtype: DType = jnp.float32) -> EmptyState:
        """The number of axes of one step of input, and nothing else."""
        return EmptyState(len(shape))

    def __call__(self, state: EmptyState, x: Array) -> tuple[EmptyState, Array]:  # type: ignore[override]
        """One step ``[N, *]`` in evaluation, or a sequence ``[T, N, *]``."""
        if self._active():
            refuse_training_step(self, x)
        return state, (1 - self.rate) * nnx.Linear.__call__(self, x)

    def sequence(self, state: EmptyState, xs: Array) -> tuple[EmptyState, Array]:
        """Drop the same weights at every time step of ``[T, N, *]``."""
        if not self._active():
            return state, (1 - self.rate) * nnx.Linear.__call__(self, xs)
        graph, params, *others = nnx.split(self, nnx.Param, ...)

        def one_sample(key, x):
            keys = iter(jax.random.split(key))
            dropped = jax.tree.map(
                lambda w: jnp.where(jax.random.bernoulli(next(keys), 1 - self.rate, w.shape), w, 0),
                params,
            )
            return nnx.Linear.__call__(nnx.merge(graph, dropped, *others, copy=True), x)

        keys = jax.random.split(self.rngs(), xs.shape[1])
        return state, jax.vmap(one_sample, (0, 1), 1)(keys, xs)

    def _active(self) -> bool:
        return not self.deterministic and self.rate > 0
