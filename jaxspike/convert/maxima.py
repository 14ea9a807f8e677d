"""Max pooling in equations: over windows, and over slices as `jaxspike.nn.MaxPool` computes it."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from jax.extend.core import JaxprEqn, Var

from .._types import Array
from ..engine.program import evaluate, is_var
from .scaled import number

_POOLS = ("reduce_window_max", "reduce_max")
Producers = Mapping[Any, JaxprEqn]


class Maximum(NamedTuple):
    """A maximum over entries of ``x``.

    Attributes:
        x: The variable that is pooled.
        out: The result.
        eqns: The equations between them.
    """

    x: Var
    out: Var
    eqns: tuple[JaxprEqn, ...]

    def __call__(self, a: Array) -> Array:
        """The maximum over entries of ``a``."""
        env: dict[Var, Any] = {self.x: a}
        evaluate(self.eqns, env, lambda _: False, lambda *_: ())
        return env[self.out]


def maximum(e: JaxprEqn | None, producers: Producers) -> Maximum | None:
    """The maximum that an equation completes.

    Args:
        e: The equation.
        producers: The equations by their outputs.
    """
    if e is None or not e.outvars:
        return None
    if e.primitive.name in _POOLS:
        x = e.invars[0]
        return Maximum(x, e.outvars[0], (e,)) if is_var(x) else None
    return _over_slices(e, producers) if e.primitive.name == "select_n" else None


def _over_slices(e: JaxprEqn, producers: Producers) -> Maximum | None:
    """Of slices of one array, each compared with the largest so far."""
    out, slices, steps = e.outvars[0], list[Any](), list[JaxprEqn]()
    step: JaxprEqn | None = e
    while step is not None and step.primitive.name != "slice":
        larger = _larger(step, producers)
        if larger is None:
            return None
        slices.append(larger[-1].invars[2])
        steps = [*larger, *steps]
        step = producers.get(step.invars[1])
        slices += [] if step is None or step.primitive.name != "slice" else step.outvars
    eqns = [producers.get(v) for v in slices]
    cuts = [c for c in eqns if c is not None and c.primitive.name == "slice"]
    if len(cuts) < len(eqns) or len({c.invars[0] for c in cuts}) != 1:
        return None
    before = producers.get(cuts[0].invars[0])
    first = list[JaxprEqn]()
    if before is not None and before.primitive.name == "optimization_barrier":
        first, before = [before], producers.get(before.invars[0])
    x = (first or cuts)[0].invars[0]
    is_pad = before is not None and before.primitive.name == "pad"
    if before is not None and is_pad and number(before.invars[1]) == -np.inf:
        first, x = [before, *first], before.invars[0]
    return Maximum(x, out, (*first, *cuts, *steps)) if is_var(x) else None


def _larger(e: JaxprEqn, producers: Producers) -> tuple[JaxprEqn, ...] | None:
    """The equations of ``where((b > a) | isnan(b), b, a)``, if the last of them is ``e``."""
    if e.primitive.name != "select_n" or len(e.invars) != 3:
        return None
    test, a, b = e.invars
    either = producers.get(test)
    if either is None or either.primitive.name != "or":
        return None
    above, nan = (producers.get(v) for v in either.invars)
    if above is None or nan is None:
        return None
    names = above.primitive.name, nan.primitive.name
    operands = [*above.invars, *nan.invars]
    is_larger = all(v is w for v, w in zip(operands, (b, a, b, b), strict=True))
    return (above, nan, either, e) if names == ("gt", "ne") and is_larger else None


def continues(e: JaxprEqn | None, v: Var, producers: Producers) -> bool:
    """Whether an equation compares the maximum ``v`` of slices with one more of them."""
    return e is not None and _larger(e, producers) is not None and e.invars[1] is v
