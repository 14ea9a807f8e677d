"""The derivative of every state for every parameter: exact, within a recurrent layer or everywhere.

For small networks: as many numbers as states times parameters, all samples of the batch included.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence

import jax
import jax.numpy as jnp
from jax.extend.core import Var

from .._state import compute_dtype
from .._types import Array
from ..engine.program import type_of
from .flow import Edge, Flow

Kept = list[list[list[Array]]]  # of each group, of each state, by each parameter


@dataclasses.dataclass(frozen=True, eq=False)
class Group:
    """States that depend on each other, and the parameters that they depend on.

    Attributes:
        states: The states, by position.
        parameters: The variables.
    """

    states: list[int]
    parameters: list[Var]


def groups(
    flow: Flow, parameters: Sequence[Var], carry: frozenset[Edge], emit: frozenset[Edge]
) -> list[Group]:
    """The states whose past reaches the loss, in groups that no gradient path joins.

    Args:
        flow: The paths of a gradient within one step.
        parameters: The variables that depend on parameters.
        carry: The edges without a gradient to the next states.
        emit: The edges without a gradient to the loss.
    """
    step = flow.step
    reached = {k: flow.reaches([step.new_state[k]], carry) for k in flow.states}
    near = flow.reaches(step.ys[:1], emit)
    live = [k for k in flow.states if step.state[k] in near]
    for k in live:  # grows
        live += [m for m in flow.states if m not in live and step.state[m] in reached[k]]
    found: list[list[int]] = []
    for k in sorted(live):
        linked = [g for g in found if any(_linked(flow, reached, k, m) for m in g)]
        found = [g for g in found if g not in linked]
        found.append(sorted([k, *(m for g in linked for m in g)]))
    made = [Group(g, [p for p in parameters if any(p in reached[k] for k in g)]) for g in found]
    return [g for g in made if g.parameters]


def _linked(flow: Flow, reached: dict[int, set[Var]], k: int, m: int) -> bool:
    state = flow.step.state
    return state[k] in reached[m] or state[m] in reached[k]


def zeros(flow: Flow, found: list[Group]) -> Kept:
    """The derivatives before the first step."""
    return [
        [[_zeros(flow.step.state[k], p) for p in group.parameters] for k in group.states]
        for group in found
    ]


def _zeros(state: Var, parameter: Var) -> Array:
    kinds = type_of(state), type_of(parameter)
    dtype = compute_dtype([kind.dtype for kind in kinds])
    return jnp.zeros((*kinds[0].shape, *kinds[1].shape), dtype)


def gradients(found: list[Group], signals: dict[int, Array], kept: Kept) -> dict[Var, Array]:
    """The contribution of the past to the gradient of the parameters.

    Args:
        found: The groups.
        signals: The gradient of the loss for each state before this step, by position.
        kept: The derivatives before this step.
    """
    total: dict[Var, Array] = {}
    for group, by_state in zip(found, kept, strict=True):
        for k, row in zip(group.states, by_state, strict=True):
            for p, a in zip(group.parameters, row, strict=True):
                g = jnp.tensordot(signals[k].astype(a.dtype), a, signals[k].ndim)
                g = g.astype(type_of(p).dtype)
                total[p] = total[p] + g if p in total else g
    return total


def move(
    found: list[Group],
    advance: Callable[[dict[Var, Array], list[int]], list[Array]],
    start: Mapping[Var, Array],
    state: Sequence[Var],
    kept: Kept,
) -> Kept:
    """The derivatives after a window: ``P = dh/dh_0 P_0 + dh/dw``.

    Args:
        found: The groups.
        advance: From other values of parameters and states to some states after the window.
        start: The values of the parameters, and of the states before the window.
        state: The variables of the states.
        kept: The derivatives before.
    """
    return [
        _moved(group, advance, start, [state[k] for k in group.states], old)
        for group, old in zip(found, kept, strict=True)
    ]


def _moved(group: Group, advance, start: Mapping[Var, Array], state: list[Var], old):
    def run(values, moved):
        given = zip([*group.parameters, *state], [*values, *moved], strict=True)
        return advance(dict(given), group.states)

    after, pull = jax.vjp(run, [start[p] for p in group.parameters], [start[v] for v in state])
    by_parameter, by_state = jax.vmap(pull)(_basis(after))
    ends = [sum(a.size for a in after[: i + 1]) for i in range(len(after))]

    def one(i: int, j: int) -> Array:
        rows = slice(ends[i] - after[i].size, ends[i])
        new = by_parameter[j][rows].reshape(old[i][j].shape).astype(old[i][j].dtype)
        for before, row in zip(by_state, old, strict=True):
            change = before[rows].reshape(*after[i].shape, *before.shape[1:])
            new = new + jnp.tensordot(change.astype(new.dtype), row[j], before.ndim - 1)
        return new

    return [[one(i, j) for j in range(len(group.parameters))] for i in range(len(after))]


def _basis(like: list[Array]) -> list[Array]:
    """The unit vectors of some arrays together, along a new first axis."""
    total, at, found = sum(a.size for a in like), 0, []
    for a in like:
        rows = jnp.eye(total, math.prod(a.shape), -at, a.dtype)
        found.append(rows.reshape(total, *a.shape))
        at += a.size
    return found
