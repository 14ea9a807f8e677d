"""The names and memory layouts that the arrays of a Flax layer have in PyTorch."""

from collections.abc import Callable
from typing import Any

import numpy as np
from flax import nnx

from .._types import Array
from ..neurons import SequenceNeuron
from ..nn import QCFS, Constant, Spiking, SpikingS4D
from . import neurons
from .slot import Layout, Slot, no_counterpart, variable_slot


def _linear(layer: nnx.Linear) -> dict[str, Slot]:
    """``[in, out]`` from ``[out, in]``."""
    return _renamed(layer, kernel=("weight", np.transpose, np.transpose), bias="bias")


def _conv(layer: nnx.Conv) -> dict[str, Slot]:
    """``[*, in / groups, out]`` from ``[out, in / groups, *]``."""
    to_flax = _move_axes((0, 1), (-1, -2))
    return _renamed(layer, kernel=("weight", _move_axes((-1, -2), (0, 1)), to_flax), bias="bias")


def _conv_transpose(layer: nnx.ConvTranspose) -> dict[str, Slot]:
    """From ``[in, out, *]``; PyTorch has the kernel of the convolution whose gradient this is."""
    axes = tuple(range(len(layer.kernel.shape) - 2))
    last = (-1, -2) if layer.transpose_kernel else (-2, -1)

    def flip(a):
        return a if layer.transpose_kernel else np.flip(a, axes)

    def to_flax(a):
        return flip(_move_axes((0, 1), last)(a))

    def to_torch(a):
        return _move_axes(last, (0, 1))(flip(a))

    return _renamed(layer, kernel=("weight", to_torch, to_flax), bias="bias")


def _move_axes(source: tuple[int, int], target: tuple[int, int]) -> Layout:
    return lambda a: np.moveaxis(a, source, target)


def _norm(layer: nnx.Module) -> dict[str, Slot]:
    names = {"scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}
    found = _renamed(layer, **names)
    return found if all(e.value.ndim == 1 for e in found.values()) else {}


def _embed(layer: nnx.Embed) -> dict[str, Slot]:
    return _renamed(layer, embedding="weight")


def _qcfs(layer: QCFS) -> dict[str, Slot]:
    """``[1]`` of a number, from its logarithm."""
    shape = layer.threshold_raw.shape

    def to_flax(a):
        if not (a > 0).all():
            what = "have thresholds of `QCFS` greater than 0"
            raise ValueError(f"`from_torch(source=...)` must {what}, got {a.min()}.")
        return np.log(a).reshape(shape)

    return _renamed(layer, threshold_raw=("thresh", lambda a: np.exp(a).reshape(-1), to_flax))


def _s4d(layer: SpikingS4D) -> dict[str, Slot]:
    """``D``, and in its ``kernel`` the real and imaginary parts of ``C`` as one array."""
    names = {"log_dt": "log_dt", "log_a_real": "log_A_real", "a_imag": "A_imag"}
    real, imag = _renamed(layer, c_real="real", c_imag="imag").values()

    def load(a):
        real.load(a[..., 0])
        imag.load(a[..., 1])

    kernel = _renamed(layer, **names) | {
        "C": Slot(np.stack((real.value, imag.value), -1), load, variables=2)
    }
    return _renamed(layer, d="D") | {f"kernel.{name}": slot for name, slot in kernel.items()}


def _renamed(layer: nnx.Module, **names: str | tuple[str, Layout, Layout]) -> dict[str, Slot]:
    """The variables of a layer by their names in PyTorch."""
    found = {}
    for ours, theirs in names.items():
        if isinstance(variable := getattr(layer, ours, None), nnx.Variable):
            name, *layouts = (theirs,) if isinstance(theirs, str) else theirs
            found[name] = variable_slot(variable, *layouts)
    return found


NORMS = nnx.BatchNorm | nnx.LayerNorm | nnx.GroupNorm | nnx.InstanceNorm | nnx.RMSNorm
CONVOLUTIONS = nnx.Conv | nnx.ConvTranspose
RULES: list[tuple[Any, Callable[[Any], dict[str, Slot]]]] = [
    (nnx.Linear, _linear),
    (nnx.Conv, _conv),
    (nnx.ConvTranspose, _conv_transpose),
    (NORMS, _norm),
    (nnx.Embed, _embed),
    (QCFS, _qcfs),
    (SpikingS4D, _s4d),
]


def own_variables(module: nnx.Module) -> dict[str, nnx.Variable[Array]]:
    """The learned or measured variables that ``module`` itself holds."""
    kinds = (nnx.Param, nnx.BatchStat, Constant)
    return {k: v for k, v in vars(module).items() if isinstance(v, kinds)}


def slots(
    call: str, path: str, module: nnx.Module, channels: int, snntorch: bool
) -> dict[str, Slot]:
    """The arrays of ``module`` itself by their names in PyTorch.

    Args:
        call: The function to name in an error.
        path: The path of the module.
        module: Any module.
        channels: Channels of the flattened image that the module gets; 0 if it gets none.
        snntorch: Whether neurons are snnTorch's, which have a state dict of their own.

    Raises:
        TypeError: If the module has no counterpart in PyTorch.
    """
    if isinstance(module, Spiking):
        found = neurons.slots(call, path, module, snntorch)
        if _is_per_feature(module) and any(slot.value.ndim > 1 for slot in found.values()):
            held, fix = " with a value per pixel", "Use one value per channel."
            raise no_counterpart(call, path, module.neuron, held, "PyTorch", fix)
    else:
        found = _layer(call, path, module)
    if not channels:
        return found
    if isinstance(module, nnx.Linear):
        return found | {"weight": _flattened(found["weight"], channels, 1)}
    per_feature = found if _is_per_feature(module) else {}
    return found | {k: _flattened(e, channels, 0) for k, e in per_feature.items() if e.value.ndim}


def has_order(module: nnx.Module) -> bool:
    """Whether the arrays of ``module`` depend on the order of the features that it gets."""
    if isinstance(module, nnx.Linear | CONVOLUTIONS):
        return True
    own = own_variables(module).values() if _is_per_feature(module) else ()
    return any(v.shape for v in own)


def _is_per_feature(module: nnx.Module) -> bool:
    if isinstance(module, Spiking):
        return not isinstance(module.neuron, SequenceNeuron)  # whose arrays have time axes
    return isinstance(module, NORMS)


def _layer(call: str, path: str, module: nnx.Module) -> dict[str, Slot]:
    own = own_variables(module)
    for kinds, rule in RULES:
        found = rule(module) if isinstance(module, kinds) else {}
        if found and sum(slot.variables for slot in found.values()) == len(own):
            return found
    if own:
        fix = "Use nnx.Linear, Conv, ConvTranspose, Embed or one of its normalizations."
        raise no_counterpart(call, path, module, f" with {sorted(own)}", "PyTorch", fix)
    return {}


def _flattened(slot: Slot, channels: int, axis: int) -> Slot:
    """An array whose ``axis`` is a flat image: in the order HWC here, and CHW in PyTorch."""

    def swap(a, rows):
        parts = (*a.shape[:axis], rows, -1, *a.shape[axis + 1 :])
        return a.reshape(parts).swapaxes(axis, axis + 1).reshape(a.shape)

    value = slot.value
    torch_value = swap(value, value.shape[axis] // channels)
    return Slot(torch_value, lambda a: slot.load(swap(a, channels)))
