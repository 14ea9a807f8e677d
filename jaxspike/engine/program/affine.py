"""Which recurrences are affine in their state, once what they decide is known."""

import dataclasses
from collections.abc import Iterable

import jax.numpy as jnp
from jax.extend.core import JaxprEqn, Var

from ..._types import Array
from .elementwise import only_elementwise
from .jaxpr import Atom, is_var, prune, type_of, unique
from .linear import scales
from .step import Step, flatten

MOST_STATES = 4  # of one neuron: a product of two of its matrices has their number cubed
DTYPES = frozenset(map(jnp.dtype, (jnp.float32, jnp.float64, jnp.complex64, jnp.complex128)))
# what they put out changes in jumps; so does what is not a real or complex number
_STEPS = frozenset({"sign", "floor", "ceil", "round"})


@dataclasses.dataclass(frozen=True, eq=False)
class Affine:
    """A recurrence whose new state is ``A s + b``, neuron by neuron, given its decisions.

    A decision is a value that depends on the state and changes in jumps only: whether a potential
    has reached the threshold, or a rounded number. The matrix ``A`` (a number for each pair of
    states of a neuron) and ``b`` depend on constants, inputs and decisions, not on the state.

    Attributes:
        deciding: The step with its decisions as outputs, calls inlined.
        decided: The step with the decisions as further inputs, the last ones, and no outputs.
        values: The values of the first constants of both, which inlining has added.
    """

    deciding: Step
    decided: Step
    values: list[Array]

    @property
    def has_decisions(self) -> bool:
        """Whether there are any; if not, the recurrence is affine in its state."""
        return bool(self.deciding.ys)


def as_affine(step: Step) -> Affine | None:
    """The step of a recurrence as an affine one, or None if it is not.

    It is one if it is elementwise over a layer, has at most 4 states, all of one real or complex
    dtype of 32 bits or more, and no value that is not affine in the state, such as a product of two
    states or a number rounded to fewer bits, reaches a new state except through decisions.
    """
    kinds = {(type_of(v).shape, type_of(v).dtype) for v in step.state}
    if len(kinds) != 1 or len(step.state) > MOST_STATES:
        return None
    ((shape, dtype),) = kinds
    if dtype not in DTYPES or not only_elementwise(step.eqns, step.consts, shape):
        return None
    flat, values = _flat(step)
    decisions = _decisions(flat)
    if decisions is None:
        return None
    given = set(decisions)
    open_eqns = [e for e in flat.eqns if given.isdisjoint(e.outvars)]
    decided = dataclasses.replace(
        flat, xs=[*flat.xs, *decisions], eqns=prune(open_eqns, flat.new_state)
    )
    return Affine(dataclasses.replace(flat, ys=list(decisions)), decided, values)


def _flat(step: Step) -> tuple[Step, list[Array]]:
    """The step without outputs and calls, and the values of the constants that this adds."""
    kinds = [[type_of(v) for v in vs] for vs in (step.consts, step.state, step.xs)]
    jaxpr, values, _ = flatten(lambda *args: step(*args)[0], *kinds, rules=False)
    n, k = len(values) + len(step.consts), len(step.state)
    consts, state, xs = jaxpr.invars[:n], jaxpr.invars[n : n + k], jaxpr.invars[n + k :]
    eqns = prune(jaxpr.eqns, jaxpr.outvars)
    return Step(consts, state, xs, list(jaxpr.outvars), [], eqns), values


def _decisions(step: Step) -> list[Var] | None:
    """The decisions that the new state of an affine step depends on; None if it is not affine."""
    affine, others = set(step.state), set[Var]()
    found: list[Var] = []
    for e in step.eqns:
        if not any(v in affine or v in others for v in unique(e.invars)):
            continue
        if _is_decision(e):
            found += e.outvars
        elif _is_affine(e, affine) and not any(v in others for v in unique(e.invars)):
            affine.update(e.outvars)
        else:
            others.update(e.outvars)
    if any(v in others for v in unique(step.new_state)):
        return None
    read = _read([e for e in step.eqns if not set(found) & set(e.outvars)], step.new_state)
    return [v for v in found if v in read]


def _read(eqns: list[JaxprEqn], outs: Iterable[Atom]) -> set[Var]:
    """The variables that the computation of ``outs`` reads."""
    outs = list(outs)
    return {*unique(outs), *unique(v for e in prune(eqns, outs) for v in e.invars)}


def _is_decision(eqn: JaxprEqn) -> bool:
    kinds = [type_of(v).dtype for v in eqn.outvars]
    return eqn.primitive.name in _STEPS or not any(jnp.issubdtype(d, jnp.inexact) for d in kinds)


def _is_affine(eqn: JaxprEqn, affine: set[Var]) -> bool:
    """Whether an equation is affine in its inputs in ``affine``, without rounding them."""
    if eqn.primitive.name == "convert_element_type":
        old, new = type_of(eqn.invars[0]).dtype, type_of(eqn.outvars[0]).dtype
        return new in DTYPES and bool(jnp.finfo(new).eps <= jnp.finfo(old).eps)
    at = [i for i, v in enumerate(eqn.invars) if is_var(v) and v in affine]
    return scales(eqn, at) is not None
