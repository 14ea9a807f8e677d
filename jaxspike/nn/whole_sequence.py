"""Layers that need the whole sequence, and layers made for a given number of time steps."""

from collections.abc import Callable
from typing import Any, NoReturn

import jax.numpy as jnp

from .._check import axes
from .._types import Array, DType, Shape, Tree
from .empty_state import EmptyState
from .module import SpikingModule


def check_steps(layer, xs: Array) -> None:
    """Refuse a sequence whose number of time steps is not ``layer.steps``."""
    where, fix = (
        f"`{type(layer).__name__}(steps={layer.steps})(x=...)`",
        "Its parameters are for that T.",
    )
    axes(where, xs, layer.steps, "...", fix=fix)


def check_features(layer, argument: str, x: Array) -> None:
    """Refuse an input whose last axis is not of the size that ``argument`` of the layer gives.

    One that is complex is refused too: its imaginary part would be lost.
    """
    size = getattr(layer, argument)
    if jnp.issubdtype(x.dtype, jnp.complexfloating):
        raise TypeError(
            f"`{type(layer).__name__}(x=...)` must be real, got {x.dtype}. Give `x.real`."
        )
    axes(f"`{type(layer).__name__}({argument}={size})(x=...)`", x, "...", size)


def refuse_step(layer, x: Array, mode: str = "", fix: str = "") -> NoReturn:
    """Raise for one step of a layer that, always or in a mode, needs the whole sequence."""
    raise ValueError(
        f"`{type(layer).__name__}`{mode} must get a whole sequence `[T, N, *]`, got one step of "
        f"shape {x.shape}. Call `net(state, x_seq)`{fix}."
    )


def refuse_training_step(layer, x: Array) -> NoReturn:
    """Raise for one step of a layer that, in training mode, needs the whole sequence."""
    refuse_step(layer, x, " in training mode", ", or freeze it with `net.eval()`")


class WholeSequence(SpikingModule):
    """Base class of layers whose outputs all depend on every time step.

    A subclass defines ``sequence``; ``steps`` is the number of time steps that it is made for, None
    for any number.
    """

    steps: int | None = None

    def init_state(self, shape: Shape, dtype: DType = jnp.float32) -> Tree:
        """The number of axes of one step of input, and nothing else."""
        return EmptyState(len(shape))

    def __call__(self, state: Tree, x: Array) -> tuple[Tree, Array]:
        """A sequence ``[T, N, *]``."""
        refuse_step(self, x)

    def _trace_step(self, step: Callable[..., Any], x: Array, *args, **kwargs) -> Array:
        xs = jnp.broadcast_to(x, (self.steps or 1, *x.shape))
        return self.sequence(self.init_state(x.shape), xs, *args, **kwargs)[1][0]
