"""`Sequential`: layers in order."""

from collections.abc import Callable
from typing import Any

from flax import nnx

from .._types import Array, Tree
from ..neurons import Neuron, SequenceNeuron
from .module import SpikingModule
from .spiking import Spiking


class Sequential(SpikingModule):
    """Layers in order; a neuron is a layer.

    A layer is a neuron, a `SpikingModule`, a Flax layer, or a function of ``x`` that treats all but
    its last axes as batch (the last axis is the features).  The state is a tuple with one entry a
    layer, ``()`` for those without state.

    Args:
        *layers: The layers.

    Raises:
        TypeError: If a layer is not callable, or is a normalisation that would silently take the
            time axis for an axis of the image.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> from flax import nnx
        >>> rngs = nnx.Rngs(0)
        >>> net = js.nn.Sequential(nnx.Linear(64, 10, rngs=rngs), js.LIF(), js.LI())
        >>> state = net.init_state((4, 64))
        >>> state, y = net(state, jnp.ones((4, 64)))
        >>> state, ys = net(state, jnp.ones((20, 4, 64)))
        >>> ys.shape
        (20, 4, 10)
    """

    def __init__(self, *layers: Neuron | SequenceNeuron | Callable[..., Any]):
        for layer in layers:
            kind = type(layer).__name__
            if not callable(layer):
                raise TypeError(f"`Sequential(layers=...)` must be callable, got {layer!r}.")
            if type(layer) in (nnx.GroupNorm, nnx.InstanceNorm):
                raise TypeError(
                    f"`Sequential(layers=...)` must keep time steps apart, got nnx.{kind}, "
                    "which normalises over the time axis of `[T, N, *]`. "
                    f"Give `jaxspike.nn.fold_time(nnx.{kind}(...))`."
                )
        self.layers = nnx.List(
            [Spiking(x) if isinstance(x, Neuron | SequenceNeuron) else x for x in layers]
        )

    def __call__(self, state: Tree, x: Array) -> tuple[Tree, Array]:
        """One step ``[N, *]``, or a sequence ``[T, N, *]``."""
        new: list[Any] = []
        for i, layer in enumerate(self.layers):
            if isinstance(layer, SpikingModule):
                s, x = layer(state[i], x)
            else:
                s, x = (), layer(x)
            new.append(s)
        return tuple(new), x
