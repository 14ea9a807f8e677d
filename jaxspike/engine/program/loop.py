"""One recurrence: a step that runs over and over, and the facts about it that others need."""

import dataclasses
import functools
import math
from collections.abc import Sequence

from jax.extend.core import JaxprEqn, Var

from ..._types import Shape
from . import contractions, elementwise
from .affine import Affine, as_affine
from .jaxpr import Atom, is_var, jaxprs_in, prune, type_of
from .step import Step


@dataclasses.dataclass(frozen=True, eq=False)
class Loop:
    """A step that runs ``length`` times. Its facts are computed once.

    Attributes:
        step: The step.
        length: The number of steps T.
        delays: The lengths of its delay lines in steps. The rows that enter them are its last
            outputs, and those that come out its last inputs.
        rules: The step with the custom derivatives that its VJP takes, where ``step`` has what
            differentiation makes of them.
    """

    step: Step
    length: int
    delays: tuple[int, ...] = ()
    rules: Step | None = None

    @property
    def n_ys(self) -> int:
        """The number of outputs that do not go into delay lines."""
        return len(self.step.ys) - len(self.delays)

    @property
    def lines(self) -> list[tuple[Var, Atom]]:
        """Of every delay line what comes out and what goes in."""
        n, step = len(self.delays), self.step
        return list(zip(step.xs[len(step.xs) - n :], step.ys[self.n_ys :], strict=True))

    @functools.cached_property
    def shape(self) -> Shape | None:
        """The shape of its layer if it is elementwise over one, without delay lines; else None."""
        return None if self.delays else elementwise.layer_shape(self.step)

    @functools.cached_property
    def affine(self) -> Affine | None:
        """The step as one that is affine given its decisions, without delay lines; else None."""
        return None if self.delays else as_affine(self.step)

    @functools.cached_property
    def size(self) -> int:
        """The size of the largest state; 0 for those that `jax.export` has left open."""
        shapes = [type_of(v).shape for v in self.step.state]
        known = [math.prod(s) for s in shapes if all(isinstance(n, int) for n in s)]
        return max(known, default=0)

    @functools.cached_property
    def dtypes(self) -> set[object]:
        """The dtypes of its state, inputs and outputs."""
        step = self.step
        return {type_of(v).dtype for v in [*step.state, *step.xs, *filter(is_var, step.ys)]}

    @functools.cached_property
    def operations(self) -> list[JaxprEqn]:
        """Its equations, calls inlined."""
        return list(elementwise.inlined(self.step.eqns))

    @functools.cached_property
    def contractions(self) -> list[JaxprEqn]:
        """Its matrix products and convolutions."""
        return contractions.find(self.step)

    @functools.cached_property
    def contraction_outputs(self) -> list[Var]:
        """Their outputs."""
        return [e.outvars[0] for e in self.contractions]

    @functools.cached_property
    def independent_of(self) -> list[list[int]]:
        """For each new state and output, the positions of the inputs that may not affect it.

        Steps count one by one: a state that two steps swap is that of every second step. The first
        rows of a delay line are an input, and its last rows an output; they may be of any.
        """
        step = self.step
        inputs = [*step.consts, *step.state, *step.xs[: len(step.xs) - len(self.delays)]]
        found = {v: frozenset([i]) for i, v in enumerate(inputs)}
        _spread(step.eqns, found)
        new, rows = (_of(found, atoms) for atoms in (step.new_state, step.ys[: self.n_ys]))
        at = {len(step.consts) + i: frozenset([len(step.consts) + i]) for i in range(len(new))}
        outputs: list[frozenset[int]] = [frozenset()] * len(rows)
        for _ in range(self.length):
            states, late = (
                [frozenset[int]().union(*(at.get(i, {i}) for i in one)) for one in found]
                for found in (new, rows)
            )
            outputs = [a | b for a, b in zip(outputs, late, strict=True)]
            if states == [*at.values()]:
                break
            at = dict(zip(at, states, strict=True))
        results = [*at.values(), *outputs, *[frozenset[int]()] * len(self.delays)]
        n = len(inputs) + len(self.delays)
        return [[i for i in range(n) if i not in one] for one in results]

    @functools.cached_property
    def with_contractions(self) -> Step:
        """The step, which also returns the outputs of its contractions."""
        return dataclasses.replace(self.step, ys=[*self.step.ys, *self.contraction_outputs])

    @functools.cached_property
    def recompute(self) -> Step:
        """The step without its outputs, which returns those of its contractions."""
        step, outputs = self.step, self.contraction_outputs
        eqns = prune(step.eqns, [*step.new_state, *outputs], effects=False)
        return dataclasses.replace(step, ys=list(outputs), eqns=eqns)

    @functools.cached_property
    def next_state(self) -> Step:
        """The step without its outputs, given those of its contractions as further inputs."""
        step, outputs = self.step, self.contraction_outputs
        stored = {id(e) for e in self.contractions}
        rest = [e for e in step.eqns if id(e) not in stored]
        eqns = prune(rest, step.new_state, effects=False)
        return dataclasses.replace(step, xs=[*step.xs, *outputs], ys=[], eqns=eqns)


def _of(found: dict[Var, frozenset[int]], atoms: Sequence[Atom]) -> list[frozenset[int]]:
    return [found.get(v, frozenset()) if is_var(v) else frozenset() for v in atoms]


def _spread(eqns: Sequence[JaxprEqn], found: dict[Var, frozenset[int]]) -> None:
    """Add to ``found`` what surely affects the outputs of equations, of each by itself."""
    for e in eqns:
        ins, bodies = _of(found, e.invars), jaxprs_in(e)
        if e.primitive.name in ("jit", "custom_jvp_call", "custom_vjp_call"):
            (body,) = bodies
            inside = dict(zip(body.invars, ins, strict=True))
            _spread(body.eqns, inside)
            outs = _of(inside, body.outvars)
        elif bodies or len(e.outvars) != 1:
            outs = [frozenset()] * len(e.outvars)
        else:
            outs = [frozenset[int]().union(*ins)]
        found.update(zip(e.outvars, outs, strict=True))
