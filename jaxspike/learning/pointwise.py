"""The equations of one pool of neurons, and their derivatives per neuron."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import cast

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import JaxprEqn, Literal, Var

from .._types import Array, Shape
from ..engine.program import (
    Atom,
    body_of,
    flatten,
    function,
    is_var,
    location,
    outputs_of,
    type_of,
    unique,
    value,
)
from .flow import Flow, is_inexact


@dataclasses.dataclass(frozen=True, eq=False)
class Pointwise:
    """Equations in which neuron i of every array reads neuron i of the others.

    Attributes:
        shape: The shape of the neurons.
        states: Their state variables.
        targets: The variables they compute: the next states, and emissions.
        eqns: The equations.
        inputs: The variables they read, other than the states.
    """

    shape: Shape
    states: list[Var]
    targets: list[Atom]
    eqns: list[JaxprEqn]
    inputs: list[Var]

    def __call__(
        self, values: Mapping[Var, Array], moved: Mapping[Var, Array] | None = None
    ) -> list[Array]:
        """The targets.

        Args:
            values: The values of the states and the inputs.
            moved: Inputs of any shape that are given as one value per neuron.
        """
        env = {**values, **(moved or {})}
        for e in self.eqns:
            outs = outputs_of([e])
            if body_of(e) is None:
                found = e.primitive.bind(*[value(env, v) for v in e.invars], **e.params)
                found = found if e.primitive.multiple_results else [found]
            else:
                ins = unique(e.invars)  # a call takes an input of the shape it was traced for
                own = [values if jnp.shape(env[v]) != type_of(v).shape else env for v in ins]
                found = function(ins, outs, [e])(*[a[v] for a, v in zip(own, ins, strict=True)])
            env.update(zip(outs, found, strict=True))
        return [value(env, v) for v in self.targets]


def pointwise(flow: Flow, states: Sequence[int], emitted: Sequence[Var] = ()) -> Pointwise:
    """The equations of some neurons, back to what they read from elsewhere."""
    step = flow.step
    own = [step.state[k] for k in states]
    targets = [*(step.new_state[k] for k in states), *emitted]
    want, kept = set(unique(targets)), []
    for i in reversed(range(len(step.eqns))):
        e = step.eqns[i]
        near = [v for v in unique(e.invars) if flow.varies(v) and flow.is_pointwise(i, v)]
        if near and any(v in want for v in e.outvars):
            kept.append(e)
            want.update(near)
    made = {v for e in kept for v in e.outvars}
    read = [v for e in reversed(kept) for v in e.invars]
    inputs = [v for v in unique([*read, *targets]) if v not in made and v not in own]
    return Pointwise(type_of(own[0]).shape, own, targets, kept[::-1], inputs)


def hidden_in(f: Pointwise, v: Var, flow: Flow) -> str | None:
    """A call that reads an input of another shape and has a derivative for it, or None."""
    if type_of(v).shape == f.shape:
        return None
    calls = [e for e in f.eqns if body_of(e) is not None and v in e.invars]
    return next((location(e) for e in calls if _has_derivative(e, v, flow)), None)


def _has_derivative(e: JaxprEqn, v: Var, flow: Flow) -> bool:
    ins = unique(e.invars)
    call = function(ins, [o for o in outputs_of([e]) if is_inexact(o)], [e])

    def derivative(*values):
        given = dict(zip(ins, values, strict=True))
        found, back = jax.vjp(lambda a: call(*{**given, v: a}.values()), given[v])
        return back([jnp.ones_like(a) for a in found])

    return kinds(derivative, ins, flow) != ["zero"]


def kinds(f: Callable[..., list[Array]], atoms: Sequence[Var], flow: Flow) -> list[str]:
    """The kinds of the arrays that ``f`` computes from the values of some variables.

    Returns:
        ``"zero"``, ``"shared"`` (the same for all neurons at all times) or ``"own"``, for each.
    """
    avals = [jax.ShapeDtypeStruct(type_of(v).shape, type_of(v).dtype) for v in atoms]
    jaxpr, consts, _ = flatten(f, *avals)
    zero: set[Var] = set()
    own = set(jaxpr.invars[: len(consts)])
    for v, a in zip(atoms, jaxpr.invars[len(consts) :], strict=True):
        if flow.varies(v) or type_of(v).shape != ():
            own.add(a)
    for e in jaxpr.eqns:
        spread, read = e.primitive.name == "broadcast_in_dim", unique(e.invars)
        if spread and _is_zero(e.invars[0], zero):
            zero.update(e.outvars)
        elif any(v in own for v in read) or not (read or spread):
            own.update(e.outvars)
    return ["zero" if _is_zero(v, zero) else "own" if v in own else "shared" for v in jaxpr.outvars]


def _is_zero(atom: Atom, zero: set[Var]) -> bool:
    return atom in zero if is_var(atom) else not np.any(cast(Literal, atom).val)
