"""The node for each layer of a network."""

import functools

import numpy as np
from flax import nnx

from ...neurons import Neuron, SequenceNeuron
from ...nn import AvgPool, Delayed, Flatten, MaxPool, Recurrent, SparseLinear, Spiking, Voting
from ..file import Tree
from ..graph import Node
from ..graph_module import Graph
from ..layers import FlattenChannelsFirst, Matrix, Scale, SumPool, Threshold
from ..layout import last
from ..neuron import checksum
from ..shapes import Array, output_shape
from .conv_pool import conv_tree, pool_tree
from .neurons import NeuronNode, neuron_node
from .round_trip import write_again
from .trace import Wire, Wires, order_of_flat, trace

BETWEEN = "Put a Linear layer in between."
SPIKES = {"IF", "LIF", "CubaLIF", "Threshold"}  # nodes whose outputs are 0 or 1


class NodeWriter:
    """Collects the nodes and edges of a graph.

    Args:
        dt: Length of a time step.
        lossy: Whether to write the nearest node for a feature that NIR cannot represent.
    """

    def __init__(self, dt: float, lossy: bool):
        self.dt, self.lossy = dt, lossy
        self.trees: dict[str, Tree] = {}
        self.edges: list[tuple[str, str]] = []
        self.checkable = True  # by nir 1.0.8, which is wrong on grouped and oblong convolutions

    def add(self, name: str, tree: Tree, wire: Wire, order: Array | None = None) -> Wire:
        """Add a node with the input ``wire``; returns its output, in ``order`` if flattened."""
        unique, i = name, 1
        while unique in self.trees:
            unique, i = f"{name}_{i}", i + 1
        self.trees[unique] = tree
        self.edges += [(source, unique) for source in wire.sources]
        if tree["type"].startswith("Conv"):
            kernel = tree["weight"].shape[2:]
            self.checkable &= tree["groups"] == 1 and len({*kernel}) == 1
        fields = {k: v for k, v in tree.items() if k not in ("type", "metadata")}
        shape = output_shape(Node(unique, tree["type"], fields, {}), wire.nir_shape())
        return Wire(self, (unique,), last(shape) if shape else shape, order)

    def node(self, layer, name: str, wire: Wires):
        """Add a layer."""
        if isinstance(layer, Graph) and isinstance(wire, Wire | dict):
            return write_again(self, layer, name, wire)
        if not isinstance(wire, Wire):
            raise TypeError(f"the layer {name!r} gets {type(wire).__name__}")
        name = name or type(layer).__name__.lower()
        if isinstance(layer, Recurrent):
            return self._recurrent(layer, name, wire)
        if isinstance(layer, Delayed):
            return self._delayed(layer, name, wire)
        if isinstance(layer, Flatten):
            if layer.axes != len(wire.sample):
                raise self.refusal(name, f"Flatten({layer.axes}) of {wire.sample}", "Flatten all.")
            return self.flatten(wire, name)
        if isinstance(layer, Spiking | Neuron):
            neuron = layer.neuron if isinstance(layer, Spiking) else layer
            return self.add(name, self.neuron(neuron, name, wire), wire, wire.order)
        if isinstance(layer, MaxPool) and self.is_binary(wire):
            return self._max_of_spikes(layer, name, wire)
        order = wire.order if isinstance(layer, Scale | Threshold) else None
        return self.add(name, self.stateless(layer, name, wire), wire, order)

    def refusal(self, name: str, what: str, fix: str) -> ValueError:
        """The error of a layer that cannot be written."""
        must = "must have layers that NIR can represent"
        return ValueError(f"`to_nir(net=...)` {must}, got {what} at {name!r}. {fix}")

    def _lose(self, name: str, what: str) -> None:
        if not self.lossy:
            fix = "To write the nearest node, with a note of the loss, give `lossy=True`."
            raise self.refusal(name, what, fix)

    def neuron(self, neuron: Neuron | SequenceNeuron, name: str, wire: Wire) -> Tree:
        """The node of a neuron, with hints, and a checksum by which a change is noticed."""
        node = neuron_node(neuron, self.dt) if isinstance(neuron, Neuron) else None
        if node is None:
            raise self.refusal(name, f"{neuron}", "NIR has no similar node.")
        tree = self.tree(node, name, wire)
        if "model" in node.hints:
            p = {field: tree[field] for field in node.fields}
            tree["metadata"]["model.checksum"] = checksum(node.kind, self.dt, p)
        return tree

    def tree(self, node: NeuronNode, name: str, wire: Wire) -> Tree:
        """The node of a neuron in full shape, if its losses are allowed."""
        for what in node.lost:
            self._lose(name, what)
        fields = {k: wire.to_nir(v) for k, v in node.fields.items()}
        hints = {k: wire.to_nir(v) if np.ndim(v) else _plain(v) for k, v in node.hints.items()}
        return {"type": node.kind, **fields, "metadata": hints}

    def stateless(self, layer: nnx.Module, name: str, wire: Wire) -> Tree:
        """The node of a layer without state."""

        def refuse(what: str, fix: str) -> ValueError:
            return self.refusal(name, what, fix)

        if isinstance(layer, nnx.Linear | SparseLinear):
            return self._linear(layer, name, wire)
        if isinstance(layer, Scale):
            return {"type": "Scale", "scale": wire.to_nir(layer.scale[...])}
        if isinstance(layer, Threshold):
            hint = {} if layer.strict else {"fires": ">="}
            threshold = wire.to_nir(layer.threshold[...])
            return {"type": "Threshold", "threshold": threshold, "metadata": hint}
        if wire.order is not None:
            raise refuse(f"a {type(layer).__name__} after Flatten", BETWEEN)
        if isinstance(layer, nnx.Conv):
            return conv_tree(layer, wire.nir_shape(), refuse)
        if isinstance(layer, MaxPool):
            self._lose(name, "MaxPool")
            tree = pool_tree(layer, wire.nir_shape(), refuse)
            return {"type": "SumPool2d", **tree, "metadata": {"lost": "MaxPool"}}
        if isinstance(layer, Voting):
            if len(wire.sample) != 1 or wire.sample[0] % layer.size:
                raise refuse(f"a Voting of {layer.size} over {wire.sample}", "Flatten before it.")
            votes = np.eye(wire.sample[0] // layer.size, dtype=np.float32) / layer.size
            return {"type": "Linear", "weight": np.repeat(votes, layer.size, axis=1)}
        if isinstance(layer, AvgPool):
            kind = "SumPool2d" if isinstance(layer, SumPool) else "AvgPool2d"
            return {"type": kind, **pool_tree(layer, wire.nir_shape(), refuse)}
        if isinstance(layer, Matrix):
            tree = {"type": "Linear", "weight": np.asarray(layer.weight[...])}
            bias = {} if layer.bias is None else {"type": "Affine", "bias": np.asarray(layer.bias)}
            return tree | bias
        if isinstance(layer, FlattenChannelsFirst):
            ends = {"start_dim": layer.start, "end_dim": layer.stop - 1}
            return {"type": "Flatten", "input_type": np.array(wire.nir_shape()), **ends}
        if isinstance(layer, nnx.BatchNorm):
            fix = "Fuse it with the layer before it: `jaxspike.nn.fuse_conv_bn`."
            raise refuse("an nnx.BatchNorm", fix)
        raise refuse(f"a {type(layer).__name__}", "Leave it out or replace it.")

    def is_binary(self, wire: Wire) -> bool:
        """Whether a wire has only zeros and ones: it comes from one layer of neurons."""
        return len(wire.sources) == 1 and self.trees[wire.sources[0]]["type"] in SPIKES

    def _max_of_spikes(self, layer: MaxPool, name: str, wire: Wire) -> Wire:
        """The maximum of spikes: whether there is one among them."""
        pool = pool_tree(layer, wire.nir_shape(), functools.partial(self.refusal, name))
        wire = self.add(name, {"type": "SumPool2d", **pool}, wire)
        return self.add(f"{name}.any", {"type": "Threshold", "threshold": wire.to_nir(0.5)}, wire)

    def mean_of_image(self, wire: Wire) -> Wire:
        """The mean over the pixels of each channel: a pool as large as the image."""
        size = np.array(wire.sample[:2])
        fields = {"kernel_size": size, "stride": size, "padding": np.zeros(2, int)}
        wire = self.add("mean", {"type": "AvgPool2d", **fields}, wire)
        return self.flatten(wire, "mean.flatten")

    def _linear(self, layer: nnx.Linear | SparseLinear, name: str, wire: Wire) -> Tree:
        if len(wire.sample) != 1:
            fix = "Flatten before it; `input_shape` is that of one sample, without batch."
            raise self.refusal(name, f"a Linear layer over {wire.sample}", fix)
        # NIR has matrices only
        kernel = layer.to_dense() if isinstance(layer, SparseLinear) else layer.kernel[...]
        weight = np.asarray(kernel, np.float32).T
        if wire.order is not None:
            placed = np.empty_like(weight)
            placed[:, wire.order] = weight
            weight = placed
        weight = np.ascontiguousarray(weight)
        if layer.bias is None:
            return {"type": "Linear", "weight": weight}
        return {"type": "Affine", "weight": weight, "bias": np.asarray(layer.bias[...], np.float32)}

    def flatten(self, wire: Wire, name: str) -> Wire:
        """Flatten images, and remember that NIR has their values in another order."""
        ends = {"start_dim": 0, "end_dim": -1}
        tree = {"type": "Flatten", "input_type": np.array(wire.nir_shape()), **ends}
        return self.add(name, tree, wire, order_of_flat(wire.sample))

    def channels_last(self, wire: Wire) -> Wire:
        """A flattened image in the order of Flax, by a matrix: NIR has no permutation."""
        if wire.order is None:
            return wire
        weight = np.eye(len(wire.order), dtype=np.float32)[wire.order]
        return self.add("channels_last", {"type": "Linear", "weight": weight}, wire)

    def _delayed(self, layer: Delayed, name: str, wire: Wire) -> Wire:
        if layer.kernel != "whole":
            fix = "Round them: `layer.round()`."
            raise self.refusal(name, "a Delayed whose delays are not whole", fix)
        if layer.kind == "synaptic":
            raise self.refusal(
                name, "a Delayed with a delay per weight", "Delay inputs or outputs."
            )
        axonal = layer.kind == "axonal"
        if not axonal:
            wire = self.node(layer.layer, f"{name}.layer", wire)
        node = NeuronNode("Delay", {"delay": np.asarray(layer.delays, np.float64) * self.dt})
        wire = self.add(f"{name}.delay", self.tree(node, name, wire), wire, wire.order)
        return self.node(layer.layer, f"{name}.layer", wire) if axonal else wire

    def _recurrent(self, layer: Recurrent, name: str, wire: Wire) -> Wire:
        if not isinstance(layer.neuron, Spiking):
            kind = type(layer.neuron).__name__
            raise self.refusal(name, f"a Recurrent of a {kind}", "Give it one neuron.")
        out = self.node(layer.neuron, f"{name}.neuron", wire)
        back = trace(layer.feedback, out, f"{name}.feedback")
        if back.sample != wire.sample or not np.array_equal(back.order, wire.order):
            raise self.refusal(name, "feedback to a flattened image", BETWEEN)
        self.edges += [(source, out.sources[0]) for source in back.sources]
        return out


def _plain(value):
    return value.item() if hasattr(value, "item") else value
