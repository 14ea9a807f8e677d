"""`from_nir`: a NIR graph as a network."""

import dataclasses
import os
from typing import Any

import numpy as np

from .. import _check
from ..surrogate import Surrogate
from .file import read_tree
from .graph import FlatGraph, flat_graph
from .module import Graph
from .neuron import CHOICES, Convention
from .nodes import layer_of
from .order import plan
from .shapes import infer_shapes


class Source:
    """The graph that a `Graph` was read from, and how; equal to itself only."""

    def __init__(self, graph: FlatGraph, conventions: dict[str, Convention]):
        self.graph, self.conventions = graph, conventions

    @property
    def dt(self) -> float:
        """Length of a time step."""
        return self.conventions[self.graph.inputs[0]].dt


def from_nir(
    graph: Any,
    dt: float | None = None,
    *,
    layout: str = "channels_last",
    method: str | None = None,
    fire: str | None = None,
    reset: str | None = None,
    max_spike_count: int | None = 1,
    if_convention: str | None = None,
    start: str | float | None = None,
    surrogate: Surrogate | None = None,
    hints: bool = True,
) -> Graph:
    """Read a graph of the Neuromorphic Intermediate Representation (NIR) as a network.

    NIR is continuous in time; how to run it in steps is for the reader to say. What is not said
    is taken from the hints that `to_nir` leaves in the metadata, else it is forward Euler with
    steps of 0.1 ms, a spike where ``v > v_threshold``, a reset to ``v_reset`` in the same step, and
    a start at ``v_leak``.

    Every node of NIR 1.0.8 is read: parameters of shape ``()`` or ``(1,)`` are for all neurons,
    batch axes left in the shapes of Inputs and Outputs are dropped, edges into one node are summed.
    A circle takes one step of delay, see `Graph`. Malformed files are refused; what is suspicious,
    such as a ``tau`` below ``dt``, is warned about, by node and field.

    Args:
        graph: A ``nir.NIRGraph`` or the path of a file.
        dt: Length of a time step, in the unit of the time constants of the file, usually seconds.
            None: that of the hints, else 1e-4.
        layout: "channels_last", images are ``[N, H, W, C]``, or "channels_first", ``[N, C, H, W]``;
            for the inputs and outputs of the network. The parameters are in Flax's layout.
        method: "euler", or "exact": the solution for an input that is constant during a step.
        fire: ">" or ">=", whether a neuron exactly at threshold fires.
        reset: "hard", to ``v_reset``; "subtract", by ``v_threshold``; "subtract_delayed", in the
            step after the spike, as snnTorch does.
        max_spike_count: Greatest number of spikes of a neuron in a step, None for no limit: as many
            as the threshold fits into the potential.
        if_convention: What an IF or I adds in a step: "per_step" ``r x``, "per_second" ``r dt x``,
            "auto" the first for an IF whose ``r`` is 1, with a warning, if ``dt`` is below 0.1.
        start: First potential: "v_leak", "v_reset", "zero" or a number; an IF leaks to 0.
        surrogate: Derivative of the spikes, which NIR does not have; None is ``Sigmoid()``.
        hints: Whether to follow the hints of `to_nir`.

    Returns:
        The network: ``state, y = net(net.init_state((N, *)), x)`` for one step ``[N, *]`` or a
        sequence ``[T, N, *]``. Its weights are `flax.nnx.Param`. Several Inputs take dictionaries
        by name, of shapes and of arrays; several Outputs give one.

    Raises:
        FileNotFoundError: If there is no such file.
        ImportError: If the package ``nir`` is missing.
        TypeError: If ``graph`` is neither a graph nor a path.
        ValueError: If the file or the graph is malformed, or an option unknown.

    Example:
        >>> import jax.numpy as jnp, nir, numpy as np, jaxspike as js, jaxspike.nir
        >>> lif = nir.LIF(*(np.full(3, p) for p in (2e-3, 1.0, 0.0, 0.5)))  # tau, r, v_leak, v_th
        >>> net = js.nir.from_nir(nir.NIRGraph.from_list(lif), dt=1e-3)
        >>> state, spikes = net(net.init_state((1, 3)), 0.75 * jnp.ones((5, 1, 3)))
        >>> spikes[:, 0, 0]
        Array([0., 1., 0., 1., 0.], dtype=float32)

    Source: Pedersen et al., "Neuromorphic intermediate representation", Nature Communications 2024.
    """
    tree = _as_tree(graph)
    _check.one_of("`from_nir(layout=...)`", layout, ("channels_last", "channels_first"))
    given: dict[str, Any] = {
        "dt": dt,
        "method": method,
        "fire": fire,
        "reset": reset,
        "if_convention": if_convention,
        "start": start,
    }
    given = {name: value for name, value in given.items() if value is not None}
    if max_spike_count != 1:
        given["max_spike_count"] = max_spike_count
    flat = flat_graph(tree)
    forget = () if hints and not given.keys() - {"dt"} else ("model",) if hints else None
    for node in flat.nodes.values():
        for key in node.metadata.copy() if forget is None else forget:
            node.metadata.pop(key, None)
    whole = _followed(flat.metadata) if hints else {}
    conventions = {
        name: _convention({**whole, **_followed(node.metadata), **given})
        for name, node in flat.nodes.items()
    }
    shapes = infer_shapes(flat)
    layers = [
        layer_of(node, *shapes[name], conventions[name], surrogate)
        for name, node in flat.nodes.items()
    ]
    return Graph(
        list(flat.nodes),
        layers,
        [shapes[name][0] for name in flat.nodes],
        plan(flat),
        layout,
        Source(flat, conventions),
    )


def _as_tree(graph: Any) -> dict[str, Any]:
    if isinstance(graph, str | os.PathLike):
        return read_tree(graph)
    if not hasattr(graph, "to_dict"):
        raise TypeError(
            f"`from_nir(graph=...)` must be a NIRGraph or the path of a file, got {graph!r}."
        )
    return graph.to_dict()


def _followed(metadata: dict[str, Any]) -> dict[str, Any]:
    """Those entries that say how `to_nir` meant the graph to be run."""
    found: dict[str, Any] = {}
    for field in dataclasses.fields(Convention):
        value = metadata.get(field.name)
        if isinstance(value, bytes):
            value = value.decode("utf8")
        if field.name == "max_spike_count":
            if isinstance(value, int | np.integer) and value >= 0:
                found[field.name] = int(value) or None  # 0 is no limit
        elif isinstance(value, str) and value in CHOICES.get(field.name, ()):
            found[field.name] = value
        elif not isinstance(value, float | np.floating) or not np.isfinite(value):
            continue
        elif field.name == "start" or (field.name == "dt" and value > 0):
            found[field.name] = float(value)
    return found


def _convention(options: dict[str, Any]) -> Convention:
    for name, choices in CHOICES.items():
        value = options.get(name, choices[0])
        number = name == "start" and isinstance(value, int | float)
        if not (number and not isinstance(value, bool)):
            _check.one_of(f"`from_nir({name}=...)`", value, choices)
    most = options.get("max_spike_count", 1)
    if most is not None:
        _check.integer("`from_nir(max_spike_count=...)`", most, low=1)
    step = options.get("dt", 1.0)
    if isinstance(step, bool) or not isinstance(step, int | float | np.floating):
        raise TypeError(f"`from_nir(dt=...)` must be a number, got {step!r}. Give seconds.")
    if not 0 < step < np.inf:
        raise ValueError(f"`from_nir(dt=...)` must be above 0 and finite, got {step}.")
    return Convention(**options)
