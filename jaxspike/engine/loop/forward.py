"""The forward passes over a loop: without residuals for inference, and with them."""

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

from ..._types import Array
from ..policy import Plan
from ..program.compat import barrier
from ..program.loop import Loop
from .buffers import (
    EVERYTHING,
    Buffer,
    Span,
    Window,
    as_arrays,
    buffer,
    buffers,
    n_segments,
    segment_loop,
)
from .lines import Past, in_order, read, read_past, write
from .tiles import Tiles, differentiate_as

Arrays = list[Array]
Results = tuple[Arrays, Arrays, Arrays]  # the last state, the outputs, the last rows of lines


class Residuals(NamedTuple):
    """The residuals of the backward pass: the arguments, and what the forward pass stores.

    Attributes:
        consts: Values of the constants.
        xs: The inputs, ``[T, *]`` each.
        starts: The state at the start of every segment; of every outer one if there are any.
        stored: The outputs of contractions at every step; empty if there are outer segments.
        lines: For each delay line, its first rows and the rows that have entered it.
    """

    consts: Arrays
    xs: Arrays
    starts: Arrays
    stored: Arrays
    lines: Sequence[Past] = ()


class Reads(NamedTuple):
    """The rows that a forward pass reads at every step, and the part of each.

    Attributes:
        window: The part.
        step: The step.
        consts: Values of its constants.
        xs: The inputs, ``[T, *]`` each.
        n_ys: The number of outputs before those that enter delay lines.
        lines: The rows that have entered delay lines, if they are known and not written.
    """

    window: Window
    step: Callable[..., tuple[Arrays, Arrays]]
    consts: Arrays
    xs: Arrays
    n_ys: int = 0
    lines: Sequence[Past] = ()


class Rows(NamedTuple):
    """The rows that a forward pass writes: outputs, delay lines and, given room, residuals."""

    ys: list[Buffer]
    starts: list[Buffer] | None = None
    stored: list[Buffer] | None = None
    lines: Arrays = []  # noqa: RUF012 (a default, never changed)


def infer(
    loop: Loop, plan: Plan, consts: Arrays, state: Arrays, xs: Arrays, lines: Arrays
) -> Results:
    """The last state, the outputs and the last rows of delay lines; nothing is stored."""
    if is_tiled(loop, plan):
        return _run_tiled(loop, plan, consts, state, xs, lines)[0]
    rows = Rows(buffers(loop.length, plan.segment, loop.step.ys[: loop.n_ys]), lines=list(lines))
    reads = Reads(EVERYTHING, loop.step, consts, xs, loop.n_ys)
    last, rows = run_span(plan, reads, Span(0, loop.length), list(state), rows)
    return last, as_arrays(rows.ys), [in_order(a, loop.length) for a in rows.lines]


def with_residuals(
    loop: Loop, plan: Plan, consts: Arrays, state: Arrays, xs: Arrays, lines: Arrays
) -> tuple[Results, Residuals]:
    """The results of `infer`, and the residuals of the backward pass."""
    exact = functools.partial(_run_outer if plan.outer else _run_stored, loop, plan)
    tiled = functools.partial(_run_tiled, loop, plan, store=True)
    run = differentiate_as(tiled, exact) if is_tiled(loop, plan) else exact
    (last, ys, ends), starts, stored = run(consts, state, xs, lines)
    past = list(zip(lines, ys[loop.n_ys :], strict=True))
    return (last, ys[: loop.n_ys], ends), Residuals(consts, xs, starts, stored, past)


def is_tiled(loop: Loop, plan: Plan) -> bool:
    """Whether the passes over a loop run tile by tile."""
    return bool(plan.tile and loop.shape and not plan.outer)


