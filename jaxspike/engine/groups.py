"""The equations of one step in groups: what loops over time together, and what does not loop."""

import dataclasses
import heapq
from typing import Any

from . import pointwise
from .components import components
from .graph import Graph
from .serial import is_serial
from .trace import unique

NONE = -1  # in place of a node or a group: there is none


@dataclasses.dataclass(frozen=True)
class Piece:
    """Equations that are evaluated together.

    Attributes:
        kind: ``"once"`` (the same at every step), ``"free"`` (on no cycle: all steps at once),
            ``"delay"`` (a state on no cycle: its source, one step late) or ``"loop"`` (a cycle).
        eqns: The equations, in an order that works.
        states: Which states of the step belong to it.
    """

    kind: str
    eqns: list[Any]
    states: list[int]


class Groups:
    """A partition of the nodes that run at every step.

    A loop is a group with a cycle in it, or one equation that must run step by step.
    """

    def __init__(self, graph: Graph, *, split: bool):
        self.graph = graph
        nodes = [i for i in range(graph.n_eqns) if graph.is_timed(i)]
        nodes += [graph.n_eqns + k for k in graph.moving]
        if split:
            found = [[n for n in c if graph.is_timed(n)] for c in components(graph.successors())]
            found = [c for c in found if c and c[0] - graph.n_eqns not in graph.held]
            self.loops = {g for g, c in enumerate(found) if len(c) > 1 or self._is_serial(c[0])}
        else:
            found, self.loops = [nodes], {0} if nodes else set()
        self.members = dict(enumerate(found))
        self.of = {n: g for g, c in self.members.items() for n in c}

    def _is_serial(self, node: int) -> bool:
        graph = self.graph
        return node < graph.n_eqns and is_serial(graph.step.eqns[node], graph.timed)

    def parts(self, group: int) -> tuple[list[Any], list[int]]:
        """The equations and the states of a group."""
        n = self.graph.n_eqns
        nodes = sorted(self.members[group])
        return [self.graph.step.eqns[i] for i in nodes if i < n], [i - n for i in nodes if i >= n]

    def users(self, v: Any) -> set[int]:
        """The groups that read a variable, and ``NONE`` for equations in no group."""
        return {self.of.get(n, NONE) for n in self.graph.users.get(v, ())}

    def source(self, v: Any) -> int:
        """The group that makes a variable, or ``NONE``."""
        return self.of.get(self.graph.home.get(v, NONE), NONE)

    def shape(self, group: int) -> tuple[int, ...] | None:
        """The shape of one layer if a loop is elementwise over it, else None."""
        return pointwise.shape_of(self.graph.loop_step(*self.parts(group)))

    def join(self, group: int, other: int) -> None:
        """Move the nodes of ``group`` into ``other``."""
        for n in self.members[group]:
            self.of[n] = other
        self.members[other] += self.members.pop(group)
        self.loops.discard(group)

    # ---- what rides inside a loop instead of being written out for all steps ----

    def ride(self) -> None:
        """Move cheap equations into the one loop they serve; join loops that only meet there."""
        shapes = {g: self.shape(g) for g in self.loops}
        changed = True
        while changed:
            changed = self._ride_before(shapes)
            changed |= self._ride_after()
            changed |= self._join_loops(shapes)
        self._ride_constants()

    def _free_equations(self):
        for i, e in enumerate(self.graph.step.eqns):
            free = i in self.of and self.of[i] not in self.loops
            if free and pointwise.is_elementwise(e) and e.primitive.name != "broadcast_in_dim":
                yield i, e

    def _ride_before(self, shapes) -> bool:
        """An equation that feeds one loop and adds no sequence to what the loop reads."""
        changed = False
        for i, e in reversed(list(self._free_equations())):
            to = {g for v in e.outvars for g in self.users(v)}
            if len(to) != 1 or not to <= self.loops or self._is_result(e.outvars):
                continue
            (loop,) = to
            streams = [v for v in unique(e.invars) if v in self.graph.timed]
            streams = [v for v in streams if not self._only_for(v, self.of[i], shapes, loop)]
            if len(streams) <= 1:
                self.join(self.of[i], loop)
                changed = True
        return changed

    def _only_for(self, v, group, shapes, loop) -> bool:
        """Whether ``v`` comes from an elementwise loop like ``loop`` and goes to ``group`` only."""
        source = self.source(v)
        alike = source in self.loops and shapes[source] and shapes[source] == shapes[loop]
        return bool(alike) and self.users(v) - {source} == {group} and not self._is_result([v])

    def _ride_after(self) -> bool:
        """An equation that reads one loop, in place of what it reads."""
        changed = False
        for i, e in self._free_equations():
            timed = [v for v in unique(e.invars) if v in self.graph.timed]
            homes = {self.source(v) for v in timed}
            if len(homes) != 1 or not homes <= self.loops:
                continue
            (loop,) = homes
            group = self.of[i]
            sole = [v for v in timed if self.users(v) - {loop} == {group}]
            if any(not self._is_result([v]) for v in sole) and len(e.outvars) == 1:
                self.join(group, loop)
                changed = True
        return changed

    def _join_loops(self, shapes) -> bool:
        """Elementwise loops over one layer, the first read by the second and by no other."""
        changed = False
        for a in sorted(self.loops):
            made = [v for n in self.members[a] for v in self.graph.made_by(n)]
            to = {g for v in made for g in self.users(v)} - {a}
            if len(to) == 1 and to <= self.loops and shapes[a]:
                (b,) = to
                if shapes[b] == shapes[a]:
                    self.join(a, b)
                    changed = True
        return changed

    def _ride_constants(self) -> None:
        """A number spread over a layer is made in the loop that reads it: nothing to read."""
        for i, e in enumerate(self.graph.step.eqns):
            if pointwise.spreads_number(e) and i not in self.of and not self._is_result(e.outvars):
                to = self.users(e.outvars[0])
                if len(to) == 1 and to <= self.loops:
                    (self.of[i],) = to
                    self.members[self.of[i]].append(i)

    def _is_result(self, variables) -> bool:
        return any(v in self.graph.results for v in variables)

    # ---- order ----

    def pieces(self) -> list[Piece]:
        """What to evaluate, in an order that works; as much as possible at once."""
        graph = self.graph
        once = [e for i, e in enumerate(graph.step.eqns) if i not in self.of]
        order = [Piece("once", once, [])] if once else []
        free: list[int] = []

        def flush():
            if free:
                order.append(Piece("free", [graph.step.eqns[i] for i in sorted(free)], []))
                free.clear()

        for group in self._sorted():
            eqns, states = self.parts(group)
            if group not in self.loops and not states:
                free.extend(self.members[group])
                continue
            flush()
            order.append(Piece("loop" if group in self.loops else "delay", eqns, states))
        flush()
        return order

    def _sorted(self) -> list[int]:
        """Groups in topological order, those that are no loop first."""
        after: dict[int, set[int]] = {g: set() for g in self.members}
        for v, node in self.graph.home.items():
            g = self.of.get(node, NONE)
            if g != NONE:
                after[g] |= self.users(v) - {g, NONE}
        waiting = dict.fromkeys(self.members, 0)
        for groups in after.values():
            for g in groups:
                waiting[g] += 1

        def key(g):
            return (g in self.loops or bool(self.parts(g)[1]), g)

        ready = [key(g) for g, n in waiting.items() if not n]
        heapq.heapify(ready)
        out = []
        while ready:
            _, g = heapq.heappop(ready)
            out.append(g)
            for other in after[g]:
                waiting[other] -= 1
                if not waiting[other]:
                    heapq.heappush(ready, key(other))
        return out
