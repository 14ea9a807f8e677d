"""Absolute refractory period of any neuron."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from .._state import compute_dtype
from .._types import Array, DType, Shape, Tree
from ..field import count
from .base import Neuron
from .equations import at_rest


class RefractoryState(NamedTuple):
    """State of the neuron, and the number of refractory steps ``left``, ``[N, *]``."""

    neuron: Tree
    left: Array


class Refractory(Neuron):
    """A neuron that rests for a number of steps after each of its spikes.

    In the ``steps`` steps after a spike (any output that is not 0) the input is ignored, the output
    is 0, and the state of the neuron is frozen as the spike left it, including any adaptation or
    synaptic current. Then it resumes.

    The parameters of the neuron are learned under their names with the prefix ``neuron_``, as in
    ``js.nn.Spiking(js.Refractory(js.LIF()), learn=("neuron_tau",))``.

    Args:
        neuron: The neuron, of any model that spikes.
        steps: Length of the rest in time steps, at least 1.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> neuron = js.Refractory(js.IF(), steps=2)
        >>> state, spikes = js.scan(neuron, neuron.init_state((1,)), jnp.ones((6, 1)))
        >>> spikes[:, 0]
        Array([1., 0., 0., 1., 0., 0.], dtype=float32)

    Source: Gerstner et al., "Neuronal Dynamics", 2014, section 1.3; the clamped membrane is NEST's.
    """

    neuron: Neuron
    steps: int = count(default=1)

    def init_state(self, shape: Shape, dtype: DType = jnp.float32) -> RefractoryState:
        counts = compute_dtype([jnp.dtype(dtype)])  # bfloat16 cannot count beyond 256
        return RefractoryState(self.neuron.init_state(shape, dtype), at_rest(None, shape, counts))

    def step(self, state: RefractoryState, x: Array) -> tuple[RefractoryState, Array]:
        resting = state.left > 0
        new, y = self.neuron(state.neuron, x)
        kept = jax.tree.map(lambda old, new: _where(resting, old, new), state.neuron, new)
        y = jnp.where(resting, 0, y)
        left = jnp.where(y != 0, float(self.steps), jnp.maximum(state.left - 1, 0))
        return RefractoryState(kept, jax.lax.stop_gradient(left)), y


def _where(resting: Array, old: Array, new: Array) -> Array:
    """``old`` where a neuron rests; it may have further axes, such as the steps of a delay."""
    axes = range(resting.ndim, jnp.ndim(new))
    return jnp.where(jnp.expand_dims(resting, tuple(axes)), old, new)
