"""A scan whose backward pass keeps a state every few steps and computes the rest again."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_derivatives import SymbolicZero

from . import pointwise, products
from .policy import Plan
from .rows import WHOLE, Window, buffer, count, finished, walk
from .trace import Step, flatten, is_var, prune, unique

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

    # ---- forward ----

    def infer(self, consts, carry, xs):
        (carry, ys), _, _ = self._forward(consts, carry, xs, keep=False)
        return carry, ys

    def keep(self, consts, carry, xs):
        return self._forward(consts, carry, xs, keep=True)

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
        length, outer = self.length, self.outer
        late = [e for e in self.products if any(self._is_wanted(wanted, v) for v in products.operands(self.step, e)[0])]
        free = products.only_in_products(self.step, late)
        in_loop = [f and v not in free for f, v in zip(wanted.consts, self.step.consts, strict=True)]
        pull = self._reverse_step(wanted, in_loop, late, consts, xs, starts, g, g_ys)
        acc = [jnp.zeros_like(c) for c in _chosen(in_loop, self._spread(consts))]
        x_atoms = [v for v, f in zip(self.step.xs, wanted.xs, strict=True) if f]
        gx = self._buffers(length, x_atoms, length)
        total = {  # by position: gradients that are products over time, not sums in the loop
            n: jnp.zeros_like(c)
            for n, (c, v) in enumerate(zip(consts, self.step.consts, strict=True))
            if wanted.consts[n] and v in free
        }

        if outer is None:
            g, acc, gx, total = self.span_back(
                WHOLE, pull, late, consts, xs, starts, saved, 0, length, g, g_ys, acc, gx, total
            )
        else:

            def chunk(i, t, k, state):
                g, acc, gx, total = state
                carry = WHOLE.rows(starts, i)
                inner, made = self._scratch(k, carry)
                fn = dataclasses.replace(self.with_products, ys=[e.outvars[0] for e in self.products])
                fn = dataclasses.replace(fn, eqns=prune(fn.eqns, [*fn.new_state, *fn.ys]))
                _, _, inner, made = self.span(WHOLE, fn, consts, carry, xs, t, k, [], inner, made)
                return self.span_back(
                    WHOLE, pull, late, consts, xs, inner, made, t, k, g, g_ys, acc, gx, total
                )

            g, acc, gx, total = walk(length, outer, chunk, (g, acc, gx, total), reverse=True)
        acc = iter(_unspread(a, c) for a, c in zip(acc, _chosen(in_loop, consts), strict=True))
        gc = [
            next(acc) if f else total[n]
            for n, (w, f) in enumerate(zip(wanted.consts, in_loop, strict=True))
            if w
        ]
        return gc, g, finished(gx)

    def _spread(self, consts):
        """Constants as one value per neuron: their gradients are summed once, after the loop."""
        if self.shape is None:
            return consts
        custom = [e for e in self.step.eqns if pointwise.inner(e) is not None]
        fixed = {v for e in custom for v in unique(e.invars)}  # these want the shapes they know
        return [
            c if v in fixed else jnp.broadcast_to(c, self.shape)
            for v, c in zip(self.step.consts, consts, strict=True)
        ]

    def _is_wanted(self, wanted, v):
        return wanted.consts[self.step.consts.index(v)]

    def span_back(
        self, window, pull, late, consts, xs, starts, saved, at, length, g, g_ys, acc, gx, total
    ):
        """Walk ``length`` steps from step ``at`` backwards; products are gathered, then summed."""
        step = self.step
        moving = [[v for v in products.operands(step, e)[1]] for e in late]
        rows_of = [v for m in moving for v in m] + [e.outvars[0] for e in late]
        gathered = self._buffers(length, rows_of, length)

        def segment(i, t, k, state):
            g, acc, gx, gathered = state
            carry = window.rows(starts, i)
            x = [window.rows(xs, at + t + j) for j in range(k)]
            h = [window.rows(saved, t + j) for j in range(k)]
            before = [carry]
            for j in range(k - 1):
                carry, _ = self.next_state(consts, carry, [*x[j], *h[j]])
                if self.plan.barrier:
                    carry = lax.optimization_barrier(carry)
                before.append(carry)
            for j in reversed(range(k)):
                gy = window.rows(g_ys, at + t + j)
                g, row, more, extra = pull(consts, before[j], x[j], h[j], g, gy)
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

    def _reverse_step(self, wanted, in_loop, late, consts, xs, starts, g, g_ys):
        """One reverse step as a flat function, traced once."""
        step, first = self.step, lambda arrays: [a[0] for a in arrays]

        def reverse(consts, s, x, h, g, gy):
            c_yes = _chosen(in_loop, self._spread(consts))

            def f(c, s1, x1, probes):
                c = _merge(in_loop, c, _chosen(in_loop, consts, False))
                s1 = _merge(wanted.state, s1, _chosen(wanted.state, s, False))
                x1 = _merge(wanted.xs, x1, _chosen(wanted.xs, x, False))
                new, ys, timed = products.run_saved(step, self.products, c, s1, x1, h, probes)
                return (_chosen(wanted.state, new), _chosen(wanted.ys, ys)), timed

            probes = [jnp.zeros_like(a) for a in h]
            s_yes, x_yes = _chosen(wanted.state, s), _chosen(wanted.xs, x)
            _, vjp, timed = jax.vjp(f, c_yes, s_yes, x_yes, probes, has_aux=True)
            gc, gs, gx, gp = vjp((g, gy))
            index = [self.products.index(e) for e in late]
            return gs, gx, gc, [v for i in index for v in timed[i]] + [gp[i] for i in index]

        made = first([buffer(1, e.outvars[0].aval) for e in self.products])
        rows = (list(consts), first(starts), first(xs), made, g, first(g_ys))
        jaxpr, values, out = flatten(reverse, *rows)
        eqns = prune(jaxpr.eqns, jaxpr.outvars)
        pulled = Step(jaxpr.invars, [], [], [], jaxpr.outvars, eqns)
        tree = jax.tree.structure(out)

        def pull(consts, s, x, h, g, gy):
            _, flat = pulled([*values, *jax.tree.leaves((consts, s, x, h, g, gy))], [], [])
            return jax.tree.unflatten(tree, flat)

        return pull


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
