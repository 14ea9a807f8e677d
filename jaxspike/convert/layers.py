"""What a Flax layer is called and how it lies in memory in PyTorch."""

from collections.abc import Callable
from typing import Any

import numpy as np
from flax import nnx

from ..neurons import SequenceNeuron
from ..nn import Constant, Spiking
from . import neurons
from .entry import Entry, Layout, stored


def _linear(layer: nnx.Linear) -> dict[str, Entry]:
    """``[in, out]`` from ``[out, in]``."""
    return _named(layer, kernel=("weight", np.transpose, np.transpose), bias="bias")


def _conv(layer: nnx.Conv) -> dict[str, Entry]:
    """``[*, in / groups, out]`` from ``[out, in / groups, *]``."""
    to_flax = _moved((0, 1), (-1, -2))
    return _named(layer, kernel=("weight", _moved((-1, -2), (0, 1)), to_flax), bias="bias")


def _conv_transpose(layer: nnx.ConvTranspose) -> dict[str, Entry]:
    """From ``[in, out, *]``; PyTorch's kernel is that of the convolution it is the gradient of."""
    axes = tuple(range(len(layer.kernel.shape) - 2))
    last = (-1, -2) if layer.transpose_kernel else (-2, -1)

    def flip(a):
        return a if layer.transpose_kernel else np.flip(a, axes)

    def to_flax(a):
        return flip(_moved((0, 1), last)(a))

    def to_torch(a):
        return _moved(last, (0, 1))(flip(a))

    return _named(layer, kernel=("weight", to_torch, to_flax), bias="bias")


def _moved(source: tuple[int, int], target: tuple[int, int]) -> Layout:
    return lambda a: np.moveaxis(a, source, target)


def _norm(layer: Any) -> dict[str, Entry]:
    names = {"scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}
    found = _named(layer, **names)
    return found if all(e.value.ndim == 1 for e in found.values()) else {}


def _embed(layer: nnx.Embed) -> dict[str, Entry]:
    return _named(layer, embedding="weight")


def _named(layer: Any, **names: Any) -> dict[str, Entry]:
    """The variables that the layer has, by their names in PyTorch."""
    found = {}
    for ours, theirs in names.items():
        if isinstance(variable := getattr(layer, ours, None), nnx.Variable):
            name, *layouts = (theirs,) if isinstance(theirs, str) else theirs
            found[name] = stored(variable, *layouts)
    return found


NORMS = nnx.BatchNorm | nnx.LayerNorm | nnx.GroupNorm | nnx.InstanceNorm | nnx.RMSNorm
RULES: list[tuple[Any, Callable[[Any], dict[str, Entry]]]] = [
    (nnx.Linear, _linear),
    (nnx.Conv, _conv),
    (nnx.ConvTranspose, _conv_transpose),
    (NORMS, _norm),
    (nnx.Embed, _embed),
]


def own_variables(module: nnx.Module) -> dict[str, nnx.Variable[Any]]:
    """What ``module`` itself holds of what is learned or measured."""
    kinds: Any = (nnx.Param, nnx.BatchStat, Constant)
    return {k: v for k, v in vars(module).items() if isinstance(v, kinds)}


def entries(
    call: str, path: str, module: nnx.Module, channels: int | None, snntorch: bool
) -> dict[str, Entry]:
    """The arrays of ``module`` itself by their names in PyTorch.

    Args:
        call: The function to name in an error.
        path: Where the module is.
        module: Any module.
        channels: Of the image whose flat form the module gets; None if it gets another thing.
        snntorch: Whether neurons are those of snnTorch, which have a state dict of their own.

    Raises:
        TypeError: If it has no counterpart in PyTorch.
    """
    if isinstance(module, Spiking):
        found = neurons.entries(call, path, module, snntorch)
        vectors = not isinstance(module.neuron, SequenceNeuron)  # else axes of time
    else:
        found, vectors = _layer(call, path, module), isinstance(module, NORMS)
    if channels is None:
        return found
    if isinstance(module, nnx.Linear):
        return found | {"weight": _flattened(found["weight"], channels, 1)}
    flat = {k: _flattened(e, channels, 0) for k, e in found.items() if vectors and e.value.ndim}
    return found | flat


def _layer(call: str, path: str, module: nnx.Module) -> dict[str, Entry]:
    own = own_variables(module)
    for kinds, rule in RULES:
        if isinstance(module, kinds) and len(found := rule(module)) == len(own):
            return found
    if own:
        raise TypeError(
            f"`{call}(net=...)` must be made of layers with a counterpart in PyTorch, "
            f"got a {type(module).__name__} with {sorted(own)} at `{path}`. Use nnx.Linear, Conv, "
            "ConvTranspose, BatchNorm, LayerNorm, GroupNorm, InstanceNorm, RMSNorm or Embed."
        )
    return {}


def _flattened(entry: Entry, channels: int, axis: int) -> Entry:
    """An array whose ``axis`` is an image: flattened from HWC here, from CHW in PyTorch."""

    def swap(a, rows):
        parts = (*a.shape[:axis], rows, -1, *a.shape[axis + 1 :])
        return a.reshape(parts).swapaxes(axis, axis + 1).reshape(a.shape)

    value = entry.value
    torch_value = swap(value, value.shape[axis] // channels)
    return Entry(torch_value, lambda a: entry.load(swap(a, channels)))
