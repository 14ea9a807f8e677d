"""The meaning of the axes in a traced network, as far as it determines the order of features.

PyTorch has channels before the spatial axes, Flax after them. So flattening an image gives another
order of features, while merging attention heads gives the same. Where neither is certain, an axis
is `UNKNOWN`.
"""

import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import NamedTuple

from jax.extend.core import Jaxpr, JaxprEqn, Literal, Var

from .._types import Shape
from ..engine.program import is_var, type_of


class Space(NamedTuple):
    """A spatial axis of an image, and its place among them."""

    place: int


class Flat(NamedTuple):
    """The merged axes of an image with this many channels."""

    channels: int


class Tokens(NamedTuple):
    """The merged spatial axes of an image, of these sizes."""

    sizes: Shape


class Part(NamedTuple):
    """One of the axes of ``sizes`` into which a reshape has split the axis ``whole``."""

    sizes: Shape
    place: int
    whole: "Axis"


CHANNELS, FEATURES, UNKNOWN = "channels", "features", "unknown"
Axis = (
    str | Space | Flat | Tokens | Part | None
)  # None: as in a parameter or a state, no constraint
Axes = tuple[Axis, ...]

KEEP = "jaxspike.convert.keep:"  # name of an array with the axes of the last one named so


def of_input(rank: int) -> Axes:
    """The axes of one step of input, batch first: an image if it has two axes of space or more."""
    if rank < 4:
        return (*(None,) * (rank - 1), FEATURES)[:rank]
    return (None, *map(Space, range(rank - 2)), CHANNELS)


def propagate(jaxpr: Jaxpr, known: dict[Var, Axes]) -> dict[Var, Axes]:
    """The axes of all arrays of a program, from the known axes of its inputs."""
    found, kept = dict(known), dict[str, Axes]()
    for eqn in jaxpr.eqns:
        operands = [_axes(v, found) for v in eqn.invars]
        name = eqn.params.get("name", "") if eqn.primitive.name == "name" else ""
        if name.startswith(KEEP):
            operands = [kept.setdefault(name, operands[0])]
        rule = RULES.get(eqn.primitive.name, _elementwise)
        for out in eqn.outvars:
            found[out] = rule(eqn, operands, type_of(out).shape)
    return found


def _axes(v: Var | Literal, found: dict[Var, Axes]) -> Axes:
    unknown = (None,) * type_of(v).ndim
    return found.get(v, unknown) if is_var(v) else unknown


def _join(axes: Iterable[Axis]) -> Axis:
    found = {axis for axis in axes if axis is not None}
    if found == {CHANNELS, FEATURES}:
        return FEATURES
    return found.pop() if len(found) == 1 else UNKNOWN if found else None


def _some_of(axis: Axis) -> Axis:
    """Some entries of an axis."""
    return axis if axis in (None, CHANNELS, FEATURES) or isinstance(axis, Space) else UNKNOWN


def _elementwise(eqn: JaxprEqn, operands: list[Axes], shape: Shape) -> Axes:
    """Each axis of an output from the axes in the same place, and of some entries if it is cut."""
    out: list[Axis] = []
    for i, n in enumerate(shape):
        pairs = [
            (axes[i], type_of(v).shape[i])
            for axes, v in zip(operands, eqn.invars, strict=True)
            if len(axes) == len(shape)
        ]
        out.append(_join(axis if size == n else _some_of(axis) for axis, size in pairs))
    if len(shape) and not any(len(axes) == len(shape) for axes in operands):  # as in a gather
        floating = [axes[-1] for axes, v in zip(operands, eqn.invars, strict=True) if axes]
        out[-1] = _join(map(_some_of, floating))
    # entries that change places, as in a sort, do so in PyTorch's order there
    moved = [eqn.params.get(name, ()) for name in ("dimension", "dimensions", "axis")]
    numbers = {n for m in moved for n in (m if isinstance(m, tuple) else (m,))}
    return tuple(_some_of(axis) if i in numbers else axis for i, axis in enumerate(out))


def _gather(eqn: JaxprEqn, operands: list[Axes], shape: Shape) -> Axes:
    return tuple(map(_some_of, _elementwise(eqn, operands, shape)))


def _concatenate(eqn: JaxprEqn, operands: list[Axes], shape: Shape) -> Axes:
    along = eqn.params["dimension"]
    several = len(operands) > 1
    joined = [_join(axes[i] for axes in operands) for i in range(len(shape))]
    return tuple(_some_of(a) if several and i == along else a for i, a in enumerate(joined))


def _transpose(eqn: JaxprEqn, operands: list[Axes], shape: Shape) -> Axes:
    return tuple(operands[0][i] for i in eqn.params["permutation"])


