"""The pools of a step, and which gradients between them local credit stops."""

import dataclasses
import functools

from jax.extend.core import JaxprEqn, Var

from .._types import Array
from ..engine.program import Step, diagonal, has_gradient, is_var, prune, scales, type_of, unique
from .flow import Edge, Flow, is_inexact
from .pointwise import Pointwise, kinds, pointwise
from .ways import CONSTANT, ways


@dataclasses.dataclass(frozen=True, eq=False)
class Filter:
    """A linear leaky pool that reads what other neurons emit, through constant linear equations.

    A filter of a linear image is the linear image of a filter, so its memory of those neurons can
    be followed along with the neurons themselves.

    Attributes:
        pool: Its states, by position.
        target: The variable it reads.
        sent: The outputs of the neurons.
        between: The equations from there to ``target``, by position.
    """

    pool: tuple[int, ...]
    target: Var
    sent: tuple[Var, ...]
    between: tuple[int, ...]


def derivatives(f: Pointwise, v: Var, *values: Array) -> list[Array]:
    """The derivatives of the states of ``f`` for the states and for an input ``v``, per neuron.

    Args:
        f: The equations of a pool.
        v: One of its inputs.
        values: The values of its states and inputs.

    Returns:
        For each state, its derivatives for the states and for ``v``.
    """
    env = dict(zip([*f.states, *f.inputs], values, strict=True))

    def row(r):
        def moved(states, shifts):
            return f({**env, **dict(zip(f.states, states, strict=True)), v: shifts[0]})[r]

        states, shifts = diagonal(moved, [env[s] for s in f.states], [env[v]])
        return [*states, *shifts]

    return [a for r in range(len(f.states)) for a in row(r)]


def _ignores(f: Pointwise, v: Var, flow: Flow) -> bool:
    """Whether no target of a pool has a derivative by an input, such as what rounding selects."""
    read = [*f.states, *f.inputs]

    def by_input(*values):
        env = dict(zip(read, values, strict=True))
        of = [lambda _, a, r=r: f({**env, v: a[0]})[r] for r in range(len(f.targets))]
        return [diagonal(target, [], [env[v]])[1][0] for target in of]

    return set(kinds(by_input, read, flow)) == {"zero"}


