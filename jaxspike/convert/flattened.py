"""Whose features are a flattened image: Flax flattens ``[H, W, C]``, PyTorch ``[C, H, W]``."""

import contextlib
import math
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.ad_checkpoint import checkpoint_name

from .._types import Shape
from ..engine.program import flatten, is_var
from ..nn import Spiking, SpikingModule
from ..nn.module import call_without_state, eval_copy
from .layers import NORMS

MARK = "jaxspike.convert:"
SIZE = 256  # of the image that stands for one of unknown size
PLAIN, UNKNOWN = 0, -1


def channels(net: nnx.Module, shape: Shape | None) -> dict[str, set[int]]:
    """The channels of the images whose flat form a layer gets as its features, by its path.

    The network is traced, and the features of its layers are followed back to the operation that
    put them in their order. It is ``PLAIN`` if they are no flat image; several numbers, or
    ``UNKNOWN``, say that it cannot be told, as does a layer that is not reached.

    Args:
        net: The network.
        shape: Shape of one step of input. If None, an image of the channels that a convolution
            takes is tried, whose size does not matter; without convolutions images and rows, and
            if any of them is flattened, it cannot be told.
    """
    modules = [m for _, m in nnx.iter_modules(net)]
    if not any(isinstance(m, nnx.Linear) for m in modules):
        return {}
    number = jnp.int32 if any(isinstance(m, nnx.Embed) for m in modules) else jnp.float32
    if shape is not None:
        return _marks(net, jax.ShapeDtypeStruct(shape, number))
    convs = [m for m in modules if isinstance(m, nnx.Conv)]
    images = {(1, *(SIZE,) * (m.kernel.ndim - 2), m.in_features) for m in convs}
    rows = {(1, m.in_features) for m in modules if isinstance(m, nnx.Linear)}
    traces = []
    for tried in images or {*rows, (1, SIZE, SIZE, 3)}:
        with contextlib.suppress(ValueError, TypeError):  # no input of this network
            traces.append(_marks(net, jax.ShapeDtypeStruct(tried, number)))
    if images:
        return traces[0] if traces else {}
    return {
        path: {PLAIN} if all(t.get(path, set()) <= {PLAIN} for t in traces) else {UNKNOWN}
        for path in {path for t in traces for path in t}
    }


def _marks(net: nnx.Module, x: Any) -> dict[str, set[int]]:
    """What `channels` finds in one trace."""
    graph, variables = nnx.split(net)

    def call(x):
        copy: Any = eval_copy(graph, variables)
        for path, module in list(nnx.iter_modules(copy)):
            if isinstance(module, nnx.Linear | NORMS | Spiking):
                vars(module)["_mark"] = MARK + ".".join(map(str, path))
                object.__setattr__(module, "__class__", _marked(type(module)))
        if isinstance(copy, SpikingModule):
            return call_without_state(copy, x)
        return copy(x)

    jaxpr, _, _ = flatten(call, x)
    producers = {v: eqn for eqn in jaxpr.eqns for v in eqn.outvars}
    found: dict[str, set[int]] = {}
    for eqn in jaxpr.eqns:
        mark = eqn.params.get("name", "") if eqn.primitive.name == "name" else ""
        if mark.startswith(MARK):
            path = mark.removeprefix(MARK)
            found.setdefault(path, set()).update(_order(eqn.invars[0], producers, {}))
    return found


def _marked(cls: type) -> type:
    """A layer that marks its input, and lets features be of any number."""

    def call(self, *args):
        *state, x = args
        x = checkpoint_name(x, self._mark)
        if state:
            return cls.__call__(self, *state, x)
        if isinstance(self, nnx.Linear):
            return x @ jnp.zeros((x.shape[-1], self.out_features), x.dtype)
        return 1 * x

    return type(cls.__name__, (cls,), {"__call__": call})


def _order(var: Any, producers: dict[Any, Any], known: dict[Any, set[int]]) -> set[int]:
    """The channels of the images that the last axis of ``var`` is the flat form of."""
    if var in known:
        return known[var]
    if var not in producers:
        return set()  # an input, a state or a parameter: no order of its own
    eqn, size = producers[var], var.aval.shape[-1]
    name, operands = eqn.primitive.name, [v for v in eqn.invars if is_var(v) and v.aval.shape]
    if name in ("dot_general", "conv_general_dilated"):
        result = {PLAIN}
    elif name == "reshape" and operands[0].aval.shape[-1] != size:
        result = _merged(operands[0], var.aval.shape, producers, known)
    else:
        result = set()
        for v in operands:
            order = _order(v, producers, known)
            if v.aval.shape[-1] == size:
                result |= order
            elif order - {PLAIN}:
                result.add(UNKNOWN)  # some features of a flat image
    known[var] = result
    return result


def _merged(
    image: Any, shape: Shape, producers: dict[Any, Any], known: dict[Any, set[int]]
) -> set[int]:
    """The order of the last axis of ``shape``, into which axes of ``image`` were reshaped."""
    before, length = image.aval.shape, 1
    axes = len(before)
    while axes and length < shape[-1]:
        axes -= 1
        length *= before[axes]
    moved = image in producers and producers[image].primitive.name == "transpose"
    whole = length == shape[-1] and math.prod(before[:axes]) == math.prod(shape[:-1])
    if moved or not whole or _order(image, producers, known) - {PLAIN}:
        return {UNKNOWN}
    return {before[-1]}
