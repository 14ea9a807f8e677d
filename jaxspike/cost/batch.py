"""Whether the first axis of an input is a batch: no product sums over it."""

import math
from collections.abc import Sequence

from jax.extend.core import Jaxpr, JaxprEqn, Var

from .._types import Shape
from ..engine.program import is_var, jaxprs_in, type_of
from .interpret import CALLS
from .products import is_product


class _NoBatchError(Exception):
    """A product mixes the entries of the axis."""


def has_batch_axis(jaxpr: Jaxpr, inputs: Sequence[Var]) -> bool:
    """Whether axis 0 of these inputs stays apart: no product takes it as features or as places."""
    try:
        _follow(jaxpr, dict.fromkeys(inputs, 0))
    except _NoBatchError:
        return False
    return True


def _follow(jaxpr: Jaxpr, axis: dict[Var, int]) -> dict[Var, int]:
    """The place of the axis in every variable that has it, as far as it is known."""
    for eqn in jaxpr.eqns:
        at = [axis.get(v) if is_var(v) else None for v in eqn.invars]
        if all(a is None for a in at):
            continue
        if eqn.primitive.name in CALLS:
            (body,) = jaxprs_in(eqn)
            given = zip(body.invars, at, strict=True)
            inside = _follow(body, {v: a for v, a in given if a is not None})
            outs = zip(eqn.outvars, body.outvars, strict=True)
            axis.update({v: inside[o] for v, o in outs if is_var(o) and o in inside})
            continue
        place = _of_product(eqn, at) if is_product(eqn) else _moved(eqn, at)
        if place is not None:
            axis.update(dict.fromkeys(eqn.outvars, place))
    return axis


def _of_product(eqn: JaxprEqn, at: Sequence[int | None]) -> int:
    """Where a product puts the axis, if it is one of its batch or free axes."""
    if eqn.primitive.name != "dot_general":
        spec = eqn.params["dimension_numbers"]
        if at[0] != spec.lhs_spec[0] or at[1] is not None:
            raise _NoBatchError
        return spec.out_spec[0]
    summed, batched = eqn.params["dimension_numbers"]
    places = []
    for i, (a, contracted, batch) in enumerate(zip(at, summed, batched, strict=True)):
        if a is None:
            continue
        if a in contracted:
            raise _NoBatchError
        if a in batch:
            places.append(list(batch).index(a))
        else:
            ranks = [len(type_of(v).shape) for v in eqn.invars]
            free = [d for d in range(ranks[i]) if d not in (*contracted, *batch)]
            ahead = 0 if i == 0 else ranks[0] - len(summed[0]) - len(batch)
            places.append(len(batch) + ahead + free.index(a))
    if len(set(places)) > 1:  # every entry meets every other one
        raise _NoBatchError
    return places[0]


def _moved(eqn: JaxprEqn, at: Sequence[int | None]) -> int | None:
    """Where another equation puts the axis; None if that is not known."""
    name, params = eqn.primitive.name, eqn.params
    axis, atom = next((a, v) for a, v in zip(at, eqn.invars, strict=True) if a is not None)
    before, after = type_of(atom).shape, type_of(eqn.outvars[0]).shape
    if name == "broadcast_in_dim":
        return params["broadcast_dimensions"][axis]
    if name == "transpose":
        return params["permutation"].index(axis)
    if name in ("reshape", "squeeze", "expand_dims"):
        return _reshaped(before, after, axis)
    return axis if before == after else None


def _reshaped(before: Shape, after: Shape, axis: int) -> int | None:
    size, ahead = before[axis], math.prod(before[:axis])
    places = (i for i, n in enumerate(after) if n == size and math.prod(after[:i]) == ahead)
    return next(places, None)
