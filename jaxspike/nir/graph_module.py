"""`Graph`: a NIR graph as a spiking module."""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
from flax import nnx

from .._state import check_shape, output_dtype
from .._types import Array, Shape, Tree
from ..neurons import Neuron
from ..nn import EmptyState, SpikingModule
from .convention import Convention
from .graph import FlatGraph
from .layout import batch_channels_first, batch_channels_last, last

Value = tuple[str, tuple[str, ...]]  # a node, and the neurons upstream of it that are delayed
DELAYED = ("delayed",)  # as the second part: the last output of that neuron
Schedule = tuple[tuple[Value, tuple[Value, ...]], ...]  # which values to compute from which


class GraphState(NamedTuple):
    """States of the neurons by name, and the outputs that are received one step later.

    ``rank`` has no numbers: it distinguishes steps from sequences.
    """

    neurons: dict[str, Tree]
    delayed: dict[str, Array]
    rank: EmptyState


@dataclasses.dataclass(frozen=True, eq=False)
class Origin:
    """The graph that a `Graph` was read from, the way it was read, and its neurons at that time."""

    graph: FlatGraph
    conventions: dict[str, Convention]
    neurons: dict[str, Neuron]

    @property
    def dt(self) -> float:
        """Length of a time step."""
        return self.conventions[self.graph.inputs[0]].dt


class Graph(SpikingModule):
    """A graph of layers, with cycles; made by `from_nir`.

    ``net[name]`` is the layer of a node: an `flax.nnx.Linear` or `flax.nnx.Conv` with its
    parameters in Flax's layout, a `jaxspike.nn.Spiking` with a `NIRNeuron`, and so on; None for
    nodes that only pass their input on.

    Every cycle is delayed by one step, at the output of the neuron that closes it. That output is 0
    before the first step, so the layers after it in the cycle, such as the bias of a recurrent
    weight, act from the first step on.

    A graph with several Inputs takes a dictionary of arrays by their names, and of shapes in
    ``init_state``; one with several Outputs returns a dictionary.

    Args:
        names: Names of the nodes.
        layers: The layer of each.
        shapes: Input shape of each, channels first, without batch.
        schedule: Which values to compute from which.
        layout: "channels_last" or "channels_first", for the input and output images.
        origin: The graph that was read, to write it again.

    Example:
        >>> import jax.numpy as jnp, nir, numpy as np, jaxspike as js
        >>> graph = nir.NIRGraph.from_list(
        ...     nir.Linear(np.eye(3)), nir.LIF(*(np.full(3, p) for p in (2e-3, 1.0, 0.0, 0.5)))
        ... )
        >>> net = js.nir.from_nir(graph, js.nir.Convention(dt=1e-3))
        >>> net["linear"].kernel.shape
        (3, 3)
        >>> state, spikes = net(net.init_state((4, 3)), 1.5 * jnp.ones((10, 4, 3)))
        >>> spikes.shape
        (10, 4, 3)
    """

    def __init__(
        self,
        names: Sequence[str],
        layers: Sequence[nnx.Module | None],
        shapes: Sequence[Shape],
        schedule: Schedule,
        layout: str,
        origin: Origin,
    ):
        self.names, self.shapes = tuple(names), tuple(shapes)
        self.layers = nnx.List(layers)
        self.schedule, self.layout, self.origin = schedule, layout, origin

    @property
    def _layer_names(self) -> tuple[str, ...]:
        return self.names

    def __getitem__(self, name: str):
        if name not in self.names:
            raise KeyError(f"`Graph[{name!r}]` is not a node. The nodes are {self.names}.")
        return self.layers[self.names.index(name)]

    def init_state(self, shape: Shape | dict[str, Shape], dtype=jnp.float32) -> GraphState:
        """State at rest, for one step of input of ``shape``, ``(N, *)``; several by name."""
        given = self._by_name("Graph.init_state(shape=...)", "shapes", shape)
        batches = [self._batch(name, check_shape("Graph", s)) for name, s in given.items()]
        batch = batches[0]
        if any(other != batch for other in batches):
            got = dict(zip(given, batches, strict=True))
            must = "must have the same batch in all Inputs"
            raise ValueError(f"`Graph.init_state(shape=...)` {must}, got {got}.")
        shapes = {n: (*batch, *last(s)) for n, s in zip(self.names, self.shapes, strict=True)}
        neurons = {
            name: layer.init_state(shapes[name], dtype)
            for name, layer in zip(self.names, self.layers, strict=True)
            if isinstance(layer, SpikingModule)
        }
        received = {value for _, inputs in self.schedule for value in inputs}
        delayed = sorted(name for name, how in received if how == DELAYED)
        zeros = {name: jnp.zeros(shapes[name], dtype) for name in delayed}
        return GraphState(neurons, zeros, EmptyState(len(batch)))

    def __call__(self, state: GraphState, x):
        """One step ``[N, *]``, or a sequence ``[T, N, *]``; a dictionary for several Outputs."""
        axes = {n: len(s) for n, s in zip(self.names, self.shapes, strict=True)}
        given = self._by_name("Graph(x=...)", "arrays", x)
        given = {name: y.astype(output_dtype(y)) for name, y in given.items()}
        if self.layout == "channels_first":
            given = {name: batch_channels_last(y, axes[name]) for name, y in given.items()}
        dtype = jnp.result_type(*given.values())
        values: dict[Value, Array] = {
            (n, DELAYED): y.astype(dtype) for n, y in state.delayed.items()
        }
        neurons = {}
        for value, inputs in self.schedule:
            name, layer = value[0], self[value[0]]
            y = sum((values[i] for i in inputs[1:]), values[inputs[0]]) if inputs else given[name]
            if isinstance(layer, SpikingModule):
                neurons[name], y = layer(state.neurons[name], y)
            elif layer is not None:
                y = layer(y)
            values[value] = y
        delayed = {n: values[n, ()].astype(y.dtype) for n, y in state.delayed.items()}
        out = {name: values[name, ()] for name in self.origin.graph.outputs}
        if self.layout == "channels_first":
            out = {name: batch_channels_first(y, axes[name]) for name, y in out.items()}
        return GraphState(neurons, delayed, state.rank), out if len(out) > 1 else out.popitem()[1]

    def _by_name(self, call: str, kind: str, value):
        """The value of each Input by name; a dictionary must be given if there are several."""
        inputs = self.origin.graph.inputs
        if len(inputs) == 1:
            return {inputs[0]: value}
        if not isinstance(value, dict) or value.keys() != {*inputs}:
            got = sorted(value) if isinstance(value, dict) else type(value).__name__
            must = f"must be a dictionary of {kind} for the Inputs {inputs}"
            raise ValueError(f"`{call}` {must}, got {got}.")
        return value

    def _batch(self, name: str, shape: Shape) -> Shape:
        """The axes in front of those of one sample."""
        sample = self.shapes[self.names.index(name)]
        if self.layout == "channels_last":
            sample = last(sample)
        batch = shape[: max(len(shape) - len(sample), 0)]
        if (*batch, *sample) != shape:
            must = f"must be the shape of one step of input, (N, {', '.join(map(str, sample))})"
            got = f"got {shape}. The layout is {self.layout!r}."
            raise ValueError(f"`Graph.init_state(shape=...)` {must}, {got}")
        return batch
