"""Whether a composite does with a sequence what it does with each of its steps.

Its equations between layers are read twice, for a step and for a sequence. What works along the
time axis, or along another axis than in a step, is suspected; and is refused if the numbers differ.
"""

import dataclasses
from collections.abc import Callable, Iterable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.ad_checkpoint import checkpoint_name
from jax.extend import source_info_util
from jax.extend.core import JaxprEqn, Var
from jax.typing import ArrayLike

from .._types import Array, Tree
from ..engine.program import (
    MOVES,
    Atom,
    Axis,
    LostError,
    flatten,
    function,
    is_constant_along,
    is_elementwise,
    is_var,
    jaxprs_in,
    moved,
    order,
    type_of,
    unique,
    work,
)

ENTERS, LEAVES = "jaxspike input of ", "jaxspike output of "
DRAWS = "random_bits"
TOLERANCE, SHARE = 1e-3, 1e-3  # relative; and of the numbers that may differ: a threshold, rounded


def enters(layer: str, x: Tree) -> Tree:
    """The input of a layer, marked as such."""
    return jax.tree.map(lambda a: checkpoint_name(a, ENTERS + layer), x)


def leaves(layer: str, y: Tree) -> Tree:
    """The output of a layer, marked as such."""
    return jax.tree.map(lambda a: checkpoint_name(a, LEAVES + layer), y)


def inside(layer: str, x: Tree) -> Tree:
    """One step of input as a layer sees it, from which what it records goes past its output."""
    return leaves(layer, x)


@dataclasses.dataclass(frozen=True, eq=False)
class Glue:
    """The equations of a composite between its layers.

    Attributes:
        sources: The input of the composite, then the outputs of layers and random bits: each step
            of a sequence may have its own.
        sinks: The inputs of layers, then the output of the composite.
        names: Whose they are.
        eqns: The equations.
        consts: The values of constants.
        out: The shapes that the composite returned.
    """

    sources: list[Var]
    sinks: list[Atom]
    names: list[str]
    eqns: list[JaxprEqn]
    consts: dict[Var, Array]
    out: Tree

    def live(self) -> list[JaxprEqn]:
        """The equations that depend on a source."""
        found, eqns = set(self.sources), []
        for e in self.eqns:
            if any(v in found for v in unique(e.invars)):
                found.update(e.outvars)
                eqns.append(e)
        return eqns


def glue(f: Callable[[Tree], Tree], x: Tree) -> Glue:
    """Trace a composite, whose layers mark what they get and return."""
    jaxpr, values, out = flatten(f, x, rules=False)
    consts, inputs = jaxpr.invars[: len(values)], jaxpr.invars[len(values) :]
    entering = [e for e in jaxpr.eqns if _mark(e).startswith(ENTERS)]
    given = [e for e in jaxpr.eqns if _is_source(e)]
    sinks = [*(e.invars[0] for e in entering), *jaxpr.outvars]
    names = [f"the input of the layer `{_mark(e).removeprefix(ENTERS)}`" for e in entering]
    names += ["the output"] * len(jaxpr.outvars)
    needed, kept = set(unique(sinks)), []
    for e in reversed(jaxpr.eqns):
        if not _is_source(e) and any(v in needed for v in e.outvars):
            kept.append(e)
            needed.update(unique(e.invars))
    sources = [*inputs, *(e.outvars[0] for e in given)]
    return Glue(sources, sinks, names, kept[::-1], dict(zip(consts, values, strict=True)), out)


def _mark(eqn: JaxprEqn) -> str:
    return eqn.params["name"] if eqn.primitive.name == "name" else ""


def _is_source(eqn: JaxprEqn) -> bool:
    return _mark(eqn).startswith(LEAVES) or eqn.primitive.name == DRAWS


def _draws(eqn: JaxprEqn) -> bool:
    """Whether random numbers are drawn in its bodies."""
    inside = (e for body in jaxprs_in(eqn) for e in body.eqns)
    return any(e.primitive.name == DRAWS or _draws(e) for e in inside)