class Pools:
    """The states of a step, grouped into pools by pointwise equations.

    Attributes:
        flow: The gradient paths of the step.
        groups: The states of every pool, by position.
        filters: The pools, such as leaky readouts, whose memory of other pools is exact.
    """

    def __init__(self, step: Step, *, fold: bool = False):
        self.flow = Flow(step, fold=fold)
        self.groups = self._joined()
        self.filters: list[Filter] = []
        self._find_filters()

    def _joined(self) -> list[tuple[int, ...]]:
        """The states, grouped so that those connected by pointwise equations are together."""
        step, flow = self.flow.step, self.flow
        group = {k: {k} for k in flow.states}
        for k in flow.states:
            new = step.new_state[k]
            for m in flow.memory.get(new, ()) if is_var(new) else ():
                if group[m] is not group[k]:
                    group[m] |= group[k]
                    group.update(dict.fromkeys(group[k], group[m]))
        return sorted({tuple(sorted(g)) for g in group.values()})

    @functools.cached_property
    def equations(self) -> dict[tuple[int, ...], Pointwise]:
        """The pointwise equations of every pool."""
        return {g: pointwise(self.flow, g) for g in self.groups}

    def group_of(self, states) -> set[tuple[int, ...]]:
        """The pools that hold some states."""
        return {g for g in self.groups if not states.isdisjoint(g)}

    # ---- what local credit stops ----

    @functools.cached_property
    def synapses(self) -> frozenset[Edge]:
        """The edges from neurons to neurons, and those of what is computed from parameters."""
        flow = self.flow
        return frozenset(
            (i, v)
            for i, v in flow.between_neurons()
            if flow.memory.get(v) or (flow.is_contraction(i) and v in flow.weighted)
        )

    @functools.cached_property
    def _opened(self) -> set[Edge]:
        """The edges to filters."""
        eqns = self.flow.step.eqns
        return {(i, v) for f in self.filters for i in f.between for v in unique(eqns[i].invars)}

    def stops(self, credit: str) -> tuple[frozenset[Edge], frozenset[Edge]]:
        """The edges without a gradient to the next states, and those without one to the loss.

        - ``"local"``: none goes from pool to pool, except to filters; to the loss, none comes from
          old states that are fed back to their own cycle.
        - ``"layer"``: none goes from cycle to cycle, except to filters.
        """
        flow = self.flow
        if credit == "local":
            fed_back = [
                e for e in flow.between_neurons() if e[1] in flow.stale and flow.in_a_cycle(e)
            ]
            return self.synapses - self._opened, frozenset(fed_back)
        return (self._between_cycles() if credit == "layer" else frozenset()), frozenset()

    def _between_cycles(self) -> frozenset[Edge]:
        flow, step = self.flow, self.flow.step
        live = {step.state[k] for k in flow.states}
        found = set()
        edges = set(flow.between_neurons()) - self._opened
        for i, e in enumerate(step.eqns):
            read = [v for v in unique(e.invars) if v in live]
            cut = {v for v in read if (i, v) in edges and not flow.in_a_cycle((i, v))}
            weights = [v for v in unique(e.invars) if v in flow.weighted and (i, v) in edges]
            cut |= {v for v in weights if flow.is_contraction(i) and not flow.in_a_cycle((i, v))}
            found |= {(i, v) for v in cut}
            if has_gradient(e) and not cut.issuperset(read):
                live.update(v for v in e.outvars if is_inexact(v))
        return frozenset(found)

    # ---- filters ----

    def _find_filters(self) -> None:
        flow = self.flow
        for group in sorted(self.groups, key=self._position):
            for v in self.equations[group].inputs:
                if not (flow.varies(v) and is_inexact(v)) or flow.memory.get(v):
                    continue
                found = flow.emissions(v, set(group))
                if found and self._is_filter(group, v, *found):
                    sent = tuple(a for a in flow.memory if a in found[0])
                    self.filters.append(Filter(group, v, sent, tuple(sorted(found[1]))))

    def _position(self, group: tuple[int, ...]) -> int:
        """The position of the last equation of a pool."""
        ends = unique(self.flow.step.new_state[k] for k in group)
        return max((self.flow.graph.producer.get(v, -1) for v in ends), default=-1)

    def _is_filter(self, group, v: Var, sent: set[Var], between: set[int]) -> bool:
        flow, f = self.flow, self.equations[group]
        senders = set().union(*(self.group_of(flow.memory[a]) for a in sent))
        chained = {g.pool for g in self.filters} & senders
        chained |= {s for g in self.filters for s in self._senders(g)} & {group}
        if chained or type_of(v).shape != f.shape:
            return False
        if not self._is_linear(f, v) or "own" in kinds(
            functools.partial(derivatives, f, v), [*f.states, *f.inputs], flow
        ):
            return False
        return self._is_private(group, between) and all(self._is_followed(g, sent) for g in senders)

    def _senders(self, found: Filter) -> set[tuple[int, ...]]:
        return set().union(*(self.group_of(self.flow.memory[a]) for a in found.sent))

    @functools.cached_property
    def _stateful(self) -> list[JaxprEqn]:
        """The equations that the next states depend on."""
        step = self.flow.step
        return prune(step.eqns, step.new_state, effects=False)

    def _is_linear(self, f: Pointwise, target: Var) -> bool:
        """Whether the states, and not only their gradients, are linear in what the pool reads."""
        path = {*f.states, target}
        for e in f.eqns:
            at = [j for j, v in enumerate(e.invars) if is_var(v) and v in path]
            if at and scales(e, at) is None:
                return False
            path.update(e.outvars if at else ())
        return True

    def _is_private(self, group, between: set[int]) -> bool:
        """Whether no other state depends on what is computed ``between``."""
        step, f = self.flow.step, self.equations[group]
        inside = {id(step.eqns[i]) for i in between} | {id(e) for e in f.eqns}
        made = {v for i in between for v in step.eqns[i].outvars}
        others = [e for e in self._stateful if id(e) not in inside]
        elsewhere = [step.new_state[k] for k in range(len(step.state)) if k not in group]
        return not any(v in made for e in others for v in unique(e.invars)) and not any(
            v in made for v in unique(elsewhere)
        )

    def _is_followed(self, group: tuple[int, ...], sent: set[Var]) -> bool:
        """Whether all that enters a pool is added or comes through a matrix."""
        flow, stops = self.flow, self.synapses
        f = pointwise(flow, group, [a for a in sent if not flow.memory[a].isdisjoint(group)])
        for v in f.inputs:
            if not flow.varies(v) or v not in flow.weighted:
                continue
            found = ways(flow, stops, self._weights_before(v, stops), v)
            lost = [w for w in found if w.kind != CONSTANT and not w.is_product(f.shape)]
            if lost and not _ignores(f, v, flow):
                return False
        return True

    def _weights_before(self, v: Var, stops: frozenset[Edge]) -> list[Var]:
        """Variables that are the same at every step, may be parameters, and reach ``v``."""
        flow = self.flow
        near = flow.reaches([v], stops)
        timed = [e for e in flow.step.eqns if any(map(flow.varies, e.outvars))]
        read = unique(w for e in timed if any(o in near for o in e.outvars) for w in e.invars)
        return [w for w in read if w in near and not flow.varies(w) and is_inexact(w)]
