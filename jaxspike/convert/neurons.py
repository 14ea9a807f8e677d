"""The fields of a neuron in the state dicts of SpikingJelly and snnTorch."""

import dataclasses
import functools
from typing import Any

import jax.numpy as jnp
import numpy as np

from ..field import from_raw, range_of, to_raw
from ..neurons import IF, KLIF, LIF, PSN, GatedLIF, MaskedPSN, SlidingPSN, SynapseFilter
from ..nn import Spiking
from .slot import Layout, Slot, constant_slot, identity, no_counterpart, variable_slot


def slots(call: str, path: str, layer: Spiking, snntorch: bool) -> dict[str, Slot]:
    """The arrays of a neuron by their names in PyTorch; see `layers.slots`."""
    neuron = layer.neuron
    if snntorch:
        return _snntorch(call, path, layer)
    if isinstance(neuron, PSN | MaskedPSN):
        bias = variable_slot(layer.bias, lambda a: a[:, None], lambda a: a[:, 0])
        found = {"weight": variable_slot(layer.weight), "bias": bias}
        return found | (_mask(path, layer) if isinstance(neuron, MaskedPSN) else {})
    if isinstance(neuron, SlidingPSN):
        return {"weight": variable_slot(layer.weight), "bias": variable_slot(layer.bias)}
    if isinstance(neuron, GatedLIF):  # logits in both libraries
        return {name: variable_slot(getattr(layer, f"{name}_raw")) for name in layer.learn}
    if isinstance(neuron, LIF | SynapseFilter) and layer.learn == ("tau",):
        # 1 / tau = sigmoid(w) and tau = 1 + exp(tau_raw)
        return {"w": variable_slot(layer.tau_raw, np.negative, np.negative)}
    if isinstance(neuron, KLIF) and layer.learn == ("k",):
        return {"k": _field(call, path, layer, "k")}
    if layer.learn:
        fix = "It learns tau of LIF and SynapseFilter, k of KLIF, and all of GatedLIF."
        held = f" with learn={layer.learn}"
        raise no_counterpart(call, path, neuron, held, "SpikingJelly", fix)
    return {}


def _mask(path: str, layer: Spiking) -> dict[str, Slot]:
    neuron = layer.neuron
    ones = np.ones_like(neuron.weight)
    own = "lambda_" in vars(layer)
    constant = None if own else constant_slot(f"`{path}.lambda_`", neuron.lambda_)
    return {
        "_lambda_": constant or variable_slot(layer.lambda_),
        "mask0": constant_slot(f"The band of `{path}`", np.tril(np.triu(ones, 1 - neuron.k))),
        "mask1": constant_slot(f"The mask of `{path}`", ones),
    }


def _snntorch(call: str, path: str, layer: Spiking) -> dict[str, Slot]:
    """The arrays that every snnTorch neuron has in its state dict, learned or not."""
    neuron = layer.neuron
    fields = {f.name for f in dataclasses.fields(neuron)}
    found = {"graded_spikes_factor": constant_slot(f"The size of a spike of `{path}`", 1.0)}
    if {"v_decay", "v_threshold"} <= fields and neuron.v_threshold is not None:
        found["beta"] = _field(call, path, layer, "v_decay")
        if getattr(neuron, "c_decay", None) is not None:
            found["alpha"] = _field(call, path, layer, "c_decay")
    elif isinstance(neuron, LIF) and not neuron.decay_input:
        layouts = (lambda tau: 1 - 1 / tau, lambda beta: 1 / (1 - beta))
        found["beta"] = _field(call, path, layer, "tau", *layouts)
    elif isinstance(neuron, IF):
        found["beta"] = constant_slot(f"The decay of `{path}`", 1.0)
    else:
        fix = "Use IF, LIF(decay_input=False) or CubaLIF."
        raise no_counterpart(call, path, neuron, "", "snnTorch", fix)
    found["threshold"] = _field(call, path, layer, "v_threshold")
    never, soft = getattr(neuron, "reset_time", None) == "never", neuron.v_reset is None
    reset = 2 if never else 0 if soft else 1 if np.all(neuron.v_reset == 0) else np.nan
    if isinstance(neuron, LIF) and neuron.v_rest is not None and np.any(neuron.v_rest != 0):
        reset = np.nan  # snnTorch's rest at 0
    found["reset_mechanism_val"] = constant_slot(
        f"The reset of `{path}` (0: subtract, 1: to zero, 2: none)", reset
    )
    return found


def _field(
    call: str,
    path: str,
    layer: Spiking,
    name: str,
    to_torch: Layout = identity,
    back: Layout = identity,
) -> Slot:
    """A field that PyTorch holds directly or as a function of it; learned here or not."""
    if name not in layer.learn:
        variable = vars(layer).get(name)  # an array that is not learned
        if variable is not None:
            return variable_slot(variable, to_torch, back)
        return constant_slot(f"`{path}.{name}`", to_torch(getattr(layer.neuron, name)), back)
    field: Any = type(layer.neuron).__dataclass_fields__[name]
    others = functools.partial(getattr, layer.neuron)

    def to_raw_value(a):
        raw = np.asarray(to_raw(field, jnp.asarray(back(a)), others))
        if not np.isfinite(raw).all():
            what = f"be {range_of(field, others).requirement} for `{path}.{name}`, got {back(a)}"
            raise ValueError(f"`{call}(source=...)` must {what}.")
        return raw

    def to_value(a):
        return to_torch(np.asarray(from_raw(field, jnp.asarray(a), others)))

    return variable_slot(getattr(layer, f"{name}_raw"), to_value, to_raw_value)
