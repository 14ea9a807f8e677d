"""The backward pass of one step over time: segments in reverse, their states computed again."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from . import products
from .compat import barrier
from .flags import chosen, merge
from .forward import Forward
from .reverse import Reverse, late_products, spread, summed_in_loop
from .rows import WHOLE, Window, finished
from .tiles import Tiles, twin

Array = jax.Array


@dataclasses.dataclass(frozen=True)
class _Pass:
    """What a backward pass reads at every step; in flat rows under tiles.

    Attributes:
        pull: One reverse step.
        known: Where its rows are already; see `Reverse.known`.
        next_state: The state only, from the outputs of products.
        consts: Values of the constants.
        xs: The inputs.
        g_ys: Cotangents of the outputs, or the position of the buffer for those of an input that
            holds them.
    """

    pull: Callable[..., Any]
    known: list[tuple[str, int] | None]
    next_state: Callable[..., Any]
    consts: list[Array]
    xs: list[Array]
    g_ys: list[Any]


class Backward(Forward):
    """The passes of `Forward`, and the backward pass over their residuals."""

    def back(self, wanted, consts, xs, starts, saved, g, g_ys):
        """Cotangents of the constants, the first state and the inputs that are wanted."""
        exact = functools.partial(self._back, wanted)
        if not self.tiles:
            return exact(consts, xs, starts, saved, g, g_ys)
        tiled = functools.partial(self._back_tiled, self.tiles, wanted)
        return twin(tiled, exact)(consts, xs, starts, saved, g, g_ys)

    def _reverse(self, wanted, consts, xs, starts, g, g_ys):
        state, x, gy = ([a[0] for a in rows] for rows in (starts, xs, g_ys))
        return Reverse(self.step, self.shape, wanted, consts, state, x, g, gy)

    def _back(self, wanted, consts, xs, starts, saved, g, g_ys):
        step, length, outer = self.step, self.length, self.outer
        if length <= self.plan.segment:
            # keep XLA from sharing the states with the forward pass: it would write them to memory
            starts = [_apart(a) for a in starts]
        late, in_loop = late_products(step, wanted), summed_in_loop(step, wanted)
        reverse = self._reverse(wanted, consts, xs, starts, g, g_ys)
        acc = [_sum_of(c) for c in chosen(in_loop, spread(step, self.shape, consts))]
        gx = self.buffers(length, chosen(wanted.xs, step.xs))
        if self.plan.in_place and length > self.plan.segment:
            gx, g_ys = _in_place(gx, g_ys)
        read = _Pass(reverse.function(), reverse.known(), self.next_state, consts, xs, g_ys)
        weights = {v for e in late for v in products.operands(step, e)[0]}
        total = {  # by position: gradients that are products over time, not sums in the loop
            n: _sum_of(consts[n])
            for n, (w, v) in enumerate(zip(wanted.consts, step.consts, strict=True))
            if w and v in weights
        }

        def chunk(t, k, starts, saved, state):
            g, acc, gx, total = state
            g, acc, gx, moving = self._span(WHOLE, read, late, starts, saved, t, k, g, acc, gx)
            for e, rows in zip(late, moving, strict=True):
                new = products.weight_gradients(step, e, consts, total, *rows)
                total = {n: _add(a, new[n]) if n in new else a for n, a in total.items()}
            return g, acc, gx, total

        def outer_segment(i, t, k, state):
            carry = WHOLE.rows(starts, i)
            inner, made = self.scratch(k, carry)
            _, _, inner, made = self.span(
                WHOLE, self.again, consts, carry, xs, t, k, [], inner, made
            )
            return chunk(t, k, inner, made, state)

        state = (g, acc, gx, total)
        if outer is None:
            state = chunk(0, length, starts, saved, state)
        else:
            state = self.walk(length, outer, outer_segment, state, reverse=True)
        g, acc, gx, total = state
        return self._gradients(wanted, consts, acc, total), g, finished(gx)

    def _back_tiled(self, tiles: Tiles, wanted, consts, xs, starts, saved, g, g_ys):
        step, length = self.step, self.length
        in_loop = summed_in_loop(step, wanted)
        wide = spread(step, self.shape, consts)
        acc = [_sum_of(c) for c in chosen(in_loop, wide)]
        # a number without a gradient stays one: as an array it is written, and read in every tile
        full = [
            jnp.broadcast_to(c, self.shape) if c.ndim else w if f else c
            for f, w, c in zip(in_loop, wide, consts, strict=True)
        ]
        reverse = self._reverse(wanted, full, xs, starts, g, g_ys)
        if any(a.ndim == 0 for a in acc) or not reverse.is_elementwise():
            return self._back(wanted, consts, xs, starts, saved, g, g_ys)
        gx = tiles.rows(length, [v.aval.dtype for v in chosen(wanted.xs, step.xs)])
        g, g_ys, acc = tiles.flat_state(g), tiles.flat(g_ys), tiles.flat_state(acc)
        if self.plan.in_place and not tiles.overlap:
            gx, g_ys = _in_place(gx, g_ys)
        flat_consts, starts = tiles.flat_state(full), tiles.flat(starts)
        pull, next_state = reverse.function(tiles.function), self.tiled(tiles, self.next_state)
        read = _Pass(pull, [], next_state, flat_consts, tiles.flat(xs), g_ys)

        def tile(window, state):
            last, acc, gx = state
            here = dataclasses.replace(read, consts=window.cut(flat_consts))
            sums = [jnp.zeros_like(a) for a in window.cut(acc)]
            now, sums, gx, _ = self._span(
                window, here, [], starts, [], 0, length, window.cut(g), sums, gx
            )
            return window.paste(last, now), window.paste(acc, sums), gx

        g, acc, gx = tiles.each(tile, (g, acc, gx))
        gc = self._gradients(wanted, consts, tiles.unflat_state(acc), {})
        return gc, tiles.unflat_state(g), tiles.unflat(gx)

    def _span(self, window: Window, read: _Pass, late, starts, saved, at, length, g, acc, gx):
        """Walk ``length`` steps from step ``at`` backwards.

        Returns:
            The cotangent of the state, the sums of those of the constants, the buffers for those of
            the inputs; and per late product the rows of its moving operands and of its cotangent.
        """
        moving = [products.operands(self.step, e)[1] for e in late]
        atoms = [v for m in moving for v in m] + [e.outvars[0] for e in late]
        places = [
            None if p and p[0] == "state" and self.plan.segment > 1 else p for p in read.known
        ]
        new = [p is None for p in places]
        consts = read.consts

        def segment(i, t, k, state):
            g, acc, gx, rows = state
            steps = range(k)
            x = [window.rows(read.xs, at + t + j) for j in steps]
            made = [window.rows(saved, t + j) for j in steps]
            g_ys = [gx[a] if isinstance(a, int) else a for a in read.g_ys]
            gy = [window.rows(g_ys, at + t + j) for j in steps]
            if any(isinstance(a, int) for a in read.g_ys):
                gx, gy = barrier((gx, gy))  # read before it is written over, not copied
            before = [window.rows(starts, i)]
            for j in steps[:-1]:
                carry, _ = read.next_state(consts, before[-1], [*x[j], *made[j]])
                before.append(barrier(carry) if self.plan.barrier else carry)
            for j in reversed(steps):
                g, row, more, extra = read.pull(consts, before[j], x[j], made[j], g, gy[j])
                acc = [_add(a, b) for a, b in zip(acc, more, strict=True)]
                gx = window.put(gx, row, at + t + j)
                rows = window.put(rows, chosen(new, extra), t + j)
                if self.plan.barrier and j:
                    g, acc = barrier((g, acc))
            return g, acc, gx, rows

        state = (g, acc, gx, self.buffers(length, chosen(new, atoms)))
        g, acc, gx, rows = self.walk(length, self.plan.segment, segment, state, reverse=True)
        there = {"state": (starts, 0), "x": (read.xs, at), "g_x": (gx, at)}
        old = [_rows(there[p[0]][0][p[1]], there[p[0]][1], length) for p in places if p]
        rows = iter(merge(new, finished(rows), old))
        operands = [[next(rows) for _ in m] for m in moving]
        return g, acc, gx, [(m, next(rows)) for m in operands]

    def _gradients(self, wanted, consts, acc, total):
        """The cotangents of the constants: sums in the loop and products over time, or both."""
        in_loop = summed_in_loop(self.step, wanted)
        places = [n for n, f in enumerate(in_loop) if f]
        found = dict(total)
        for n, a in zip(places, acc, strict=True):
            g = _unspread(a, consts[n])
            found[n] = found[n] + g if n in found else g
        return [found[n].astype(consts[n].dtype) for n, w in enumerate(wanted.consts) if w]


def _apart(a: Array) -> Array:
    """The same values, but XLA cannot tell that they are.

    A barrier writes a state to memory that is a constant, as at rest. For floats it is an addition,
    which fuses with what reads it: ``x + -0.0`` is ``x``, also for ``-0.0``.
    """
    if not jnp.issubdtype(a.dtype, jnp.floating):
        return lax.optimization_barrier(a)
    return a + lax.optimization_barrier(jnp.array(-0.0, a.dtype))


def _rows(a: Array | list[Array], at: Any, length: int) -> Array:
    """``length`` rows of a sequence from row ``at``."""
    (a,) = finished([a])
    return a if len(a) == length else lax.dynamic_slice_in_dim(a, at, length)


def _in_place(gx: list[Array], g_ys: list[Array]) -> tuple[list[Array], list[Any]]:
    """Let cotangents of inputs take the place of cotangents of outputs, row by row.

    Returns:
        The buffers for the inputs; and for the outputs their cotangents, or the position of the
        buffer that holds them.
    """
    gx, sources = list(gx), list[Any](g_ys)
    for i, b in enumerate(gx):
        for j, a in enumerate(sources):
            if not isinstance(a, int) and (a.shape, a.dtype) == (b.shape, b.dtype):
                gx[i], sources[j] = a, i
                break
    return gx, sources


def _unspread(full: Array, const: Array) -> Array:
    """Sum what was differentiated per neuron to the shape of the constant."""
    _, pull = jax.vjp(lambda c: jnp.broadcast_to(c, full.shape), const.astype(full.dtype))
    return pull(full)[0]


def _sum_of(const: Array) -> Array:
    """Room to sum the cotangents of a constant over time, in at least float32."""
    return jnp.zeros_like(const, jnp.promote_types(const.dtype, jnp.float32))


def _add(total: Array, part: Array) -> Array:
    return total + part.astype(total.dtype)
