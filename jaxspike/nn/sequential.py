"""`Sequential`: layers in order."""

from typing import Any

from .._types import Tree
from .layer_list import LayerList


class Sequential(LayerList):
    """Layers in order; a neuron is a layer.

    Unlike `flax.nnx.Sequential`, it takes and returns a state: a tuple with one entry per layer,
    ``()`` for those without a state. A layer is a neuron, a `SpikingModule`, a Flax layer, or a
    function of ``x`` that treats all but its last axes as batch; the last axis is the features.

    It has a length, and iterates over its layers. ``net[i]`` is one of them, ``net[i] = layer``
    replaces it, and a slice is a `Sequential` of some of them: the same layers, not copies.

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
        >>> net[1] = js.LIF(tau=4.0)
        >>> len(net[1:]), net[1]
        (2, Spiking(LIF(tau=4.0)))
    """

    def __call__(self, state: Tree, x):
        """One step ``[N, *]``, or a sequence ``[T, N, *]``."""
        new: list[Tree] = []
        for i in range(len(self.layers)):
            s, x = self._call(i, state[i], x)
            new.append(s)
        return tuple(new), x

    def __getitem__(self, i: int | slice) -> Any:
        return Sequential(*self.layers[i]) if isinstance(i, slice) else self.layers[i]
