"""`Graph`: a NIR graph as a spiking module."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
from flax import nnx

from .._state import check_shape, output_dtype
from .._types import Array, Shape, Tree
from ..nn import EmptyState, SpikingModule
from .layout import batch_channels_first, batch_channels_last, last
from .order import LATE, Plan, late_neurons


class GraphState(NamedTuple):
    """States of the neurons by name, and the outputs that are heard one step late.

    ``rank`` has no numbers: it tells steps from sequences.
    """

    neurons: dict[str, Tree]
    late: dict[str, Array]
    rank: EmptyState


class Graph(SpikingModule):
    """A graph of layers, in which some neurons may be heard one step late; made by `from_nir`.

    ``net[name]`` is the layer of a node: an `flax.nnx.Linear` or `flax.nnx.Conv` with its
    parameters in Flax's layout, a `jaxspike.nn.Spiking` with a `NIRNeuron`, and so on; None for
    nodes that only pass on what they get.

    A signal that runs in a circle takes one step of delay, at the output of the neuron that closes
    the circle. That output is 0 before the first step: what lies behind it in the circle, such as
    the bias of a recurrent weight, acts from the first step on.

    A graph of several Inputs takes a dictionary of arrays by their names, and of shapes in
    ``init_state``; one of several Outputs gives a dictionary.

    Args:
        names: Names of the nodes.
        layers: The layer of each.
        shapes: Shape of the input of each, channels first, without batch.
        steps: What to compute from what.
        layout: "channels_last" or "channels_first", of the images that go in and come out.
        source: What the graph was read from, to write it again.

    Example:
        >>> import jax.numpy as jnp, nir, numpy as np, jaxspike as js, jaxspike.nir
        >>> lif = nir.LIF(*(np.full(3, p) for p in (2e-3, 1.0, 0.0, 0.5)))
        >>> net = js.nir.from_nir(nir.NIRGraph.from_list(nir.Linear(np.eye(3)), lif), dt=1e-3)
        >>> net["linear"].kernel.shape
        (3, 3)
        >>> state, spikes = net(net.init_state((4, 3)), 1.5 * jnp.ones((10, 4, 3)))
        >>> spikes.shape
        (10, 4, 3)
    """

    def __init__(
        self,
        names: Sequence[str],
        layers: Sequence[Any],
        shapes: Sequence[Shape],
        steps: Plan,
        layout: str,
        source: Any,
    ):
        self.names, self.shapes = tuple(names), tuple(shapes)
        self.layers = nnx.List(layers)
        self.steps, self.layout, self.source = steps, layout, source

    def __getitem__(self, name: str) -> Any:
        if name not in self.names:
            raise KeyError(f"`Graph[{name!r}]` is no node. The nodes are {self.names}.")
        return self.layers[self.names.index(name)]

    def init_state(self, shape: Shape | dict[str, Shape], dtype: Any = jnp.float32) -> GraphState:
        """State at rest, for one step of input of ``shape``, ``(N, *)``; of several by name."""
        given = self._by_name("Graph.init_state(shape=...)", "shapes", shape)
        batches = [self._batch(name, check_shape("Graph", s)) for name, s in given.items()]
        batch = batches[0]
        if any(other != batch for other in batches):
            raise ValueError(
                "`Graph.init_state(shape=...)` must be of one batch in all Inputs, got "
                f"{dict(zip(given, batches, strict=True))}."
            )
        shapes = {n: (*batch, *last(s)) for n, s in zip(self.names, self.shapes, strict=True)}
        return GraphState(
            {
                name: layer.init_state(shapes[name], dtype)
                for name, layer in zip(self.names, self.layers, strict=True)
                if isinstance(layer, SpikingModule)
            },
            {name: jnp.zeros(shapes[name], dtype) for name in late_neurons(self.steps)},
            EmptyState(len(batch)),
        )

    def __call__(self, state: GraphState, x: Array | dict[str, Array]) -> tuple[GraphState, Any]:
        """One step ``[N, *]``, or a sequence ``[T, N, *]``; several Outputs give a dictionary."""
        axes = {n: len(s) for n, s in zip(self.names, self.shapes, strict=True)}
        given = self._by_name("Graph(x=...)", "arrays", x)
        given = {name: y.astype(output_dtype(y)) for name, y in given.items()}
        if self.layout == "channels_first":
            given = {name: batch_channels_last(y, axes[name]) for name, y in given.items()}
        dtype = jnp.result_type(*given.values())
        values: dict[Any, Array] = {(n, LATE): y.astype(dtype) for n, y in state.late.items()}
        neurons = {}
        for value, heard in self.steps:
            name, layer = value[0], self[value[0]]
            y = sum((values[h] for h in heard[1:]), values[heard[0]]) if heard else given[name]
            if isinstance(layer, SpikingModule):
                neurons[name], y = layer(state.neurons[name], y)
            elif layer is not None:
                y = layer(y)
            values[value] = y
        late = {n: values[n, ()].astype(y.dtype) for n, y in state.late.items()}
        out = {name: values[name, ()] for name in self.source.graph.outputs}
        if self.layout == "channels_first":
            out = {name: batch_channels_first(y, axes[name]) for name, y in out.items()}
        return GraphState(neurons, late, state.rank), out if len(out) > 1 else out.popitem()[1]

    def _by_name(self, call: str, what: str, value: Any) -> dict[str, Any]:
        """What is given for each Input: a dictionary if there are several."""
        inputs = self.source.graph.inputs
        if len(inputs) == 1:
            return {inputs[0]: value}
        if not isinstance(value, dict) or value.keys() != {*inputs}:
            got = sorted(value) if isinstance(value, dict) else type(value).__name__
            raise ValueError(
                f"`{call}` must be a dictionary of {what} for the Inputs {inputs}, got {got}."
            )
        return value

    def _batch(self, name: str, shape: Shape) -> Shape:
        """The axes in front of those of one sample."""
        sample = self._outside(self.shapes[self.names.index(name)])
        batch = shape[: max(len(shape) - len(sample), 0)]
        if (*batch, *sample) != shape:
            raise ValueError(
                f"`Graph.init_state(shape=...)` must be the shape of one step of input, "
                f"(N, {', '.join(map(str, sample))}), got {shape}. The layout is {self.layout!r}."
            )
        return batch

    def _outside(self, shape: Shape) -> Shape:
        return last(shape) if self.layout == "channels_last" and len(shape) > 1 else shape
