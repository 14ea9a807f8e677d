"""Where the memory of a pool and its input reach the loss of a step only as one weighted sum.

Let the states ``h_k`` of a neuron and what enters it, ``u``, do so as ``m = sum_k a_k h_k + b u``,
with numbers ``a_k`` and ``b`` that are the same for all neurons at all times. Then
``dl/dh_k = a_k dl/dm`` and ``dl/du = b dl/dm``, so that the gradient of a weight by this step and
by the past is one product, of ``dl/dm`` and ``b p + sum_k a_k trace_k``, in place of two.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from jax.extend.core import Var

from .._types import Array
from ..engine.program import diagonal, has_gradient, is_var, scales, type_of, unique
from .flow import Edge, Flow
from .pointwise import Pointwise, kinds
from .ways import Way


class WeightedSum(NamedTuple):
    """A weighted sum of some states of a pool and of one of its inputs.

    Attributes:
        f: The equations of the pool, with the sum as their only target.
        states: The positions of the states among those of ``f``.
        target: The input.
    """

    f: Pointwise
    states: tuple[int, ...]
    target: Var

    @property
    def variable(self) -> Var:
        """The sum."""
        (v,) = self.f.targets
        assert is_var(v)
        return v

    def weights(self, *values: Array) -> list[Array]:
        """The weights of the states and of the input, per neuron.

        Args:
            values: The values of the states and inputs of ``f``. Those that vary over time do not
                matter.
        """
        env = dict(zip([*self.f.states, *self.f.inputs], values, strict=True))
        summed = [self.f.states[k] for k in self.states]

        def total(states, inputs):
            moved = dict(zip(summed, states, strict=True))
            return self.f({**env, **moved, self.target: inputs[0]})[0]

        by_state, by_input = diagonal(total, [env[v] for v in summed], [env[self.target]])
        return [*by_state, *by_input]


def weighted_sum(
    flow: Flow,
    f: Pointwise,
    states: Sequence[int],
    target: Var,
    ways: Sequence[Way],
    emit: frozenset[Edge],
) -> WeightedSum | None:
    """The sum through which some states of a pool and an input reach the loss, if there is one.

    Args:
        flow: The paths of a gradient within one step.
        f: The equations of the pool.
        states: The positions of the states among those of ``f``.
        target: The input.
        ways: How parameters reach the input.
        emit: The edges without a gradient to the loss.
    """
    if type_of(target).shape != f.shape or not _is_only_way(flow, target, ways, emit):
        return None
    start = [*(f.states[k] for k in states), target]
    for v, eqns in _sums(flow, f, start):
        if _passes_all(flow, v, start, eqns, emit):
            found = WeightedSum(dataclasses.replace(f, targets=[v]), tuple(states), target)
            own = kinds(found.weights, [*f.states, *f.inputs], flow)
            return None if "own" in own else found
    return None


def _sums(flow: Flow, f: Pointwise, start: Sequence[Var]) -> Iterator[tuple[Var, set[int]]]:
    """The constant weighted sums that a pool computes, each with the equations up to it."""
    known, eqns = set(start), set[int]()
    for e in f.eqns:
        at = [j for j, v in enumerate(e.invars) if is_var(v) and v in known]
        factors = scales(e, at) if at else None
        if factors is None or any(flow.varies(e.invars[j]) for j in factors):
            continue
        known.update(e.outvars)
        eqns.add(id(e))
        yield from ((v, eqns) for v in e.outvars if type_of(v).shape == f.shape)


def _passes_all(
    flow: Flow, v: Var, start: Sequence[Var], eqns: set[int], emit: frozenset[Edge]
) -> bool:
    """Whether all that reaches the loss from ``start`` passes ``v``, and by ``eqns`` alone."""
    if not _around(flow, v, emit).isdisjoint(start):
        return False
    ahead, reached = flow.reaches([v], emit), set(start)
    for i, e in enumerate(flow.step.eqns):
        read = [a for a in unique(e.invars) if a in reached and (i, a) not in emit]
        if read and has_gradient(e) and any(a in ahead for a in e.outvars):
            if id(e) not in eqns:
                return False
            reached.update(e.outvars)
    return True


def _is_only_way(flow: Flow, target: Var, ways: Sequence[Way], emit: frozenset[Edge]) -> bool:
    """Whether what parameters make on their way to an input reaches the loss only by it."""
    made = {v for w in ways for e in w.eqns for v in e.outvars} - {target}
    return made.isdisjoint(_around(flow, target, emit))


def _around(flow: Flow, v: Var, emit: frozenset[Edge]) -> set[Var]:
    """What reaches the loss otherwise than by ``v``."""
    i = flow.graph.producer.get(v)
    by = frozenset() if i is None else {(i, a) for a in unique(flow.step.eqns[i].invars)}
    return flow.reaches(flow.step.ys[:1], emit | by)


def edges(flow: Flow, ways: Sequence[Way]) -> Iterator[Edge]:
    """The edges by which parameters set out on some ways."""
    at = {id(e): i for i, e in enumerate(flow.step.eqns)}
    yield from (
        (at[id(e)], w.parameter) for w in ways for e in w.eqns if w.parameter in unique(e.invars)
    )
