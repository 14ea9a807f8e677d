"""One step with some gradients stopped on the way to its states, and others to its outputs."""

from collections.abc import Iterable, Mapping, Sequence

from jax import lax
from jax.extend.core import JaxprEqn, Var

from .._types import Array
from ..engine.program import Atom, Step, function, outputs_of, prune, unique, value
from .flow import Edge

Stops = frozenset[Edge]


def evaluate_stopped(
    step: Step,
    env: dict[Var, Array],
    carry: Stops,
    emit: Stops,
    also: Sequence[Var] = (),
    shifts: Mapping[Var, Array] | None = None,
    fixed: Mapping[Edge, Array] | None = None,
) -> tuple[list[Array], list[Array], list[Array]]:
    """The next states and the outputs of a step, each with the gradient of some edges stopped.

    Args:
        step: The step.
        env: The values of its constants, states and inputs, and of other variables if known.
        carry: The edges that pass no gradient to the next states.
        emit: The edges that pass no gradient to the outputs.
        also: Variables to return as well, with the gradients of the next states.
        shifts: Values to add to some variables, for the outputs.
        fixed: Values that some edges have in place of those in ``env``.

    Returns:
        The next states, the outputs, and the values of ``also``.
    """
    first = _Evaluation(step, carry, dict(env), fixed or {})
    first.evaluate([*step.new_state, *also])
    second = _Evaluation(step, emit, dict(env), fixed or {}, first, shifts)
    second.evaluate(step.ys)
    new, more = ([value(first.env, v) for v in atoms] for atoms in (step.new_state, also))
    return new, [value(second.env, v) for v in step.ys], more


class _Evaluation:
    """The equations of a step with the gradient of some edges stopped."""

    def __init__(self, step: Step, stops: Stops, env, fixed, other=None, shifts=None):
        self.step, self.stops, self.other = step, stops, other
        self.env: dict[Var, Array] = env
        self.fixed: Mapping[Edge, Array] = fixed
        self.shifts: Mapping[Var, Array] = shifts or {}
        self.read: dict[int, list[Array]] = {}

    def evaluate(self, targets: Iterable[Atom]) -> None:
        needed = {id(e) for e in prune(self.step.eqns, targets, effects=False)}
        for i, e in enumerate(self.step.eqns):
            if id(e) in needed and any(v not in self.env for v in outputs_of([e])):
                self.env.update(zip(outputs_of([e]), self._outputs(i, e), strict=True))
                moved = [v for v in outputs_of([e]) if v in self.shifts]
                self.env.update({v: self.env[v] + self.shifts[v] for v in moved})

    def _outputs(self, i: int, e: JaxprEqn) -> list[Array]:
        ins, outs = unique(e.invars), outputs_of([e])
        given = [self.fixed.get((i, v), self.env[v]) for v in ins]
        self.read[i] = given
        if self._is_same(i, ins, given):  # computed once for both
            return [self.other.env[v] for v in outs]
        given = [
            lax.stop_gradient(a) if (i, v) in self.stops else a
            for v, a in zip(ins, given, strict=True)
        ]
        return function(ins, outs, [e])(*given)

    def _is_same(self, i: int, ins: list[Var], given: list[Array]) -> bool:
        if self.other is None or i not in self.other.read:
            return False
        stops = [((i, v) in self.stops) == ((i, v) in self.other.stops) for v in ins]
        return all(stops) and all(a is b for a, b in zip(given, self.other.read[i], strict=True))
