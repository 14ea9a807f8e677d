"""The data flow of one step, closed by an edge from every new state to the state it becomes."""

from typing import Any

from .compat import effects
from .trace import Step, inputs_of, is_var, unique


class Graph:
    """Which equations of a step depend on which, through the state too.

    Nodes are the equations (by position) and then the states; a state has an edge from what
    computes its next value. A held state, whose next value is itself, is a constant.
    """

    def __init__(self, step: Step):
        self.step = step
        self.n_eqns = len(step.eqns)
        pairs = zip(step.state, step.new_state, strict=True)
        self.held = {k for k, (old, new) in enumerate(pairs) if new is old}
        self.moving = [k for k in range(len(step.state)) if k not in self.held]
        self.home = {v: i for i, e in enumerate(step.eqns) for v in e.outvars}
        self.home.update({step.state[k]: self.n_eqns + k for k in self.moving})
        self.users: dict[Any, set[int]] = {}  # of a variable, nodes
        for i, e in enumerate(step.eqns):
            for v in unique(e.invars):
                self.users.setdefault(v, set()).add(i)
        for k in self.moving:
            if is_var(step.new_state[k]):
                self.users.setdefault(step.new_state[k], set()).add(self.n_eqns + k)
        self.timed = {*step.xs, *(step.state[k] for k in self.moving)}
        for e in step.eqns:
            if effects(e) or any(v in self.timed for v in unique(e.invars)):
                self.timed.update(e.outvars)
        self.results = set(unique(step.ys))

    def is_timed(self, node: int) -> bool:
        """Whether a node must be evaluated at every step."""
        if node >= self.n_eqns:
            return True
        eqn = self.step.eqns[node]
        return bool(effects(eqn)) or any(v in self.timed for v in eqn.outvars)

    def made_by(self, node: int) -> list[Any]:
        """The variables that a node defines."""
        k = node - self.n_eqns
        return [self.step.state[k]] if k >= 0 else list(self.step.eqns[node].outvars)

    def successors(self) -> list[list[int]]:
        """The edges between nodes; held states have none."""
        edges: list[list[int]] = [[] for _ in range(self.n_eqns + len(self.step.state))]
        for v, nodes in self.users.items():
            if v in self.home:
                edges[self.home[v]].extend(sorted(nodes))
        return edges

    def loop_step(self, eqns: list[Any], states: list[int]) -> Step:
        """A group of equations and states as a step of its own, and what others need of it."""
        step = self.step
        inside = {self.home[v] for e in eqns for v in e.outvars} | {self.n_eqns + k for k in states}
        state = [step.state[k] for k in states]
        new_state = [step.new_state[k] for k in states]
        made = [v for e in eqns for v in e.outvars]
        own = {*made, *state}
        outer = unique([*inputs_of(eqns), *new_state])
        outer = [v for v in outer if v not in own]
        ys = [v for v in [*made, *state] if v in self.results or self.users.get(v, set()) - inside]
        consts = [v for v in outer if v not in self.timed]
        return Step(consts, state, [v for v in outer if v in self.timed], new_state, ys, eqns)
