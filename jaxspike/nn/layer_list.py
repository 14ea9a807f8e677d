"""`LayerList`: a module that holds layers by their positions."""

from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from .._check import kind, shown
from .._types import Tree
from .module import Layer, Layers, SpikingModule, call_layer, check_keeps_time


class LayerList(SpikingModule):
    """Base class of `Sequential` and `Parallel`: layers in a list, ``layers``.

    It has a length, iterates over its layers, and ``net[i]`` is one of them; a neuron is the
    `Spiking` that it became. ``net[i] = layer`` replaces one; rebuild the state afterwards.
    """

    @property
    def _layer_names(self) -> list[str]:
        return [str(i) for i in range(len(self.layers))]

    def __init__(self, *layers: Layer):
        for layer in layers:
            self._check(layer)
        self.layers = Layers(layers)
        check_keeps_time(self)

    def __len__(self) -> int:
        return len(self.layers)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.layers)

    def __getitem__(self, i: int) -> Any:
        return self.layers[i]

    def __setitem__(self, i: int, layer: Layer) -> None:
        self._check(layer)
        self.layers[i] = layer
        check_keeps_time(self)

    def __bool__(self) -> bool:
        return True

    def _call(self, i: int, state: Tree, x) -> tuple[Tree, Any]:
        """Call layer ``i``; its errors say which one it is."""
        try:
            return call_layer(self.layers[i], state, x)
        except (TypeError, ValueError) as e:
            shape = jax.tree.map(np.shape, x)
            e.add_note(
                f"It is raised by layer {i}, {kind(self.layers[i])}, for an input of {shape}."
            )
            raise

    def _check(self, layer: Layer) -> None:
        if not callable(layer) or isinstance(layer, type):
            name = type(self).__name__
            got = kind(layer) if isinstance(layer, type | list | tuple) else shown(layer)
            fix = f"Give them one by one: `{name}(nnx.Linear(...), LIF(), ...)`."
            raise TypeError(f"`{name}(layers=...)` must be layers, got {got}. {fix}")
