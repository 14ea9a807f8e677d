"""Conversions between NIR's order of axes, channels first, and Flax's, channels last."""

import jax.numpy as jnp
import numpy as np

from .._types import Array, Shape


def last(shape: Shape) -> Shape:
    """A shape with its first axis, the channels, moved to the end."""
    return (*shape[1:], *shape[:1])


def first(shape: Shape) -> Shape:
    """A shape with its last axis, the channels, moved to the front: the inverse of `last`."""
    return (*shape[-1:], *shape[:-1])


def channels_last(value: np.ndarray) -> np.ndarray:
    """A NumPy array with its first axis moved to the end."""
    return np.moveaxis(value, 0, -1) if np.ndim(value) > 1 else value


def channels_first(value: np.ndarray) -> np.ndarray:
    """A NumPy array with its last axis moved to the front."""
    return np.moveaxis(value, -1, 0) if np.ndim(value) > 1 else value


def batch_channels_last(x: Array, axes: int) -> Array:
    """``[..., C, *]`` to ``[..., *, C]``; ``axes`` is the number of axes of a sample."""
    return jnp.moveaxis(x, -axes, -1) if axes > 1 else x


def batch_channels_first(x: Array, axes: int) -> Array:
    """``[..., *, C]`` to ``[..., C, *]``; ``axes`` is the number of axes of a sample."""
    return jnp.moveaxis(x, -1, -axes) if axes > 1 else x
