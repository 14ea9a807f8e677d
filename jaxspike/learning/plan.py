"""The plan of an online gradient: the pools it follows, what enters them, and the traces."""

import dataclasses
import functools
from collections.abc import Iterator, Sequence

import jax.numpy as jnp
from jax.extend.core import Var

from .._types import Array
from ..engine.program import Atom, Step, diagonal, has_gradient, is_var, type_of, unique
from . import factored
from .flow import Edge, Flow, is_inexact
from .jacobian import groups
from .layout import Layout
from .pointwise import Pointwise, hidden_in, kinds, pointwise
from .pools import Filter, Pools, derivatives
from .trace import Trace
from .ways import CONSTANT, LINEAR, Way, ways
from .weighted_sum import WeightedSum, edges, weighted_sum

# the values of variables; a filter's constant derivatives: of each state, by states and by input
Env = dict[Var, Array]
Kinds = list[list[str]]
Rates = dict[Filter, list[list[Array]]]


@dataclasses.dataclass(frozen=True, eq=False)
class Leaf:
    """One memory of a pool: a state, or the memory that a filter has of the pool.

    Attributes:
        state: The position of the state, of the pool or of the filter.
        filter: The filter, or None.
        sent: The output of the pool that the filter reads.
    """

    state: int
    filter: Filter | None = None
    sent: Var | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class Entry:
    """A variable through which parameters enter a pool.

    Attributes:
        target: The variable.
        ways: How parameters reach it.
        leaves: The leaves that remember it, by position.
        shared: Those that all neurons compute alike, at all times.
        traces: Its traces.
        sum: What it and its leaves reach the loss by, if they do so only as a weighted sum.
    """

    target: Var
    ways: list[Way]
    leaves: list[int]
    shared: frozenset[int]
    traces: list[Trace]
    sum: WeightedSum | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class Pool:
    """Neurons that are followed together.

    Attributes:
        f: Their equations, whose targets are the next states and the inputs of filters.
        leaves: Their memories.
        entries: The variables through which parameters enter them.
        by_leaf: ``by_leaf[r][m]``: the kind of the derivative of leaf r with respect to leaf m.
    """

    f: Pointwise
    leaves: list[Leaf]
    entries: list[Entry]
    by_leaf: Kinds


