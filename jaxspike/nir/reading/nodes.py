"""The layer for each node of a NIR graph."""

import dataclasses

import jax.numpy as jnp
import numpy as np
from flax import nnx

from ... import neurons as models
from ..._types import Shape
from ...neurons import Delay, Neuron
from ...nn import AvgPool, Conv, MaxPool, Spiking
from ...surrogate import Sigmoid, Surrogate
from ..convention import Convention
from ..file import Tree
from ..graph import NEURONS, Node
from ..layers import Delays, FlattenChannelsFirst, Matrix, Scale, SumPool, Threshold
from ..layout import channels_last
from ..neuron import NIRNeuron, Parameters, checksum, discretize, neuron_parameters, per_step_r
from ..shapes import (
    LARGEST,
    Array,
    flatten_axes,
    full_parameter,
    kernel_size,
    paddings,
    sizes,
    weight_of,
)

LONGEST = 10_000  # steps of a Delay, each of which is a row of its state


def layer_of(
    node: Node, shape: Shape, out: Shape, convention: Convention, surrogate: Surrogate | None
) -> nnx.Module | None:
    """The layer of a node from ``shape`` to ``out``; None if it only passes its input on."""
    kind = node.kind
    if kind in NEURONS:
        return Spiking(_neuron(node, shape, convention, surrogate))
    if kind in ("Linear", "Affine"):
        return _matrix(node, out)
    if kind in ("Conv1d", "Conv2d"):
        return _conv(node)
    if kind == "Scale":
        return Scale(channels_last(full_parameter(node, "scale", shape)))
    if kind == "Threshold":
        threshold = channels_last(full_parameter(node, "threshold", shape))
        return Threshold(threshold, surrogate or Sigmoid(), convention.fires == ">")
    if kind in ("SumPool2d", "AvgPool2d"):
        window = sizes(node, "kernel_size", 2, 1), sizes(node, "stride", 2, 1), paddings(node)
        if node.metadata.get("lost") == "MaxPool":
            return MaxPool(*window)
        return SumPool(*window) if kind == "SumPool2d" else AvgPool(*window)
    if kind == "Flatten":
        return _flatten(node, shape, out)
    if kind == "Delay":
        return _delay(node, shape, convention.dt)
    return None


def _flatten(node: Node, shape: Shape, out: Shape) -> nnx.Module | None:
    counts_batch = len(out) != len(shape) - np.subtract(*flatten_axes(node, shape)[::-1]) + 1
    start, stop = flatten_axes(node, shape, bool(counts_batch))
    return FlattenChannelsFirst(start, stop, len(shape)) if stop - start > 1 else None


def _matrix(node: Node, out: Shape) -> nnx.Module:
    weight = weight_of(node)
    bias = full_parameter(node, "bias", out).astype(np.float32) if node.kind == "Affine" else None
    if weight.ndim > 2:
        return Matrix(weight, bias)
    return nnx.Linear(
        weight.shape[1],
        weight.shape[0],
        use_bias=bias is not None,
        kernel_init=_constant(weight.T),
        bias_init=_constant(bias),
        rngs=nnx.Rngs(0),
    )


def _conv(node: Node) -> nnx.Conv:
    weight = weight_of(node)
    axes, groups = weight.ndim - 2, sizes(node, "groups", 1, 1)[0]
    bias = full_parameter(node, "bias", weight.shape[:1]).astype(np.float32)
    return Conv(
        weight.shape[1] * groups,
        weight.shape[0],
        kernel_size(node),
        strides=sizes(node, "stride", axes, 1),
        padding=paddings(node),
        kernel_dilation=sizes(node, "dilation", axes, 1),
        feature_group_count=groups,
        kernel_init=_constant(np.moveaxis(weight, (0, 1), (-1, -2))),
        bias_init=_constant(bias),
        rngs=nnx.Rngs(0),
    )


def _constant(value: Array | None):
    return lambda key, shape, dtype, *_: jnp.asarray(value, dtype).reshape(shape)


def _delay(node: Node, shape: Shape, dt: float) -> nnx.Module | None:
    delay = full_parameter(node, "delay", shape)
    if np.any(delay < 0) or not np.all(np.isfinite(delay)):
        fix = "It cannot see into the future."
        raise node.error("have delays of at least 0", f"{delay.min()}", fix)
    steps = np.round(delay / dt)
    if np.any(steps > LONGEST):
        most = f"have delays of at most {LONGEST} steps of {dt:g}"
        raise node.error(most, f"{delay.max():g}", "Check its unit and `dt`.")
    if np.any(np.abs(delay / dt - steps) > 1e-3):
        node.warn(f"has a delay that is not a multiple of dt={dt:g}; it is rounded")
    longest = int(steps.max(initial=0))
    if longest == 0:
        return None
    if np.all(steps == longest):
        return Spiking(Delay(longest))
    return Spiking(Delays(longest, steps=jnp.asarray(channels_last(steps), jnp.float32)))


