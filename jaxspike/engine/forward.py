"""The forward passes of one step over time: inference, and with residuals."""

import dataclasses
import functools

import jax

from . import pointwise, products
from .compat import barrier
from .policy import Plan
from .rows import WHOLE, buffer, count, finished, walk
from .tiles import Tiles, twin
from .trace import Step, is_var, prune

Array = jax.Array


class Forward:
    """The forward passes over ``length`` steps of ``step``, cut as ``plan`` says."""

    def __init__(self, step: Step, length: int, plan: Plan):
        self.step, self.length, self.plan = step, length, plan
        self.walk = functools.partial(walk, parallel=plan.parallel)
        self.products = products.find(step)
        self.made = [e.outvars[0] for e in self.products]
        self.with_products = dataclasses.replace(step, ys=[*step.ys, *self.made])
        # to compute again: without the outputs; and the state only, from the outputs of products
        again = functools.partial(prune, effects=False)
        light = [e for e in step.eqns if not any(e is p for p in self.products)]
        self.again = dataclasses.replace(
            step, ys=self.made, eqns=again(step.eqns, [*step.new_state, *self.made])
        )
        self.next_state = dataclasses.replace(
            step, xs=[*step.xs, *self.made], ys=[], eqns=again(light, step.new_state)
        )
        self.shape = pointwise.shape_of(step)
        self.outer = plan.outer if plan.outer and plan.outer < length else None
        self.tiles: Tiles | None = None
        if plan.tile and self.shape and not self.outer:
            self.tiles = Tiles(self.shape, plan.tile, plan.parallel)

    def infer(self, consts, carry, xs):
        """The last state and the outputs; nothing else is stored."""
        if self.tiles:
            return self._forward_tiled(self.tiles, consts, carry, xs, keep=False)[0]
        return self._forward(consts, carry, xs, keep=False)[0]

    def keep(self, consts, carry, xs):
        """The same, the state at the start of every segment, and the outputs of products."""
        exact = functools.partial(self._forward, keep=True)
        if not self.tiles:
            return exact(consts, carry, xs)
        tiled = functools.partial(self._forward_tiled, self.tiles, keep=True)
        return twin(tiled, exact)(consts, carry, xs)

    def _forward_tiled(self, tiles: Tiles, consts, carry, xs, keep):
        step, length = self.step, self.length
        fn = self.tiled(tiles, step)
        xs, carry, consts = tiles.flat(xs), tiles.flat_state(carry), tiles.flat_state(consts)
        ys = tiles.rows(length, [v.aval.dtype for v in step.ys])
        n, first = count(length, self.plan.segment), [a[None] for a in carry]
        starts = tiles.rows(n, [a.dtype for a in carry]) if keep and n > 1 else None

        def tile(window, state):
            last, ys, starts = state
            c, ys, starts, _ = self.span(
                window, fn, window.cut(consts), window.cut(carry), xs, 0, length, ys, starts
            )
            return window.paste(last, c), ys, starts

        last, ys, starts = tiles.each(tile, (carry, ys, starts))
        out = tiles.unflat_state(last), tiles.unflat(ys)
        return out, tiles.unflat(starts or first), []

    def tiled(self, tiles: Tiles, step: Step):
        """A step as a function of tiles; not to be differentiated."""
        invars, outvars = [*step.consts, *step.state, *step.xs], [*step.new_state, *step.ys]
        f, n = tiles.function(invars, outvars, step.eqns), len(step.state)

        def tiled(consts, state, x):
            out = f(*consts, *state, *x)
            return out[:n], out[n:]

        return tiled

    def _forward(self, consts, carry, xs, keep):
        length, outer = self.length, self.outer
        ys = self.buffers(length, self.step.ys)
        if not keep:
            carry, ys, _, _ = self.span(WHOLE, self.step, consts, list(carry), xs, 0, length, ys)
            return (carry, finished(ys)), None, None
        if outer is None:
            starts, saved = self.scratch(length, carry)
            carry, ys, starts, saved = self.span(
                WHOLE, self.with_products, consts, list(carry), xs, 0, length, ys, starts, saved
            )
            return (carry, finished(ys)), finished(starts), finished(saved)
        starts = [buffer(count(length, outer), a) for a in carry]

        def chunk(i, t, k, state):
            carry, ys, starts = state
            starts = WHOLE.put(starts, carry, i)
            carry, ys, _, _ = self.span(WHOLE, self.step, consts, carry, xs, t, k, ys)
            return carry, ys, starts

        carry, ys, starts = self.walk(length, outer, chunk, (list(carry), ys, starts))
        return (carry, finished(ys)), starts, []

    def buffers(self, length, atoms):
        """Rows for ``length`` steps: lists where the loop is written out whole."""
        if length <= self.plan.segment:
            return [[None] * length for _ in atoms]
        return [buffer(length, v.aval if is_var(v) else jax.typeof(v.val)) for v in atoms]

    def scratch(self, length, carry):
        """Rows for the state of every segment and for the outputs of products, of one span."""
        n = count(length, self.plan.segment)
        starts = [[None]] * len(carry) if n == 1 else [buffer(n, a) for a in carry]
        return starts, self.buffers(length, self.made)

    def span(self, window, fn, consts, carry, xs, at, length, ys, starts=None, saved=None):
        """Run ``length`` steps from step ``at``, keeping states and products if there is room."""
        n_ys = len(ys)

        def segment(i, t, k, state):
            carry, ys, starts, saved = state
            if starts is not None:
                starts = window.put(starts, carry, i)
            for j in range(k):
                carry, out = fn(consts, carry, window.rows(xs, at + t + j))
                ys = window.put(ys, out[:n_ys], at + t + j)
                if saved is not None:
                    saved = window.put(saved, out[n_ys:], t + j)
                if self.plan.barrier and (j + 1) % self.plan.barrier == 0 and j < k - 1:
                    carry = barrier(carry)
            return carry, ys, starts, saved

        return self.walk(length, self.plan.segment, segment, (carry, ys, starts, saved))
