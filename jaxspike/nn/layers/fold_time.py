"""`fold_time`: applies a single-batch-axis layer to sequences."""

from collections.abc import Callable

import jax.numpy as jnp
from flax import nnx

from ..._check import shown
from ..._types import Array, DType, Shape
from ...neurons import Neuron, SequenceNeuron
from ..empty_state import EmptyState
from ..mixed_in import mix_in, mixed_in
from ..module import SpikingModule


def fold_time(layer: nnx.Module | Callable[[Array], Array]) -> SpikingModule:
    """A copy of a stateless layer that treats ``[T, N, *]`` as ``T * N`` samples.

    Most Flax layers accept any number of batch axes and do not need this. Some do:
    `flax.nnx.GroupNorm` would normalize over time, and a function that counts axes from the front
    would take time for the batch. The parameters keep their paths: no level is added.

    Args:
        layer: A Flax layer without spiking state, or a function of one array ``[N, *]``.

    Raises:
        TypeError: If ``layer`` is a neuron or `SpikingModule`, which know about time themselves.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> from flax import nnx
        >>> norm = js.nn.fold_time(nnx.GroupNorm(16, num_groups=4, rngs=nnx.Rngs(0)))
        >>> state, y = norm(norm.init_state((4, 8, 8, 16)), jnp.ones((10, 4, 8, 8, 16)))
        >>> y.shape
        (10, 4, 8, 8, 16)
    """
    if isinstance(layer, Neuron | SequenceNeuron | SpikingModule) or not callable(layer):
        raise TypeError(
            f"`fold_time(layer=...)` must be a stateless layer or function, got {shown(layer)}. "
            "Use it as it is: it knows about time."
        )
    if not isinstance(layer, nnx.Module):
        layer = _Function(layer)
    return mix_in(_FoldTime, nnx.clone(layer))


class _Function(nnx.Module):
    """A function as a layer without parameters."""

    def __init__(self, f: Callable[[Array], Array]):
        self.f = f

    def __call__(self, x: Array) -> Array:
        return self.f(x)


class _FoldTime(SpikingModule):
    """Mixed into the class of a layer: it folds time into the batch."""

    def init_state(self, shape: Shape, dtype: DType = jnp.float32) -> EmptyState:
        return EmptyState(len(shape))

    def __call__(self, state: EmptyState, x: Array) -> tuple[EmptyState, Array]:
        return state, super().__call__(x)

    def sequence(self, state: EmptyState, xs: Array) -> tuple[EmptyState, Array]:
        # batch outermost, time inside: the other way round, a sharded batch would be gathered
        steps, batch = xs.shape[:2]
        y = super().__call__(xs.swapaxes(0, 1).reshape(batch * steps, *xs.shape[2:]))
        return state, y.reshape(batch, steps, *y.shape[1:]).swapaxes(0, 1)

    def __reduce__(self):
        return _empty, type(self).__bases__[1:], dict(vars(self))


def _empty(cls: type):
    """A folded layer without attributes, which pickle fills."""
    return object.__new__(mixed_in(_FoldTime, cls))
