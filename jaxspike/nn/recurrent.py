"""`Recurrent`: a layer that hears its own last output."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp

from .._types import Array, Shape, Tree
from ..neurons import Neuron
from ..neurons.base import output_dtype
from .module import SpikingModule


class RecurrentState(NamedTuple):
    """State of the neuron, and its last output ``y``, ``[N, *]``."""

    neuron: Tree
    y: Array


class Recurrent(SpikingModule):
    """A neuron whose last output is fed back to it: ``y_t = neuron(x_t + feedback(y_{t-1}))``.

    Args:
        neuron: A neuron or a `Spiking` layer.
        feedback: A stateless layer or function from ``y`` to a current of the shape of ``x``, such
            as ``nnx.Linear(n, n, use_bias=False, rngs=rngs)``; ``y`` is 0 before the first step.

    Raises:
        TypeError: If ``feedback`` has a state of its own or is not callable.
        ValueError: If ``feedback`` does not keep the shape, seen at the first call.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> from flax import nnx
        >>> layer = js.nn.Recurrent(js.LIF(), nnx.Linear(8, 8, rngs=nnx.Rngs(0)))
        >>> state, spikes = layer(layer.init_state((4, 8)), jnp.ones((10, 4, 8)))
    """

    def __init__(self, neuron: Neuron | SpikingModule, feedback: Callable[[Array], Array]):
        if not isinstance(neuron, Neuron | SpikingModule):
            raise TypeError(
                f"`Recurrent(neuron=...)` must be a neuron, got {neuron!r}. Give `jaxspike.LIF()`."
            )
        if isinstance(feedback, Neuron | SpikingModule) or not callable(feedback):
            raise TypeError(
                f"`Recurrent(feedback=...)` must be a stateless layer, got {feedback!r}. "
                "Give an nnx.Linear or a function of y."
            )
        self.neuron = neuron
        self.feedback = feedback

    def init_state(self, shape: Shape, dtype: Any = jnp.float32) -> RecurrentState:
        """State at rest, for one step of input of ``shape``."""
        neuron: Any = self.neuron
        return RecurrentState(neuron.init_state(shape, dtype), jnp.zeros(shape, dtype))

    def __call__(self, state: RecurrentState, x: Array) -> tuple[RecurrentState, Array]:
        """One step ``[N, *]``, or a sequence ``[T, N, *]``."""
        x = x.astype(output_dtype(x))
        back = self.feedback(state.y.astype(x.dtype))
        if back.shape != x.shape:
            raise ValueError(
                f"`Recurrent(feedback=...)` must keep the shape of x, {x.shape}, got {back.shape}. "
                f"Give a layer with {x.shape[-1]} outputs."
            )
        neuron: Any = self.neuron
        new, y = neuron(state.neuron, x + back)
        return RecurrentState(new, y.astype(state.y.dtype)), y
