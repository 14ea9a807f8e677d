"""A network of `from_nir` as the graph that it was read from, with its current weights."""

import dataclasses

import numpy as np

from ...neurons import Neuron
from ..convention import Convention
from ..file import Tree
from ..graph import NEURONS, Node
from ..graph_module import Graph
from ..layout import last
from ..neuron import neuron_parameters, per_step_r
from .neurons import NeuronNode
from .trace import Wire, Wires


def write_again(writer, net: Graph, name: str, wire: Wires) -> Wires:
    """Add the nodes of ``net``, whose input is ``wire``; nested graphs stay flat."""
    graph = net.origin.graph
    shapes = dict(zip(net.names, net.shapes, strict=True))
    prefix = f"{name}." if name else ""
    given = wire if isinstance(wire, dict) else {graph.inputs[0]: wire}
    if given.keys() != {*graph.inputs}:
        fix = f"It was read for {graph.inputs}."
        raise writer.refusal(name or "net", f"the inputs {sorted(given)}", fix)
    places = {}  # the nodes whose sum is the output of a node
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

    def inputs(of: str) -> tuple[str, ...]:
        """The nodes that feed a node, passing through Inputs and Outputs of nested graphs."""
        found: list[str] = []
        for source in graph.sources[of]:
            found += places[source] if source in places else inputs(source)
        if len({*found}) != len(found):
            raise writer.refusal(prefix + of, "the same input twice", "Add a Scale.")
        return tuple(found)

    for node in graph.nodes.values():
        if node.kind not in ("Input", "Output"):
            writer.edges += [(source, places[node.name][0]) for source in inputs(node.name)]
    outputs = {o: Wire(writer, inputs(o), last(shapes[o])) for o in graph.outputs}
    return outputs if len(outputs) > 1 else outputs.popitem()[1]


def _tree(writer, net: Graph, node: Node, wire: Wire) -> Tree:
    layer, convention = net[node.name], net.origin.conventions[node.name]
    if node.kind == "Delay":
        delay = np.broadcast_to(node.fields["delay"], wire.nir_shape())
        return {"type": "Delay", "delay": delay}
    if layer is None:
        return {"type": node.kind, **node.fields}
    if node.kind not in NEURONS:
        return writer.stateless(layer, node.name, wire)
    neuron, shape = layer.neuron, wire.nir_shape()
    if convention.dt != writer.dt or not _equal(neuron, net.origin.neurons[node.name]):
        return writer.neuron(neuron, node.name, wire)
    hints, lost = _hints(node, convention)
    if "model" in node.metadata:
        lost = [x for x in str(node.metadata.get("lost", "")).split(", ") if x]
    tree = writer.tree(NeuronNode(node.kind, {}, node.metadata | hints, lost), node.name, wire)
    return tree | neuron_parameters(node, shape)


def _equal(a: Neuron, b: Neuron) -> bool:
    """Whether two neurons are equal except for their surrogates."""
    return type(a) is type(b) and all(
        np.array_equal(getattr(a, field.name), getattr(b, field.name))
        for field in dataclasses.fields(a)
        if field.name != "surrogate"
    )


def _hints(node: Node, convention: Convention) -> tuple[Tree, list[str]]:
    """How a node was run, if not by default, and the features of it that NIR cannot represent."""
    hints: Tree = {}
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
        if convention.fires != ">":
            hints["fires"] = convention.fires
        if convention.reset != "hard":
            hints["reset"] = convention.reset
            lost.append("soft reset")
        if convention.max_spike_count != 1:
            hints["max_spike_count"] = convention.max_spike_count or 0
            lost.append("several spikes per step")
    if lost:
        hints["lost"] = ", ".join(lost)
    return hints, lost
