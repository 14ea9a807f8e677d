"""A scan whose backward pass keeps a state every few steps and computes the rest again."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_derivatives import SymbolicZero

from .backward import Backward
from .compat import effects
from .flags import Wanted, chosen, merge
from .forward import Forward
from .policy import Plan
from .trace import Step

Array = jax.Array


def lean_scan(step: Step, consts, carry, xs, length: int, plan: Plan, alone: Plan):
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
        alone: How to cut them in a pass without a gradient.

    Returns:
        The last state and the outputs, ``[T, *]`` each.
    """
    sweep = Backward(step, length, plan)
    infer = Forward(step, length, alone).infer
    if not any(map(_inexact, [*consts, *carry, *xs])):
        return infer(consts, carry, xs)

    floating = [_inexact(a) for a in carry]  # not `carry` itself: `backward` outlives its trace

    @jax.custom_vjp
    def run(consts, carry, xs):
        return infer(consts, carry, xs)

    def forward(consts, carry, xs):
        _refuse_values_from_effects(sweep)

        # what is differentiated is told by the structure of the residuals: None against ()
        def moved(args):
            return [None if a.perturbed and _inexact(a.value) else () for a in args]

        consts, marks, carry = _values(consts), (moved(consts), moved(xs)), _values(carry)
        xs = _values(xs)
        out, starts, saved = sweep.keep(consts, carry, xs)
        return out, (consts, xs, starts, saved, marks)

    def backward(residuals, g):
        consts, xs, starts, saved, (move_consts, move_xs) = residuals
        wanted = Wanted(
            consts=[m is None for m in move_consts],
            state=floating,
            xs=[m is None for m in move_xs],
            ys=[not isinstance(a, SymbolicZero) and _inexact(a) for a in g[1]],
        )
        g_state = [
            jnp.zeros_like(s[0]) if isinstance(a, SymbolicZero) else a
            for s, a, f in zip(starts, g[0], wanted.state, strict=True)
            if f
        ]
        g_ys = chosen(wanted.ys, g[1])
        gc, gs, gx = sweep.back(wanted, consts, xs, starts, saved, g_state, g_ys)
        none = [None] * max(map(len, (consts, starts, xs)), default=0)

        def fill(flags, values):
            return merge(flags, values, none[: flags.count(False)])

        return fill(wanted.consts, gc), fill(wanted.state, gs), fill(wanted.xs, gx)

    run.defvjp(forward, backward, symbolic_zeros=True)
    return run(list(consts), list(carry), list(xs))


def _refuse_values_from_effects(sweep: Backward) -> None:
    """The backward pass computes steps again: what an effect returns would be another value."""
    for e in sweep.again.eqns:
        if found := effects(e):
            raise ValueError(
                "`scan(...)` must have a step whose side effects return nothing that its gradient "
                f"depends on, got {e.primitive.name} with {found}. The steps are computed again "
                "in the backward pass. Use `jax.lax.scan`."
            )


def _inexact(a: Any) -> bool:
    return jnp.issubdtype(a.dtype, jnp.inexact)


def _values(args: Sequence[Any]) -> list[Array]:
    return [a.value for a in args]