class Plan:
    """The traces of a step.

    Attributes:
        step: The step, whose last constants are its parameters and whose first output is the loss.
        pools: The pools of all its states.
        window, within, across: The number of steps of a window, the credit in it and between two.
        parameters: The variables that depend on parameters, are the same at every step, and are
            read by what varies over time.
        decay: That of factored traces, or None.
        followed: The pools with traces.
        is_dense: Whether the derivatives of states by all parameters are kept instead.
        groups: The states whose derivatives by all parameters are kept.
    """

    def __init__(
        self,
        step: Step,
        n_params: int,
        *,
        window: int,
        within: str,
        across: str,
        decay: float | None = None,
        fold: bool = False,
    ):
        self.step, self.pools = step, Pools(step, fold=fold)
        self.flow: Flow = self.pools.flow
        self.params = step.consts[len(step.consts) - n_params :]
        self.parameters = self._parameters()
        self.window, self.within, self.across, self.decay = window, within, across, decay
        self.obstacles: list[tuple[Var, str]] = []
        self.followed = self._followed() if across == "local" else []
        self.is_dense = across in ("layer", "full")
        carry, (_, emit) = self.pools.stops(across)[0], self.pools.stops(within)
        self.groups = groups(self.flow, self.parameters, carry, emit) if self.is_dense else []

    # ---- what is the same at every step ----

    @functools.cached_property
    def constant_eqns(self):
        """The equations that are the same at every step."""
        return [e for e in self.step.eqns if not any(map(self.flow.varies, e.outvars))]

    @functools.cached_property
    def timed_eqns(self):
        """The equations that are not."""
        return [e for e in self.step.eqns if any(map(self.flow.varies, e.outvars))]

    @functools.cached_property
    def sources(self) -> dict[Var, frozenset[int]]:
        """For every variable that is computed from parameters alone: which, by position."""
        found = {v: frozenset([i]) for i, v in enumerate(self.params) if is_inexact(v)}
        for e in self.constant_eqns:
            read = [found[v] for v in unique(e.invars) if v in found]
            if has_gradient(e) and read:
                outs = [v for v in e.outvars if is_inexact(v)]
                found.update(dict.fromkeys(outs, frozenset().union(*read)))
        return found

    def _parameters(self) -> list[Var]:
        outputs = [*self.step.new_state, *self.step.ys]
        read = unique([*(v for e in self.timed_eqns for v in e.invars), *outputs])
        return [v for v in read if v in self.sources]

    # ---- what is followed ----

    @functools.cached_property
    def live(self) -> set[int]:
        """The states whose past reaches the loss."""
        step, flow = self.step, self.flow
        carry, emit = self.pools.stops(self.within)
        near = flow.reaches(step.ys[:1], emit)
        found: set[int] = set()
        while found != (found := found | {k for k in flow.states if step.state[k] in near}):
            for k in found if self.window > 1 else ():
                near |= flow.reaches([step.new_state[k]], carry)
            for k in found:
                new = step.new_state[k]
                near |= {step.state[m] for m in flow.memory.get(new, ())} if is_var(new) else set()
        return found

    @functools.cached_property
    def remembered(self) -> set[int]:
        """The states whose past reaches the loss if no gradient is stopped."""
        step, flow = self.step, self.flow
        near, found = flow.reaches(step.ys[:1]), set[int]()
        while found != (found := {k for k in flow.states if step.state[k] in near}):
            near |= flow.reaches([step.new_state[k] for k in found])
        return found

    def reached_by(self, sources: set[Var]) -> set[Var]:
        """The variables that depend on some others, at this step or a later one."""
        step, found, size = self.step, set(sources), -1
        while size != len(found):
            size = len(found)
            for e in step.eqns:
                if has_gradient(e) and any(v in found for v in unique(e.invars)):
                    found.update(v for v in e.outvars if is_inexact(v))
            new = [(step.state[k], step.new_state[k]) for k in self.flow.states]
            found.update(a for a, b in new if is_var(b) and b in found)
        return found

    def _followed(self) -> list[Pool]:
        flow = self.flow
        filters = [f for f in self.pools.filters if not self.live.isdisjoint(f.pool)]
        groups = [g & self.live for g in map(set, self.pools.groups)]
        groups = [g for g in groups if g]
        for f in filters:  # what a filter reads joins the pools that it comes from
            for a in f.sent:
                joined = [g for g in groups if g & flow.memory[a]]
                groups = [g for g in groups if g not in joined]
                groups += [set().union(*joined)] if joined else []
        pools = [self._pool(sorted(g), filters) for g in groups]
        return [p for p in pools if p.entries]

    def _pool(self, states: list[int], filters: list[Filter]) -> Pool:
        own = set(states)
        read = [(f, a) for f in filters for a in f.sent if own & self.flow.memory[a]]
        f = pointwise(self.flow, states, unique(a for _, a in read))
        leaves = [Leaf(k) for k in states]
        leaves += [Leaf(k, g, a) for g, a in read for k in g.pool if k in self.live]
        by_input = {v: self._ways(f, v) for v in f.inputs}
        targets = [v for v in f.inputs if by_input[v]]
        kinds = self._kinds(f, leaves, targets)
        n, entries = len(leaves), []
        by_leaf = [row[:n] for row in kinds]
        for i, v in enumerate(targets):
            entry = self._entry(f, v, by_input[v], by_leaf, [row[n + i] for row in kinds])
            entries += [entry] if entry.leaves else []
        return Pool(f, leaves, entries, by_leaf)

    def _ways(self, f: Pointwise, v: Var) -> list[Way]:
        if not is_inexact(v):
            return []
        if self.flow.varies(v):
            stops = self.pools.synapses
            found = ways(self.flow, stops, self.parameters, v)
        else:
            found = [Way(v, v, [], CONSTANT, ())] if v in self.parameters else []
        call = hidden_in(f, v, self.flow) if found else None
        self.obstacles += [(w.parameter, call) for w in found if call]
        return found

    def _kinds(self, f: Pointwise, leaves: list[Leaf], targets: list[Var]) -> Kinds:
        """The kinds of the derivatives of each leaf with respect to the leaves and the targets."""
        filters = list(dict.fromkeys(leaf.filter for leaf in leaves if leaf.filter))
        atoms = unique([*f.states, *f.inputs, *(v for g in filters for v in self._inputs(g))])

        def rows(*values):
            env = dict(zip(atoms, values, strict=True))
            pool = Pool(f, leaves, [Entry(v, [], [], frozenset(), []) for v in targets], [])
            start, shifts = start_of(pool, env), shifts_of(pool)
            rates = self.rates(filters, env)
            found = []
            for r in range(len(leaves)):

                def one(states, shifts, r=r):
                    return advance(pool, env, states, shifts, rates)[r]

                found += [a for row in diagonal(one, start, shifts) for a in row]
            return found

        flat = kinds(rows, atoms, self.flow)
        width = len(leaves) + len(targets)
        return [flat[i : i + width] for i in range(0, len(flat), width)]

    def _inputs(self, g: Filter) -> list[Var]:
        f = self.pools.equations[g.pool]
        return [v for v in f.inputs if not self.flow.varies(v)]

    def rates(self, filters: Sequence[Filter], env: Env) -> Rates:
        """The constant derivatives of the states of linear filters, by states and by the input."""
        found: Rates = {}
        for g in filters:
            f = self.pools.equations[g.pool]
            read = [*f.states, *f.inputs]
            values = [zeros_like(v) if self.flow.varies(v) else env[v] for v in read]
            flat = [first(a) for a in derivatives(f, g.target, *values)]
            width = len(f.states) + 1
            found[g] = [flat[i : i + width] for i in range(0, len(flat), width)]
        return found

    def _entry(
        self, f: Pointwise, v: Var, ways: list[Way], by_leaf: Kinds, by_entry: list[str]
    ) -> Entry:
        n = range(len(by_leaf))
        leaves: set[int] = set()
        while leaves != (
            leaves := {
                r
                for r in n
                if by_entry[r] != "zero" or any(by_leaf[r][m] != "zero" for m in leaves)
            }
        ):
            pass
        own = {r for r in leaves if by_entry[r] == "own"}
        while own != (
            own := own
            | {
                r
                for r in leaves
                for m in leaves
                if by_leaf[r][m] == "own" or (m in own and by_leaf[r][m] != "zero")
            }
        ):
            pass
        shared = leaves - own
        averaged = self.decay is not None and leaves != shared
        traces = [t for r in sorted(leaves) for t in _traces(f, v, ways, r, shared, averaged)]
        operands = unique(p for w in ways if w.kind == LINEAR for p in w.operands)
        if averaged and operands and type_of(v).shape == f.shape:
            traces += factored.traces(operands, sorted(leaves), f.shape, _dtype_of(v))
        entry = Entry(v, ways, sorted(leaves), frozenset(shared), traces)
        return dataclasses.replace(entry, sum=self._sum(f, entry))

    def _sum(self, f: Pointwise, entry: Entry) -> WeightedSum | None:
        linear = any(w.kind == LINEAR for w in entry.ways)
        own = all(r < len(f.states) for r in entry.leaves)  # no memory of a filter
        if not linear or not own or self.window > 1 or not entry.shared.issuperset(entry.leaves):
            return None
        emit = self.pools.stops(self.within)[1]
        return weighted_sum(self.flow, f, entry.leaves, entry.target, entry.ways, emit)

    @functools.cached_property
    def summed(self) -> list[Edge]:
        """The edges of parameters whose gradient by this step comes with that by the past."""
        entries = [e for pool in self.followed for e in pool.entries if e.sum]
        return list(edges(self.flow, [w for e in entries for w in e.ways if w.kind == LINEAR]))

    def not_followed(self) -> list[tuple[Var, str]]:
        """Parameters that no trace can follow into a pool, and the operation that prevents it."""
        found = list(self.obstacles)
        for entry in (e for pool in self.followed for e in pool.entries):
            kept = {(t.leaf, t.operand) for t in entry.traces}
            means = [t.operand for t in entry.traces if t.stored == factored.INPUT]
            kept |= {(r, p) for r in entry.leaves for p in means}
            for w in entry.ways:
                needs = {(r, p) for r in entry.leaves for p in w.operands or (None,)}
                if w.kind not in (CONSTANT, LINEAR) or not needs <= kept:
                    found.append((w.parameter, w.obstacle))
        return found