def _neuron(
    node: Node, shape: Shape, convention: Convention, surrogate: Surrogate | None
) -> Neuron:
    p = neuron_parameters(node, shape)
    for field, value in p.items():
        if not np.all(np.isfinite(value)) and field != "v_threshold":
            worst = value[~np.isfinite(value)].flat[0]
            raise node.error(f"have finite numbers as {field}", f"{worst}")
        if field.startswith("tau") and np.any(value <= 0):
            raise node.error(f"have {field} greater than 0", f"{value.min()}")
    if "model" in node.metadata:
        unchanged = node.metadata.get("model.checksum") == checksum(node.kind, convention.dt, p)
        model = _model(node.metadata, surrogate) if np.all(unchanged) else None
        if model is not None:
            return model
        if "lost" in node.metadata:
            lost = f"NIR cannot represent {node.metadata['lost']}"
            node.warn(f"has changed since it was a {node.metadata['model']}, and {lost}")
    _check_neuron(node, p, convention)
    neuron = discretize(node.kind, p, convention, surrogate or Sigmoid())
    for field in "v_decay", "c_decay", "v_gain", "c_gain", "x_gain":
        value = getattr(neuron, field)
        if value is not None and not np.all(np.abs(value) <= LARGEST):
            raise node.error("have parameters of moderate size", f"{field}={value} in a step")
    return neuron


def _model(hint: Tree, surrogate: Surrogate | None) -> Neuron | None:
    """The neuron that `to_nir` wrote; None if there is no such model or its fields do not fit."""
    name = str(hint["model"])
    cls = NIRNeuron if name == "NIRNeuron" else getattr(models, name, None)
    if not (isinstance(cls, type) and issubclass(cls, Neuron)):
        return None
    try:
        return cls(**_model_fields(hint, cls, surrogate))
    except (TypeError, ValueError):
        return None


def _model_fields(hint: Tree, cls: type[Neuron], surrogate: Surrogate | None) -> Tree:
    fields: Tree = {}
    for field in dataclasses.fields(cls):
        if field.name == "surrogate" and surrogate is not None:
            fields["surrogate"] = surrogate
        elif (key := f"model.{field.name}") in hint:
            value = hint[key]
            if isinstance(value, np.ndarray):
                value = channels_last(value).astype(np.float32)
            value = value.item() if isinstance(value, np.generic) else value
            fields[field.name] = None if isinstance(value, str) and value == "None" else value
    return fields


def _check_neuron(node: Node, p: Parameters, convention: Convention) -> None:
    kind, dt = node.kind, convention.dt
    if kind.startswith("Cuba") and "w_in" not in node.fields:
        node.warn("has no w_in; 1 is used")
    for field, value in p.items():
        if field.startswith("tau") and np.any(value < dt * (1 - 1e-6)):
            node.warn(f"has {field}={value.min():g} below dt={dt:g}; check the units")
    if "v_threshold" in p:
        hard, several = convention.reset == "hard", convention.max_spike_count != 1
        if hard and np.any(p["v_threshold"] <= p["v_reset"]):
            got = f"{p['v_threshold'].min():g} with v_reset {p['v_reset'].max():g}"
            raise node.error("have v_threshold greater than v_reset", got)
        if several and np.any(p["v_threshold"] <= 0):
            must = "have v_threshold greater than 0 to fire several times per step"
            raise node.error(must, f"{p['v_threshold'].min()}")
    _check_r(node, p, convention)


def _check_r(node: Node, p: Parameters, convention: Convention) -> None:
    """Warn about a resistance that no library writes, as in a file made for another ``dt``."""
    dt, kind = convention.dt, node.kind
    if kind == "IF" and convention.if_convention == "auto" and per_step_r(kind, p["r"], convention):
        if dt != 1:
            what = f"has r = 1, taken as 1 per step, not 1 per second, which would be {dt:g}"
            node.warn(f'{what}; give `Convention(if_convention="per_step")` to confirm')
        return
    if kind == "I":  # that no library writes
        return
    if kind == "IF":
        usual, names = [1, 1 / dt], f"1 and 1 / dt = {1 / dt:g}"
    else:  # the last is Rockpool's
        tau = p["tau_mem" if kind.startswith("Cuba") else "tau"]
        usual, names = [1, tau / dt, tau / dt * np.exp(-dt / tau)], "1 and tau / dt"
    if not any(np.allclose(p["r"], u, rtol=1e-3, atol=0) for u in usual):
        node.warn(f"has r={np.mean(p['r']):g}, where libraries write {names}; check dt")
