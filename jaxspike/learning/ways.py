"""How a parameter enters a pool: added, as a matrix, or through another linear operation."""

import dataclasses
from collections.abc import Sequence

from jax.extend.core import JaxprEqn, Var

from .._types import Shape
from ..engine.program import has_gradient, is_var, location, scales, type_of, unique
from .flow import Edge, Flow

CONSTANT, LINEAR = "constant", "linear"


@dataclasses.dataclass(frozen=True, eq=False)
class Way:
    """The equations from a parameter to what a pool reads.

    Attributes:
        parameter: The variable of the parameter, the same at every step.
        target: The variable that the pool reads.
        eqns: The equations between them.
        kind: ``"constant"`` if the derivative of the target by the parameter is the same at every
            step, ``"linear"`` if it is linear in ``operands``; else the operation, with its line,
            that makes it neither.
        operands: The factors of the parameter, which vary over time.
    """

    parameter: Var
    target: Var
    eqns: list[JaxprEqn]
    kind: str
    operands: tuple[Var, ...]

    @property
    def obstacle(self) -> str:
        """The operation that a trace per synapse cannot follow."""
        if self.kind not in (CONSTANT, LINEAR):
            return self.kind
        first = next((e for e in self.eqns if e.primitive.name != "dot_general"), self.eqns[0])
        return location(first)

    def is_product(self, shape: Shape) -> bool:
        """Whether it is one matrix product, whose outputs are the neurons."""
        if len(self.eqns) != 1 or self.kind != LINEAR or type_of(self.target).shape != shape:
            return False
        (e,) = self.eqns
        return e.primitive.name == "dot_general" and len(self.operands) == 1


def ways(flow: Flow, stops: frozenset[Edge], parameters: Sequence[Var], target: Var) -> list[Way]:
    """The ways from parameters to a variable, for those that reach it."""
    ahead = flow.reaches([target], stops)
    eqns = [
        (i, e)
        for i, e in enumerate(flow.step.eqns)
        if has_gradient(e) and any(v in ahead and flow.varies(v) for v in e.outvars)
    ]
    found = [_way(flow, stops, p, target, eqns) for p in parameters if p in ahead]
    return [w for w in found if w is not None]


def _way(
    flow: Flow,
    stops: frozenset[Edge],
    parameter: Var,
    target: Var,
    ahead: list[tuple[int, JaxprEqn]],
) -> Way | None:
    if parameter is target:
        return Way(parameter, target, [], CONSTANT, ())
    kinds = {parameter: CONSTANT}
    operands: list[Var] = []
    eqns = []
    for i, e in ahead:
        path = {v for v in unique(e.invars) if v in kinds and (i, v) not in stops}
        at = [j for j, v in enumerate(e.invars) if is_var(v) and v in path]
        if not at:
            continue
        eqns.append(e)
        kind, factor = _through(flow, e, at, {kinds[v] for v in path})
        operands += factor
        kinds.update(dict.fromkeys(e.outvars, kind))
    if target not in kinds:
        return None
    return Way(parameter, target, eqns, kinds[target], tuple(unique(operands)))


def _through(flow: Flow, e: JaxprEqn, at: list[int], kinds: set[str]) -> tuple[str, list[Var]]:
    """The kind of the result of an equation, and the operand it multiplies by, if any."""
    factors = scales(e, at)
    known = kinds <= {CONSTANT, LINEAR}
    if factors is None or len(kinds) > 1 or not known:
        return (location(e) if known else (kinds - {CONSTANT, LINEAR}).pop()), []
    moving = [j for j in factors if flow.varies(e.invars[j])]
    if not moving:
        return kinds.pop(), []
    if kinds != {CONSTANT} or scales(e, moving) is None:  # not linear in an index or a divisor
        return location(e), []
    return LINEAR, unique(e.invars[j] for j in moving)
