"""The membrane of a neuron before the reset, which its state does not keep."""

from typing import Any

import jax.numpy as jnp

from .._types import Array, Tree
from ..neurons import Refractory
from ..surrogate import Rect

OUT_OF_REACH = 1e30  # a threshold; finite, since a soft reset subtracts it times 0


def has_reset(neuron, state: Tree) -> bool:
    """Whether ``neuron`` has a threshold, and a membrane ``v`` in its state."""
    if isinstance(neuron, Refractory):
        return has_reset(neuron.neuron, state.neuron)
    return hasattr(neuron, "v_threshold") and hasattr(state, "v")


def before_reset(neuron: Any, old: Tree, new: Tree, x) -> Array:
    """The membrane of a step from the state ``old`` to ``new`` as it were had nothing fired."""
    if isinstance(neuron, Refractory):
        charged = before_reset(neuron.neuron, old.neuron, new.neuron, x)
        return jnp.where(old.left > 0, new.neuron.v, charged)
    delayed = not getattr(neuron, "reset_time", "immediate").startswith("immediate")
    if delayed or neuron.v_threshold is None:  # the state is that before the reset
        return new.v
    # without a slope in the gradient of spikes that cannot be
    silent = neuron.replace(v_threshold=OUT_OF_REACH, surrogate=Rect())
    return silent(old, x)[0].v