def _dtype_of(v: Var):
    dtype = type_of(v).dtype
    return dtype if dtype.itemsize > 2 else jnp.dtype(jnp.float32)  # decays near 1 need the bits


def _traces(
    f: Pointwise, v: Var, ways: list[Way], leaf: int, shared: set[int], averaged: bool
) -> Iterator[Trace]:
    """The traces that one leaf keeps of one entry; only of what is added, if ``averaged``."""
    dtype = _dtype_of(v)
    if any(w.kind == CONSTANT for w in ways):
        ones = tuple(n if i == 0 else 1 for i, n in enumerate(f.shape))
        yield Trace(leaf, "neuron", None, ones if leaf in shared else f.shape, dtype)
    if averaged:
        return
    products = {w.operands[0]: w for w in ways if w.is_product(f.shape)}
    for p in unique(p for w in ways if w.kind == LINEAR for p in w.operands):
        if leaf in shared:
            yield Trace(leaf, "operand", p, type_of(p).shape, dtype)
        elif p in products:
            yield Trace(leaf, "synapse", p, Layout(products[p]).shape, dtype)


def zeros_like(v: Atom) -> Array:
    """Zeros of the shape and dtype of a variable."""
    return jnp.zeros(type_of(v).shape, type_of(v).dtype)


def first(a: Array) -> Array:
    """One entry of an array whose entries are equal."""
    return a.reshape(-1)[0]


