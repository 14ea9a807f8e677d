"""In which order the nodes run, and which of them hear a neuron one step late.

Neurons are put in reverse postorder of a walk from the Inputs, so that along every path that runs
in no circle the order is that of the path.  A neuron hears the neurons before it as they are now,
itself and those after it as they were one step ago: one step of delay a circle, at the output of
the neuron that closes it.  What lies between (weights, sums) has no memory, so it is run once for
each set of neurons that are to be heard late.
"""

from .graph import STATEFUL, FlatGraph

Value = tuple[str, tuple[str, ...]]  # a node, and the neurons upstream of it that are heard late
LATE = ("late",)  # as the second part: the last output of that neuron
Plan = tuple[tuple[Value, tuple[Value, ...]], ...]  # what to compute, from what


def plan(graph: FlatGraph) -> Plan:
    """The steps of one time step."""
    upstream = _upstream(graph)
    place = {name: i for i, name in enumerate(_reverse_postorder(graph))}
    neurons = [n for n in place if graph.nodes[n].kind in STATEFUL]
    steps: dict[Value, tuple[Value, ...]] = {}

    def source(name: str, late: frozenset[str]) -> Value:
        if graph.nodes[name].kind in STATEFUL:
            return (name, LATE) if name in late else (name, ())
        late &= upstream[name]
        value = (name, tuple(sorted(late)))
        if value not in steps:
            heard = tuple(source(s, late) for s in graph.sources[name])
            steps[value] = heard
        return value

    def run(name: str, late: frozenset[str]) -> None:
        steps[name, ()] = tuple(source(s, late) for s in graph.sources[name])

    for name in neurons:
        run(name, frozenset(n for n in upstream[name] if place[n] >= place[name]))
    for name in graph.outputs:
        source(name, frozenset())
    return tuple(steps.items())


def late_neurons(steps: Plan) -> tuple[str, ...]:
    """The neurons that someone hears one step late."""
    return tuple(sorted({name for _, heard in steps for name, late in heard if late == LATE}))


def _upstream(graph: FlatGraph) -> dict[str, frozenset[str]]:
    """The neurons that a node hears, directly or through nodes without memory."""
    found: dict[str, frozenset[str]] = {}
    for root in graph.nodes:
        path, todo = [root], [iter(graph.sources[root])]
        if root in found:
            continue
        while todo:
            for name in todo[-1]:
                if graph.nodes[name].kind in STATEFUL or name in found:
                    continue
                if name in path:
                    circle = " -> ".join([*reversed(path[path.index(name) :]), path[-1]])
                    raise ValueError(
                        "`from_nir(graph=...)` must have a neuron in every circle, got "
                        f"{circle}. A signal without delay cannot run in a circle."
                    )
                path.append(name)
                todo.append(iter(graph.sources[name]))
                break
            else:
                name = path.pop()
                todo.pop()
                found[name] = frozenset().union(
                    *(
                        {s} if graph.nodes[s].kind in STATEFUL else found[s]
                        for s in graph.sources[name]
                    )
                )
    return found


def _reverse_postorder(graph: FlatGraph) -> list[str]:
    targets: dict[str, list[str]] = {name: [] for name in graph.nodes}
    for target in sorted(graph.sources, reverse=True):
        for name in graph.sources[target]:
            targets[name].append(target)
    done: list[str] = []
    seen: set[str] = set()
    path: list[str] = []
    todo = [iter(graph.inputs[::-1])]
    while True:
        for name in todo[-1]:
            if name not in seen:
                seen.add(name)
                path.append(name)
                todo.append(iter(targets[name]))
                break
        else:
            todo.pop()
            if not path:
                return done[::-1]
            done.append(path.pop())
