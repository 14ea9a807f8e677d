"""Matrix products and convolutions inside a loop: saved, not computed again.

The outputs of these equations are residuals of the backward pass. The gradient of a weight that is
the same at every step is one product over all steps after the loop, not a sum of T products in it.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from . import device
from .pointwise import spreads_number
from .trace import Step, evaluate, function, is_var, unique, value

Array = jax.Array

PRODUCTS = ("dot_general", "conv_general_dilated")


def find(step: Step) -> list[Any]:
    """The equations of a step whose outputs are worth keeping."""
    return [
        e
        for e in step.eqns
        if e.primitive.name in PRODUCTS and jnp.issubdtype(e.outvars[0].aval.dtype, jnp.inexact)
    ]


def operands(step: Step, eqn: Any) -> tuple[list[Any], list[Any]]:
    """The inputs of a product: those that are constants of the step, and the others."""
    ins = unique(eqn.invars)
    return [v for v in ins if v in step.consts], [v for v in ins if v not in step.consts]


def only_in_products(step: Step, eqns: list[Any]) -> set[Any]:
    """The constants of a step that nothing but the products ``eqns`` reads."""
    chosen = {id(e) for e in eqns}
    others = {v for e in step.eqns if id(e) not in chosen for v in unique(e.invars)}
    others.update(unique([*step.new_state, *step.ys]))
    return {v for e in eqns for v in operands(step, e)[0]} - others


def can_fold(x: Any) -> bool:
    """Whether leading axes of a type of array should become one in a product with a matrix.

    XLA for CPU takes 1.3 to 3 times as long for the gradient of the matrix where it sums over two
    axes, time and batch, since it transposes the whole sequence. On several devices the folded axis
    would gather a batch that is split over them.
    """
    split = any(axis is not None for axis in x.sharding.spec)  # on a mesh of explicit axes
    return device.one_cpu() and not split and all(isinstance(n, int) for n in x.shape)


def folds(eqn: Any, moves: Callable[[Any], bool]) -> bool:
    """Whether time can be folded into the first axis of the left operand of a product.

    Args:
        eqn: The product.
        moves: Whether an operand changes over time.
    """
    if eqn.primitive.name != "dot_general":
        return False
    left, right = eqn.invars
    (summed, _), (batched, _) = eqn.params["dimension_numbers"]
    free = not batched and left.aval.ndim > 1 and 0 not in summed and is_var(right)
    return free and moves(left) and not moves(right) and can_fold(left.aval)


def folded(eqn: Any, left: Array, right: Array) -> Array:
    """The product that `folds` for all steps at once; ``left`` is ``[T, *]``."""
    steps, n, *rest = left.shape
    product = function(eqn.invars, eqn.outvars, [eqn])
    (out,) = product(left.reshape(steps * n, *rest), right)
    return out.reshape(steps, n, *out.shape[1:])


def run_saved(step: Step, eqns, consts, state, x, saved, probes):
    """Run a step with the outputs of its products given.

    Values come from ``saved``; gradients flow to the operands that change over time, and the
    cotangent of a product is the cotangent of its probe (an input that adds nothing).

    Returns:
        The new state, the outputs, and per product the operands that change over time.
    """
    given = {id(e): i for i, e in enumerate(eqns)}
    env = dict(zip([*step.consts, *step.state, *step.xs], [*consts, *state, *x], strict=True))
    timed: list[Any] = [None] * len(eqns)

    def is_there(e):  # made of a number that was given as one value per neuron
        return spreads_number(e) and is_var(e.invars[0]) and jnp.ndim(env.get(e.invars[0], 0)) > 0

    def special(e, inputs):
        if id(e) not in given:
            return inputs
        i = given[id(e)]
        fixed, moving = operands(step, e)
        timed[i] = [env[v] for v in moving]
        use = _given(function([*fixed, *moving], e.outvars, [e]))
        return [use(saved[i], probes[i], [env[v] for v in fixed], timed[i])]

    evaluate(step.eqns, env, lambda e: id(e) in given or is_there(e), special)
    new, ys = ([value(env, v) for v in atoms] for atoms in (step.new_state, step.ys))
    return new, ys, timed


def _given(product):
    """``product`` with its output given: the value is the given one, the gradient the true one."""

    @jax.custom_vjp
    def use(given, probe, fixed, moving):
        return given

    def forward(given, probe, fixed, moving):
        return given, (fixed, moving)

    def backward(residuals, g):
        fixed, moving = residuals
        _, pull = jax.vjp(lambda *m: product(*fixed, *m)[0], *moving)
        return None, g, None, list(pull(g))

    use.defvjp(forward, backward)
    return use


def weight_gradients(step: Step, eqn: Any, consts, wanted, moving, cotangents) -> dict[int, Array]:
    """The gradient of the constant operands of a product, over all steps at once.

    Args:
        step: The step that the product is in.
        eqn: The product.
        consts: Values of the constants of the step.
        wanted: The positions of the constants to differentiate.
        moving: The operands that change over time, ``[T, *]`` each.
        cotangents: The cotangents of its outputs, ``[T, *]``.

    Returns:
        Gradients by the position of the constant.
    """
    fixed, changing = operands(step, eqn)
    values = {v: consts[step.consts.index(v)] for v in fixed}
    product = function([*fixed, *changing], eqn.outvars, [eqn])
    gradients = {}
    for v in fixed:  # a product is linear in each of its operands
        n = step.consts.index(v)
        if n in wanted:

            def over_time(w, v=v):
                if folds(eqn, lambda u: u in changing):
                    return folded(eqn, moving[0], w)
                ws = [w if u is v else values[u] for u in fixed]
                return jax.vmap(lambda *m: product(*ws, *m)[0])(*moving)

            (gradients[n],) = jax.linear_transpose(over_time, consts[n])(cotangents)
    return gradients