def suspects(step: Glue, sequence: Glue, size: int) -> tuple[list[JaxprEqn], bool]:
    """The equations that may make a sequence of ``size`` steps differ from its steps.

    Returns:
        Equations; and whether without them the two are known to be equal.
    """
    at = _axes_of_time(step, sequence, size)
    if at is None:
        return [], False
    places = {v: Axis(i) for v, i in zip(sequence.sources, at[0], strict=True) if i is not None}
    partners = _partners(step.live(), sequence.live())
    found, lost, known = [], set[Var](), partners is not None
    made = {v: e for e in sequence.eqns for v in e.outvars}
    for e in sequence.live():
        ins = [places.get(v) if is_var(v) else None for v in e.invars]
        partner = partners.get(id(e)) if partners else None
        try:
            if any(v in lost for v in unique(e.invars)):
                raise LostError
            if _differs(e, ins, partner, made):
                found.append(e)
            place = moved(e, ins, size) if any(ins) else None
        except LostError:
            known = False
            lost.update(e.outvars)
            continue
        if place is not None:
            places.update(dict.fromkeys(e.outvars, place))
    for v, i in zip(sequence.sinks, at[1], strict=True):
        known &= is_var(v) and i is not None and places.get(v) == Axis(i)
    other = _of_other_numbers(step, sequence)
    return [*found, *(other or [])], known and other is not None


def _of_other_numbers(step: Glue, sequence: Glue) -> list[JaxprEqn] | None:
    """The equations of a sequence that read another number than in a step, such as a size.

    Returns:
        Equations; or None if it is not known which ones belong together.
    """
    ours, theirs = ([e for e in g.eqns if is_elementwise(e)] for g in (sequence, step))
    if [e.primitive.name for e in ours] != [e.primitive.name for e in theirs]:
        return None
    pairs = zip(ours, theirs, strict=True)
    return [a for a, b in pairs if _numbers(a) != _numbers(b)]


def _numbers(eqn: JaxprEqn) -> list[str]:
    return [str(v) for v in eqn.invars if not is_var(v)]


Axes = list[int | None]


def _axes_of_time(step: Glue, sequence: Glue, size: int) -> tuple[Axes, Axes] | None:
    """Where time is in each source and sink, None for one that has no time; or None if unknown."""
    sources = _axes(step.sources, sequence.sources, size)
    sinks = _axes(step.sinks, sequence.sinks, size)
    return None if sources is None or sinks is None else (sources, sinks)


def _axes(step: Sequence[Atom], sequence: Sequence[Atom], size: int) -> Axes | None:
    if len(step) != len(sequence):
        return None
    shapes = [(type_of(a).shape, type_of(b).shape) for a, b in zip(step, sequence, strict=True)]
    found = [_inserted(one, whole, size) for one, whole in shapes]
    lost = any(i is None and one != whole for i, (one, whole) in zip(found, shapes, strict=True))
    return None if lost else found


def _inserted(step, sequence, size: int) -> int | None:
    """Where the axis of time is in the shape of a sequence."""
    at = (i for i, n in enumerate(sequence) if n == size)
    return next((i for i in at if (*sequence[:i], *sequence[i + 1 :]) == tuple(step)), None)


def _works(eqn: JaxprEqn) -> bool:
    return eqn.primitive.name not in MOVES and not is_elementwise(eqn)


def _partners(step: list[JaxprEqn], sequence: list[JaxprEqn]) -> dict[int, JaxprEqn] | None:
    """For each equation of a sequence that works along axes the one of a step, if all have one."""
    ours, theirs = list(filter(_works, sequence)), list(filter(_works, step))
    if [e.primitive.name for e in ours] != [e.primitive.name for e in theirs]:
        return None
    return {id(a): b for a, b in zip(ours, theirs, strict=True)}


def _differs(
    eqn: JaxprEqn,
    places: list[Axis | None],
    partner: JaxprEqn | None,
    made: dict[Var, JaxprEqn],
) -> bool:
    """Whether an equation works along time, or along another axis than in a step."""
    nothing: list[list[object]] = [[None] * len(type_of(v).shape) for v in eqn.invars]
    along = work(eqn) if eqn.primitive.name != "transpose" else nothing
    if along is None:
        raise LostError
    if any(p is not None and axes[p.at] is not None for p, axes in zip(places, along, strict=True)):
        return True
    if is_elementwise(eqn) and eqn.primitive.name not in MOVES:
        p = next(filter(None, places), None)
        others = [v for v, q in zip(eqn.invars, places, strict=True) if q is None and is_var(v)]
        return p is not None and not all(
            is_constant_along(made.get(v), p, type_of(v).shape) for v in others
        )
    if partner is None:
        return False
    here, there = ([type_of(v).shape for v in e.invars] for e in (eqn, partner))
    more = [len(a) == len(b) + 1 for a, b in zip(here, there, strict=True)]
    if eqn.primitive.name == "transpose":
        return order(eqn, places[0] if more[0] else None) != order(partner, None)
    rest = [
        axes[: p.at] + axes[p.at + 1 :] if longer and p is not None else axes
        for p, axes, longer in zip(places, along, more, strict=True)
    ]
    return rest != work(partner)


