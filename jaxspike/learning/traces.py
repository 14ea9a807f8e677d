"""Traces: how the past of a pool contributes to the gradient, and their update."""

import dataclasses
import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend.core import JaxprEqn, Var

from .._types import Array, Shape
from ..engine.program import diagonal, function, outputs_of, type_of, unique, value
from . import factored
from .layout import Layout
from .plan import (
    Entry,
    Env,
    Leaf,
    Plan,
    Pool,
    Rates,
    advance,
    first,
    shifts_of,
    start_of,
    zeros_like,
)
from .trace import Kept, Trace
from .ways import CONSTANT, LINEAR, Way
from .weighted_sum import WeightedSum

Traces = list[list[list[Array]]]  # of each pool, of each entry


def zeros(plan: Plan) -> Traces:
    """Traces before the first step."""
    return [
        [[jnp.zeros(t.shape, t.dtype) for t in entry.traces] for entry in pool.entries]
        for pool in plan.followed
    ]


def recorded(plan: Plan) -> list[Var]:
    """The variables over time that the traces need at every step."""
    traces = [t for pool in plan.followed for entry in pool.entries for t in entry.traces]
    read = [v for pool in plan.followed for v in pool.f.inputs]
    read += [t.operand for t in traces if t.operand is not None]
    return [v for v in unique(read) if plan.flow.varies(v)]


# ---- the gradient ----


def shifted(plan: Plan) -> list[Var]:
    """The variables whose own gradient is needed: with factored traces, and of weighted sums."""
    entries = [e for pool in plan.followed for e in pool.entries]
    found = [e.target for e in entries if _is_averaged(e)]
    return unique([*found, *(e.sum.variable for e in entries if e.sum)])


def _is_averaged(entry: Entry) -> bool:
    return any(t.stored == factored.WEIGHT for t in entry.traces)


def gradients(
    plan: Plan,
    env: Env,
    signals: dict[int, Array],
    traces: Traces,
    record: Env,
    entering: Env,
) -> Env:
    """The contribution of the past to the gradient of the parameters.

    Args:
        plan: The plan.
        env: The values of variables that are the same at every step.
        signals: The gradient of the loss for each state before this step, by position.
        traces: The traces before this step.
        record: The values of what the traces need.
        entering: The gradient of the loss by what is `shifted`.
    """
    found: Env = {}
    for pool, kept in zip(plan.followed, traces, strict=True):
        by_leaf = [_signal(plan, env, leaf, signals) for leaf in pool.leaves]
        for entry, arrays in zip(pool.entries, kept, strict=True):
            by_trace = list(zip(entry.traces, arrays, strict=True))
            for way in entry.ways:
                if way.kind == LINEAR and _is_averaged(entry):
                    now = record, entering[entry.target]
                    g = _factored_gradient(plan, env, pool, way, by_leaf, by_trace, *now)
                elif way.kind == LINEAR and entry.sum:
                    by_sum = entering[entry.sum.variable]
                    g = _summed_gradient(plan, env, entry.sum, way, by_trace, record, by_sum)
                else:
                    g = _gradient(plan, env, pool, way, by_leaf, by_trace)
                w = way.parameter
                found[w] = found[w] + g if w in found else g
    return found


def _signal(plan: Plan, env: Env, leaf: Leaf, signals: dict[int, Array]) -> Array:
    """The gradient of the loss for a leaf; for the memory of a filter, back through its input."""
    signal, found, sent = signals[leaf.state], leaf.filter, leaf.sent
    if found is None or sent is None:
        return signal
    eqns = [plan.step.eqns[i] for i in found.between]

    def image(a):
        return _evaluate(eqns, {**env, sent: a}, found.target)

    _, back = jax.vjp(image, zeros_like(sent))
    return back(signal.astype(type_of(found.target).dtype))[0]


def _gradient(
    plan: Plan, env: Env, pool: Pool, way: Way, signals: list[Array], kept: list[Kept]
) -> Array:
    """The contribution of the traces of one entry to the gradient of one parameter."""
    shape, dtype = pool.f.shape, type_of(way.parameter).dtype
    if way.kind == CONSTANT:
        added = [signals[t.leaf].astype(a.dtype) * a for t, a in kept if t.stored == "neuron"]
        return _pull(way, env, {}, _sum(added), shape)
    mine = [(t, a) for t, a in kept if t.operand in way.operands]
    terms = [
        Layout(way).gradient(signals[t.leaf].astype(a.dtype), a)
        for t, a in mine
        if t.stored == "synapse"
    ]
    for r in sorted({t.leaf for t, _ in mine if t.stored == "operand"}):
        filtered = {
            t.operand: a.astype(type_of(t.operand).dtype)
            for t, a in mine
            if t.leaf == r and t.operand is not None
        }
        terms.append(_pull(way, env, filtered, signals[r], shape))
    return _sum([g.astype(dtype) for g in terms])


