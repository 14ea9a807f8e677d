"""Layer order: what is on no cycle runs for all steps at once; each cycle is a scan of its own."""

from typing import Any

import jax
import jax.numpy as jnp

from . import products
from .adjoint import lean_scan
from .graph import Graph
from .groups import Groups, Piece
from .policy import Policy, inference, plan
from .trace import Step, evaluate, function, inputs_of, is_var

Array = jax.Array


def run(
    step: Step,
    consts,
    state,
    xs,
    length: int,
    *,
    split: bool,
    segment,
    unroll,
    policy: Policy,
    loops: int = 1,
):
    """Run a step over time.

    The graph of its equations, closed by an edge from every new state to the state it becomes, is
    cut into strongly connected components. A component of one node is on no cycle and is evaluated
    for all T at once (a matrix product over T * N rows, a convolution over T * N images), or only
    once if it does not depend on time; every other component is a true recurrence.

    Args:
        step: The step.
        consts: Values of its constants.
        state: The first state.
        xs: The inputs, ``[T, *]`` each.
        length: The number of steps T.
        split: False puts everything that depends on time in one loop instead: step order.
        segment: As in `scan`.
        unroll: As in `scan`.
        policy: As in `scan`.
        loops: How many there are in the network that this is a part of.

    Returns:
        The last state and the outputs, ``[T, *]`` each.
    """
    graph = Graph(step)
    groups = Groups(graph, split=split)
    if split and policy.ride is not False:
        groups.ride()
    pieces = groups.pieces()
    n_loops = max(loops, sum(p.kind == "loop" for p in pieces))
    env: dict[Any, Array] = dict(zip(step.consts, consts, strict=True))
    env.update(zip(step.xs, xs, strict=True))
    env.update({step.state[k]: state[k] for k in graph.held})
    final = list(state)

    def over_time(atom):
        value = jnp.asarray(env[atom] if is_var(atom) else atom.val)
        if is_var(atom) and atom in graph.timed:
            return value
        return jnp.broadcast_to(value, (length, *value.shape))

    for piece in pieces:
        if piece.kind == "loop":
            loop = graph.loop_step(piece.eqns, piece.states)
            cut = plan(loop, length, segment, unroll, n_loops, policy)
            values = ([env[v] for v in loop.consts], [state[k] for k in piece.states])
            alone = inference(loop, length, unroll, n_loops, policy)
            last, ys = lean_scan(loop, *values, [env[v] for v in loop.xs], length, cut, alone)
            for k, s in zip(piece.states, last, strict=True):
                final[k] = s
            env.update(zip(loop.ys, ys, strict=True))
        elif piece.kind == "delay":
            (k,) = piece.states
            source = over_time(step.new_state[k])
            final[k] = source[-1]
            env[step.state[k]] = jnp.concatenate([state[k][None], source[:-1]])
        else:
            env.update(_evaluate(piece, graph, env, length))
    return final, [over_time(v) for v in step.ys]


def _evaluate(piece: Piece, graph: Graph, env: dict[Any, Array], length: int) -> dict[Any, Array]:
    """Evaluate equations that are on no cycle, once or under ``vmap`` over time."""
    ins = inputs_of(piece.eqns)
    outs = graph.loop_step(piece.eqns, []).ys
    if piece.kind != "free":
        f = function(ins, outs, piece.eqns)
        return dict(zip(outs, f(*[env[v] for v in ins]), strict=True))

    def moves(v):
        return is_var(v) and v in graph.timed

    def all_steps(ins, outs, eqns):
        f, axes = function(ins, outs, eqns), tuple(0 if moves(v) else None for v in ins)
        return jax.vmap(f, in_axes=axes, axis_size=length)

    made = dict(env)
    evaluate(
        piece.eqns,
        made,
        lambda e: products.folds(e, moves),
        lambda e, values: [products.folded(e, *values)],
        all_steps,
    )
    return {v: made[v] for v in outs}
