"""One recurrence: a step that runs over and over, and the facts that everything about it needs."""

import dataclasses
import functools
import math

import jax.numpy as jnp
from jax.extend.core import JaxprEqn, Var

from ..._types import Shape
from . import contractions, elementwise
from .jaxpr import is_var, prune, type_of
from .step import Step


@dataclasses.dataclass(frozen=True, eq=False)
class Loop:
    """A step that runs ``length`` times. Its facts are computed once."""

    step: Step
    length: int

    @functools.cached_property
    def shape(self) -> Shape | None:
        """The shape of its layer if it is elementwise over one, else None."""
        return elementwise.layer_shape(self.step)

    @functools.cached_property
    def size(self) -> int:
        """The size of the largest state; 0 for those that `jax.export` has left open."""
        shapes = [type_of(v).shape for v in self.step.state]
        known = [math.prod(s) for s in shapes if all(isinstance(n, int) for n in s)]
        return max(known, default=0)

    @functools.cached_property
    def dtypes(self) -> set[jnp.dtype]:
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
