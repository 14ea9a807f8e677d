"""The equations of one step, partitioned into those that share a loop and those that need none."""

import dataclasses
import graphlib
from collections.abc import Iterable, Iterator
from typing import Literal

from jax.extend.core import JaxprEqn, Var

from ..._types import Shape
from ..program import elementwise
from ..program.jaxpr import unique
from ..program.sequential import must_run_in_sequence
from .components import components
from .graph import Graph

NONE = -1  # instead of a node or a group


@dataclasses.dataclass(frozen=True)
class Part:
    """Equations that are evaluated together.

    Attributes:
        kind: ``"invariant"`` (the same at every step), ``"parallel"`` (on no cycle: all steps at
            once), ``"shift"`` (a state on no cycle: its source, delayed by one step) or ``"loop"``
            (a cycle).
        eqns: The equations, in topological order.
        states: The positions of its states in the step.
    """

    kind: Literal["invariant", "parallel", "shift", "loop"]
    eqns: list[JaxprEqn]
    states: list[int]


def partition(graph: Graph, *, split: bool, fuse: bool) -> list[Part]:
    """The parts of a step, in topological order, with as much as possible in each.

    The strongly connected components of the graph are the true recurrences. A component of one
    node is on no cycle and needs no loop.

    Args:
        graph: The graph of the step.
        split: False puts everything that varies with time in one loop instead: step order.
        fuse: Whether cheap equations move into the loops that they serve.
    """
    groups = Partition(graph, split=split)
    if split and fuse:
        groups.fuse()
    return groups.parts()


