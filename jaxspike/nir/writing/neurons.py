"""The NIR node of a neuron, and the features of the neuron that NIR cannot represent."""

import dataclasses
from collections.abc import Callable

import numpy as np

from ... import neurons as models
from ...field import is_static
from ...neurons import IF, LI, LIF, CubaLIF, Delay, DiscreteLIF, Neuron
from ...surrogate import Surrogate
from ..file import Tree
from ..layers import Delays
from ..neuron import NIRNeuron, Parameters


@dataclasses.dataclass
class NeuronNode:
    """A neuron as a node: its fields in the neuron's own layout, hints, and the features lost."""

    kind: str
    fields: Parameters
    hints: Tree = dataclasses.field(default_factory=dict)
    lost: list[str] = dataclasses.field(default_factory=list)


def neuron_node(neuron: Neuron, dt: float) -> NeuronNode | None:
    """The node whose forward Euler steps of ``dt`` are this neuron; None if there is none."""
    rule = _RULES.get(type(neuron), _nearest)
    p = {
        f.name: np.asarray(getattr(neuron, f.name), np.float64)
        for f in dataclasses.fields(neuron)
        if not is_static(f)
        and getattr(neuron, f.name) is not None
        and not isinstance(getattr(neuron, f.name), Surrogate | Neuron)
    }
    with np.errstate(divide="ignore", invalid="ignore"):
        node = rule(neuron, p, dt)
    if node is None or not all(
        np.all(np.isfinite(v)) or k == "v_threshold" for k, v in node.fields.items()
    ):
        return None
    if any(np.any(v <= 0) for k, v in node.fields.items() if k.startswith("tau")):
        return None
    if node.kind != "Delay":
        node.hints |= model_hint(neuron)
    if node.lost:
        node.hints["lost"] = ", ".join(node.lost)
    return node


def _spiking(node: NeuronNode, neuron: LIF | IF | CubaLIF, p: Parameters) -> NeuronNode:
    """The common part of SpikingJelly's models: firing, and a start at the reset."""
    node.fields |= {"v_threshold": p["v_threshold"], "v_reset": p.get("v_reset", np.zeros(()))}
    node.hints["fires"] = ">="
    if neuron.v_reset is None:
        node.lost.append("soft reset")
        node.hints["reset"] = "subtract"
    elif node.kind != "LIF" and np.any(p["v_reset"] != 0):
        node.hints["start"] = "v_reset"
    return node


def _lif(neuron: LIF, p: Parameters, dt: float) -> NeuronNode:
    tau = p["tau"]
    r = np.ones_like(tau) if neuron.decay_input else tau
    v_rest = p.get("v_rest", p.get("v_reset", np.zeros(())))
    p = {"v_reset": v_rest} | p  # else a reader without soft resets would reset to 0
    fields = {"tau": tau * dt, "r": r, "v_leak": v_rest}
    return _spiking(NeuronNode("LIF", fields), neuron, p)


def _if(neuron: IF, p: Parameters, dt: float) -> NeuronNode:
    return _spiking(NeuronNode("IF", {"r": np.asarray(1 / dt)}), neuron, p)


def _li(neuron: LI, p: Parameters, dt: float) -> NeuronNode:
    return NeuronNode("LI", {"tau": p["tau"] * dt, "r": np.ones(()), "v_leak": np.zeros(())})


def _cuba_lif(neuron: CubaLIF, p: Parameters, dt: float) -> NeuronNode:
    syn, mem = 1 / (1 - p["c_decay"]), 1 / (1 - p["v_decay"])
    fields = {"tau_syn": syn * dt, "tau_mem": mem * dt, "r": mem, "w_in": syn}
    return _spiking(NeuronNode("CubaLIF", fields | {"v_leak": np.zeros(())}), neuron, p)


def _delay(neuron: Delay | Delays, p: Parameters, dt: float) -> NeuronNode:
    return NeuronNode("Delay", {"delay": np.asarray(neuron.steps, np.float64) * dt})


