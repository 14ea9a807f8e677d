"""A scan whose backward pass stores a state every few steps and recomputes the rest."""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_derivatives import SymbolicZero

from ..._types import Array, Tree
from ..policy import Plan
from ..program.compat import effects
from ..program.convolutions import has_convolution, with_fast_convolutions
from ..program.derivatives import as_differentiated, reached, without_gradient
from ..program.loop import Loop
from .backward import Cotangents, pull_back
from .forward import Results, infer, with_residuals
from .select import NeedsGrad, combine, nothing_of, select


def checkpointed_scan(
    loop: Loop,
    plans: tuple[Plan, Plan],
    consts: list[Array],
    state: list[Array],
    xs: list[Array],
    lines: list[Array],
) -> Results:
    """`jax.lax.scan` of a step on flat lists of arrays, with a gradient of little memory.

    Inference stores nothing. Under differentiation the residuals are the inputs, a state every
    ``plan.segment`` steps, the outputs of matrix products and convolutions, and the rows that
    entered delay lines.

    Args:
        loop: The step and its number of steps T.
        plans: How to cut time and neurons with a gradient, and without one; neither changes a
            result.
        consts: Values of its constants.
        state: The first state.
        xs: The inputs, ``[T, *]`` each.
        lines: The rows of its delay lines, the next to come out first.

    Returns:
        The last state, the outputs, ``[T, *]`` each, and the last rows of the delay lines.
    """
    plan, inference_plan = plans
    if not any(map(_is_inexact, [*consts, *state, *xs, *lines])):
        return infer(loop, inference_plan, consts, state, xs, lines)

    differentiated = functools.cache(functools.partial(as_differentiated, loop))

    @jax.custom_vjp
    def run(*args):
        return _mapped_together(loop, args, infer(loop, inference_plan, *args))

    def forward(consts, state, xs, lines):
        _check_effects(loop)
        # the structure of the residuals, None or (), determines what is differentiated
        perturbed = [_perturbed(a) for a in (consts, state, xs, lines)]
        args = tuple(map(_values, (consts, state, xs, lines)))
        out, residuals = with_residuals(differentiated(_found(perturbed)), plan, *args)
        return _mapped_together(loop, args, out), (residuals, perturbed)

    def backward(residuals, g):
        (_, _, starts, _, lines), perturbed = residuals
        found = _found(perturbed)
        needs = NeedsGrad(
            consts=[p is None for p in perturbed[0]],
            state=[v in found for v in loop.step.state],
            xs=[p is None for p in perturbed[2]],
            ys=[not isinstance(a, SymbolicZero) and _is_inexact(a) for a in g[1]],
            lines=[late in found for late, _ in loop.lines],
        )
        g_state = _instantiated(needs.state, g[0], [a[0] for a in starts])
        g_lines = _instantiated(needs.lines, g[2], [first for first, _ in lines])
        g = Cotangents(g_state, g_lines, select(needs.ys, g[1]))
        pull = functools.partial(pull_back, differentiated(found), plan, needs)
        fast = has_convolution(loop.step.eqns)
        gradients = (with_fast_convolutions(pull) if fast else pull)(residuals[0], g)
        flags = needs.consts, needs.state, needs.xs, needs.lines
        return tuple(combine(f, a, [None] * len(f)) for f, a in zip(flags, gradients, strict=True))

    def _found(perturbed):
        inputs = [*loop.step.consts, *loop.step.state, *loop.step.xs]
        flags = [p is None for some in perturbed for p in some]
        return reached(loop, select(flags, inputs))

    run.defvjp(forward, backward, symbolic_zeros=True)
    with jax.named_scope("scan"):  # the name of the call in the errors of other transformations
        out = run(list(consts), list(state), list(xs), list(lines))
    return _without_gradient(loop, out)


def _without_gradient(loop: Loop, out: Results) -> Results:
    """The same results; those that no derivative reaches have none, as in `jax.lax.scan`.

    Every output of a `jax.custom_vjp` has a tangent, which a `while_loop` or a callback refuses.
    """
    leaves, structure = jax.tree.flatten(out)
    flags = without_gradient(loop)
    leaves = [lax.stop_gradient(a) if f else a for a, f in zip(leaves, flags, strict=True)]
    return jax.tree.unflatten(structure, leaves)


def _instantiated(flags: list[bool], cotangents: Tree, like: list[Array]) -> list[Array]:
    """The cotangents that are needed, as arrays."""
    pairs = zip(select(flags, cotangents), select(flags, like), strict=True)
    return [jnp.zeros_like(a) if isinstance(g, SymbolicZero) else g for g, a in pairs]


def _mapped_together(loop: Loop, args: Sequence[list[Array]], out: Results) -> Results:
    """The same results, all of which `jax.vmap` maps if it maps any of the inputs.

    JAX sums the cotangent of an input that is not mapped over the batch. The share of a result that
    is not mapped either would be in every term, and so count as often as the batch is large.
    """
    independent, inputs = loop.independent_of, [a for arrays in args for a in arrays]
    if not (others := sorted({i for places in independent for i in places})):
        return out
    nothing = nothing_of([inputs[i] for i in others])
    leaves, structure = jax.tree.flatten(out)
    results = [
        lax.select(nothing, a, a) if places else a
        for a, places in zip(leaves, independent, strict=True)
    ]
    return jax.tree.unflatten(structure, results)


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