def _factored_gradient(
    plan: Plan,
    env: Env,
    pool: Pool,
    way: Way,
    signals: list[Array],
    kept: list[Kept],
    record: Env,
    entering: Array,
) -> Array:
    """The gradients from factored traces, in place of those through this step alone."""
    assert plan.decay is not None
    means: Env = {}
    for t, a in kept:
        if t.stored == factored.INPUT and t.operand is not None:
            p = record[t.operand]
            means[t.operand] = (plan.decay * a + p.astype(a.dtype)).astype(p.dtype)
    signal = factored.signal(plan.decay, kept, signals, entering)
    shape = pool.f.shape
    return _pull(way, env, means, signal, shape) - _pull(way, env, record, entering, shape)


def _summed_gradient(
    plan: Plan,
    env: Env,
    found: WeightedSum,
    way: Way,
    kept: list[Kept],
    record: Env,
    by_sum: Array,
) -> Array:
    """The gradient by this step and by the past, which reach the loss by one weighted sum."""
    read = [*found.f.states, *found.f.inputs]
    values = [zeros_like(v) if plan.flow.varies(v) else env[v] for v in read]
    *by_state, by_input = map(first, found.weights(*values))
    weights = dict(zip(found.states, by_state, strict=True))
    operands: Env = {}
    for p in way.operands:
        traces = [(weights[t.leaf], a) for t, a in kept if t.operand is p]
        terms = [w.astype(a.dtype) * a for w, a in traces]
        now = by_input.astype(terms[0].dtype) * record[p].astype(terms[0].dtype)
        operands[p] = _sum([now, *terms]).astype(type_of(p).dtype)
    return _pull(way, env, operands, by_sum, found.f.shape)


def _pull(way: Way, env: Env, operands: Env, cotangent: Array, shape: Shape) -> Array:
    """The gradient of a parameter from that of the variable it reaches, at some operands."""

    def f(w):
        target = _evaluate(way.eqns, {**env, **operands, way.parameter: w}, way.target)
        return jnp.broadcast_to(target, shape)

    target, back = jax.vjp(f, env[way.parameter])
    return back(jnp.broadcast_to(cotangent, shape).astype(target.dtype))[0]


def _evaluate(eqns: Sequence[JaxprEqn], env: Env, target: Var) -> Array:
    """The value of a variable. Unknown ones are 0, since a linear map does not read them."""
    env = dict(env)
    for e in eqns:
        ins, outs = unique(e.invars), outputs_of([e])
        given = [env[v] if v in env else zeros_like(v) for v in ins]
        env.update(zip(outs, function(ins, outs, [e])(*given), strict=True))
    return value(env, target)


# ---- the next traces ----


@dataclasses.dataclass(frozen=True, eq=False)
class _Row:
    """The dependence of a leaf after a window on what came before.

    Attributes:
        by_leaf: Its derivative for each leaf before the window, per neuron.
        by_entry: Its derivative for each entry, with time as axis 0 if the window is longer than 1.
        near: The leaves that it depends on.
    """

    by_leaf: list[Array]
    by_entry: list[Array]
    near: set[int]


def move(plan: Plan, env: Env, record: Env, traces: Traces) -> Traces:
    """The traces after a window.

    Args:
        plan: The plan.
        env: The values of variables that are the same at every step, and of the states before the
            window.
        record: The values of the variables that the traces need, with time as axis 0 if the window
            is longer than 1.
        traces: The traces before.
    """
    filters = [leaf.filter for pool in plan.followed for leaf in pool.leaves if leaf.filter]
    rates = plan.rates(list(dict.fromkeys(filters)), env)
    new: Traces = []
    for pool, kept in zip(plan.followed, traces, strict=True):
        rows = _rows(plan, pool, env, record, rates)
        new.append([])
        for i, (entry, arrays) in enumerate(zip(pool.entries, kept, strict=True)):
            old = list(zip(entry.traces, arrays, strict=True))
            new[-1].append([_moved(plan, entry, i, t, rows, record, old) for t in entry.traces])
    return new


