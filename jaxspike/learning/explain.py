"""`explain`: what an online gradient stores for each parameter, and what it leaves out."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any, Literal

import jax
from jax.extend.core import Var

from .. import _check
from .._types import Tree
from ..engine.program import flatten, type_of, unique
from .online import Credit, check_credit, check_traces, online
from .plan import Entry, Plan
from .trace import Trace
from .traced import paths
from .ways import CONSTANT, LINEAR
from .window import size_of, zeros

STORED = {"neuron": "per neuron", "synapse": "per synapse", "operand": "operand"}
ORDER = (*STORED.values(), "factored", "Jacobian")


@dataclasses.dataclass(frozen=True)
class Memory:
    """The traces of one parameter, and what its gradient leaves out.

    Attributes:
        states: The paths of the states through which the gradient is followed over time.
        stored: How they are stored: ``"per neuron"``, ``"per synapse"``, ``"operand"``,
            ``"factored"`` or ``"Jacobian"``, as in `online`.
        bytes: The size of the traces; those shared by several parameters count for each.
        left_out: The operations at which gradients of backpropagation through time are cut; empty
            if the gradient is exact.
        used: Whether the loss depends on the parameter at all.
    """

    states: tuple[str, ...]
    stored: tuple[str, ...]
    bytes: int
    left_out: tuple[str, ...]
    used: bool

    @property
    def gradient(self) -> str:
        """The gradient in words."""
        if not self.used:
            return "zero: not used"
        factored = "factored" in self.stored
        if not self.left_out:
            return "factored" if factored else "exact"
        cuts = ", ".join(self.left_out) + ", factored" * factored
        return f"cut at {cuts}" if self.states else f"this step only, cut at {cuts}"


@dataclasses.dataclass(frozen=True)
class Explanation:
    """The report of `explain`; prints as a table.

    Attributes:
        parameters: A `Memory` for each parameter, by path.
        bytes: The size of all traces.
        bytes_per_step: What backpropagation through time stores for each time step.
    """

    parameters: Mapping[str, Memory]
    bytes: int
    bytes_per_step: int

    def __str__(self) -> str:
        rows = [("parameter", "followed in", "stored", "bytes", "gradient")]
        rows += [
            (
                name,
                ", ".join(m.states) or "-",
                ", ".join(m.stored) or "-",
                f"{m.bytes:,}",
                m.gradient,
            )
            for name, m in self.parameters.items()
        ]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows
        ]
        steps = -(-self.bytes // max(self.bytes_per_step, 1))
        lines.append(
            f"traces: {self.bytes:,} bytes, as much as backpropagation through time stores in "
            f"{steps:,} steps of {self.bytes_per_step:,}"
        )
        return "\n".join(lines)

    __repr__ = __str__


def explain(
    step: Callable[..., tuple[Any, Any]],
    params: Tree,
    state: Tree,
    x: Tree,
    *,
    credit: Credit = "local",
    traces: Literal["exact", "factored"] = "exact",
) -> Explanation:
    """Report what `online` stores for each parameter, and what its gradient leaves out.

    Nothing is computed: only shapes matter.

    Args:
        step: ``step(params, state, x) -> (state, loss)``, as for `online`.
        params: The parameters.
        state: The first state.
        x: The input of one time step.
        credit: As for `online`.
        traces: As for `online`.

    Returns:
        An `Explanation`, which prints as a table.

    Raises:
        TypeError, ValueError: As `online`.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> lif, readout = js.LIF(), js.LI()
        >>> def step(params, state, x):
        ...     h, z = lif(state[0], x @ params["w"])
        ...     r, y = readout(state[1], z @ params["out"])
        ...     return (h, r), y.mean()
        >>> params = {"w": jnp.ones((3, 4)), "out": jnp.ones((4, 2))}
        >>> state = lif.init_state((1, 4)), readout.init_state((1, 2))
        >>> js.learning.explain(step, params, state, jnp.ones((1, 3)))
        parameter      followed in             stored       bytes  gradient
        params['out']  state[1].v              operand      16     exact
        params['w']    state[0].v, state[1].v  per synapse  96     exact
        traces: 112 bytes, as much as backpropagation through time stores in 2 steps of 76
    """
    fix = "Give `step(params, state, x) -> (state, loss)`."
    _check.function("`explain(step=...)`", step, fix)
    check_traces("explain", check_credit("explain", credit), 1, traces, None)
    plan = online(step, credit=credit, traces=traces).plan(params, state, x).plan
    names = paths("params", params)
    of_states = paths("state", state)
    uncut = _Uncut(plan)
    found = {
        name: _memory(plan, uncut, {v for v in plan.parameters if i in plan.sources[v]}, of_states)
        for i, name in enumerate(names)
    }
    return Explanation(found, size_of(plan), _residuals(step, params, state, x))


def _memory(plan: Plan, uncut: "_Uncut", mine: set[Var], names: list[str]) -> Memory:
    states: set[int] = set()
    kept: list[tuple[str, int]] = []  # how it is stored, and its bytes
    for pool in plan.followed:
        for entry in pool.entries:
            traces = _traces_of(entry, mine)
            kept += [(STORED.get(t.stored, "factored"), _bytes(t)) for t in traces]
            states |= {pool.leaves[t.leaf].state for t in traces if t.leaf >= 0}
    for group, by_state in zip(plan.groups, jax.eval_shape(lambda: zeros(plan)), strict=False):
        here = [i for i, p in enumerate(group.parameters) if p in mine]
        kept += [
            ("Jacobian", row[i].size * row[i].dtype.itemsize) for row in by_state for i in here
        ]
        states |= {*group.states} if here else set()
    stored = tuple(dict.fromkeys(name for name in ORDER for how, _ in kept if how == name))
    order = tuple(names[k] for k in sorted(states))
    used = not mine.isdisjoint(uncut.to_loss)
    return Memory(order, stored, sum(n for _, n in kept), uncut.cuts(mine), used)


def _traces_of(entry: Entry, mine: set[Var]) -> list[Trace]:
    """The traces of an entry that some parameters need."""
    ways = [w for w in entry.ways if w.parameter in mine]
    operands = {p for w in ways for p in (w.operands or (None,))}
    linear = any(w.kind == LINEAR for w in ways)
    added = any(w.kind == CONSTANT for w in ways)
    return [
        t
        for t in entry.traces
        if (added if t.stored == "neuron" else linear and t.operand in {*operands, None})
    ]


def _bytes(t: Trace) -> int:
    return math.prod(t.shape) * t.dtype.itemsize


def _residuals(step: Callable[..., Any], params: Tree, state: Tree, x: Tree) -> int:
    """The bytes that reverse mode stores for each step, without what is the same at every step."""

    def kept(params, state, x):
        return jax.tree.leaves(jax.vjp(lambda p, s: step(p, s, x), params, state)[1])

    jaxpr, consts, _ = flatten(kept, params, state, x)
    varies = set(jaxpr.invars[len(consts) + len(jax.tree.leaves(params)) :])
    for e in jaxpr.eqns:
        if any(v in varies for v in unique(e.invars)):
            varies.update(e.outvars)
    kinds = [type_of(v) for v in unique(jaxpr.outvars) if v in varies]
    return sum(a.size * a.dtype.itemsize for a in kinds)


class _Uncut:
    """Where gradients flow in backpropagation through time, but not in a rule."""

    def __init__(self, plan: Plan):
        flow, step = plan.flow, plan.step
        self.plan, self.live = plan, plan.remembered
        self.to_loss = flow.reaches([*step.ys[:1], *(step.new_state[k] for k in self.live)])

    def cuts(self, sources: set[Var]) -> tuple[str, ...]:
        """The operations at which gradients of some parameters are cut."""
        flow, step = self.plan.flow, self.plan.step
        seen = self.plan.reached_by(sources)
        if self.plan.across == "none":
            return ("every state",) if any(step.state[k] in seen for k in self.live) else ()
        carry, emit = self.plan.pools.stops(self.plan.across)
        to_states = flow.reaches([step.new_state[k] for k in self.live])
        found = set()
        for stops, targets in ((carry, to_states), (emit, flow.reaches(step.ys[:1]))):
            for i, v in stops:
                e = step.eqns[i]
                if v in seen and any(o in targets for o in e.outvars):
                    found.add(e.primitive.name)
        return tuple(sorted(found))
