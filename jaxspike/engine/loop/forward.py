"""The forward passes over a loop: without residuals for inference, and with them."""

import functools
from collections.abc import Callable
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
from .tiles import Tiles, differentiate_as

Arrays = list[Array]
Results = tuple[Arrays, Arrays]  # the last state and the outputs


class Residuals(NamedTuple):
    """The residuals of the backward pass: the arguments, and what the forward pass stores.

    Attributes:
        consts: Values of the constants.
        xs: The inputs, ``[T, *]`` each.
        starts: The state at the start of every segment; of every outer one if there are any.
        stored: The outputs of contractions at every step; none if there are outer segments.
    """

    consts: Arrays
    xs: Arrays
    starts: Arrays
    stored: Arrays


class Reads(NamedTuple):
    """The rows that a forward pass reads at every step, and the part of each."""

    window: Window
    step: Callable[..., tuple[Arrays, Arrays]]
    consts: Arrays
    xs: Arrays


class Rows(NamedTuple):
    """The rows that a forward pass writes: outputs and, where there is room, residuals."""

    ys: list[Buffer]
    starts: list[Buffer] | None = None
    stored: list[Buffer] | None = None


def infer(loop: Loop, plan: Plan, consts: Arrays, state: Arrays, xs: Arrays) -> Results:
    """The last state and the outputs; nothing is stored."""
    if is_tiled(loop, plan):
        return _run_tiled(loop, plan, consts, state, xs)[0]
    rows = Rows(buffers(loop.length, plan.segment, loop.step.ys))
    reads = Reads(EVERYTHING, loop.step, consts, xs)
    last, rows = run_span(plan, reads, Span(0, loop.length), list(state), rows)
    return last, as_arrays(rows.ys)


def with_residuals(
    loop: Loop, plan: Plan, consts: Arrays, state: Arrays, xs: Arrays
) -> tuple[Results, Residuals]:
    """The last state and the outputs, and the residuals of the backward pass."""
    exact = functools.partial(_run_outer if plan.outer else _run_stored, loop, plan)
    tiled = functools.partial(_run_tiled, loop, plan, store=True)
    run = differentiate_as(tiled, exact) if is_tiled(loop, plan) else exact
    out, starts, stored = run(consts, state, xs)
    return out, Residuals(consts, xs, starts, stored)


def is_tiled(loop: Loop, plan: Plan) -> bool:
    """Whether the passes over a loop run tile by tile."""
    return bool(plan.tile and loop.shape and not plan.outer)


def _run_stored(loop, plan, consts, state, xs):
    """All steps; stores the state of every segment, and contractions."""
    rows = Rows(buffers(loop.length, plan.segment, loop.step.ys), *room(loop, plan, state))
    reads = Reads(EVERYTHING, loop.with_contractions, consts, xs)
    last, rows = run_span(plan, reads, Span(0, loop.length), list(state), rows)
    return (last, as_arrays(rows.ys)), as_arrays(rows.starts or []), as_arrays(rows.stored or [])


def _run_outer(loop, plan, consts, state, xs):
    """All steps; stores the state of every outer segment only."""
    reads = Reads(EVERYTHING, loop.step, consts, xs)
    ys = buffers(loop.length, plan.segment, loop.step.ys)
    starts = [buffer(n_segments(loop.length, plan.outer), a) for a in state]

    def segment(i, t, k, carry):
        state, ys, starts = carry
        starts = EVERYTHING.write(starts, state, i)
        state, rows = run_span(plan, reads, Span(t, k), state, Rows(ys))
        return state, rows.ys, starts

    carry = (list(state), ys, starts)
    last, ys, starts = segment_loop(loop.length, plan.outer, segment, carry, parallel=plan.parallel)
    return (last, as_arrays(ys)), starts, []


def _run_tiled(loop, plan, consts, state, xs, store=False):
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
    out = tiles.unflat_state(last), tiles.unflat(rows.ys)
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
    window, step, consts, xs = reads
    n_ys = len(rows.ys)

    def segment(i, t, k, carry):
        state, (ys, starts, stored) = carry
        if starts is not None:
            starts = window.write(starts, state, i)
        for j in range(k):
            state, out = step(consts, state, window.read(xs, span.start + t + j))
            ys = window.write(ys, out[:n_ys], span.start + t + j)
            if stored is not None:
                stored = window.write(stored, out[n_ys:], t + j)
            if plan.barrier and (j + 1) % plan.barrier == 0 and j < k - 1:
                state = barrier(state)
        return state, Rows(ys, starts, stored)

    return segment_loop(span.length, plan.segment, segment, (state, rows), parallel=plan.parallel)
