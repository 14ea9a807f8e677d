"""One step of the backward pass, as equations, and what it sums in the loop and what after it."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from . import pointwise, products
from .flags import Wanted, chosen, merge
from .rows import buffer
from .trace import Atom, Step, flatten, function, is_var, prune, unique

Array = jax.Array
Shape = tuple[int, ...]


def late_products(step: Step, wanted: Wanted) -> list[Any]:
    """The products with a constant operand to differentiate, which is done after the loop."""
    target = set(chosen(wanted.consts, step.consts))
    return [e for e in products.find(step) if target & set(products.operands(step, e)[0])]


def summed_in_loop(step: Step, wanted: Wanted) -> list[bool]:
    """Which constants have a gradient that is summed step by step."""
    late = products.only_in_products(step, late_products(step, wanted))
    return [f and v not in late for f, v in zip(wanted.consts, step.consts, strict=True)]


def spread(step: Step, shape: Shape | None, consts) -> list[Array]:
    """Constants of an elementwise step as one value per neuron.

    Their gradients are then sums over time per neuron, and over neurons once after the loop.

    Args:
        step: The step.
        shape: The shape of its layer; None leaves the constants as they are.
        consts: The values. What a custom derivative reads is left alone, which wants the shape it
            knows.
    """
    if shape is None:
        return consts
    custom = [e for e in step.eqns if pointwise.inner(e) is not None]
    known = {v for e in custom for v in unique(e.invars)}
    return [
        c if v in known else jnp.broadcast_to(c, shape)
        for v, c in zip(step.consts, consts, strict=True)
    ]


class Reverse:
    """One reverse step, traced once.

    A function ``(consts, state, x, products, g_state, g_ys)`` to
    ``(g_state, g_x, g_consts, rows)``; ``rows`` are the moving operands of the
    late products, then the cotangents of their outputs.
    """

    def __init__(self, step: Step, shape: Shape | None, wanted: Wanted, consts, state, x, g, gy):
        self.step, self.shape, self.wanted = step, shape, wanted
        made = [buffer(1, e.outvars[0].aval)[0] for e in products.find(step)]
        args = (list(consts), state, x, made, g, gy)
        jaxpr, self.values, out = flatten(self._trace, *args)
        self.tree, self.args = jax.tree.structure(out), jax.tree.structure(args)
        self.invars: list[Atom] = list(jaxpr.invars)
        self.outvars: list[Atom] = list(jaxpr.outvars)
        self.eqns = prune(jaxpr.eqns, jaxpr.outvars, effects=False)

    def _trace(self, consts, state, x, made, g, gy):
        step, wanted = self.step, self.wanted
        eqns, late = products.find(step), late_products(step, wanted)
        in_loop = summed_in_loop(step, wanted)
        rest = [
            chosen(flags, values, False)
            for flags, values in ((in_loop, consts), (wanted.state, state), (wanted.xs, x))
        ]

        def f(consts, state, x, probes):
            args = (
                merge(in_loop, consts, rest[0]),
                merge(wanted.state, state, rest[1]),
                merge(wanted.xs, x, rest[2]),
            )
            new, ys, moving = products.run_saved(step, eqns, *args, made, probes)
            return (chosen(wanted.state, new), chosen(wanted.ys, ys)), moving

        primals = (
            chosen(in_loop, spread(step, self.shape, consts)),
            chosen(wanted.state, state),
            chosen(wanted.xs, x),
            [jnp.zeros_like(a) for a in made],
        )
        _, pull, moving = jax.vjp(f, *primals, has_aux=True)
        g_consts, g_state, g_x, g_made = pull((g, gy))
        index = [eqns.index(e) for e in late]
        return (
            g_state,
            g_x,
            g_consts,
            [v for i in index for v in moving[i]] + [g_made[i] for i in index],
        )

    def known(self) -> list[tuple[str, int] | None]:
        """Of each of the ``rows``: the "state", "x" or "g_x" that it is, by position, or None."""
        _, state, x, *_ = jax.tree.unflatten(self.args, self.invars[len(self.values) :])
        _, g_x, _, rows = jax.tree.unflatten(self.tree, self.outvars)
        places = {"state": state, "x": x, "g_x": g_x}
        found = {v: (name, i) for name, vs in places.items() for i, v in enumerate(vs) if is_var(v)}
        return [found.get(v) if is_var(v) else None for v in rows]

    def is_elementwise(self) -> bool:
        """Whether it can run on tiles of its layer."""
        if self.shape is None or any(jnp.ndim(a) for a in self.values):
            return False
        if any(v.aval.shape not in ((), self.shape) for v in [*self.invars, *self.outvars]):
            return False
        return pointwise.only_elementwise(self.eqns, [], self.shape)

    def function(self, make: Callable[..., Any] = function) -> Callable[..., Any]:
        """The equations as a function; ``make`` turns equations into one."""
        f = make(self.invars, self.outvars, self.eqns)

        def pull(*args):
            return jax.tree.unflatten(self.tree, f(*self.values, *jax.tree.leaves(args)))

        return pull