def _broadcast(eqn: JaxprEqn, operands: list[Axes], shape: Shape) -> Axes:
    sizes = type_of(eqn.invars[0]).shape
    places = zip(eqn.params["broadcast_dimensions"], operands[0], sizes, strict=True)
    found = {i: axis for i, axis, n in places if n == shape[i]}
    return tuple(found.get(i) for i in range(len(shape)))


def _drop(eqn: JaxprEqn, operands: list[Axes], shape: Shape) -> Axes:
    gone = eqn.params["dimensions" if eqn.primitive.name == "squeeze" else "axes"]
    return tuple(axis for i, axis in enumerate(operands[0]) if i not in gone)


def _product(eqn: JaxprEqn, operands: list[Axes], shape: Shape) -> Axes:
    contracted, batch = eqn.params["dimension_numbers"]
    shared = [_join((operands[0][i], operands[1][j])) for i, j in zip(*batch, strict=True)]
    free: list[Axis] = []
    for axes, *used in zip(operands, contracted, batch, strict=True):
        rest = (axis for i, axis in enumerate(axes) if i not in (*used[0], *used[1]))
        weight = not any(axes)
        free += (FEATURES if weight else axis for axis in rest)
    return (*shared, *free)


def _convolution(eqn: JaxprEqn, operands: list[Axes], shape: Shape) -> Axes:
    numbers = eqn.params["dimension_numbers"]
    batch, feature, *space = numbers.out_spec
    found: dict[int, Axis] = {feature: CHANNELS, batch: operands[0][numbers.lhs_spec[0]]}
    found |= {place: Space(i) for i, place in enumerate(space)}
    return tuple(found[i] for i in range(len(shape)))


def _reshape(eqn: JaxprEqn, operands: list[Axes], shape: Shape) -> Axes:
    sizes, axes = type_of(eqn.invars[0]).shape, operands[0]
    out: dict[int, Axis] = {}
    for old, new in _blocks(sizes, shape):
        if len(new) == 1:
            rest = {axes[i] for i, n in enumerate(sizes) if n > 1 and i not in old}
            out[new[0]] = _merged([axes[i] for i in old], tuple(sizes[i] for i in old), rest)
        elif len(old) == 1 and axes[old[0]] is not None:
            whole, parts = axes[old[0]], tuple(shape[i] for i in new)
            space = isinstance(whole, Tokens) and whole.sizes == parts
            out |= {i: Space(n) if space else Part(parts, n, whole) for n, i in enumerate(new)}
        else:
            known = any(axes[i] is not None for i in old)
            out |= dict.fromkeys(new, UNKNOWN if known else None)
    return tuple(out.get(i) for i in range(len(shape)))


def _blocks(old: Shape, new: Shape) -> Iterator[tuple[list[int], list[int]]]:
    """The axes of two shapes that are made of each other, without axes of size 1."""
    left = [[i for i, n in enumerate(shape) if n != 1][::-1] for shape in (old, new)]
    while all(left):
        block = [[axes.pop()] for axes in left]
        while (a := math.prod(old[i] for i in block[0])) != (
            b := math.prod(new[i] for i in block[1])
        ):
            side = 0 if a < b else 1
            block[side].append(left[side].pop())
        yield block[0], block[1]


def _merged(axes: Sequence[Axis], sizes: Shape, rest: Collection[Axis]) -> Axis:
    """The axis that adjacent ones of ``sizes`` become; ``rest`` are all the others."""
    first, last = axes[0], axes[-1]
    if len(axes) == 1 or not any(axis is not None for axis in axes):
        return first
    if isinstance(first, Part):
        run = [first._replace(place=first.place + i) for i in range(len(axes))]
        whole = first.whole if len(run) == len(first.sizes) else _some_of(first.whole)
        return whole if list(axes) == run else UNKNOWN
    space = [axis for axis in axes if isinstance(axis, Space)]
    in_order = space == sorted(space)
    if not in_order or len(space) < len(axes) - 1 or any(isinstance(a, Space) for a in rest):
        return UNKNOWN
    if len(space) == len(axes):
        return Tokens(sizes)
    return Flat(sizes[-1]) if last == CHANNELS else FEATURES if first == CHANNELS else UNKNOWN


REDUCTIONS = (f"reduce_{name}" for name in ("sum", "max", "min", "prod", "and", "or"))
RULES = {
    "concatenate": _concatenate,
    "transpose": _transpose,
    "broadcast_in_dim": _broadcast,
    "squeeze": _drop,
    "dot_general": _product,
    "conv_general_dilated": _convolution,
    "reshape": _reshape,
    "gather": _gather,
} | dict.fromkeys((*REDUCTIONS, "argmax", "argmin"), _drop)