def _run_stored(loop, plan, consts, state, xs, lines):
    """All steps; stores the state of every segment, and contractions."""
    rows = Rows(buffers(loop.length, plan.segment, loop.step.ys), *room(loop, plan, state), lines)
    reads = Reads(EVERYTHING, loop.with_contractions, consts, xs, loop.n_ys)
    last, rows = run_span(plan, reads, Span(0, loop.length), list(state), rows)
    ends = [in_order(a, loop.length) for a in rows.lines]
    out = last, as_arrays(rows.ys), ends
    return out, as_arrays(rows.starts or []), as_arrays(rows.stored or [])


def _run_outer(loop, plan, consts, state, xs, lines):
    """All steps; stores the state of every outer segment only."""
    reads = Reads(EVERYTHING, loop.step, consts, xs, loop.n_ys)
    ys = buffers(loop.length, plan.segment, loop.step.ys)
    starts = [buffer(n_segments(loop.length, plan.outer), a) for a in state]

    def segment(i, t, k, carry):
        state, ys, starts, lines = carry
        starts = EVERYTHING.write(starts, state, i)
        state, rows = run_span(plan, reads, Span(t, k), state, Rows(ys, lines=lines))
        return state, rows.ys, starts, rows.lines

    carry = (list(state), ys, starts, list(lines))
    carry = segment_loop(loop.length, plan.outer, segment, carry, parallel=plan.parallel)
    last, ys, starts, lines = carry
    return (last, as_arrays(ys), [in_order(a, loop.length) for a in lines]), starts, []


def _run_tiled(loop, plan, consts, state, xs, lines, store=False):
    """All steps, one tile after the other; stores the state of every segment if asked."""
    tiles = Tiles(loop.shape, plan.tile, plan.parallel)
    step, length = tiles.step(loop.step), loop.length
    xs, state, consts = tiles.flat(xs), tiles.flat_state(state), tiles.flat_state(consts)
    ys = tiles.buffers(length, [v.aval.dtype for v in loop.step.ys])
    n, first = n_segments(length, plan.segment), [a[None] for a in state]
    starts = tiles.buffers(n, [a.dtype for a in state]) if store and n > 1 else None

    def tile(window, carry):
        last, rows = carry
        reads = Reads(window, step, window.read_state(consts), xs)
        new, rows = run_span(plan, reads, Span(0, length), window.read_state(state), rows)
        return window.write_state(last, new), rows

    last, rows = tiles.each(tile, (state, Rows(ys, starts)))
    out = tiles.unflat_state(last), tiles.unflat(rows.ys), lines  # of which it has none
    return out, tiles.unflat(rows.starts or first), []


def room(
    loop: Loop, plan: Plan, state: Arrays, length: int | None = None
) -> tuple[list[Buffer], list[Buffer]]:
    """Room for the state of every segment and for contractions, of ``length`` or all steps."""
    length = length or loop.length
    n = n_segments(length, plan.segment)
    starts: list[Buffer] = [[None]] * len(state) if n == 1 else [buffer(n, a) for a in state]
    return starts, buffers(length, plan.segment, loop.contraction_outputs)


def run_span(
    plan: Plan, reads: Reads, span: Span, state: Arrays, rows: Rows
) -> tuple[Arrays, Rows]:
    """Run the steps of a span; return the last state and the rows with what they wrote."""
    window, step, consts, xs, first_line, past = reads
    n_ys = len(rows.ys)

    def segment(i, t, k, carry):
        state, (ys, starts, stored, lines) = carry
        if starts is not None:
            starts = window.write(starts, state, i)
        for j in range(k):
            now = span.start + t + j
            lines, late, slots = read(lines, now)
            late = late or read_past(past, now)
            state, out = step(consts, state, [*window.read(xs, now), *late])
            ys = window.write(ys, out[:n_ys], now)
            lines = write(lines, out[first_line : first_line + len(lines)], slots)
            if stored is not None:
                stored = window.write(stored, out[n_ys:], t + j)
            if plan.barrier and (j + 1) % plan.barrier == 0 and j < k - 1:
                state = barrier(state)
        return state, Rows(ys, starts, stored, lines)

    return segment_loop(span.length, plan.segment, segment, (state, rows), parallel=plan.parallel)
