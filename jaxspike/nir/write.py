"""`to_nir`: a network as a NIR graph."""

import os
from typing import Any

import numpy as np

from .. import _check
from .._state import check_shape
from .file import Tree, write_tree
from .graph import flat_graph
from .layout import last
from .module import Graph
from .shapes import Shape, infer_shapes
from .trace import Wire, trace
from .writer import Writer

VERSIONS = ("1.0.8", "1.0.4")


def to_nir(
    net: Any,
    input_shape: Shape | dict[str, Shape],
    dt: float | None = None,
    path: str | os.PathLike[str] | None = None,
    *,
    lossy: bool = False,
    compat: str = "1.0.8",
) -> Any:
    """Write a network as a graph of the Neuromorphic Intermediate Representation (NIR).

    The graph is that whose forward Euler with steps of ``dt`` is the network. NIR has no place for
    what differs between libraries at the same equations: whether a neuron exactly at threshold
    fires, and the model that a node was made of. That is left in the metadata as hints, which
    `from_nir` follows: it gives back the same numbers, bit for bit. Surrogates are not written.

    Written are neurons (`IF`, `LIF` with hard reset, `LI`, `CubaLIF`, `DiscreteLIF`, `Delay`),
    `nnx.Linear`, `nnx.Conv`, `AvgPool`, `Flatten`, `Recurrent`, networks of `from_nir`, and modules
    whose ``__call__`` runs such layers and adds up what they give. Dropout is left out. A flattened
    image that is an output is put into Flax's order, channels last, by a Linear node.

    Args:
        net: The network, in the state in which it is to be written.
        input_shape: Shape of one sample without batch and time, channels last: ``(28, 28, 1)``.
            A dictionary of them for a network that gets a dictionary of inputs.
        dt: Length of a time step in seconds: a ``tau`` of ``n`` steps is written as ``n * dt``.
            None: that with which the network was read, else 1e-4.
        path: File to write; it appears whole or not at all. None writes none.
        lossy: Whether to write the nearest that NIR has for what it cannot say (soft reset, several
            spikes in a step, other models such as `ALIF`, MaxPool). What is lost is noted in the
            metadata, where `from_nir` finds it.
        compat: Version of the package ``nir`` that can read the file: "1.0.8" or "1.0.4".

    Returns:
        The ``nir.NIRGraph``.

    Raises:
        ImportError: If the package ``nir`` is missing.
        TypeError: If ``input_shape`` is not a tuple of sizes.
        ValueError: If there is something in the network that NIR cannot say, with its name.

    Example:
        >>> import jaxspike as js, jaxspike.nir
        >>> from flax import nnx
        >>> net = js.nn.Sequential(nnx.Linear(4, 3, rngs=nnx.Rngs(0)), js.LIF())
        >>> graph = js.nir.to_nir(net, (4,))
        >>> sorted(graph.nodes), graph.edges
        (['0', '1', 'input', 'output'], [('input', '0'), ('0', '1'), ('1', 'output')])

    Source: Pedersen et al., "Neuromorphic intermediate representation", Nature Communications 2024.
    """
    import nir

    _check.one_of("`to_nir(compat=...)`", compat, VERSIONS)
    read = net.source if isinstance(net, Graph) else None
    if dt is None:
        dt = 1e-4 if read is None else read.dt
    _check.in_range("`to_nir(dt=...)`", dt, above=0)
    writer = Writer(float(dt), lossy)
    name = "input" if read is None else read.graph.inputs[0]
    wires: dict[str, Wire] = {}
    shapes = input_shape if isinstance(input_shape, dict) else {name: input_shape}
    for start, shape in shapes.items():
        sample = check_shape("to_nir", shape)
        if read is not None and net.layout == "channels_first" and len(sample) > 1:
            sample = last(sample)
        wires[start] = Wire(writer, (start,), sample)
        declared = np.array(wires[start].nir_shape(), int)
        writer.trees[start] = {"type": "Input", "shape": declared}
    outputs = trace(net, wires if isinstance(input_shape, dict) else wires[name])
    if not isinstance(outputs, dict):
        outputs = {"output" if read is None else read.graph.outputs[0]: outputs}
    for name, out in outputs.items():
        if not isinstance(out, Wire):
            raise ValueError(
                "`to_nir(net=...)` must return what a layer gives, or a dictionary of that, got "
                f"{type(out).__name__}."
            )
        out = writer.channels_last(out)
        writer.add(name, {"type": "Output", "shape": np.array(out.nir_shape(), int)}, out)
    tree: Tree = {
        "type": "NIRGraph",
        "nodes": writer.trees,
        "edges": writer.edges,
        "metadata": {"dt": float(dt)},
    }
    infer_shapes(flat_graph(tree))  # it can be read again
    nodes = {name: nir.dict2NIRNode(dict(node)) for name, node in writer.trees.items()}
    graph = nir.NIRGraph(nodes, writer.edges, tree["metadata"], type_check=writer.checkable)
    if path is not None:
        written = graph.to_dict()
        write_tree(path, _before_reset(written) if compat == "1.0.4" else written, compat)
    return graph


def _before_reset(tree: Tree) -> Tree:
    """The graph for nir 1.0.4, which has no ``v_reset`` and no CubaLI."""
    nodes = {}
    for name, node in tree["nodes"].items():
        node = dict(node)
        if np.any(node.pop("v_reset", 0)):
            raise ValueError(
                f"`to_nir(compat='1.0.4')` must have neurons that reset to 0, got v_reset at "
                f"{name!r}. Write it for 1.0.8."
            )
        if node["type"] == "CubaLI":
            raise ValueError(
                f"`to_nir(compat='1.0.4')` must have nodes of 1.0.4, got a CubaLI at {name!r}. "
                "Write it for 1.0.8."
            )
        nodes[name] = node
    return {**tree, "nodes": nodes}
