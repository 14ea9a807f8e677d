"""An affine recurrence for all steps at once, with a gradient that is an affine recurrence too."""

import dataclasses

import jax
from jax import lax

from ..._types import Array
from ..program.affine import Affine
from ..program.elementwise import diagonal
from ..program.jaxpr import function, prune, unique
from ..program.loop import Loop
from .affine_scan import adjoint_scan, before
from .fixed_point import Recurrence
from .select import nothing_of

Arrays = list[Array]


def parallel_scan(
    loop: Loop, affine: Affine, consts: Arrays, state: Arrays, xs: Arrays
) -> tuple[Arrays, Arrays]:
    """`jax.lax.scan` of a step that is affine given its decisions.

    The states after every step are found first, see `Recurrence`. The outputs are then those of the
    step at all of them. All states are stored.

    Args:
        loop: The step and its number of steps T.
        affine: The step, read as an affine one.
        consts: Values of its constants.
        state: The first state.
        xs: The inputs, ``[T, *]`` each.

    Returns:
        The last state, and the outputs, ``[T, *]`` each.
    """
    states = _solver(loop, affine)(consts, state, xs)
    made = [v for v in unique(loop.step.new_state) if v not in loop.step.state]
    after = [states[loop.step.new_state.index(v)] for v in made]
    eqns = [e for e in loop.step.eqns if not any(v in made for v in e.outvars)]
    known = [*loop.step.consts, *loop.step.state, *loop.step.xs, *made]
    outputs = function(known, loop.step.ys, prune(eqns, loop.step.ys))
    ys = jax.vmap(lambda *rows: outputs(*consts, *rows), axis_size=loop.length)(
        *before(state, states), *xs, *after
    )
    return [a[-1] for a in states], ys


def _solver(loop: Loop, affine: Affine):
    """The states after every step as a function of the constants, the first state and the inputs.

    Its derivatives are those of the step at the states found, with surrogate derivatives where the
    step has them: J[t] of s[t] by s[t - 1], a number for each pair of states of a neuron, makes the
    total cotangents another affine recurrence, backward in time; see `adjoint_scan`. With them, one
    VJP of the step at all states gives those of constants and inputs.
    """
    new_state = dataclasses.replace(
        loop.step, ys=[], eqns=prune(loop.step.eqns, loop.step.new_state)
    )

    def step(consts, states, xs):
        one = lambda s, x: new_state(consts, s, x)[0]  # noqa: E731
        return jax.vmap(one, axis_size=loop.length)(states, xs)

    @jax.custom_vjp
    def solve(consts, first, xs):
        states = Recurrence(affine, loop.length, consts, first, xs).states()
        nothing = nothing_of([*consts, *first, *xs])
        return [lax.select(nothing, a, a) for a in states]

    def forward(consts, first, xs):
        states = solve(consts, first, xs)  # for derivatives of higher order
        return states, (consts, first, xs, states)

    def backward(residuals, g):
        consts, first, xs, states = residuals
        earlier = before(first, states)
        jacobians = [
            diagonal(lambda s, _, i=i: step(consts, s, xs)[i], earlier, [])[0]
            for i in range(len(first))
        ]
        total, g_first = adjoint_scan(jacobians, g)
        _, pull = jax.vjp(lambda consts, xs: step(consts, earlier, xs), consts, xs)
        g_consts, g_xs = pull(total)
        return g_consts, g_first, g_xs

    solve.defvjp(forward, backward)
    return solve