def _discrete(neuron: DiscreteLIF, p: Parameters, dt: float) -> NeuronNode | None:
    leak = p["v_leak"]
    start = p["v_start"] if isinstance(neuron, NIRNeuron) else leak
    spikes = neuron.v_threshold is not None
    if neuron.c_decay is not None:
        if np.any(p["x_gain"] != 0):
            return None
        syn, mem = 1 / (1 - p["c_decay"]), 1 / (1 - p["v_decay"])
        r, w_in = p["v_gain"] * mem, p["c_gain"] * syn
        kind, fields = "CubaLI", {"tau_syn": syn * dt, "tau_mem": mem * dt, "r": r, "w_in": w_in}
    else:
        gain = p["c_gain"] * p["v_gain"] + p["x_gain"]
        if np.all(p["v_decay"] == 1):
            kind, fields, leak = "I", {"r": gain / dt}, np.zeros(())
        else:
            mem = 1 / (1 - p["v_decay"])
            kind, fields = "LI", {"tau": mem * dt, "r": gain * mem}
    if kind != "I":
        fields["v_leak"] = leak
    node = NeuronNode({"I": "IF"}.get(kind, f"{kind}F") if spikes else kind, fields)
    if np.any(start != leak):
        if start.size > 1:
            node.lost.append("v_start")
        else:
            node.hints["start"] = start.item()
    if neuron.v_min is not None:
        node.lost.append("v_min")
    if spikes:
        fields["v_threshold"] = p["v_threshold"]
        fields["v_reset"] = p.get("v_reset", np.zeros(()))
        _firing(node, neuron)
    return node


def _firing(node: NeuronNode, neuron: DiscreteLIF) -> None:
    if neuron.fires != ">":
        node.hints["fires"] = neuron.fires
    soft = neuron.v_reset is None
    if neuron.reset_time == "immediate" and soft:
        node.lost.append("soft reset")
        node.hints["reset"] = "subtract"
    elif neuron.reset_time == "immediate_once":
        node.lost.append("soft reset")
        node.hints["reset"] = "subtract_once"
    elif neuron.reset_time == "after_charge" and soft:
        node.lost.append("soft reset, delayed")
        node.hints["reset"] = "subtract_delayed"
    elif neuron.reset_time != "immediate":
        node.lost.append(f"reset_time={neuron.reset_time!r}")
    if neuron.spike_delay:
        node.lost.append("spike_delay")
    if neuron.max_spike_count != 1:
        node.lost.append("several spikes per step")
        node.hints["max_spike_count"] = neuron.max_spike_count or 0


def _nearest(neuron: Neuron, p: Parameters, dt: float) -> NeuronNode | None:
    """An LIF or IF of the same threshold, for a model that NIR does not have."""
    if "v_threshold" not in p or getattr(models, type(neuron).__name__, None) is not type(neuron):
        return None
    zero, v_reset = np.zeros(()), p.get("v_reset", np.zeros(()))
    fields = {"r": np.asarray(1 / dt)}
    if "tau" in p:
        fields = {"tau": p["tau"] * dt, "r": np.ones(()), "v_leak": zero}
    fields |= {"v_threshold": p["v_threshold"], "v_reset": v_reset}
    kind = "LIF" if "tau" in p else "IF"
    return NeuronNode(kind, fields, lost=[f"the model {type(neuron).__name__}"])


_RULES: dict[type, Callable[..., NeuronNode | None]] = {
    LIF: _lif,
    IF: _if,
    LI: _li,
    CubaLIF: _cuba_lif,
    DiscreteLIF: _discrete,
    NIRNeuron: _discrete,
    Delay: _delay,
    Delays: _delay,
}


def model_hint(neuron: Neuron) -> Tree:
    """The neuron itself, from which `from_nir` restores it bit for bit."""
    hint: Tree = {"model": type(neuron).__name__}
    for field in dataclasses.fields(neuron):
        value = getattr(neuron, field.name)
        if not isinstance(value, Surrogate | Neuron):
            hint[f"model.{field.name}"] = "None" if value is None else value
    return hint
