"""`to_nir`: a network as a NIR graph."""

import numpy as np
from flax import nnx

from ... import _check
from ..._state import check_shape
from ..._types import Shape
from ...neurons import Neuron
from ..file import Path, Tree, write
from ..graph import flat_graph
from ..graph_module import Graph
from ..layout import last
from ..shapes import infer_shapes
from .nodes import NodeWriter
from .trace import Wire, trace


def to_nir(
    net: nnx.Module | Neuron,
    input_shape: Shape | dict[str, Shape],
    dt: float | None = None,
    path: Path | None = None,
    *,
    lossy: bool = False,
):
    """Write a network as a graph of the Neuromorphic Intermediate Representation (NIR).

    Forward Euler steps of ``dt`` of the graph are the steps of the network. NIR cannot represent
    everything in which libraries with the same equations differ, such as whether a neuron exactly
    at its threshold fires, nor the model behind a node. These are left in the metadata as hints,
    which `from_nir` follows: it restores the same numbers, bit for bit. Surrogates are not written.

    The network may consist of neurons (`IF`, `LIF` with hard reset, `LI`, `CubaLIF`, `DiscreteLIF`,
    `Delay`), `nnx.Linear`, `SparseLinear` (written as a matrix), `nnx.Conv`, `AvgPool`, `Flatten`,
    `Recurrent`, networks of `from_nir`, and modules whose ``__call__`` runs such layers, adds up
    their outputs and takes the mean over an image, ``x.mean((-3, -2))``, which is written as a
    pool. A `MaxPool` right after neurons is written as a sum and a threshold, and `Voting` as a
    matrix. Dropout is left out. A flattened image that is an output is permuted to Flax's
    order, channels last, by a Linear node.

    Args:
        net: The network, with its current parameters.
        input_shape: Shape of one sample without batch and time, channels last: ``(28, 28, 1)``.
            A dictionary of them for a network that takes a dictionary of inputs.
        dt: Length of a time step in seconds: a ``tau`` of ``n`` steps is written as ``n * dt``.
            None for that with which the network was read, else 1e-4.
        path: File to write, atomically. None for no file.
        lossy: Whether to write the nearest node for a feature that NIR cannot represent (soft
            reset, several spikes per step, other models such as `ALIF`, MaxPool of
            currents). The loss is noted in the metadata, from which `from_nir` restores it.

    Returns:
        The ``nir.NIRGraph``.

    Raises:
        ImportError: Without ``pip install 'jaxspike[nir]'``.
        TypeError: If ``input_shape`` is not a tuple of sizes.
        ValueError: If NIR cannot represent a part of the network, with its name.

    Example:
        >>> import jaxspike as js
        >>> from flax import nnx
        >>> net = js.nn.Sequential(nnx.Linear(4, 3, rngs=nnx.Rngs(0)), js.LIF())
        >>> graph = js.nir.to_nir(net, (4,))
        >>> sorted(graph.nodes), graph.edges
        (['0', '1', 'input', 'output'], [('input', '0'), ('0', '1'), ('1', 'output')])

    Source: Pedersen et al., "Neuromorphic intermediate representation", Nature Communications 2024.
    """
    nir = _check.package("`to_nir`", "nir", "nir")
    origin = net.origin if isinstance(net, Graph) else None
    if dt is None:
        dt = 1e-4 if origin is None else origin.dt
    writer = NodeWriter(_check.number("`to_nir(dt=...)`", dt, above=0), lossy)
    name = "input" if origin is None else origin.graph.inputs[0]
    wires: dict[str, Wire] = {}
    shapes = input_shape if isinstance(input_shape, dict) else {name: input_shape}
    for start, shape in shapes.items():
        sample = check_shape("to_nir", shape)
        if isinstance(net, Graph) and net.layout == "channels_first":
            sample = last(sample)
        wires[start] = Wire(writer, (start,), sample)
        declared = np.array(wires[start].nir_shape(), int)
        writer.trees[start] = {"type": "Input", "shape": declared}
    outputs = trace(net, wires if isinstance(input_shape, dict) else wires[name])
    if not isinstance(outputs, dict):
        outputs = {"output" if origin is None else origin.graph.outputs[0]: outputs}
    for name, out in outputs.items():
        if not isinstance(out, Wire):
            must = "must return the output of a layer, or a dictionary of outputs"
            raise ValueError(f"`to_nir(net=...)` {must}, got {type(out).__name__}.")
        out = writer.channels_last(out)
        writer.add(name, {"type": "Output", "shape": np.array(out.nir_shape(), int)}, out)
    tree: Tree = {"type": "NIRGraph", "nodes": writer.trees, "edges": writer.edges}
    infer_shapes(flat_graph(tree))  # it can be read again
    nodes = {name: nir.dict2NIRNode(dict(node)) for name, node in writer.trees.items()}
    graph = nir.NIRGraph(nodes, writer.edges, {"dt": writer.dt}, type_check=writer.checkable)
    if path is not None:
        write(path, graph)
    return graph
