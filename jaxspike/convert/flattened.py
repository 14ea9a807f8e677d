"""Which layers get a flattened image: Flax flattens ``[H, W, C]``, PyTorch ``[C, H, W]``."""

import jax
import jax.numpy as jnp
from flax import nnx
from jax.ad_checkpoint import checkpoint_name

from .._types import Array, Shape
from ..engine.program import flatten
from ..nn import (
    AdaptiveAvgPool,
    AvgPool,
    Dropout,
    MaxPool,
    Sequential,
    Spiking,
    SpikingModule,
    Upsample,
)
from ..nn.mixed_in import mix_in
from ..nn.module import call_without_state, eval_copy
from ..nn.paths import dotted
from . import axes
from .layers import NORMS

#: Layers that change the size of space and nothing else.
RESIZING = MaxPool | AvgPool | AdaptiveAvgPool | Upsample
#: Layers that do not flatten.
KEEPING = (nnx.Linear | nnx.Conv | nnx.ConvTranspose | NORMS | Spiking | Dropout) | nnx.Dropout
CONTAINERS = Sequential | nnx.Sequential
MARK = "jaxspike.convert:"
PLAIN, UNKNOWN = 0, -1  # features in an order of their own, and in an order that is not determined


def may_flatten(net: nnx.Module) -> bool:
    """Whether a network is more than a Sequential of layers that cannot flatten an image."""
    modules = [m for _, m in nnx.iter_modules(net)]
    sequentials = [m for m in modules if isinstance(m, CONTAINERS)]
    kinds = (KEEPING | RESIZING | CONTAINERS, nnx.List)
    return not all(isinstance(m, kinds) for m in modules) or not all(
        isinstance(layer, nnx.Module) for m in sequentials for layer in m.layers
    )


def channels(net: nnx.Module, shape: Shape) -> dict[str, int]:
    """The channels of the flattened images that layers get as features, by path.

    The network is traced, and the axes of its arrays are followed from the input on: `PLAIN` are
    features that are not a flat image, `UNKNOWN` those whose order in PyTorch is not determined. A
    layer that the trace does not reach is left out.
    """
    graph, variables = nnx.split(net)
    embeds = any(isinstance(m, nnx.Embed) for _, m in nnx.iter_modules(net))

    def call(x: Array) -> Array:
        copy = eval_copy(graph, variables)
        for path, module in list(nnx.iter_modules(copy)):
            if isinstance(module, KEEPING | RESIZING):
                vars(module)["_mark"] = dotted(net, path)
                mix_in(_Resizing if isinstance(module, RESIZING) else _Marked, module)
        return call_without_state(copy, x) if isinstance(copy, SpikingModule) else copy(x)

    x = jax.ShapeDtypeStruct(shape, jnp.int32 if embeds else jnp.float32)
    jaxpr, _, _ = flatten(call, x)
    known = axes.propagate(jaxpr, {jaxpr.invars[-1]: axes.of_input(len(shape))})
    found: dict[str, set[int]] = {}
    for eqn in jaxpr.eqns:
        name = eqn.params.get("name", "") if eqn.primitive.name == "name" else ""
        if name.startswith(MARK):
            found.setdefault(name.removeprefix(MARK), set()).add(_order(known[eqn.outvars[0]][-1]))
    return {path: orders.pop() if len(orders) == 1 else UNKNOWN for path, orders in found.items()}


def _order(last: axes.Axis) -> int:
    """The channels of the flattened image on the last axis of an array."""
    if isinstance(last, axes.Flat):
        return last.channels
    return UNKNOWN if last == axes.UNKNOWN or isinstance(last, axes.Part) else PLAIN


class _Marked(nnx.Module):
    """Names its input in the trace; a norm, which keeps the order of features, is passed over."""

    _mark: str

    def __call__(self, *args):
        *state, x = args
        x = checkpoint_name(x, MARK + self._mark)
        return x if isinstance(self, NORMS) else super().__call__(*state, x)


class _Resizing(nnx.Module):
    """Names its input and its output, which have the same axes."""

    _mark: str

    def __call__(self, x):
        y = super().__call__(checkpoint_name(x, axes.KEEP + self._mark))
        return checkpoint_name(y, axes.KEEP + self._mark)
