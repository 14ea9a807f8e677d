"""A flat NIR graph: nested graphs resolved, edges checked, every error with the node's name."""

import dataclasses
import warnings
from collections.abc import Iterable

import numpy as np

from .file import Tree

# the fields that a node must have, and those that it may have
FIELDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "Input": (("shape",), ()),
    "Output": (("shape",), ()),
    "Linear": (("weight",), ()),
    "Affine": (("weight", "bias"), ()),
    "Scale": (("scale",), ()),
    "Conv1d": (("weight", "bias", "stride", "padding", "dilation", "groups"), ("input_shape",)),
    "Conv2d": (("weight", "bias", "stride", "padding", "dilation", "groups"), ("input_shape",)),
    "SumPool2d": (("kernel_size", "stride", "padding"), ()),
    "AvgPool2d": (("kernel_size", "stride", "padding"), ()),
    "Flatten": ((), ("start_dim", "end_dim", "input_type")),
    "Delay": (("delay",), ()),
    "Threshold": (("threshold",), ()),
    "I": (("r",), ()),
    "IF": (("r", "v_threshold"), ("v_reset",)),
    "LI": (("tau", "r", "v_leak"), ()),
    "LIF": (("tau", "r", "v_leak", "v_threshold"), ("v_reset",)),
    "CubaLI": (("tau_syn", "tau_mem", "r", "v_leak"), ("w_in",)),
    "CubaLIF": (("tau_syn", "tau_mem", "r", "v_leak", "v_threshold"), ("v_reset", "w_in")),
}
NEURONS = ("I", "IF", "LI", "LIF", "CubaLI", "CubaLIF")
STATEFUL = (*NEURONS, "Delay")


@dataclasses.dataclass(frozen=True, eq=False)
class Node:
    """A node of a flat graph; its name is dotted if it was in a nested one."""

    name: str
    kind: str
    fields: Tree
    metadata: Tree

    def error(self, must: str, got: object, fix: str = "") -> ValueError:
        """The error of this node: what it must be, what it is, and what to do."""
        where = f"`from_nir(graph=...)`: the node {self.name!r} ({self.kind})"
        return ValueError(f"{where} must {must}, got {got}. {fix}".rstrip())

    def warn(self, what: str) -> None:
        """Warn about a node that can be read but may not be meant as written."""
        where = f"`from_nir(graph=...)`: the node {self.name!r} ({self.kind})"
        warnings.warn(f"{where} {what}.", stacklevel=3)


def malformed(must: str, got: object, fix: str = "") -> ValueError:
    """The error of a whole graph or file: what it must be, what it is, and what to do."""
    return ValueError(f"`from_nir(graph=...)` must {must}, got {got}. {fix}".rstrip())


@dataclasses.dataclass(frozen=True, eq=False)
class FlatGraph:
    """Nodes by name, the sources that feed each of them, and the metadata of the graph.

    ``inputs`` and ``outputs`` are the names of the Input and Output nodes of the outermost graph;
    those of nested graphs pass their input on.
    """

    nodes: dict[str, Node]
    sources: dict[str, list[str]]
    inputs: list[str]
    outputs: list[str]
    metadata: Tree


def flat_graph(tree: Tree) -> FlatGraph:
    """Check a graph and resolve its nested graphs."""
    if not _is_graph(tree):
        fix = "Put it into a graph: `nir.NIRGraph.from_list(node)`."
        raise malformed("be a NIRGraph", f"a node {tree.get('type')!r}", fix)
    nodes: dict[str, Node] = {}
    edges: list[tuple[str, str]] = []
    inputs, outputs = _add(tree, "", nodes, edges)
    for kind, names in ("Input", inputs), ("Output", outputs):
        if not names:
            raise malformed(
                f"have an {kind} node", f"the nodes {list(nodes)}", f"Add `nir.{kind}`."
            )
    sources: dict[str, list[str]] = {name: [] for name in nodes}
    targets: dict[str, list[str]] = {name: [] for name in nodes}
    for source, target in sorted(edges):
        sources[target].append(source)
        targets[source].append(target)
    kept = _reachable(outputs, sources) | {*inputs}
    for name in nodes.keys() - kept:
        nodes[name].warn("leads to no Output and is left out")
    reached = _reachable(inputs, targets)
    for name in sorted(kept - reached, key=lambda n: (len(sources[n]), n)):
        fix = "Add the missing edges."
        raise nodes[name].error("be reached from an Input", "no path to it", fix)
    return FlatGraph(
        {n: node for n, node in nodes.items() if n in kept},
        {n: s for n, s in sources.items() if n in kept},
        sorted(inputs),
        outputs,
        _metadata(tree),
    )


