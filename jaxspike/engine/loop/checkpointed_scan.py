"""A scan whose backward pass stores a state every few steps and recomputes the rest."""

import functools

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_derivatives import SymbolicZero

from ..._types import Array, Tree
from ..policy import Plan
from ..program.compat import effects
from ..program.loop import Loop
from .backward import pull_back
from .forward import Results, infer, with_residuals
from .select import NeedsGrad, combine, select


def checkpointed_scan(
    loop: Loop, plans: tuple[Plan, Plan], consts: list[Array], state: list[Array], xs: list[Array]
) -> tuple[list[Array], list[Array]]:
    """`jax.lax.scan` of a step on flat lists of arrays, with a gradient of little memory.

    Inference stores nothing. Under differentiation the residuals are the inputs, a state every
    ``plan.segment`` steps, and the outputs of matrix products and convolutions.

    Args:
        loop: The step and its number of steps T.
        plans: How to cut time and neurons with a gradient, and without one; neither changes a
            result.
        consts: Values of its constants.
        state: The first state.
        xs: The inputs, ``[T, *]`` each.

    Returns:
        The last state and the outputs, ``[T, *]`` each.
    """
    plan, inference_plan = plans
    if not any(map(_is_inexact, [*consts, *state, *xs])):
        return infer(loop, inference_plan, consts, state, xs)

    floating = [_is_inexact(a) for a in state]  # not `state` itself: `backward` outlives its trace

    @jax.custom_vjp
    def run(consts, state, xs):
        out = infer(loop, inference_plan, consts, state, xs)
        return _mapped_together(loop, [*consts, *state, *xs], out)

    def forward(consts, state, xs):
        _check_effects(loop)
        # the structure of the residuals, None or (), determines what is differentiated
        perturbed = _perturbed(consts), _perturbed(xs)
        out, residuals = with_residuals(loop, plan, *map(_values, (consts, state, xs)))
        args = map(_values, (consts, state, xs))
        out = _mapped_together(loop, [a for arrays in args for a in arrays], out)
        return out, (residuals, perturbed)

    def backward(residuals, g):
        (consts, xs, starts, _), (perturbed_consts, perturbed_xs) = residuals
        needs = NeedsGrad(
            consts=[p is None for p in perturbed_consts],
            state=floating,
            xs=[p is None for p in perturbed_xs],
            ys=[not isinstance(a, SymbolicZero) and _is_inexact(a) for a in g[1]],
        )
        g_state = [
            jnp.zeros_like(s[0]) if isinstance(a, SymbolicZero) else a
            for s, a in zip(select(floating, starts), select(floating, g[0]), strict=True)
        ]
        found = pull_back(loop, plan, needs, residuals[0], g_state, select(needs.ys, g[1]))
        flags, sizes = (needs.consts, needs.state, needs.xs), map(len, (consts, starts, xs))
        return tuple(combine(f, a, [None] * n) for f, a, n in zip(flags, found, sizes, strict=True))

    run.defvjp(forward, backward, symbolic_zeros=True)
    return run(list(consts), list(state), list(xs))


def _mapped_together(loop: Loop, inputs: list[Array], out: Results) -> Results:
    """The same results, all of which `jax.vmap` maps if it maps any of the inputs.

    JAX sums the cotangent of an input that is not mapped over the batch. The share of a result that
    is not mapped either would be in every term, and so count as often as the batch is large.
    """
    n, independent = len(out[0]), loop.independent_of
    if not (others := sorted({i for places in independent for i in places})):
        return out
    nothing = functools.reduce(jnp.logical_or, [_nothing(inputs[i]) for i in others])
    results = [
        lax.select(nothing, a, a) if places else a
        for a, places in zip([*out[0], *out[1]], independent, strict=True)
    ]
    return results[:n], results[n:]


def _nothing(a: Array) -> Array:
    """False, mapped as ``a`` is."""
    none = (a if a.ndim else a[None])[:0]
    return (none != none).any()


def _check_effects(loop: Loop) -> None:
    """Refuse values of side effects: steps are recomputed, and the values would be others."""
    for e in loop.recompute.eqns:
        if found := effects(e):
            raise ValueError(
                "`scan(...)` must have a step whose side effects return nothing that its gradient "
                f"depends on, got {e.primitive.name} with {found}. The steps are computed again "
                "in the backward pass. Use `jax.lax.scan`."
            )


def _is_inexact(a) -> bool:
    return jnp.issubdtype(a.dtype, jnp.inexact)


def _perturbed(args) -> list[Tree]:
    return [None if a.perturbed and _is_inexact(a.value) else () for a in args]


def _values(args) -> list[Array]:
    return [a.value for a in args]
