"""Layers that need the whole sequence, and those made for one length of it."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from .._types import Array, Shape, Tree
from .empty_state import EmptyState
from .module import SpikingModule


def check_steps(layer: Any, xs: Array) -> None:
    """Refuse a sequence of another length than ``layer.steps``."""
    if len(xs) != layer.steps:
        raise ValueError(
            f"`{type(layer).__name__}(steps={layer.steps})` must get sequences of {layer.steps} "
            f"time steps, got shape {xs.shape}. Its parameters are made for that length."
        )


class WholeSequence(SpikingModule):
    """Base of layers for which every output depends on every time step.

    A subclass defines ``sequence``; ``steps`` is the number of time steps that it is made for, None
    if any.
    """

    steps: int | None = None

    def init_state(self, shape: Shape, dtype: Any = jnp.float32) -> Tree:
        """Nothing but the rank of one step of input."""
        return EmptyState(len(shape))

    def __call__(self, state: Tree, x: Array) -> tuple[Tree, Array]:
        """A sequence ``[T, N, *]``."""
        raise ValueError(
            f"`{type(self).__name__}` must get a whole sequence `[T, N, *]`, got one step of shape "
            f"{x.shape}: it has no single step. Call `net(state, x_seq)`."
        )

    def _trace_step(self, step: Callable[..., Any], x: Array, *args: Any, **kwargs: Any) -> Array:
        xs = jnp.broadcast_to(x, (self.steps or 1, *x.shape))
        return self.sequence(self.init_state(x.shape), xs, *args, **kwargs)[1][0]
