"""The layer for each node of a NIR graph."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import nnx

from ..neurons import Delay
from ..nn import AvgPool, MaxPool, Spiking
from ..surrogate import Sigmoid, Surrogate
from .export import model_of, written
from .graph import NEURONS, Node
from .layers import Delays, FlattenChannelsFirst, Matrix, Scale, SumPool, Threshold
from .layout import channels_first, channels_last
from .neuron import Convention, discretise, per_step_r
from .shapes import Shape, flatten_axes, full_parameter, kernel_size, paddings, sizes, weight_of
from .warn import warn

LONGEST = 10_000  # steps of a Delay, each of which is an array of its state


def layer_of(
    node: Node, shape: Shape, out: Shape, convention: Convention, surrogate: Surrogate | None
) -> Any:
    """The layer of a node that gets ``shape`` and gives ``out``; None if it passes that on."""
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
        return Threshold(threshold, surrogate or Sigmoid(), convention.fire == ">")
    if kind in ("SumPool2d", "AvgPool2d"):
        pool: Any = SumPool if kind == "SumPool2d" else AvgPool
        if node.metadata.get("lost") == "MaxPool":
            pool = MaxPool
        window, stride = sizes(node, "kernel_size", 2, 1), sizes(node, "stride", 2, 1)
        return pool(window, stride, paddings(node))
    if kind == "Flatten":
        return _flatten(node, shape, out)
    if kind == "Delay":
        return _delay(node, shape, convention.dt)
    return None


def _flatten(node: Node, shape: Shape, out: Shape) -> Any:
    counts_batch = len(out) != len(shape) - np.subtract(*flatten_axes(node, shape)[::-1]) + 1
    start, stop = flatten_axes(node, shape, bool(counts_batch))
    return FlattenChannelsFirst(start, stop, len(shape)) if stop - start > 1 else None


def _matrix(node: Node, out: Shape) -> Any:
    weight = weight_of(node)
    bias = full_parameter(node, "bias", out).astype(np.float32) if node.kind == "Affine" else None
    if weight.ndim > 2:
        return Matrix(jnp.asarray(weight), None if bias is None else jnp.asarray(bias))
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
    return nnx.Conv(
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


def _constant(value: Any) -> Any:
    return lambda key, shape, dtype, *_: jnp.asarray(value, dtype).reshape(shape)


def _delay(node: Node, shape: Shape, dt: float) -> Any:
    delay = full_parameter(node, "delay", shape)
    if np.any(delay < 0) or not np.all(np.isfinite(delay)):
        raise node.error("have delays of at least 0", f"{delay.min()}", "It cannot see ahead.")
    steps = np.round(delay / dt)
    if np.any(steps > LONGEST):
        most = f"have delays of at most {LONGEST} steps of {dt:g}"
        raise node.error(most, f"{delay.max():g}", "Check its unit and `dt`.")
    if np.any(np.abs(delay / dt - steps) > 1e-3):
        warn(node.name, node.kind, f"has a delay that is no multiple of dt={dt:g}; it is rounded")
    longest = int(steps.max(initial=0))
    if longest == 0:
        return None
    if np.all(steps == longest):
        return Spiking(Delay(longest))
    return Spiking(Delays(longest, steps=channels_last(steps).astype(np.float32)))


def neuron_parameters(node: Node, shape: Shape) -> dict[str, Any]:
    """The parameters of a neuron in full shape, with those that a file may leave out."""
    p = {field: full_parameter(node, field, shape) for field in node.fields}
    if node.kind.startswith("Cuba"):
        p.setdefault("w_in", np.ones(shape))
    if "v_threshold" in p:
        p.setdefault("v_reset", np.zeros(shape))  # files before nir 1.0.5 have none
    return p


def _neuron(node: Node, shape: Shape, convention: Convention, surrogate: Surrogate | None) -> Any:
    p = neuron_parameters(node, shape)
    for field, value in p.items():
        if not np.all(np.isfinite(value)) and field != "v_threshold":
            worst = value[~np.isfinite(value)].flat[0]
            raise node.error(f"have finite numbers as {field}", f"{worst}")
        if field.startswith("tau") and np.any(value <= 0):
            raise node.error(f"have {field} above 0", f"{value.min()}")
    if "model" in node.metadata:
        model = _model(node, p, convention, surrogate)
        if model is not None:
            return model
    _check_neuron(node, p, convention)
    return discretise(node.kind, p, convention, surrogate or Sigmoid())


def _model(node: Node, p: dict[str, Any], convention: Convention, surrogate: Any) -> Any:
    """The neuron that `to_nir` wrote, if the node still says the same."""
    model = model_of(node.metadata, surrogate)
    again = None if model is None else written(model, convention.dt)
    if again is not None and again.kind == node.kind:
        shape = np.moveaxis(p["r"], 0, -1).shape if p["r"].ndim else ()
        if all(
            np.allclose(channels_first(np.broadcast_to(v, shape)), p[k], rtol=1e-6, atol=0)
            for k, v in again.fields.items()
        ):
            return model
    if "lost" in node.metadata:
        lost, name = node.metadata["lost"], node.metadata["model"]
        warn(node.name, node.kind, f"was a {name}, of which NIR has lost {lost}; it has changed")
    return None


def _check_neuron(node: Node, p: dict[str, Any], convention: Convention) -> None:
    kind, dt = node.kind, convention.dt
    if kind.startswith("Cuba") and "w_in" not in node.fields:
        warn(node.name, kind, "has no w_in; 1 is taken")
    for field, value in p.items():
        if field.startswith("tau") and np.any(value < dt * (1 - 1e-6)):
            what = f"has {field}={value.min():g} below dt={dt:g}; check the units"
            warn(node.name, kind, what)
    if "v_threshold" in p:
        hard, several = convention.reset == "hard", convention.max_spike_count != 1
        if hard and np.any(p["v_threshold"] <= p["v_reset"]):
            warn(node.name, kind, "has a v_threshold that is not above its v_reset: it fires on")
        if several and np.any(p["v_threshold"] <= 0):
            least = p["v_threshold"].min()
            raise node.error("have v_threshold above 0 to fire several times a step", f"{least}")
    _check_r(node, p, convention)


def _check_r(node: Node, p: dict[str, Any], convention: Convention) -> None:
    """Warn of a resistance that no library writes, as that of a file made for another dt."""
    dt, kind = convention.dt, node.kind
    if kind == "IF" and convention.if_convention == "auto" and per_step_r(kind, p["r"], convention):
        if dt != 1:
            what = f"has r = 1, taken for 1 a step and not for 1 a second, which would be {dt:g}"
            warn(node.name, kind, f'{what}: to be sure give `if_convention="per_step"`')
        return
    if kind == "I":  # that no library writes
        return
    tau = p.get("tau", p.get("tau_mem", 1))
    if kind == "IF":
        usual, say = [1, 1 / dt], f"1 and 1 / dt = {1 / dt:g}"
    else:  # the last is Rockpool's
        usual, say = [1, tau / dt, tau / dt * np.exp(-dt / tau)], "1 and tau / dt"
    if not any(np.allclose(p["r"], u, rtol=1e-3, atol=0) for u in usual):
        what = f"has r={np.mean(p['r']):g}, where libraries write {say}; check dt"
        warn(node.name, kind, what)