class Partition:
    """A partition of the nodes that run at every step into groups.

    A loop is a group with a cycle in it, or one equation that must run step by step.
    """

    def __init__(self, graph: Graph, *, split: bool):
        self.graph = graph
        varying = graph.is_time_varying
        nodes = [i for i in range(graph.n_eqns) if varying(i)]
        nodes += [graph.n_eqns + k for k in graph.changing]
        if split:
            found = [[n for n in c if varying(n)] for c in components(graph.successors())]
            found = [c for c in found if c and c[0] - graph.n_eqns not in graph.unchanged]
            self.loops = {g for g, c in enumerate(found) if len(c) > 1 or self._is_loop(c[0])}
        else:
            found, self.loops = [nodes], {0} if nodes else set()
        self.members = dict(enumerate(found))
        self.group_of = {n: g for g, c in self.members.items() for n in c}

    def _is_loop(self, node: int) -> bool:
        """Whether a node on no cycle must run step by step."""
        graph = self.graph
        if node >= graph.n_eqns:
            return False
        return must_run_in_sequence(graph.step.eqns[node], graph.time_varying)

    def contents(self, group: int) -> tuple[list[JaxprEqn], list[int]]:
        """The equations and the states of a group."""
        n = self.graph.n_eqns
        nodes = sorted(self.members[group])
        return [self.graph.step.eqns[i] for i in nodes if i < n], [i - n for i in nodes if i >= n]

    def consumers(self, v: Var) -> set[int]:
        """The groups that read a variable, and ``NONE`` for equations in no group."""
        return {self.group_of.get(n, NONE) for n in self.graph.consumers.get(v, ())}

    def producer(self, v: Var) -> int:
        """The group that defines a variable, or ``NONE``."""
        return self.group_of.get(self.graph.producer.get(v, NONE), NONE)

    def shape(self, group: int) -> Shape | None:
        """The shape of one layer if a loop is elementwise over it, else None."""
        eqns, states = self.contents(group)
        if self.graph.split(states)[1]:
            return None
        return elementwise.layer_shape(self.graph.step_of(eqns, states))

    def join(self, group: int, other: int) -> None:
        """Move the nodes of ``group`` into ``other``."""
        for n in self.members[group]:
            self.group_of[n] = other
        self.members[other] += self.members.pop(group)
        self.loops.discard(group)

    # ---- fusion: what is evaluated inside a loop instead of being materialized for all steps ----

    def fuse(self) -> None:
        """Move cheap equations into the one loop they serve; join loops that only meet there."""
        shapes = {g: self.shape(g) for g in self.loops}
        changed = True
        while changed:
            changed = self._fuse_producers(shapes)
            changed |= self._fuse_consumers()
            changed |= self._join_loops(shapes)
        self._sink_constants()

    def _parallel_equations(self) -> Iterator[tuple[int, JaxprEqn]]:
        for i, e in enumerate(self.graph.step.eqns):
            parallel = i in self.group_of and self.group_of[i] not in self.loops
            cheap = elementwise.is_elementwise(e) and e.primitive.name != "broadcast_in_dim"
            if parallel and cheap:
                yield i, e

    def _fuse_producers(self, shapes: dict[int, Shape | None]) -> bool:
        """Move an equation into the one loop that reads it, if the loop then reads no more."""
        changed = False
        for i, e in reversed(list(self._parallel_equations())):
            to = {g for v in e.outvars for g in self.consumers(v)}
            if len(to) != 1 or not to <= self.loops or self._is_result(e.outvars):
                continue
            (loop,) = to
            read = [v for v in unique(e.invars) if v in self.graph.time_varying]
            read = [v for v in read if not self._only_for(v, self.group_of[i], shapes, loop)]
            if len(read) <= 1:
                self.join(self.group_of[i], loop)
                changed = True
        return changed

    def _only_for(self, v: Var, group: int, shapes: dict[int, Shape | None], loop: int) -> bool:
        """Whether only ``group`` reads ``v``, which a loop over the same layer as ``loop`` made."""
        source = self.producer(v)
        alike = source in self.loops and shapes[source] and shapes[source] == shapes[loop]
        return bool(alike) and self.consumers(v) - {source} == {group} and not self._is_result([v])

    def _fuse_consumers(self) -> bool:
        """Move an equation into the one loop it reads, if an output of the loop is then unread."""
        changed = False
        for i, e in self._parallel_equations():
            read = [v for v in unique(e.invars) if v in self.graph.time_varying]
            producers = {self.producer(v) for v in read}
            if len(producers) != 1 or not producers <= self.loops:
                continue
            (loop,) = producers
            group = self.group_of[i]
            sole = [v for v in read if self.consumers(v) - {loop} == {group}]
            if any(not self._is_result([v]) for v in sole) and len(e.outvars) == 1:
                self.join(group, loop)
                changed = True
        return changed

    def _join_loops(self, shapes: dict[int, Shape | None]) -> bool:
        """Join elementwise loops over one layer if only the second reads the first."""
        changed = False
        for a in sorted(self.loops):
            outputs = [v for n in self.members[a] for v in self.graph.outputs_of(n)]
            to = {g for v in outputs for g in self.consumers(v)} - {a}
            if len(to) == 1 and to <= self.loops and shapes[a]:
                (b,) = to
                if shapes[b] == shapes[a]:
                    self.join(a, b)
                    changed = True
        return changed

    def _sink_constants(self) -> None:
        """Broadcast a scalar in the one loop that reads it, which then has no array to read."""
        for i, e in enumerate(self.graph.step.eqns):
            invariant = i not in self.group_of and not self._is_result(e.outvars)
            if elementwise.broadcasts_scalar(e) and invariant:
                to = self.consumers(e.outvars[0])
                if len(to) == 1 and to <= self.loops:
                    (self.group_of[i],) = to
                    self.members[self.group_of[i]].append(i)

    def _is_result(self, variables: Iterable[Var]) -> bool:
        return any(v in self.graph.results for v in variables)

    # ---- order ----

    def parts(self) -> list[Part]:
        """The parts to evaluate, in topological order; parallel equations together."""
        eqns = self.graph.step.eqns
        invariant = [e for i, e in enumerate(eqns) if i not in self.group_of]
        order = [Part("invariant", invariant, [])] if invariant else []
        parallel: list[int] = []

        def flush():
            if parallel:
                order.append(Part("parallel", [eqns[i] for i in sorted(parallel)], []))
                parallel.clear()

        for group in self._sorted():
            if self._is_parallel(group):
                parallel.extend(self.members[group])
                continue
            flush()
            kind: Literal["loop", "shift"] = "loop" if group in self.loops else "shift"
            order.append(Part(kind, *self.contents(group)))
        flush()
        return order

    def _is_parallel(self, group: int) -> bool:
        return group not in self.loops and not self.contents(group)[1]

    def _sorted(self) -> list[int]:
        """Groups in topological order, parallel ones as early as possible."""
        sorter = graphlib.TopologicalSorter[int](dict.fromkeys(self.members, ()))
        for v, node in self.graph.producer.items():
            if node in self.group_of:
                group = self.group_of[node]
                for reader in self.consumers(v) - {group, NONE}:
                    sorter.add(reader, group)
        sorter.prepare()
        order: list[int] = []
        ready: list[int] = []
        while sorter.is_active():
            ready += sorter.get_ready()
            ready.sort(key=lambda g: (not self._is_parallel(g), g))
            order.append(ready.pop(0))
            sorter.done(order[-1])
        return order
