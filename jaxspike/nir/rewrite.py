"""A network of `from_nir` as the graph that it was read from, with its weights as they are now."""

import warnings
from typing import Any

import jax
import numpy as np

from .export import Written
from .graph import NEURONS, Node
from .layout import last
from .module import Graph
from .neuron import Convention, per_step_r
from .nodes import layer_of, neuron_parameters
from .trace import Wire


def rewrite(writer: Any, net: Graph, name: str, wire: Wire | dict[str, Wire]) -> Any:
    """Add the nodes of ``net``, which gets ``wire``, or several; nested graphs stay flat."""
    graph = net.source.graph
    shapes = dict(zip(net.names, net.shapes, strict=True))
    prefix = f"{name}." if name else ""
    given = wire if isinstance(wire, dict) else {graph.inputs[0]: wire}
    if given.keys() != {*graph.inputs}:
        fix = f"It was read for {graph.inputs}."
        raise writer.refusal(name or "net", f"the inputs {sorted(given)}", fix)
    places = {}  # what stands for the output of a node
    for key, part in given.items():
        part = writer.channels_last(part)
        if part.nir_shape() != shapes[key]:
            fix = f"It was read for {shapes[key]}, channels first."
            raise writer.refusal(name or "net", f"an input of {part.nir_shape()}", fix)
        places[key] = part.sources
    for node in graph.nodes.values():
        if node.kind not in ("Input", "Output"):
            inside = Wire(writer, (), last(shapes[node.name]))
            tree = _tree(writer, net, node, inside)
            places[node.name] = writer.add(prefix + node.name, tree, inside).sources

    def heard(of: str) -> tuple[str, ...]:
        """What feeds a node, with Inputs and Outputs of nested graphs passed through."""
        found: list[str] = []
        for source in graph.sources[of]:
            found += places[source] if source in places else heard(source)
        if len({*found}) != len(found):
            raise writer.refusal(prefix + of, "the same twice as its input", "Add a Scale.")
        return tuple(found)

    for node in graph.nodes.values():
        if node.kind not in ("Input", "Output"):
            writer.edges += [(source, places[node.name][0]) for source in heard(node.name)]
    outputs = {o: Wire(writer, heard(o), last(shapes[o])) for o in graph.outputs}
    return outputs if len(outputs) > 1 else outputs.popitem()[1]


def _tree(writer: Any, net: Graph, node: Node, wire: Wire) -> dict[str, Any]:
    layer, convention = net[node.name], net.source.conventions[node.name]
    if layer is None or node.kind == "Delay":
        whole = {"delay": np.broadcast_to(node.fields["delay"], wire.nir_shape())}
        return {"type": node.kind, **node.fields, **(whole if node.kind == "Delay" else {})}
    if node.kind not in NEURONS:
        return writer.stateless(layer, node.name, wire)
    neuron, shape = layer.neuron, wire.nir_shape()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they were given when it was read
        as_read = layer_of(node, shape, shape, convention, neuron.surrogate).neuron
    if convention.dt != writer.dt or not _equal(neuron, as_read):
        return writer.neuron(neuron, node.name, wire)
    hints, lost = _hints(node, convention)
    if "model" in node.metadata:
        lost = [x for x in str(node.metadata.get("lost", "")).split(", ") if x]
    tree = writer.tree(Written(node.kind, {}, node.metadata | hints, lost), node.name, wire)
    return tree | neuron_parameters(node, shape)


def _equal(a: Any, b: Any) -> bool:
    leaves, others = jax.tree.leaves(a), jax.tree.leaves(b)
    same: Any = jax.tree.structure(a)
    return bool(same == jax.tree.structure(b)) and all(map(np.array_equal, leaves, others))


def _hints(node: Node, convention: Convention) -> tuple[dict[str, Any], list[str]]:
    """How a node was run, as far as it is not by default; and what of it NIR cannot say."""
    hints: dict[str, Any] = {}
    lost = []
    if convention.method != "euler" and node.kind not in ("I", "IF"):
        hints["method"] = convention.method
    if convention.start != "v_leak":
        start = convention.start
        hints["start"] = start if isinstance(start, str) else float(start)
    if node.kind in ("I", "IF"):
        per_step = per_step_r(node.kind, node.fields["r"], convention)
        hints["if_convention"] = "per_step" if per_step else "per_second"
    if "v_threshold" in node.fields:
        if convention.fire != ">":
            hints["fire"] = convention.fire
        if convention.reset != "hard":
            hints["reset"] = convention.reset
            lost.append("soft reset")
        if convention.max_spike_count != 1:
            hints["max_spike_count"] = convention.max_spike_count or 0
            lost.append("several spikes a step")
    if lost:
        hints["lost"] = ", ".join(lost)
    return hints, lost
