"""Contractions inside a loop: stored, not computed again.

Their outputs are residuals of the backward pass. The gradient of a weight that is the same at every
step is one contraction over all steps after the loop, not a sum of T of them in it.
"""

from collections.abc import Collection

import jax
import numpy as np
from jax.extend.core import JaxprEqn, Var

from ..._types import Array
from ..program.contractions import folded, folds, operands
from ..program.elementwise import broadcasts_scalar
from ..program.jaxpr import bind, evaluate, function, is_var, jaxprs_in, type_of, value
from ..program.loop import Loop
from ..program.step import Step


def run_stored(loop: Loop, args, stored: list[Array], probes: list[Array | None]):
    """Run a step with the outputs of its contractions given.

    Values come from ``stored``; gradients flow to the operands that change over time, and the
    cotangent of a contraction is that of its probe (an input that adds nothing). One without a
    probe has no gradient.

    Returns:
        The new state, the outputs, and per contraction the operands that change over time.
    """
    step, (consts, state, x) = loop.rules or loop.step, args
    given = {id(e): i for i, e in enumerate(loop.contractions)}
    env = dict(zip([*step.consts, *step.state, *step.xs], [*consts, *state, *x], strict=True))
    # a scalar may be given as one value per neuron
    spread = any(np.shape(env[v]) != type_of(v).shape for v in step.consts)
    changing: list[list[Array]] = [[] for _ in given]

    def is_per_neuron(e):  # a scalar to broadcast, given as one value per neuron
        scalar = e.invars[0]
        return broadcasts_scalar(e) and is_var(scalar) and np.ndim(env.get(scalar, 0)) > 0

    def is_special(e):
        return id(e) in given or (spread and not jaxprs_in(e))

    def special(e, inputs):
        if is_per_neuron(e):
            return inputs
        if id(e) not in given:
            return bind(e, inputs)
        i = given[id(e)]
        fixed, varying = operands(step, e)
        changing[i] = [env[v] for v in varying]
        if probes[i] is None:
            return [stored[i]]
        use = _with_output(function([*fixed, *varying], e.outvars, [e]))
        return [use(stored[i], probes[i], [env[v] for v in fixed], changing[i])]

    evaluate(step.eqns, env, is_special, special)
    new, ys = ([value(env, v) for v in atoms] for atoms in (step.new_state, step.ys))
    return new, ys, changing


def _with_output(contract):
    """``contract`` with its output given: the value is the given one, the gradient the true one."""

    @jax.custom_vjp
    def use(given, probe, fixed, varying):
        return given

    def forward(given, probe, fixed, varying):
        return given, (fixed, varying)

    def backward(residuals, g):
        fixed, varying = residuals
        _, pull = jax.vjp(lambda *m: contract(*fixed, *m)[0], *varying)
        return None, g, None, list(pull(g))

    use.defvjp(forward, backward)
    return use


def weight_gradients(
    step: Step,
    eqn: JaxprEqn,
    consts: list[Array],
    needed: Collection[int],
    rows: tuple[list[Array], Array],
) -> dict[int, Array]:
    """The gradients of the constant operands of a contraction, over all steps at once.

    Args:
        step: The step that it is in.
        eqn: The contraction.
        consts: Values of the constants of the step.
        needed: The positions of the constants to differentiate.
        rows: Its operands that change over time, and the cotangents of its output, ``[T, *]`` each.

    Returns:
        Gradients by the position of the constant.
    """
    varying, cotangents = rows
    fixed, changing = operands(step, eqn)
    values: dict[Var, Array] = {v: consts[step.consts.index(v)] for v in fixed}
    contract = function([*fixed, *changing], eqn.outvars, [eqn])
    gradients = {}
    for v in fixed:  # a contraction is linear in each of its operands
        n = step.consts.index(v)
        if n in needed:

            def over_time(w, v=v):
                if folds(eqn, lambda u: u in changing):
                    return folded(eqn, varying[0], w)
                ws = [w if u is v else values[u] for u in fixed]
                return jax.vmap(lambda *m: contract(*ws, *m)[0])(*varying)

            (gradients[n],) = jax.linear_transpose(over_time, consts[n])(cotangents)
    return gradients