def difference(step: Glue, sequence: Glue, size: int) -> str | None:
    """What differs between a sequence and its steps, at random values; None if nothing does.

    Also None where it cannot be run: with side effects, random numbers drawn in loops, or on a mesh
    of devices.
    """
    values, at = _constants(step, sequence), _axes_of_time(step, sequence, size)
    effects = any(e.effects or _draws(e) for g in (step, sequence) for e in g.eqns)
    on_mesh = not jax.sharding.get_abstract_mesh().empty
    if values is None or at is None or effects or on_mesh:
        return None
    rng = np.random.default_rng(0)
    inputs = [_random(rng, type_of(v)) for v in sequence.sources]
    with jax.ensure_compile_time_eval():
        whole = _run(sequence, values, inputs)
        each = [
            _run(step, values, [_at(a, t, i) for a, i in zip(inputs, at[0], strict=True)])
            for t in range(size)
        ]
    sinks = zip(sequence.names, whole, zip(*each, strict=True), at[1], strict=True)
    for name, got, want, i in sinks:
        steps = want[0] if i is None else np.stack([np.asarray(a) for a in want], i)
        if not _alike(np.asarray(got), np.asarray(steps)):
            return name
    return None


def _at(a: np.ndarray, t: int, axis: int | None) -> np.ndarray:
    return a if axis is None else np.take(a, t, axis)


def _constants(step: Glue, sequence: Glue) -> list[ArrayLike] | None:
    """The values of constants; random ones for those that are traced, or on several devices."""
    ours, theirs = list(step.consts.values()), list(sequence.consts.values())
    kinds = [[(a.shape, a.dtype) for a in map(jax.typeof, arrays)] for arrays in (ours, theirs)]
    if kinds[0] != kinds[1]:
        return None
    rng = np.random.default_rng(1)
    return [np.abs(_random(rng, jax.typeof(a))) if _is_elsewhere(a) else a for a in ours]


def _is_elsewhere(a) -> bool:
    traced = isinstance(a, jax.core.Tracer)
    return traced or (isinstance(a, jax.Array) and len(a.sharding.device_set) > 1)


def _random(rng, kind) -> np.ndarray:
    if jnp.issubdtype(kind.dtype, jnp.unsignedinteger):
        return rng.integers(
            0, 2 ** (8 * kind.dtype.itemsize), kind.shape, kind.dtype
        )  # random bits
    if not jnp.issubdtype(kind.dtype, jnp.floating):
        return np.ones(kind.shape, kind.dtype)
    return rng.normal(size=kind.shape).astype(kind.dtype)


def _run(glue: Glue, consts: Iterable[ArrayLike], inputs: Iterable[ArrayLike]) -> list[Array]:
    return function([*glue.consts, *glue.sources], glue.sinks, glue.eqns)(*consts, *inputs)


def _alike(got: np.ndarray, want: np.ndarray) -> bool:
    if got.size == 0 or not jnp.issubdtype(got.dtype, jnp.number):
        return True
    got, want = got.astype(np.float64), want.astype(np.float64)
    finite = want[np.isfinite(want)]
    scale = np.sqrt(np.mean(finite**2)) if finite.size else 0.0
    close = np.isclose(got, want, TOLERANCE, TOLERANCE * scale, equal_nan=True)
    return bool(np.mean(~close) <= SHARE)


def refuse(name: str, step: Glue, sequence: Glue, size: int) -> None:
    """Refuse a composite that works along time, or along another axis than in a step."""
    found, _ = suspects(step, sequence, size)
    if not found or difference(step, sequence, size) is None:
        return
    (eqn, *_), line = found, source_info_util.summarize(found[0].source_info)
    at = f" at {line}" if line else ""
    raise ValueError(
        f"`{name}.__call__` must do with a sequence `[T, N, *]` what it does with each step, got "
        f"other axes in `{eqn.primitive.name}`{at}. Count axes from the end, and name them: a "
        "sequence has one more in front. Or define `init_state`, and a sequence runs step by step."
    )


def difference_left_open(step: Glue, sequence: Glue, size: int) -> str | None:
    """The `difference` of a composite that its equations do not exclude; None if they do."""
    found, known = suspects(step, sequence, size)
    return None if known and not found else difference(step, sequence, size)