def _add(
    tree: Tree, prefix: str, nodes: dict[str, Node], edges: list[tuple[str, str]]
) -> tuple[list[str], list[str]]:
    """Add the nodes and edges of a graph; returns the names of its Inputs and its Outputs."""
    where = f"the graph {prefix[:-1]!r}" if prefix else "the graph"
    members = tree.get("nodes")
    if not isinstance(members, dict) or "edges" not in tree:
        raise malformed("have nodes and edges", f"{sorted(tree)} in {where}")
    members = dict(_with_slashes(members))
    entry: dict[str, list[str]] = {}  # the nodes that an edge to a member leads to
    leave: dict[str, list[str]] = {}  # and that one from it comes from
    inputs: list[str] = []
    outputs: list[str] = []
    for key, member in members.items():
        name = prefix + key
        while name in nodes:
            name += "_"
        if not isinstance(member, dict) or not isinstance(member.get("type"), str):
            raise malformed("have a type at every node", f"none at {name!r}")
        if _is_graph(member):
            entry[key], leave[key] = _add(member, f"{name}.", nodes, edges)
            continue
        nodes[name] = _node(name, member)
        entry[key] = leave[key] = [name]
        if nodes[name].kind == "Input":
            entry[key] = []
            inputs.append(name)
        if nodes[name].kind == "Output":
            leave[key] = []
            outputs.append(name)
    seen = set()
    for edge in _pairs(tree["edges"], where):
        here = f"{edge} in {where}"
        for end in edge:
            if end not in members:
                must, fix = "have edges between its nodes", f"The nodes are {sorted(members)}."
                raise malformed(must, f"{here}, where there is no {end!r}", fix)
        if edge in seen:
            fix = "To double a signal use a Scale."
            raise malformed("have every edge once", f"{edge} twice in {where}", fix)
        seen.add(edge)
        ends = leave[edge[0]], entry[edge[1]]
        for names, end, way in (ends[0], edge[0], "out of"), (ends[1], edge[1], "into"):
            if len(names) != 1:
                got = f"{here}: {len(names)} ways {way} {end!r}, a {members[end]['type']}"
                raise malformed("have edges from outputs to inputs", got)
        edges.append((ends[0][0], ends[1][0]))
    return inputs, outputs


def _is_graph(tree: Tree) -> bool:
    kind = tree.get("type")
    return isinstance(kind, str) and kind == "NIRGraph"


def _with_slashes(members: Tree, prefix: str = "") -> Iterable[tuple[str, Tree]]:
    """Members by name; HDF5 takes a slash in a name for a group in a group."""
    for key, member in members.items():
        group = isinstance(member, dict) and "type" not in member and member
        if group and all(isinstance(value, dict) for value in member.values()):
            yield from _with_slashes(member, f"{prefix}{key}/")
        else:
            yield prefix + key, member


def _node(name: str, member: Tree) -> Node:
    kind = member["type"]
    if kind not in FIELDS:
        fix = f"It knows NIRGraph, {', '.join(FIELDS)}."
        raise malformed("have nodes that NIR knows", f"{kind!r} at {name!r}", fix)
    required, optional = FIELDS[kind]
    fields = {k: v for k, v in member.items() if k in (*required, *optional) and v is not None}
    node = Node(name, kind, fields, _metadata(member))
    if missing := [k for k in required if k not in fields]:
        raise node.error(f"have the fields {', '.join(required)}", f"no {', '.join(missing)}")
    known = {*required, *optional, "type", "metadata", "input_type", "output_type"}
    for key in member.keys() - known:
        node.warn(f"has a field {key!r} that NIR does not know; it is left out")
    return node


def _metadata(tree: Tree) -> Tree:
    """A copy of the metadata, which libraries may use freely."""
    found = tree.get("metadata")
    return dict(found) if isinstance(found, dict) else {}


def _pairs(edges, where: str) -> list[tuple[str, str]]:
    pairs = []
    if not isinstance(edges, list | tuple) and not (isinstance(edges, np.ndarray) and edges.ndim):
        raise malformed("have edges that are pairs of names", f"{type(edges).__name__} in {where}")
    for edge in np.asarray(edges, object).tolist() if len(edges) else []:
        ends = [e.decode(errors="replace") if isinstance(e, bytes) else e for e in np.ravel(edge)]
        if len(ends) != 2 or not all(isinstance(e, str) for e in ends):
            raise malformed("have edges that are pairs of names", f"{edge!r} in {where}")
        pairs.append((str(ends[0]), str(ends[1])))
    return pairs


def _reachable(starts: list[str], following: dict[str, list[str]]) -> set[str]:
    found, todo = set(starts), list(starts)
    while todo:
        new = {*following[todo.pop()]} - found
        found |= new
        todo += new
    return found
