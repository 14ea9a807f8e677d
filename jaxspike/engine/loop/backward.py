"""The backward pass over a loop: segments in reverse, the states inside of each recomputed."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend.core import JaxprEqn, Var

from ..._types import Array
from ..policy import Plan
from ..program.compat import barrier
from ..program.contractions import operands
from ..program.jaxpr import type_of
from ..program.loop import Loop
from .buffers import (
    EVERYTHING,
    Buffer,
    Index,
    Span,
    Window,
    as_arrays,
    buffers,
    segment_loop,
)
from .contractions import weight_gradients
from .forward import Arrays, Reads, Residuals, Rows, is_tiled, room, run_span
from .lines import in_ring, read, read_past, write
from .select import NeedsGrad, combine, select
from .step_vjp import StepVJP, accumulated_in_loop, broadcast_constants, deferred_contractions
from .tiles import Tiles, differentiate_as


class ReadsBack(NamedTuple):
    """The rows that a backward pass reads at every step, and the part of each.

    Attributes:
        window: The part.
        pull: The VJP of one step.
        next_state: The step that recomputes states, from the outputs of contractions.
        residuals: The residuals of the span; in flat rows under tiles.
        g_ys: Cotangents of the outputs, or the position of the buffer for those of an input that
            holds them.
    """

    window: Window
    pull: Callable[..., Any]
    next_state: Callable[..., Any]
    residuals: Residuals
    g_ys: list[Buffer | int]


class Deferred(NamedTuple):
    """The contractions whose weights are differentiated after the loop, and where their rows are.

    Attributes:
        eqns: The contractions.
        operands: The operands of each that change over time.
        places: Where each row is stored already; see `StepVJP.already_stored`.
    """

    eqns: list[JaxprEqn] = []  # noqa: RUF012 (a default, never changed)
    operands: list[list[Var]] = []  # noqa: RUF012
    places: list[tuple[str, int] | None] = []  # noqa: RUF012


class Cotangents(NamedTuple):
    """The cotangents of the results of a loop: its last state, its delay lines, its outputs."""

    state: Arrays
    lines: Arrays
    ys: Arrays


class Pulled(NamedTuple):
    """The carry of a backward pass.

    Attributes:
        state: The cotangents of the state.
        lines: The cotangents of delay lines.
        consts: The sums of the cotangents of constants.
        xs: The rows of the cotangents of inputs.
    """

    state: Arrays
    lines: Arrays
    consts: Arrays
    xs: list[Buffer]


def pull_back(
    loop: Loop, plan: Plan, needs: NeedsGrad, residuals: Residuals, g: Cotangents
) -> tuple[Arrays, Arrays, Arrays, Arrays]:
    """Cotangents of the constants, first state, inputs and first rows of lines that need one.

    Args:
        loop: The loop.
        plan: How it is cut.
        needs: What needs a gradient.
        residuals: The residuals stored by the forward pass.
        g: Cotangents of the results of the loop.
    """
    exact = functools.partial(_pull_back, loop, plan, needs)
    if not is_tiled(loop, plan):
        return exact(residuals, g)
    tiled = functools.partial(_pull_back_tiled, loop, plan, needs)
    return differentiate_as(tiled, exact)(residuals, g)


def _step_vjp(loop, needs, residuals, g):
    consts, xs, starts, _, lines = residuals
    state, gy = ([a[0] for a in rows] for rows in (starts, [*g.ys, *g.lines]))
    x = [a[0] for a in [*xs, *(first for first, _ in lines)]]
    return StepVJP(loop, needs, (consts, state, x, g.state, gy))


def _pull_back(loop, plan, needs, residuals, g):
    step, length, consts = loop.step, loop.length, residuals.consts
    if length <= plan.segment:
        # keep XLA from sharing the states with the forward pass: it would write them to memory
        residuals = residuals._replace(starts=[_unrelated(a) for a in residuals.starts])
    vjp = _step_vjp(loop, needs, residuals, g)
    g_ys: list[Buffer | int] = list(g.ys)
    eqns, in_loop = deferred_contractions(loop, needs), accumulated_in_loop(loop, needs)
    deferred = Deferred(eqns, [operands(step, e)[1] for e in eqns], vjp.already_stored())
    sums = [_sum_of(c) for c in select(in_loop, broadcast_constants(loop, consts))]
    gx = buffers(length, plan.segment, select(needs.xs, step.xs[: len(needs.xs)]))
    if plan.in_place and length > plan.segment:
        gx, g_ys = _in_place(gx, g_ys)
    reads = ReadsBack(EVERYTHING, vjp.function(), loop.next_state, residuals, g_ys)
    weights = {v for e in eqns for v in operands(step, e)[0]}
    total = {  # by position: gradients that are contractions over time, not sums in the loop
        n: _sum_of(consts[n])
        for n, (needed, v) in enumerate(zip(needs.consts, step.consts, strict=True))
        if needed and v in weights
    }

    def span_back(span, reads, carry):
        cotangents, total = carry
        cotangents, found = _run_span_back(plan, reads, deferred, span, cotangents)
        for e, rows in zip(eqns, found, strict=True):
            new = weight_gradients(step, e, consts, total, rows)
            total = {n: _add(a, new[n]) if n in new else a for n, a in total.items()}
        return cotangents, total

    def outer_segment(i, t, k, carry):
        state = EVERYTHING.read(residuals.starts, i)
        again = Reads(EVERYTHING, loop.recompute, consts, residuals.xs, lines=residuals.lines)
        rows = Rows([], *room(loop, plan, state, k))
        _, rows = run_span(plan, again, Span(t, k), state, rows)
        inner = residuals._replace(starts=rows.starts, stored=rows.stored)
        return span_back(Span(t, k), reads._replace(residuals=inner), carry)

    g_lines = [in_ring(a, length) for a in g.lines]
    carry = (Pulled(g.state, g_lines, sums, gx), total)
    if plan.outer is None:
        carry = span_back(Span(0, length), reads, carry)
    else:
        carry = segment_loop(
            length, plan.outer, outer_segment, carry, reverse=True, parallel=plan.parallel
        )
    (g_state, g_lines, acc, gx), total = carry
    return _gradients(loop, needs, consts, acc, total), g_state, as_arrays(gx), g_lines


def _pull_back_tiled(loop, plan, needs, residuals, g):
    tiles = Tiles(loop.shape, plan.tile, plan.parallel)
    consts, xs, starts, stored, _ = residuals
    in_loop = accumulated_in_loop(loop, needs)
    per_neuron = broadcast_constants(loop, consts)
    sums = [_sum_of(c) for c in select(in_loop, per_neuron)]
    # a scalar without a gradient stays one: as an array it is written, and read in every tile
    full = [
        jnp.broadcast_to(c, loop.shape) if c.ndim else wide if f else c
        for f, wide, c in zip(in_loop, per_neuron, consts, strict=True)
    ]
    vjp = _step_vjp(loop, needs, residuals._replace(consts=full), g)
    if any(a.ndim == 0 for a in sums) or not vjp.is_elementwise():
        return _pull_back(loop, plan, needs, residuals, g)
    gx = tiles.buffers(loop.length, [type_of(v).dtype for v in select(needs.xs, loop.step.xs)])
    g_state, sums = tiles.flat_state(g.state), tiles.flat_state(sums)
    g_ys: list[Buffer | int] = list(tiles.flat(g.ys))
    if plan.in_place and not tiles.overlap:
        gx, g_ys = _in_place(gx, g_ys)
    flat = Residuals(tiles.flat_state(full), tiles.flat(xs), tiles.flat(starts), stored)
    pull, next_state = vjp.function(tiles.function), tiles.step(loop.next_state)

    def tile(window, cotangents):
        last, lines, acc, gx = cotangents
        here = flat._replace(consts=window.read_state(flat.consts), stored=[])
        reads = ReadsBack(window, pull, next_state, here, g_ys)
        zeros = [jnp.zeros_like(a) for a in window.read_state(acc)]
        new = Pulled(window.read_state(g_state), lines, zeros, gx)
        new, _ = _run_span_back(plan, reads, Deferred(), Span(0, loop.length), new)
        state, acc = window.write_state(last, new.state), window.write_state(acc, new.consts)
        return Pulled(state, lines, acc, new.xs)

    last, _, acc, gx = tiles.each(tile, Pulled(g_state, [], sums, gx))
    gc = _gradients(loop, needs, consts, tiles.unflat_state(acc), {})
    return gc, tiles.unflat_state(last), tiles.unflat(gx), []


def _run_span_back(plan, reads, deferred, span, cotangents):
    """Run the steps of a span in reverse.

    Returns:
        The cotangents; and per deferred contraction the rows of its operands that change over time
        and of the cotangent of its output.
    """
    window, pull, next_state, (consts, xs, starts, stored, past), g_sources = reads
    atoms = [v for vs in deferred.operands for v in vs] + [e.outvars[0] for e in deferred.eqns]
    places = [None if p and p[0] == "state" and plan.segment > 1 else p for p in deferred.places]
    new = [p is None for p in places]

    def segment(i, t, k, carry):
        (g, lines, acc, gx), rows = carry
        steps, n_xs = range(k), len(gx)
        x = [
            [*window.read(xs, span.start + t + j), *read_past(past, span.start + t + j)]
            for j in steps
        ]
        outputs = [window.read(stored, t + j) for j in steps]
        g_ys = [gx[a] if isinstance(a, int) else a for a in g_sources]
        gy = [window.read(g_ys, span.start + t + j) for j in steps]
        if any(isinstance(a, int) for a in g_sources):
            gx, gy = barrier((gx, gy))  # read before it is written over, not copied
        states = [window.read(starts, i)]
        for j in steps[:-1]:
            state, _ = next_state(consts, states[-1], [*x[j], *outputs[j]])
            states.append(barrier(state) if plan.barrier else state)
        for j in reversed(steps):
            now = span.start + t + j
            lines, late, slots = read(lines, now)
            g, row, parts, found = pull(consts, states[j], x[j], outputs[j], g, [*gy[j], *late])
            lines, row = write(lines, row[n_xs:], slots), row[:n_xs]
            acc = [_add(a, b) for a, b in zip(acc, parts, strict=True)]
            gx = window.write(gx, row, now)
            rows = window.write(rows, select(new, found), t + j)
            if plan.barrier and j:
                g, acc = barrier((g, acc))
        return Pulled(g, lines, acc, gx), rows

    carry = (cotangents, buffers(span.length, plan.segment, select(new, atoms)))
    cotangents, rows = segment_loop(
        span.length, plan.segment, segment, carry, reverse=True, parallel=plan.parallel
    )
    there = {"state": (starts, 0), "x": (xs, span.start), "g_x": (cotangents.xs, span.start)}
    stored_rows = [_rows(there[p[0]][0][p[1]], there[p[0]][1], span.length) for p in places if p]
    every = iter(combine(new, as_arrays(rows), stored_rows))
    changing = [[next(every) for _ in vs] for vs in deferred.operands]
    return cotangents, [(vs, next(every)) for vs in changing]


def _gradients(loop, needs, consts, acc, total):
    """The cotangents of the constants: sums in the loop, contractions over time, or both."""
    places = [n for n, f in enumerate(accumulated_in_loop(loop, needs)) if f]
    found = dict(total)
    for n, a in zip(places, acc, strict=True):
        g = _sum_to(a, consts[n])
        found[n] = found[n] + g if n in found else g
    return [found[n].astype(consts[n].dtype) for n, needed in enumerate(needs.consts) if needed]


def _unrelated(a: Array) -> Array:
    """The same values in a way that XLA cannot see.

    A barrier would write a constant state, as at rest, to memory. For floats it is an addition,
    which fuses with what reads it: ``x + -0.0`` is ``x``, also for ``-0.0``.
    """
    if not jnp.issubdtype(a.dtype, jnp.floating):
        return lax.optimization_barrier(a)
    return a + lax.optimization_barrier(jnp.array(-0.0, a.dtype))


def _rows(a: Array | list[Array], start: Index, length: int) -> Array:
    """``length`` rows of a sequence from row ``start``."""
    (a,) = as_arrays([a])
    return a if len(a) == length else lax.dynamic_slice_in_dim(a, start, length)


def _in_place(gx: list[Buffer], g_ys: list[Buffer]) -> tuple[list[Buffer], list[Buffer]]:
    """Let cotangents of inputs take the place of cotangents of outputs, row by row.

    Returns:
        The buffers for the inputs; and for the outputs their cotangents, or the position of the
        buffer that holds them.
    """
    gx, sources = list(gx), list(g_ys)
    for i, b in enumerate(gx):
        for j, a in enumerate(sources):
            if not isinstance(a, int) and (a.shape, a.dtype) == (b.shape, b.dtype):
                gx[i], sources[j] = a, i
                break
    return gx, sources


def _sum_to(per_neuron: Array, const: Array) -> Array:
    """Sum a gradient per neuron to the shape of the constant."""
    like = const.astype(per_neuron.dtype)
    _, pull = jax.vjp(lambda c: jnp.broadcast_to(c, per_neuron.shape), like)
    return pull(per_neuron)[0]


def _sum_of(const: Array) -> Array:
    """Room to sum the cotangents of a constant over time, in at least float32."""
    wide = jnp.finfo(const.dtype).bits > 16  # of a complex number, those of its real part
    return jnp.zeros_like(const, const.dtype if wide else jnp.float32)


def _add(total: Array, part: Array) -> Array:
    return total + part.astype(total.dtype)
