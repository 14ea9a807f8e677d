"""`Parallel`: layers side by side, with the same input."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from .._check import function
from .._types import Array, Tree
from .layer_list import LayerList
from .module import Layer


def concatenate(*ys: Array) -> Array:
    """The outputs next to each other on the last axis, the features."""
    return jnp.concatenate(ys, -1)


class Parallel(LayerList):
    """Layers with the same input, whose outputs are combined: ``y = combine(y_1, y_2, ...)``.

    The state is a tuple with one entry per layer, ``()`` for those without a state. Like a
    `Sequential`, it has a length, iterates over its layers, and ``net[i]`` is one of them.

    Args:
        *layers: The layers: neurons, modules, Flax layers and functions, as in `Sequential`.
        combine: A function of their outputs, ``[N, *]`` or ``[T, N, *]``, that treats all but the
            last axes as batch; by default it concatenates them on the last axis, the features.

    Raises:
        TypeError: If a layer or ``combine`` is not callable, or a layer would take the time axis
            for an axis of the image.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> fast_and_slow = js.nn.Parallel(js.LIF(tau=2.0), js.LIF(tau=20.0))
        >>> state = fast_and_slow.init_state((4, 8))
        >>> state, ys = fast_and_slow(state, jnp.ones((10, 4, 8)))
        >>> ys.shape
        (10, 4, 16)
    """

    def __init__(self, *layers: Layer, combine: Callable[..., Any] = concatenate):
        function("`Parallel(combine=...)`", combine, "Give a function of the outputs.")
        super().__init__(*layers)
        self.combine = combine

    def __call__(self, state: Tree, x):
        """One step ``[N, *]``, or a sequence ``[T, N, *]``."""
        results = [self._call(i, state[i], x) for i in range(len(self.layers))]
        return tuple(s for s, _ in results), self.combine(*(y for _, y in results))