def start_of(pool: Pool, env: Env) -> list[Array]:
    """The values of the leaves; those of filters do not matter, since filters are linear."""
    sent = [leaf.sent for leaf in pool.leaves if leaf.sent is not None]
    return [*(env[v] for v in pool.f.states), *map(zeros_like, sent)]


def shifts_of(pool: Pool) -> list[Array]:
    """Zeros, to be added to each entry of every neuron."""
    return [jnp.zeros(pool.f.shape, type_of(e.target).dtype) for e in pool.entries]


def advance(
    pool: Pool, env: Env, leaves: Sequence[Array], shifts: Sequence[Array], rates: Rates
) -> list[Array]:
    """The leaves after one step, with shifts added to what enters."""
    f, n = pool.f, len(pool.f.states)
    values = {**env, **dict(zip(f.states, leaves[:n], strict=True))}
    entries = [(e.target, d) for e, d in zip(pool.entries, shifts, strict=True)]
    found = f(values, {v: jnp.add(*jnp.broadcast_arrays(values[v], d)) for v, d in entries})
    sent = dict(zip(f.targets[n:], found[n:], strict=True))
    old = dict(zip(pool.leaves, leaves, strict=True))
    return [*found[:n], *(_filtered(x, old, sent, rates) for x in pool.leaves[n:])]


def _filtered(leaf: Leaf, old: dict[Leaf, Array], sent: dict[Atom, Array], rates: Rates) -> Array:
    """The memory that a filter has of a pool after one step."""
    assert leaf.filter is not None
    assert leaf.sent is not None
    at = leaf.filter.pool.index
    row, new = rates[leaf.filter][at(leaf.state)], sent[leaf.sent]
    total = row[-1].astype(new.dtype) * new
    for other, a in old.items():
        if other.filter is leaf.filter and other.sent is leaf.sent:
            total = total + row[at(other.state)].astype(a.dtype) * a
    return total