def _rows(plan: Plan, pool: Pool, env: Env, record: Env, rates: Rates) -> list[_Row]:
    if plan.window > 1 and _filters_alike(pool):
        return _constant_rows(plan, pool, env, rates)
    names = [v for v in pool.f.inputs if v in record]
    values = [record[v] for v in names]

    def step(leaves, x):
        given, shifts = x
        seen = {**env, **dict(zip(names, given, strict=True))}
        return advance(pool, seen, leaves, shifts, rates)

    def after(r, leaves, shifts):
        if plan.window == 1:
            return step(leaves, (values, shifts))[r]
        return lax.scan(lambda s, x: (step(s, x), None), leaves, (values, shifts))[0][r]

    lead = () if plan.window == 1 else (plan.window,)
    shifts = [jnp.zeros((*lead, *pool.f.shape), type_of(e.target).dtype) for e in pool.entries]
    start, near = start_of(pool, env), _near(pool, plan.window)
    return [
        _Row(*diagonal(functools.partial(after, r), start, shifts), near[r])
        for r in range(len(pool.leaves))
    ]


def _filters_alike(pool: Pool) -> bool:
    """Whether all neurons have the same derivatives at all times."""
    alike = all(kind != "own" for row in pool.by_leaf for kind in row)
    return alike and all(e.shared.issuperset(e.leaves) for e in pool.entries)


def _constant_rows(plan: Plan, pool: Pool, env: Env, rates: Rates) -> list[_Row]:
    """The same, from powers of the small matrix of the derivatives of one step."""
    seen = {**env, **{v: zeros_like(v) for v in pool.f.inputs if plan.flow.varies(v)}}
    start, shifts = start_of(pool, seen), shifts_of(pool)

    def after(r, leaves, shifts):
        return advance(pool, seen, leaves, shifts, rates)[r]

    def numbers(found):
        return jnp.stack([jnp.stack([first(a) for a in row]) for row in found])

    found = [diagonal(functools.partial(after, r), start, shifts) for r in range(len(start))]
    by_leaf, by_entry = map(numbers, zip(*found, strict=True))

    def times(a, b):
        return (a[:, :, None] * b).sum(1)

    unit = jnp.eye(len(start), dtype=by_leaf.dtype)
    last, powers = lax.scan(lambda p, _: (times(by_leaf, p), p), unit, length=plan.window)
    entered = jax.vmap(lambda p: times(p, by_entry))(powers[::-1])
    near = _near(pool, plan.window)
    return [_Row(list(last[r]), list(entered[:, r].T), near[r]) for r in range(len(pool.leaves))]


def _near(pool: Pool, window: int) -> list[set[int]]:
    """For each leaf, those that it depends on within a window."""
    near = [{m for m, kind in enumerate(row) if kind != "zero"} for row in pool.by_leaf]
    for _ in range(min(window, len(near)) - 1):
        near = [row.union(*(near[m] for m in row)) for row in near]
    return near


def _moved(
    plan: Plan, entry: Entry, i: int, trace: Trace, rows: list[_Row], record: Env, old: list[Kept]
) -> Array:
    """One trace after a window: ``sum_m D_m trace_m + sum_k B_k operand_k``."""
    row = rows[trace.leaf]
    if trace.stored in (factored.INPUT, factored.OUTPUT, factored.WEIGHT):
        assert plan.decay is not None
        now = None if trace.operand is None else record[trace.operand]
        return factored.moved(plan.decay, trace, old, row.by_leaf, row.by_entry[i], now)
    old = [(t, a) for t, a in old if t.stored in ("neuron", "synapse", "operand")]
    rates = {m: a.astype(trace.dtype) for m, a in enumerate(row.by_leaf)}
    fresh = row.by_entry[i].astype(trace.dtype).reshape(plan.window, *row.by_leaf[0].shape)
    before = [(t, a) for t, a in old if t.operand is trace.operand and t.leaf in row.near]
    if trace.operand is None:
        total = fresh.sum(0)
        if trace.leaf in entry.shared:  # one number for all neurons of a sample
            total = jnp.broadcast_to(first(total), trace.shape)
            rates = {m: first(a) for m, a in rates.items()}
        return _sum([total, *(rates[t.leaf] * a for t, a in before)])
    operand = record[trace.operand].astype(trace.dtype).reshape(plan.window, *_operand_shape(trace))
    if trace.stored == "operand":
        new = jnp.tensordot(fresh.reshape(plan.window, -1)[:, 0], operand, 1)
        return _sum([new, *(first(rates[t.leaf]) * a for t, a in before)])
    layout = Layout(next(w for w in entry.ways if trace.operand in w.operands))
    return _sum(
        [
            layout.outer(fresh[0], operand[0])
            if plan.window == 1
            else layout.outer_over_time(fresh, operand),
            *(
                layout.spread(rates[t.leaf], layout.out) * a
                if t.stored == "synapse"
                else layout.outer(rates[t.leaf], a)
                for t, a in before
            ),
        ]
    )


def _operand_shape(trace: Trace) -> Shape:
    return () if trace.operand is None else type_of(trace.operand).shape


def _sum(terms: Sequence[Array]) -> Array:
    return sum(terms[1:], terms[0])
