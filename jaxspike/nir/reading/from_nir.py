"""`from_nir`: a NIR graph as a network."""

import contextlib
import dataclasses
import os

import numpy as np

from ... import _check
from ...nn import Spiking
from ...surrogate import Surrogate
from ..convention import Convention
from ..file import Tree, read_tree
from ..graph import NEURONS, flat_graph, malformed
from ..graph_module import Graph, Origin
from ..shapes import infer_shapes
from .nodes import layer_of
from .schedule import schedule

DEPTH, NODES = 100, 1_000_000


def from_nir(
    graph,
    convention: Convention | None = None,
    *,
    layout: str = "channels_last",
    surrogate: Surrogate | None = None,
) -> Graph:
    """Read a graph of the Neuromorphic Intermediate Representation (NIR) as a network.

    NIR is continuous in time; how to run it in time steps is up to the reader. Without a
    ``convention``, `from_nir` follows the hints that `to_nir` leaves in the metadata of a file; if
    there are none, it takes forward Euler steps of 0.1 ms, with a spike where ``v > v_threshold``,
    a reset to ``v_reset`` in the same step, and a start at ``v_leak``.

    Every node of NIR 1.0.8 is read. Parameters of shape ``()`` or ``(1,)`` are for all neurons,
    batch axes left in the shapes of Inputs and Outputs are dropped, edges into one node are summed.
    A cycle is delayed by one step, see `Graph`. Malformed files are refused; suspicious values,
    such as a ``tau`` below ``dt``, are warned about, by node and field.

    Args:
        graph: A ``nir.NIRGraph`` or the path of a file.
        convention: How to run the equations in time steps: that of the library that wrote the file,
            such as ``js.nir.SNNTORCH``, or your own `Convention`. It replaces all hints.
        layout: "channels_last", images are ``[N, H, W, C]``, or "channels_first", ``[N, C, H, W]``;
            for the inputs and outputs of the network. The parameters are in Flax's layout.
        surrogate: Derivative of the spikes, which NIR does not have; None for ``Sigmoid()``.

    Returns:
        The network: ``state, y = net(net.init_state((N, *)), x)`` for one step ``[N, *]`` or a
        sequence ``[T, N, *]``. Its weights are `flax.nnx.Param`. Several Inputs take dictionaries
        by name, of shapes and of arrays; several Outputs return one.

    Raises:
        FileNotFoundError: If there is no such file.
        ImportError: Without ``pip install 'jaxspike[nir]'``.
        TypeError: If ``graph`` is neither a graph nor a path, or ``convention`` is not one.
        ValueError: If the file or the graph is malformed, or ``layout`` unknown.

    Example:
        >>> import jax.numpy as jnp, nir, numpy as np, jaxspike as js
        >>> lif = nir.LIF(*(np.full(3, p) for p in (2e-3, 1.0, 0.0, 0.5)))  # tau, r, v_leak, v_th
        >>> net = js.nir.from_nir(nir.NIRGraph.from_list(lif), js.nir.Convention(dt=1e-3))
        >>> state, spikes = net(net.init_state((1, 3)), 0.75 * jnp.ones((5, 1, 3)))
        >>> spikes[:, 0, 0]
        Array([0., 1., 0., 1., 0.], dtype=float32)

    Source: Pedersen et al., "Neuromorphic intermediate representation", Nature Communications 2024.
    """
    tree = _as_tree(graph)
    _check.one_of("`from_nir(layout=...)`", layout, ("channels_last", "channels_first"))
    if convention is not None and not isinstance(convention, Convention):
        fix = "Give such as `js.nir.Convention(dt=1e-3)`."
        must = "`from_nir(convention=...)` must be a Convention"
        raise TypeError(f"{must}, got {convention!r}. {fix}")
    flat = flat_graph(tree)
    if convention is not None:
        for node in flat.nodes.values():
            node.metadata.clear()
    conventions = {
        name: convention or Convention(**_hints(flat.metadata) | _hints(node.metadata))
        for name, node in flat.nodes.items()
    }
    shapes = infer_shapes(flat)
    layers = {
        name: layer_of(node, *shapes[name], conventions[name], surrogate)
        for name, node in flat.nodes.items()
    }
    neurons = {
        name: layer.neuron
        for name, layer in layers.items()
        if isinstance(layer, Spiking) and flat.nodes[name].kind in NEURONS
    }
    return Graph(
        list(flat.nodes),
        list(layers.values()),
        [shapes[name][0] for name in flat.nodes],
        schedule(flat),
        layout,
        Origin(flat, conventions, neurons),
    )


def _as_tree(graph) -> Tree:
    if isinstance(graph, str | os.PathLike):
        return read_tree(graph)
    if not hasattr(graph, "to_dict"):
        must = "must be a NIRGraph or the path of a file"
        raise TypeError(f"`from_nir(graph=...)` {must}, got {graph!r}.")
    _check_nesting(graph)
    return graph.to_dict()


def _check_nesting(graph) -> None:
    """Refuse graphs that contain themselves, and other objects than nodes, before conversion."""
    outside: tuple[object, ...] = (graph,)
    todo, count = [("", graph, outside)], 0
    while todo:
        prefix, node, outside = todo.pop()
        count += 1
        if len(outside) > DEPTH or count > NODES:
            must = f"have graphs in graphs at most {DEPTH} deep, and at most {NODES} nodes"
            raise malformed(must, f"more at {prefix[:-1]!r}")
        for name, inner in dict(getattr(node, "nodes", {})).items():
            if not hasattr(inner, "to_dict"):
                raise malformed("have nodes of the package nir", f"{inner!r} at {prefix + name!r}")
            if any(inner is other for other in outside):
                raise malformed("not contain itself", f"itself at {prefix + name!r}")
            todo.append((f"{prefix}{name}.", inner, (*outside, inner)))


def _hints(metadata: Tree) -> Tree:
    """The entries that are valid fields of a `Convention`."""
    found: Tree = {}
    for name in {field.name for field in dataclasses.fields(Convention)} & metadata.keys():
        value = metadata[name]
        value = value.item() if isinstance(value, np.generic) else value
        with contextlib.suppress(TypeError, ValueError):
            if name == "max_spike_count":
                value = value or None  # 0 stands for no limit
            Convention(**{name: value})
            found[name] = value
    return found
