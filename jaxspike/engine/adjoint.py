"""A scan whose backward pass keeps a state every few steps and computes the rest again."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_derivatives import SymbolicZero

from . import pointwise, products
from .policy import Plan
from .rows import WHOLE, buffer, count, finished, walk
from .tiles import Tiles, twin
from .trace import Step, flatten, function, is_var, prune, unique

Array = jax.Array


def lean_scan(step: Step, consts, carry, xs, length: int, plan: Plan):
    """`jax.lax.scan` of ``step`` on flat lists of arrays, with a lean gradient.

    Inference stores nothing. Under differentiation the residuals are the inputs, a state every
    ``plan.segment`` steps, and the outputs of matrix products and convolutions.

    Args:
        step: The step.
        consts: Values of its constants.
        carry: The first state.
        xs: The inputs, ``[T, *]`` each.
        length: The number of steps T.
        plan: How to cut time and neurons; it changes no result.

    Returns:
        The last state and the outputs, ``[T, *]`` each.
    """
    sweep = _Sweep(step, length, plan)
    if not any(map(_inexact, [*consts, *carry, *xs])):
        return sweep.infer(consts, carry, xs)

    @jax.custom_vjp
    def run(consts, carry, xs):
        return sweep.infer(consts, carry, xs)

    def forward(consts, carry, xs):
        # what is differentiated is told by the structure of the residuals: None against ()
        moved = lambda args: [None if a.perturbed and _inexact(a.value) else () for a in args]
        consts, marks, carry = _values(consts), (moved(consts), moved(xs)), _values(carry)
        xs = _values(xs)
        out, starts, saved = sweep.keep(consts, carry, xs)
        return out, (consts, xs, starts, saved, marks)

    def backward(residuals, g):
        consts, xs, starts, saved, (move_consts, move_xs) = residuals
        wanted = _Wanted(
            consts=[m is None for m in move_consts],
            state=[_inexact(a) for a in carry],
            xs=[m is None for m in move_xs],
            ys=[not isinstance(a, SymbolicZero) and _inexact(a) for a in g[1]],
        )
        g_state = [
            jnp.zeros_like(s[0]) if isinstance(a, SymbolicZero) else a
            for s, a, f in zip(starts, g[0], wanted.state, strict=True)
            if f
        ]
        g_ys = _chosen(wanted.ys, g[1])
        gc, gs, gx = sweep.back(wanted, consts, xs, starts, saved, g_state, g_ys)
        none = [None] * max(map(len, (consts, starts, xs)), default=0)
        fill = lambda flags, values: _merge(flags, values, none[: flags.count(False)])
        return fill(wanted.consts, gc), fill(wanted.state, gs), fill(wanted.xs, gx)

    run.defvjp(forward, backward, symbolic_zeros=True)
    return run(list(consts), list(carry), list(xs))


@dataclasses.dataclass(frozen=True)
class _Wanted:
    """Which constants, states and inputs are differentiated, and which outputs have a cotangent."""

    consts: list[bool]
    state: list[bool]
    xs: list[bool]
    ys: list[bool]


class _Sweep:
    """The passes over time of one step: inference, forward with residuals, backward."""

    def __init__(self, step: Step, length: int, plan: Plan):
        self.step, self.length, self.plan = step, length, plan
        self.products = products.find(step)
        made = [e.outvars[0] for e in self.products]
        self.with_products = dataclasses.replace(step, ys=[*step.ys, *made])
        # the state only, from the outputs of products
        eqns = [e for e in step.eqns if e.outvars[0] not in set(made)]
        self.next_state = dataclasses.replace(
            step, xs=[*step.xs, *made], ys=[], eqns=prune(eqns, step.new_state)
        )
        self.shape = pointwise.shape_of(step)
        self.outer = plan.outer if plan.outer and plan.outer < length else None
        self.tiles = None
        if plan.tile and self.shape and not self.outer:
            self.tiles = Tiles(self.shape, plan.tile)

    # ---- forward ----

    def infer(self, consts, carry, xs):
        """The last state and the outputs; nothing else is stored."""
        forward = self._forward_tiled if self.tiles else self._forward
        return forward(consts, carry, xs, keep=False)[0]

    def keep(self, consts, carry, xs):
        """The same, the state at the start of every segment, and the outputs of products."""
        exact = functools.partial(self._forward, keep=True)
        if self.tiles:
            exact = twin(functools.partial(self._forward_tiled, keep=True), exact)
        return exact(consts, carry, xs)

    def _forward_tiled(self, consts, carry, xs, keep):
        tiles, step, length = self.tiles, self.step, self.length
        fn = self._tiled_step(step)
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

    def _tiled_step(self, step):
        invars, outvars = [*step.consts, *step.state, *step.xs], [*step.new_state, *step.ys]
        f, n = self.tiles.function(invars, outvars, step.eqns), len(step.state)

        def tiled(consts, state, x):
            out = f(*consts, *state, *x)
            return out[:n], out[n:]

        return tiled

    def _forward(self, consts, carry, xs, keep):
        length, outer = self.length, self.outer
        ys = self._buffers(length, self.step.ys, length)
        if not keep:
            carry, ys, _, _ = self.span(WHOLE, self.step, consts, list(carry), xs, 0, length, ys)
            return (carry, finished(ys)), None, None
        if outer is None:
            starts, saved = self._scratch(length, carry)
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

        carry, ys, starts = walk(length, outer, chunk, (list(carry), ys, starts))
        return (carry, finished(ys)), starts, []

    def _buffers(self, length, atoms, segment_of):
        """Rows for ``length`` steps: lists where the loop is written out whole."""
        if segment_of <= self.plan.segment:
            return [[None] * length for _ in atoms]
        return [buffer(length, v.aval if is_var(v) else jax.typeof(v.val)) for v in atoms]

    def _scratch(self, length, carry):
        """Rows for the state of every segment and for the outputs of products, of one span."""
        n = count(length, self.plan.segment)
        starts = [[None]] * len(carry) if n == 1 else [buffer(n, a) for a in carry]
        return starts, self._buffers(length, [e.outvars[0] for e in self.products], length)

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
                if self.plan.barrier and j < k - 1:
                    carry = lax.optimization_barrier(carry)
            return carry, ys, starts, saved

        return walk(length, self.plan.segment, segment, (carry, ys, starts, saved))

    # ---- backward ----

    def back(self, wanted, consts, xs, starts, saved, g, g_ys):
        """Cotangents of the constants, the first state and the inputs that are wanted."""
        exact = functools.partial(self._back, wanted)
        if self.tiles:
            exact = twin(functools.partial(self._back_tiled, wanted), exact)
        return exact(consts, xs, starts, saved, g, g_ys)

    def _back(self, wanted, consts, xs, starts, saved, g, g_ys):
        step, length, outer = self.step, self.length, self.outer
        if length <= self.plan.segment:
            # keep XLA from sharing the states with the forward pass: it would write them to memory
            starts = lax.optimization_barrier(starts)
        late = self._late(wanted)
        in_loop = self._in_loop(wanted)
        reverse = self._reverse_step(wanted, consts, xs, starts, g, g_ys)
        pull = reverse.function()
        acc = [jnp.zeros_like(c) for c in _chosen(in_loop, self._spread(consts))]
        gx = self._buffers(length, _chosen(wanted.xs, step.xs), length)
        total = {  # by position: gradients that are products over time, not sums in the loop
            n: jnp.zeros_like(consts[n])
            for n, (w, f) in enumerate(zip(wanted.consts, in_loop, strict=True))
            if w and not f
        }
        if outer is None:
            g, acc, gx, total = self.span_back(
                WHOLE, pull, late, consts, xs, starts, saved, 0, length, g, g_ys, acc, gx, total
            )
        else:
            made = [e.outvars[0] for e in self.products]
            again = dataclasses.replace(step, ys=made, eqns=prune(step.eqns, [*step.new_state, *made]))

            def chunk(i, t, k, state):
                g, acc, gx, total = state
                carry = WHOLE.rows(starts, i)
                inner, saved = self._scratch(k, carry)
                _, _, inner, saved = self.span(
                    WHOLE, again, consts, carry, xs, t, k, [], inner, saved
                )
                return self.span_back(
                    WHOLE, pull, late, consts, xs, inner, saved, t, k, g, g_ys, acc, gx, total
                )

            g, acc, gx, total = walk(length, outer, chunk, (g, acc, gx, total), reverse=True)
        return self._gradients(wanted, consts, acc, total), g, finished(gx)

    def _back_tiled(self, wanted, consts, xs, starts, saved, g, g_ys):
        tiles, length = self.tiles, self.length
        in_loop, spread = self._in_loop(wanted), self._spread(consts, all_arrays=True)
        reverse = self._reverse_step(wanted, spread, xs, starts, g, g_ys)
        acc = [jnp.zeros_like(c) for c in _chosen(in_loop, self._spread(consts))]
        if any(a.ndim == 0 for a in acc) or not reverse.is_elementwise(self.shape):
            return self._back(wanted, consts, xs, starts, saved, g, g_ys)
        pull = reverse.function(tiles.function)
        flat_consts, flat_xs, starts = tiles.flat_state(spread), tiles.flat(xs), tiles.flat(starts)
        g, g_ys, acc = tiles.flat_state(g), tiles.flat(g_ys), tiles.flat_state(acc)
        gx = tiles.rows(length, [v.aval.dtype for v in _chosen(wanted.xs, self.step.xs)])
        if not tiles.overlap:
            gx, g_ys = _in_place(gx, g_ys)
        self_next = self._tiled_step(self.next_state)

        def tile(window, state):
            g_last, acc, gx = state
            now, sums, gx, _ = self.span_back(
                window, pull, [], window.cut(flat_consts), flat_xs, starts, [], 0, length,
                window.cut(g), g_ys, [jnp.zeros_like(a) for a in window.cut(acc)], gx, {}, self_next,
            )  # fmt: skip
            return window.paste(g_last, now), window.paste(acc, sums), gx

        g, acc, gx = tiles.each(tile, (g, acc, gx))
        gc = self._gradients(wanted, consts, tiles.unflat_state(acc), {})
        return gc, tiles.unflat_state(g), tiles.unflat(gx)

    def _gradients(self, wanted, consts, acc, total):
        """The cotangents of the constants, from sums per neuron and from products over time."""
        in_loop = self._in_loop(wanted)
        sums = iter(_unspread(a, c) for a, c in zip(acc, _chosen(in_loop, consts), strict=True))
        return [
            next(sums) if f else total[n]
            for n, (w, f) in enumerate(zip(wanted.consts, in_loop, strict=True))
            if w
        ]

    def _late(self, wanted):
        """The products with a constant operand to differentiate: after the loop."""
        target = set(_chosen(wanted.consts, self.step.consts))
        return [e for e in self.products if target & set(products.operands(self.step, e)[0])]

    def _in_loop(self, wanted):
        """Which constants have a gradient that is summed in the loop."""
        late = products.only_in_products(self.step, self._late(wanted))
        return [f and v not in late for f, v in zip(wanted.consts, self.step.consts, strict=True)]

    def _spread(self, consts, all_arrays=False):
        """Constants as one value per neuron: their gradients are summed once, after the loop."""
        if self.shape is None:
            return consts
        custom = [e for e in self.step.eqns if pointwise.inner(e) is not None]
        fixed = {v for e in custom for v in unique(e.invars)}  # these want the shapes they know
        return [
            c if v in fixed and not (all_arrays and c.ndim) else jnp.broadcast_to(c, self.shape)
            for v, c in zip(self.step.consts, consts, strict=True)
        ]

    def span_back(
        self, window, pull, late, consts, xs, starts, saved, at, length, g, g_ys, acc, gx, total,
        next_state=None,
    ):  # fmt: skip
        """Walk ``length`` steps from step ``at`` backwards; products are gathered, then summed."""
        step, next_state = self.step, next_state or self.next_state
        moving = [[v for v in products.operands(step, e)[1]] for e in late]
        rows_of = [v for m in moving for v in m] + [e.outvars[0] for e in late]
        gathered = self._buffers(length, rows_of, length)

        def segment(i, t, k, state):
            g, acc, gx, gathered = state
            carry = window.rows(starts, i)
            x = [window.rows(xs, at + t + j) for j in range(k)]
            h = [window.rows(saved, t + j) for j in range(k)]
            gys = [gx[a] if isinstance(a, int) else a for a in g_ys]
            gy = [window.rows(gys, at + t + j) for j in range(k)]
            if any(isinstance(a, int) for a in g_ys):  # read before it is written over, not copied
                gy = lax.optimization_barrier(gy)
            before = [carry]
            for j in range(k - 1):
                carry, _ = next_state(consts, carry, [*x[j], *h[j]])
                if self.plan.barrier:
                    carry = lax.optimization_barrier(carry)
                before.append(carry)
            for j in reversed(range(k)):
                g, row, more, extra = pull(consts, before[j], x[j], h[j], g, gy[j])
                acc = [a + b for a, b in zip(acc, more, strict=True)]
                gx = window.put(gx, row, at + t + j)
                gathered = window.put(gathered, extra, t + j)
                if self.plan.barrier and j:
                    g, acc = lax.optimization_barrier((g, acc))
            return g, acc, gx, gathered

        state = (g, acc, gx, gathered)
        g, acc, gx, gathered = walk(length, self.plan.segment, segment, state, reverse=True)
        gathered = iter(finished(gathered))
        moved = [[next(gathered) for _ in m] for m in moving]
        for e, m in zip(late, moved, strict=True):
            new = products.weight_gradients(step, e, consts, total, m, next(gathered))
            total = {n: a + new[n] if n in new else a for n, a in total.items()}
        return g, acc, gx, total

    def _reverse_step(self, wanted, consts, xs, starts, g, g_ys):
        """One reverse step as equations, traced once."""
        step, in_loop, late = self.step, self._in_loop(wanted), self._late(wanted)

        def reverse(consts, s, x, h, g, gy):
            c_no, s_no, x_no = (
                _chosen(flags, values, False)
                for flags, values in ((in_loop, consts), (wanted.state, s), (wanted.xs, x))
            )

            def f(c, s, x, probes):
                c, s, x = (
                    _merge(in_loop, c, c_no),
                    _merge(wanted.state, s, s_no),
                    _merge(wanted.xs, x, x_no),
                )
                new, ys, timed = products.run_saved(step, self.products, c, s, x, h, probes)
                return (_chosen(wanted.state, new), _chosen(wanted.ys, ys)), timed

            c_yes = _chosen(in_loop, self._spread(consts))
            s_yes, x_yes = _chosen(wanted.state, s), _chosen(wanted.xs, x)
            probes = [jnp.zeros_like(a) for a in h]
            _, vjp, timed = jax.vjp(f, c_yes, s_yes, x_yes, probes, has_aux=True)
            gc, gs, gx, gp = vjp((g, gy))
            index = [self.products.index(e) for e in late]
            return gs, gx, gc, [v for i in index for v in timed[i]] + [gp[i] for i in index]

        first = lambda arrays: [a[0] for a in arrays]
        made = first([buffer(1, e.outvars[0].aval) for e in self.products])
        args = (list(consts), first(starts), first(xs), made, g, first(g_ys))
        jaxpr, values, out = flatten(reverse, *args)
        return _Reverse(jaxpr, values, jax.tree.structure(out))


class _Reverse:
    """``(consts, state, x, products, g_state, g_ys) -> (g_state, g_x, g_consts, gathered)``."""

    def __init__(self, jaxpr, values, tree):
        self.values, self.tree = values, tree
        self.invars, self.outvars = list(jaxpr.invars), list(jaxpr.outvars)
        self.eqns = prune(jaxpr.eqns, jaxpr.outvars)

    def is_elementwise(self, shape):
        """Whether it can run on tiles of a layer of this shape."""
        shapes = [v.aval.shape for v in [*self.invars, *self.outvars]]
        if any(s not in ((), shape) for s in shapes) or any(a.ndim for a in self.values):
            return False
        return pointwise.only_elementwise(self.eqns, [], shape)

    def function(self, make=function):
        """The equations as a function."""
        f = make(self.invars, self.outvars, self.eqns)

        def pull(*args):
            return jax.tree.unflatten(self.tree, f(*self.values, *jax.tree.leaves(args)))

        return pull


def _in_place(gx: list[Array], g_ys: list[Array]) -> tuple[list[Array], list[Any]]:
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


def _unspread(full: Array, const: Array) -> Array:
    """Sum what was differentiated per neuron to the shape of the constant."""
    _, pull = jax.vjp(lambda c: jnp.broadcast_to(c, full.shape), const)
    return pull(full)[0]


def _inexact(a: Any) -> bool:
    return jnp.issubdtype(a.dtype, jnp.inexact)


def _values(args: Sequence[Any]) -> list[Array]:
    return [a.value for a in args]


def _chosen(flags: Sequence[bool], values: Sequence[Any], which: bool = True) -> list[Any]:
    return [v for f, v in zip(flags, values, strict=True) if f == which]


def _merge(flags: Sequence[bool], yes: Sequence[Any], no: Sequence[Any]) -> list[Any]:
    yes, no = iter(yes), iter(no)
    return [next(yes) if f else next(no) for f in flags]
