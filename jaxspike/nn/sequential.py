"""`Sequential`: layers in order."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from .._check import kind
from .._types import Tree
from ..engine import fold_batch
from ..neurons import Neuron, SequenceNeuron
from .module import Spiking, SpikingModule, check_keeps_time


class Sequential(SpikingModule):
    """Layers in order; a neuron is a layer.

    Unlike `flax.nnx.Sequential`, it takes and returns a state: a tuple with one entry per layer,
    ``()`` for those without a state. A layer is a neuron, a `SpikingModule`, a Flax layer, or a
    function of ``x`` that treats all but its last axes as batch; the last axis is the features.

    Args:
        *layers: The layers.

    Raises:
        TypeError: If a layer is not callable, or is a normalization that would silently take the
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

    @property
    def _layer_names(self) -> list[str]:
        return [str(i) for i in range(len(self.layers))]

    def __init__(self, *layers: Neuron | SequenceNeuron | Callable[..., Any]):
        for layer in layers:
            if not callable(layer) or isinstance(layer, type):
                got = kind(layer) if isinstance(layer, type | list | tuple) else repr(layer)
                fix = "Give them one by one: `Sequential(nnx.Linear(...), LIF(), ...)`."
                raise TypeError(f"`Sequential(layers=...)` must be layers, got {got}. {fix}")
        self.layers = nnx.List(
            [Spiking(x) if isinstance(x, Neuron | SequenceNeuron) else x for x in layers]
        )
        check_keeps_time(self)

    def __call__(self, state: Tree, x):
        """One step ``[N, *]``, or a sequence ``[T, N, *]``."""
        new: list[Tree] = []
        for i, layer in enumerate(self.layers):
            try:
                has_state = isinstance(layer, SpikingModule)
                s, x = layer(state[i], x) if has_state else ((), _apply(layer, x))
            except (TypeError, ValueError) as e:
                shape = jax.tree.map(jnp.shape, x)
                e.add_note(f"It is raised by layer {i}, {kind(layer)}, for an input of {shape}.")
                raise
            new.append(s)
        return tuple(new), x


def _apply(layer: Callable[..., Any], x):
    """``layer(x)``; a matrix product with its batch axes merged where that is faster."""
    return fold_batch(layer, x) if type(layer) is nnx.Linear else layer(x)
