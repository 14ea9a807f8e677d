"""Layers for the nodes of NIR for which Flax and the rest of jaxspike have none."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from .._delay_line import insert, look_back
from .._state import compute_dtype
from .._types import Array, Param, Shape
from ..field import count
from ..neurons import Neuron
from ..nn import AvgPool, Constant
from ..surrogate import Surrogate, spike
from .layout import batch_channels_first, batch_channels_last


class Matrix(nnx.Module):
    """``y = W x + b`` for a weight with axes in front, ``[*, out, in]``, and ``x`` ``[*, in]``."""

    def __init__(self, weight, bias=None):
        self.weight = nnx.Param(jnp.asarray(weight, jnp.float32))
        self.bias = None if bias is None else nnx.Param(jnp.asarray(bias, jnp.float32))

    def __call__(self, x: Array) -> Array:
        axes = self.weight.ndim - 1
        y = jnp.einsum("...oi,...i->...o", self.weight[...], batch_channels_first(x, axes))
        if self.bias is not None:
            y = y + self.bias[...]
        return batch_channels_last(y, axes)


class Scale(nnx.Module):
    """``y = scale * x``, with one factor per value or one for all."""

    def __init__(self, scale):
        self.scale = nnx.Param(jnp.asarray(scale, jnp.float32))

    def __call__(self, x: Array) -> Array:
        return x * self.scale[...]


class SumPool(AvgPool):
    """Sum over windows of ``[..., H, W, C]``; padding counts as zeros."""

    def __call__(self, x: Array) -> Array:
        return self.sums(x)


class FlattenChannelsFirst(nnx.Module):
    """Merge axes of a sample as NIR counts and orders them, channels first.

    Args:
        start: The first axis to merge, of a sample with channels first.
        stop: The axis after the last to merge.
        axes: Number of axes of a sample.
    """

    def __init__(self, start: int, stop: int, axes: int):
        self.start, self.stop, self.axes = start, stop, axes

    def __call__(self, x: Array) -> Array:
        x = batch_channels_first(x, self.axes)
        batch, sample = x.shape[: x.ndim - self.axes], x.shape[x.ndim - self.axes :]
        x = x.reshape(*batch, *sample[: self.start], -1, *sample[self.stop :])
        return batch_channels_last(x, self.axes - (self.stop - self.start) + 1)


class Threshold(nnx.Module):
    """A step function without memory: 1 where ``x`` is above (or at) the threshold."""

    def __init__(self, threshold, surrogate: Surrogate, strict: bool):
        self.threshold = Constant(jnp.asarray(threshold, jnp.float32))
        self.surrogate, self.strict = nnx.data(surrogate), strict

    def __call__(self, x: Array) -> Array:
        threshold = jax.lax.stop_gradient(self.threshold[...])
        return spike(x - threshold, self.surrogate, strict=self.strict)


class DelaysState(NamedTuple):
    """A ring buffer ``[N, *, longest + 1]``, and for each neuron the position of its next value."""

    buffer: Array
    next: Array


class Delays(Neuron):
    """One axon per neuron: its input comes out ``steps`` steps later, zeros at first.

    Args:
        longest: The largest number of steps.
        steps: Length of each delay in time steps, from 0 to ``longest``.
    """

    longest: int = count()
    steps: Param = 1.0

    def init_state(self, shape: Shape, dtype=jnp.float32) -> DelaysState:
        buffer = jnp.zeros((*shape, self.longest + 1), dtype)
        return DelaysState(buffer, jnp.zeros(shape, compute_dtype([buffer.dtype])))

    def step(self, state: DelaysState, x: Array) -> tuple[DelaysState, Array]:
        state = DelaysState(*insert(*state, x.astype(state.buffer.dtype)))
        return state, look_back(*state, jnp.asarray(self.steps)[..., None])[..., 0]
