"""One step of the backward pass, as equations."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import JaxprEqn

from ..._types import Array
from ..program.contractions import only_in_contractions, operands
from ..program.derivatives import reached
from ..program.elementwise import body_of, only_elementwise
from ..program.jaxpr import Atom, function, is_var, prune, type_of, unique
from ..program.loop import Loop
from ..program.step import flatten
from .buffers import buffer
from .contractions import run_stored
from .select import NeedsGrad, combine, select


def deferred_contractions(loop: Loop, needs: NeedsGrad) -> list[JaxprEqn]:
    """The contractions with a constant to differentiate, which is done after the loop."""
    target = set(select(needs.consts, loop.step.consts))
    return [e for e in loop.contractions if target & set(operands(loop.step, e)[0])]


def accumulated_in_loop(loop: Loop, needs: NeedsGrad) -> list[bool]:
    """Which constants have a gradient that is summed step by step."""
    deferred = only_in_contractions(loop.step, deferred_contractions(loop, needs))
    flags = zip(needs.consts, loop.step.consts, strict=True)
    return [needed and v not in deferred for needed, v in flags]


def broadcast_constants(loop: Loop, consts: list[Array]) -> list[Array]:
    """The constants of an elementwise step as one value per neuron.

    Their gradients are then sums over time per neuron, and over neurons once after the loop. What a
    custom derivative reads keeps the shape that it was traced with.
    """
    if loop.shape is None:
        return consts
    custom = [e for e in loop.step.eqns if body_of(e) is not None]
    known = {v for e in custom for v in unique(e.invars)}
    return [
        c if v in known else jnp.broadcast_to(c, loop.shape)
        for v, c in zip(loop.step.consts, consts, strict=True)
    ]


class StepVJP:
    """The VJP of one step, traced once.

    A function ``(consts, state, x, stored, g_state, g_ys)`` to ``(g_state, g_x, g_consts, rows)``,
    where ``stored`` are the outputs of contractions, and ``rows`` the operands of the deferred
    contractions that change over time, then the cotangents of their outputs.

    Args:
        loop: The loop that the step is in.
        needs: What needs a gradient.
        args: Values like those of one step: ``(consts, state, x, g_state, g_ys)``.
    """

    def __init__(self, loop: Loop, needs: NeedsGrad, args: tuple[list[Array], ...]):
        self.loop, self.needs = loop, needs
        consts, state, x, g, gy = args
        stored = [buffer(1, type_of(v))[0] for v in loop.contraction_outputs]
        inputs = (list(consts), state, x, stored, g, gy)
        jaxpr, self.values, out = flatten(self._trace, *inputs)
        self.out_tree, self.in_tree = jax.tree.structure(out), jax.tree.structure(inputs)
        self.invars, self.outvars = jaxpr.invars, jaxpr.outvars
        self.eqns = prune(jaxpr.eqns, jaxpr.outvars, effects=False)

    def _trace(self, consts, state, x, stored, g, gy):
        loop, needs = self.loop, self.needs
        eqns, deferred = loop.contractions, deferred_contractions(loop, needs)
        xs = [*needs.xs, *needs.lines]
        flags = (accumulated_in_loop(loop, needs), needs.state, xs)
        fixed = [select(f, a, False) for f, a in zip(flags, (consts, state, x), strict=True)]

        step, needed = loop.step, [*needs.consts, *needs.state, *xs]
        found = reached(loop, select(needed, [*step.consts, *step.state, *step.xs]))
        moving = [v in found for v in loop.contraction_outputs]
        nothing = [None] * len(stored)

        def f(consts, state, x, probes):
            args = [combine(*a) for a in zip(flags, (consts, state, x), fixed, strict=True)]
            new, ys, changing = run_stored(loop, args, stored, combine(moving, probes, nothing))
            return (select(needs.state, new), select([*needs.ys, *needs.lines], ys)), changing

        values = (broadcast_constants(loop, consts), state, x)
        primals = [select(f, a) for f, a in zip(flags, values, strict=True)]
        probes = [jnp.zeros_like(a) for a in select(moving, stored)]
        _, pull, changing = jax.vjp(f, *primals, probes, has_aux=True)
        g_consts, g_state, g_x, found_g = pull((g, gy))
        g_stored = combine(moving, found_g, nothing)
        index = [eqns.index(e) for e in deferred]
        rows = [v for i in index for v in changing[i]] + [g_stored[i] for i in index]
        return g_state, g_x, g_consts, rows

    def already_stored(self) -> list[tuple[str, int] | None]:
        """For each of the ``rows`` the "state", "x" or "g_x" that it is, by position, or None."""
        inputs = jax.tree.unflatten(self.in_tree, self.invars[len(self.values) :])
        _, g_x, _, rows = jax.tree.unflatten(self.out_tree, self.outvars)
        xs, g_x = inputs[2][: len(self.needs.xs)], g_x[: sum(self.needs.xs)]  # not of delay lines
        places: dict[str, list[Atom]] = {"state": inputs[1], "x": xs, "g_x": g_x}
        found = {v: (name, i) for name, vs in places.items() for i, v in enumerate(vs) if is_var(v)}
        return [found.get(v) if is_var(v) else None for v in rows]

    def is_elementwise(self) -> bool:
        """Whether it can run on tiles of its layer."""
        shape = self.loop.shape
        if shape is None or any(np.ndim(a) for a in self.values):
            return False
        if any(type_of(v).shape not in ((), shape) for v in [*self.invars, *self.outvars]):
            return False
        return only_elementwise(self.eqns, [], shape)

    def function(self, make: Callable[..., Any] = function) -> Callable[..., Any]:
        """The equations as a function; ``make`` turns equations into one."""
        f = make(self.invars, self.outvars, self.eqns)

        def pull(*args):
            return jax.tree.unflatten(self.out_tree, f(*self.values, *jax.tree.leaves(args)))

        return pull
