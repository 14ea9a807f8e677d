"""The data flow of one step, closed by an edge from every new state to the state it becomes."""

from jax.extend.core import JaxprEqn, Var

from ..program.compat import effects
from ..program.jaxpr import inputs_of, unique
from ..program.step import Step


class Graph:
    """Which equations of a step depend on which, including through the state.

    The nodes are the equations (by position), then the states; the equation that computes the next
    value of a state has an edge to it. An unchanged state, whose next value is itself, is a
    constant.
    """

    def __init__(self, step: Step):
        self.step = step
        self.n_eqns = len(step.eqns)
        pairs = zip(step.state, step.new_state, strict=True)
        self.unchanged = {k for k, (old, new) in enumerate(pairs) if new is old}
        self.changing = [k for k in range(len(step.state)) if k not in self.unchanged]
        self.producer = {v: i for i, e in enumerate(step.eqns) for v in e.outvars}
        self.producer.update({step.state[k]: self.n_eqns + k for k in self.changing})
        self.consumers: dict[Var, set[int]] = {}  # the nodes that read a variable
        for i, e in enumerate(step.eqns):
            for v in unique(e.invars):
                self.consumers.setdefault(v, set()).add(i)
        for k in self.changing:
            for v in unique([step.new_state[k]]):
                self.consumers.setdefault(v, set()).add(self.n_eqns + k)
        self.time_varying = {*step.xs, *(step.state[k] for k in self.changing)}
        for e in step.eqns:
            if effects(e) or any(v in self.time_varying for v in unique(e.invars)):
                self.time_varying.update(e.outvars)
        self.results = set(unique(step.ys))

    def is_time_varying(self, node: int) -> bool:
        """Whether a node must be evaluated at every step."""
        if node >= self.n_eqns:
            return True
        eqn = self.step.eqns[node]
        return bool(effects(eqn)) or any(v in self.time_varying for v in eqn.outvars)

    def outputs_of(self, node: int) -> list[Var]:
        """The variables that a node defines."""
        k = node - self.n_eqns
        return [self.step.state[k]] if k >= 0 else list(self.step.eqns[node].outvars)

    def successors(self) -> list[list[int]]:
        """The edges between nodes; unchanged states have none."""
        edges: list[list[int]] = [[] for _ in range(self.n_eqns + len(self.step.state))]
        for v, nodes in self.consumers.items():
            if v in self.producer:
                edges[self.producer[v]].extend(sorted(nodes))
        return edges

    def step_of(self, eqns: list[JaxprEqn], states: list[int]) -> Step:
        """Some equations and states as a step whose outputs are what the other equations read.

        A state delayed by more than one step is an input instead, and its new value an output: the
        last ones, in order.
        """
        step = self.step
        inside = {self.producer[v] for e in eqns for v in e.outvars}
        inside |= {self.n_eqns + k for k in states}
        state, late = self.split(states)
        new_state = [step.new_state[k] for k in state]
        sources = [step.new_state[k] for k in late]
        defined = [v for e in eqns for v in e.outvars]
        own = dict.fromkeys([*defined, *(step.state[k] for k in states)])
        read = unique([*inputs_of(eqns), *new_state, *sources])
        outer = [v for v in read if v not in own]
        ys = [v for v in own if v in self.results or self.consumers.get(v, set()) - inside]
        consts = [v for v in outer if v not in self.time_varying]
        xs = [v for v in outer if v in self.time_varying] + [step.state[k] for k in late]
        return Step(consts, [step.state[k] for k in state], xs, new_state, [*ys, *sources], eqns)

    def split(self, states: list[int]) -> tuple[list[int], list[int]]:
        """Some states, split into those delayed by one step and the others."""
        delays = self.step.delays
        return [k for k in states if k not in delays], [k for k in states if k in delays]
