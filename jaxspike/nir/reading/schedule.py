"""The order in which the nodes run, and the inputs that arrive one step later.

Neurons are sorted in reverse postorder from the Inputs, so acyclic paths keep their order. A neuron
receives the current output of the neurons before it, and the previous output of itself and the
neurons after it: every cycle is delayed by one step, at the output of the neuron that closes it.
Nodes in between (weights, sums) have no memory, so each runs once per set of delayed neurons.
"""

import graphlib

from ..graph import STATEFUL, FlatGraph, malformed
from ..graph_module import DELAYED, Schedule, Value


def schedule(graph: FlatGraph) -> Schedule:
    """The values of one time step, and the values that each of them is computed from."""
    upstream = _upstream(graph)
    place = {name: i for i, name in enumerate(_reverse_postorder(graph))}
    values: dict[Value, tuple[Value, ...]] = {}

    def output(name: str, delayed: frozenset[str]) -> Value:
        if graph.nodes[name].kind in STATEFUL:
            return (name, DELAYED) if name in delayed else (name, ())
        return name, tuple(sorted(delayed & upstream[name]))

    def inputs(value: Value) -> tuple[Value, ...]:
        return tuple(output(s, frozenset(value[1])) for s in graph.sources[value[0]])

    def add(*todo: Value) -> None:
        """Add values without memory, each after those that it is computed from."""
        stack = list(todo)[::-1]
        while stack:
            value = stack[-1]
            known = value in values or graph.nodes[value[0]].kind in STATEFUL
            missing = [] if known else [v for v in inputs(value) if _is_missing(graph, values, v)]
            if not missing:
                stack.pop()
                if not known:
                    values[value] = inputs(value)
            stack += reversed(missing)

    for name in place:
        if graph.nodes[name].kind in STATEFUL:
            delayed = frozenset(n for n in upstream[name] if place[n] >= place[name])
            received = tuple(output(s, delayed) for s in graph.sources[name])
            add(*received)
            values[name, ()] = received
    add(*(output(name, frozenset()) for name in graph.outputs))
    return tuple(values.items())


def _is_missing(graph: FlatGraph, values: dict[Value, tuple[Value, ...]], value: Value) -> bool:
    return value not in values and graph.nodes[value[0]].kind not in STATEFUL


def _upstream(graph: FlatGraph) -> dict[str, frozenset[str]]:
    """The neurons that feed a node, directly or through nodes without memory."""
    stateful = {name for name, node in graph.nodes.items() if node.kind in STATEFUL}
    memoryless = {
        n: [s for s in sources if s not in stateful] for n, sources in graph.sources.items()
    }
    found: dict[str, frozenset[str]] = {}
    try:
        for name in graphlib.TopologicalSorter(memoryless).static_order():
            direct = stateful & {*graph.sources[name]}
            found[name] = frozenset(direct).union(*(found[s] for s in memoryless[name]))
    except graphlib.CycleError as e:
        fix = "A signal without delay cannot run in a cycle."
        raise malformed("have a neuron in every cycle", " -> ".join(e.args[1]), fix) from None
    return found


def _reverse_postorder(graph: FlatGraph) -> list[str]:
    targets: dict[str, list[str]] = {name: [] for name in graph.nodes}
    for target in sorted(graph.sources, reverse=True):
        for name in graph.sources[target]:
            targets[name].append(target)
    done: list[str] = []
    seen: set[str] = set()
    todo = [(name, False) for name in graph.inputs]
    while todo:  # a stack
        name, after_targets = todo.pop()
        if after_targets:
            done.append(name)
        elif name not in seen:
            seen.add(name)
            todo.append((name, True))
            todo += [(target, False) for target in reversed(targets[name])]
    return done[::-1]
