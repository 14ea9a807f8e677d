"""Delay lines of a step: a ring buffer and its positions, read as one state n steps late."""

import dataclasses
from typing import NamedTuple

from jax.extend.core import DropVar, JaxprEqn

from ..._delay_line import after, ring, rows
from ..._types import Array
from .jaxpr import type_of, unique
from .step import Step, is_push


class DelayLine(NamedTuple):
    """The positions in the state of a buffer and its places, and the number of rows."""

    buffer: int
    following: int
    rows: int


@dataclasses.dataclass(frozen=True)
class DelayLines:
    """The delay lines of a step; ``kept`` are the positions of the other states and the buffers."""

    lines: list[DelayLine]
    kept: list[int]

    def open(self, state: list[Array]) -> list[Array]:
        """The state of `read`: for each line its rows, the next to come out first."""
        found = dict(enumerate(state))
        for buffer, following, n in self.lines:
            waiting = rows(state[buffer], state[following])
            found[buffer] = waiting[0] if n == 1 else waiting
        return [found[k] for k in self.kept]

    def close(self, state: list[Array], last: list[Array], length: int) -> list[Array]:
        """The state of the step ``length`` steps after ``state``, from that of `read`."""
        closed = list(state)
        for k, a in zip(self.kept, last, strict=True):
            closed[k] = a
        for buffer, following, n in self.lines:
            waiting = closed[buffer][None] if n == 1 else closed[buffer]
            closed[following] = after(state[following], length, n)
            closed[buffer] = ring(waiting, closed[following])
        return closed


def read(step: Step) -> tuple[Step, DelayLines]:
    """A step in which every delay line is one state.

    Its value is the row that comes out, and its new value the one that goes in; `Step.delays` has
    the number of steps between the two. A buffer that a step uses in any other way stays as it is.
    """
    place = {v: k for k, v in enumerate(step.state)}
    lines = {}
    for e in filter(is_push, step.eqns):
        own = [place[v] for v in unique(e.invars[:2]) if v in place]
        if len(own) == 2 and _is_private(step, e, own):
            lines[id(e)] = DelayLine(own[0], own[1], type_of(e.invars[0]).shape[-1])
    state, new_state = list(step.state), list(step.new_state)
    for e in step.eqns:
        if id(e) in lines:
            k = lines[id(e)].buffer
            state[k], new_state[k] = e.outvars[2], e.invars[2]
    indices = {line.following for line in lines.values()}
    kept = [k for k in range(len(state)) if k not in indices]
    found = dataclasses.replace(
        step,
        state=[state[k] for k in kept],
        new_state=[new_state[k] for k in kept],
        eqns=[e for e in step.eqns if id(e) not in lines],
        delays={kept.index(x.buffer): x.rows for x in lines.values() if x.rows > 1},
    )
    return found, DelayLines(list(lines.values()), kept)


def _is_private(step: Step, eqn: JaxprEqn, own: list[int]) -> bool:
    """Whether nothing else in the step reads ``own``, the two states of a line."""
    before, after = unique(eqn.invars[:2]), eqn.outvars[:2]
    others = [e for e in step.eqns if e is not eqn]
    if any(step.new_state[k] is not w for k, w in zip(own, after, strict=True)):
        return False
    if isinstance(eqn.outvars[2], DropVar):
        return False
    states = [w for k, w in enumerate(step.new_state) if k not in own]
    elsewhere = unique([v for e in others for v in e.invars] + states + step.ys)
    return not {*before, *after} & set(elsewhere)
