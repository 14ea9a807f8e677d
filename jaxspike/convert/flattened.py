"""Which layers get a flattened image: Flax flattens ``[H, W, C]``, PyTorch ``[C, H, W]``."""

import math
from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.ad_checkpoint import checkpoint_name

from .._types import Array, Shape
from ..engine.program import flatten, is_var
from ..nn import Dropout, Sequential, Spiking, SpikingModule
from ..nn.mixed_in import mix_in
from ..nn.module import call_without_state, eval_copy
from ..nn.paths import dotted
from .layers import NORMS

#: Layers that neither flatten nor take images, which keep the order of features.
OF_ROWS = nnx.Linear | NORMS | Spiking | Dropout | nnx.Dropout
CONTAINERS = Sequential | nnx.Sequential
MARK = "jaxspike.convert:"
PLAIN, UNKNOWN = 0, -1  # features in an order of their own, and in an order that is not determined


def only_rows(net: nnx.Module) -> bool:
    """Whether a network is a Sequential of layers that cannot flatten an image."""
    modules = [m for _, m in nnx.iter_modules(net)]
    sequentials = [m for m in modules if isinstance(m, CONTAINERS)]
    return all(isinstance(m, OF_ROWS | CONTAINERS | nnx.List) for m in modules) and all(
        isinstance(layer, nnx.Module) for m in sequentials for layer in m.layers
    )


def channels(net: nnx.Module, shape: Shape) -> dict[str, int]:
    """The channels of the images whose flat form layers get as their features, by path.

    The network is traced, and the input of each layer is followed back to the operation that
    determined the order of its features: `PLAIN` if that was not a flattening. A layer that the
    trace does not reach is left out.
    """
    graph, variables = nnx.split(net)
    embeds = any(isinstance(m, nnx.Embed) for _, m in nnx.iter_modules(net))

    def call(x: Array) -> Array:
        copy: Any = eval_copy(graph, variables)
        for path, module in list(nnx.iter_modules(copy)):
            if isinstance(module, nnx.Linear | NORMS | Spiking):
                vars(module)["_mark"] = MARK + dotted(net, path)
                mix_in(_Marked, module)
        return call_without_state(copy, x) if isinstance(copy, SpikingModule) else copy(x)

    jaxpr, _, _ = flatten(call, jax.ShapeDtypeStruct(shape, jnp.int32 if embeds else jnp.float32))
    producers = {v: eqn for eqn in jaxpr.eqns for v in eqn.outvars}
    orders: dict[object, int | None] = {}
    found: dict[str, list[int | None]] = {}
    for eqn in jaxpr.eqns:
        name = eqn.params.get("name", "") if eqn.primitive.name == "name" else ""
        if name.startswith(MARK):
            order = _order(eqn.invars[0], producers, orders)
            found.setdefault(name.removeprefix(MARK), []).append(order)
    return {path: _join(several) or PLAIN for path, several in found.items()}


class _Marked(nnx.Module):
    """Names its input in the trace; a norm, which keeps the order of features, is passed over."""

    _mark: str

    def __call__(self, *args):
        *state, x = args
        x = checkpoint_name(x, self._mark)
        return x if isinstance(self, NORMS) else super().__call__(*state, x)


def _join(orders: Iterable[int | None]) -> int | None:
    """The one order of several; None is that of an input, a state or a parameter."""
    found = {order for order in orders if order is not None}
    return found.pop() if len(found) == 1 else UNKNOWN if found else None


def _order(var, producers, known):
    """The channels of the image that the last axis of ``var`` is the flat form of."""
    if var not in known:
        known[var] = _order_of(producers[var], var, producers, known) if var in producers else None
    return known[var]


def _order_of(eqn, var, producers, known):
    """The same for an output of an equation."""
    variables: list[Any] = [v for v in eqn.invars if is_var(v)]
    operands = [v for v in variables if v.aval.shape]
    size = var.aval.shape[-1]
    if eqn.primitive.name in ("dot_general", "conv_general_dilated"):
        return PLAIN
    orders = [_order(v, producers, known) for v in operands]
    if eqn.primitive.name == "reshape" and operands[0].aval.shape[-1] != size:
        image = operands[0]
        moved = image in producers and producers[image].primitive.name == "transpose"
        merged = _merges_axes(image.aval.shape, size) and not moved and not orders[0]
        return image.aval.shape[-1] if merged else UNKNOWN
    return _join(
        # the order of only some features of a flat image is not determined
        order if v.aval.shape[-1] == size else order and UNKNOWN
        for v, order in zip(operands, orders, strict=True)
    )


def _merges_axes(shape: Shape, size: int) -> bool:
    """Whether the last axis of a reshape, of that size, is made of the last axes of ``shape``."""
    axes = len(shape)
    while axes and math.prod(shape[axes:]) < size:
        axes -= 1
    return math.prod(shape[axes:]) == size
