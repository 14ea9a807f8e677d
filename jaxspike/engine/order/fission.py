"""Loop fission: the loop over a step becomes one loop per part, or none where none is needed."""

import dataclasses

import jax
import jax.numpy as jnp
from jax.extend.core import Var

from ..._types import Array
from ..loop.checkpointed_scan import checkpointed_scan
from ..loop.parallel_scan import parallel_scan
from ..policy import Options, plan, plan_inference
from ..program import contractions
from ..program.jaxpr import Atom, evaluate, function, inputs_of, is_var, unique, value
from ..program.loop import Loop
from .graph import Graph
from .partition import Part
from .shifts import Shifts


def execute(
    graph: Graph,
    parts: list[Part],
    args: tuple[list[Array], list[Array], list[Array]],
    length: int,
    options: Options,
) -> tuple[list[Array], list[Array]]:
    """Run the parts of a step over time, one after the other.

    What does not vary with time is evaluated once; what is on no cycle, for all T at once (a matrix
    product over T * N rows, a convolution over T * N images); each cycle is a loop of its own.

    Args:
        graph: The graph of the step.
        parts: Its parts, in topological order.
        args: The constants, the first state, and the inputs ``[T, *]``.
        length: The number of steps T.
        options: The options of `scan`.

    Returns:
        The last state and the outputs, ``[T, *]`` each.
    """
    step, (consts, state, xs) = graph.step, args
    n_loops = max(options.n_loops, sum(p.kind == "loop" for p in parts))
    options = dataclasses.replace(options, n_loops=n_loops)
    env: dict[Var, Array] = dict(zip(step.consts, consts, strict=True))
    env.update(zip(step.xs, xs, strict=True))
    env.update({step.state[k]: state[k] for k in graph.unchanged})
    last = list(state)

    def over_time(atom: Atom) -> Array:
        a = jnp.asarray(value(env, atom))
        varies = is_var(atom) and atom in graph.time_varying
        return a if varies else jnp.broadcast_to(a, (length, *a.shape))

    shifts = Shifts(graph, parts, state, length, over_time)
    for part in parts:
        if part.kind == "loop":
            single, late = graph.split(part.states)
            delays = tuple(step.delays[k] for k in late)
            loop = Loop(graph.step_of(part.eqns, part.states), length, delays)
            values, first = [env[v] for v in loop.step.consts], [state[k] for k in single]
            rows = [env[v] for v in loop.step.xs[: len(loop.step.xs) - len(late)]]
            if options.all_at_once and loop.affine:
                new, ys = parallel_scan(loop, loop.affine, values, first, rows)
                lines: list[Array] = []
            else:
                new, ys, lines = checkpointed_scan(
                    loop,
                    (plan(loop, options), plan_inference(loop, options)),
                    values,
                    first,
                    rows,
                    [state[k] for k in late],
                )
            for k, a in zip([*single, *late], [*new, *lines], strict=True):
                last[k] = a
            env.update(zip(unique(loop.step.ys[: len(ys)]), ys, strict=True))
        elif part.kind == "shift":
            (k,) = part.states
            last[k] = shifts.last(k)
            if shifts.is_read(k):
                env[step.state[k]] = shifts.values(k)
        else:
            env.update(_evaluate(part, graph, env, length))
    return last, [over_time(v) for v in step.ys]


def _evaluate(part: Part, graph: Graph, env: dict[Var, Array], length: int) -> dict[Var, Array]:
    """Evaluate equations that are on no cycle, once or under ``vmap`` over time."""
    outs = unique(graph.step_of(part.eqns, []).ys)
    if part.kind == "invariant":
        ins = inputs_of(part.eqns)
        f = function(ins, outs, part.eqns)
        return dict(zip(outs, f(*[env[v] for v in ins]), strict=True))

    def varies(atom: Atom) -> bool:
        return is_var(atom) and atom in graph.time_varying

    def all_steps(ins, outs, eqns):
        f, axes = function(ins, outs, eqns), tuple(0 if varies(v) else None for v in ins)
        return jax.vmap(f, in_axes=axes, axis_size=length)

    values = dict(env)
    evaluate(
        part.eqns,
        values,
        lambda e: contractions.folds(e, varies),
        lambda e, operands: [contractions.folded(e, *operands)],
        all_steps,
    )
    return {v: values[v] for v in outs}
