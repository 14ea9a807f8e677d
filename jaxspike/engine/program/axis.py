"""An axis on its way through equations: where it goes, and what works along it."""

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

from jax.extend.core import JaxprEqn

from ..._types import Shape
from .contractions import CONTRACTIONS
from .elementwise import is_elementwise
from .jaxpr import is_var, type_of

CUMULATIVE = frozenset({"cumsum", "cumprod", "cummax", "cummin", "cumlogsumexp"})
#: Equations that change no value: only where it is.
MOVES = frozenset({"reshape", "broadcast_in_dim", "squeeze", "name"})
#: Equations whose outputs have the axes of their inputs.
_SAME_AXES = CUMULATIVE | {
    *("sort", "rev", "fft", "reduce_precision", "name", "concatenate", "slice", "dynamic_slice"),
    *("pad", "split", "top_k"),
}


class Axis(NamedTuple):
    """An axis at position ``at``, merged with ``before`` entries outside and ``after`` inside."""

    at: int
    before: int = 1
    after: int = 1


class LostError(Exception):
    """It is not known where an axis is."""


def moved(eqn: JaxprEqn, places: Sequence[Axis | None], size: int) -> Axis | None:
    """Where the outputs of an equation have an axis that its inputs have at ``places``.

    Raises:
        LostError: If that is not known.
    """
    name, (found, *others) = eqn.primitive.name, [p for p in places if p is not None]
    shape = type_of(eqn.outvars[0]).shape
    if name == "dot_general":
        return _through_product(eqn, places)
    if any(p != found for p in others):
        raise LostError
    p, params = found, eqn.params
    if name == "reshape":
        return _reshaped(type_of(eqn.invars[0]).shape, p, shape, size)
    if name == "broadcast_in_dim":
        return p._replace(at=params["broadcast_dimensions"][p.at])
    if name == "transpose":
        return p._replace(at=tuple(params["permutation"]).index(p.at))
    if name == "squeeze":
        return p._replace(at=p.at - sum(a < p.at for a in params["dimensions"]))
    if "axes" in params and name.startswith(("reduce_", "arg")):
        axes = params["axes"]
        return None if p.at in axes else p._replace(at=p.at - sum(a < p.at for a in axes))
    if name == "conv_general_dilated":
        spec = params["dimension_numbers"]
        if places[0] is None or p.at != spec.lhs_spec[0]:
            raise LostError
        return p._replace(at=spec.out_spec[0])
    if is_elementwise(eqn) or name in _SAME_AXES or name.startswith("reduce_window"):
        return p
    raise LostError


def _reshaped(old: Shape, p: Axis, new: Shape, size: int) -> Axis:
    if 0 in old:
        raise LostError
    outside = math.prod(old[: p.at]) * p.before
    sizes = list(itertools.accumulate(new, lambda a, b: a * b, initial=1))
    for at, n in enumerate(new):
        before, rest = divmod(outside, sizes[at])
        inside, remainder = divmod(n, max(before, 1) * size)
        if rest == 0 and before and inside and remainder == 0 and before * inside * size == n:
            return Axis(at, before, inside)
    raise LostError


def _through_product(eqn: JaxprEqn, places: Sequence[Axis | None]) -> Axis | None:
    (left, right), (left_batch, right_batch) = eqn.params["dimension_numbers"]
    summed, batch = (left, right), (left_batch, right_batch)
    found = set()
    for i, p in enumerate(places):
        if p is None:
            continue
        if p.at in batch[i]:
            found.add(p._replace(at=list(batch[i]).index(p.at)))
        elif p.at in summed[i]:
            return None
        else:
            ranks = [len(type_of(v).shape) for v in eqn.invars]
            free = [a for a in range(ranks[i]) if a not in (*summed[i], *batch[i])]
            skipped = ranks[0] - len(left) - len(left_batch) if i else 0
            found.add(p._replace(at=len(left_batch) + skipped + free.index(p.at)))
    if len(found) != 1:
        raise LostError
    return found.pop()


def work(eqn: JaxprEqn) -> list[list[object]] | None:
    """What an equation does along each axis of its inputs; None where it only passes it on.

    Returns:
        A list for each input; or None if it is not known.
    """
    name, params = eqn.primitive.name, eqn.params
    shapes = [type_of(v).shape for v in eqn.invars]
    nothing: list[list[object]] = [[None] * len(s) for s in shapes]
    if is_elementwise(eqn) or name in MOVES or name == "reduce_precision":
        return nothing
    first = nothing[0]
    if name in CUMULATIVE:
        first[params["axis"]] = params["reverse"]
    elif name.startswith("reduce_window"):
        keys = ("window_dimensions", "window_strides", "padding", "base_dilation")
        windows = zip(*(params[key] for key in keys), strict=True)
        first[:] = [None if w == (1, 1, (0, 0), 1) else w for w in windows]
    elif "axes" in params and name.startswith(("reduce_", "arg")):
        first[:] = ["reduce" if a in params["axes"] else None for a in range(len(first))]
    elif name == "rev":
        first[:] = ["reverse" if a in params["dimensions"] else None for a in range(len(first))]
    elif name in ("sort", "concatenate"):
        for axes in nothing:
            axes[params["dimension"]] = name
    elif name == "fft":
        n = len(params["fft_lengths"])
        first[len(first) - n :] = params["fft_lengths"]
    elif name == "top_k":
        first[-1] = params["k"]
    elif name == "split":
        first[params["axis"]] = params["sizes"]
    elif name == "slice":
        strides = params["strides"] or [1] * len(first)
        cuts = zip(params["start_indices"], params["limit_indices"], strides, strict=True)
        first[:] = [None if c == (0, n, 1) else c for c, n in zip(cuts, shapes[0], strict=True)]
    elif name == "dynamic_slice":
        sizes = zip(params["slice_sizes"], shapes[0], strict=True)
        first[:] = [None if a == n else a for a, n in sizes]
    elif name == "pad":
        first[:] = [None if c == (0, 0, 0) else c for c in params["padding_config"]]
    elif name in CONTRACTIONS:
        _work_of_contraction(eqn, nothing)
    else:
        return None
    return nothing


def _work_of_contraction(eqn: JaxprEqn, found: list[list[object]]) -> None:
    numbers = eqn.params["dimension_numbers"]
    if eqn.primitive.name == "conv_general_dilated":
        for spec, axes in zip((numbers.lhs_spec, numbers.rhs_spec), found, strict=True):
            for i, axis in enumerate(spec):
                axes[axis] = i or None
        return
    for summed, axes in zip(numbers[0], found, strict=True):
        for i, axis in enumerate(summed):
            axes[axis] = i + 1


def order(eqn: JaxprEqn, place: Axis | None) -> list[int]:
    """The order into which a transposition puts its axes, without the one at ``place``."""
    permutation = [a for a in eqn.params["permutation"] if place is None or a != place.at]
    return [sorted(permutation).index(a) for a in permutation]


def is_constant_along(eqn: JaxprEqn | None, place: Axis, shape: Shape) -> bool:
    """Whether what an equation makes of values without the axis is the same all along it."""
    if place.at >= len(shape) or shape[place.at] == 1:
        return True
    if eqn is None or eqn.primitive.name != "broadcast_in_dim":
        return False
    dimensions = eqn.params["broadcast_dimensions"]
    if place.at not in dimensions:
        return True
    (source, *_) = eqn.invars
    return is_var(source) and type_of(source).shape[tuple(dimensions).index(place.at)] == 1
