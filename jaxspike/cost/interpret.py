"""Run a program and count what it does: an interpreter of equations that counts beside evaluating.

Every function here is traceable: counts are arrays, so the interpreter works under `jax.jit` and
`jax.vmap`, and the loops of the program stay loops.
"""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend import source_info_util
from jax.extend.core import DropVar, Jaxpr, JaxprEqn, Var

from .._types import Array
from ..engine.program import function, is_var, jaxprs_in, scan_arity, type_of, unique, value
from . import counters
from .primitives import ELEMENTWISE, FREE, REDUCTIONS, WINDOWS
from .products import Product, is_product, measure

_BODIES = ("jaxpr", "call_jaxpr", "fun_jaxpr")  # the parameter of a call that holds its jaxpr


class Origin(NamedTuple):
    """What an interpreter knows of a variable.

    Attributes:
        is_data: Whether it depends on the input or the state.
        name: The path of the parameter that it is made from, "" if there is none.
    """

    is_data: bool = False
    name: str = ""


class Tally(NamedTuple):
    """What was counted, by name (see `counters`).

    Attributes:
        products: Of each parameter, or of each line that multiplies two activations.
        arithmetic: Elementwise operations and reductions on data, by primitive.
        uncounted: How often an equation ran that this does not know, by primitive and line.
    """

    products: dict[str, Product]
    arithmetic: dict[str, Array]
    uncounted: dict[str, Array]


_DATA = Origin(is_data=True)
_NOTHING = Tally({}, {}, {})


def interpret(
    jaxpr: Jaxpr, args: Sequence[Array], origins: Sequence[Origin], line: str = ""
) -> tuple[list[Array], list[Origin], Tally]:
    """Evaluate a jaxpr without constants.

    Args:
        jaxpr: The equations.
        args: Their inputs.
        origins: What is known of each input.
        line: The line of the user's code that called them, for equations that have none.

    Returns:
        The outputs, what is known of each, and the counts.
    """
    env: dict[Var, Array] = dict(zip(jaxpr.invars, args, strict=True))
    origin: dict[Var, Origin] = dict(zip(jaxpr.invars, origins, strict=True))
    tally = _NOTHING
    for eqn in jaxpr.eqns:
        inputs = [value(env, v) for v in eqn.invars]
        known = [origin[v] if is_var(v) else Origin() for v in eqn.invars]
        if _has_counted_parts(eqn) and any(o.is_data for o in known):
            outs, outs_known, inside = _INSIDE.get(eqn.primitive.name, _call)(
                eqn, inputs, known, _line(eqn, line)
            )
        else:
            outs = _evaluate(eqn, env)
            outs_known = [_joined(eqn, known)] * len(outs)
            inside = _count(eqn, inputs, known, _line(eqn, line))
        env.update(zip(eqn.outvars, outs, strict=True))
        origin.update(zip(eqn.outvars, outs_known, strict=True))
        tally = merge(tally, inside)
    return (
        [value(env, v) for v in jaxpr.outvars],
        [origin[v] if is_var(v) else Origin() for v in jaxpr.outvars],
        tally,
    )


def merge(*tallies: Tally) -> Tally:
    """The sum of counts, name by name."""
    return Tally(*(_merged(dicts) for dicts in zip(*tallies, strict=True)))


def _merged(dicts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name, counts in (item for d in dicts for item in d.items()):
        out[name] = jax.tree.map(counters.add, out[name], counts) if name in out else counts
    return out


def _evaluate(eqn: JaxprEqn, env: dict[Var, Array]) -> list[Array]:
    kept = [v for v in eqn.outvars if not isinstance(v, DropVar)]
    ins = unique(eqn.invars)
    values = dict(zip(kept, function(ins, kept, [eqn])(*[env[v] for v in ins]), strict=True))
    return [values.get(v) for v in eqn.outvars]  # type: ignore[misc]


def _joined(eqn: JaxprEqn, known: Sequence[Origin]) -> Origin:
    """The origin of what an equation computes: the name of its largest parameter, not an index."""
    if any(o.is_data for o in known):
        return Origin(is_data=True)
    kinds = [type_of(v) for v in eqn.invars]
    sizes = [(jnp.issubdtype(k.dtype, jnp.inexact), math.prod(k.shape)) for k in kinds]
    named = [(n, o.name) for n, o in zip(sizes, known, strict=True) if o.name]
    return Origin(name=max(named, key=lambda pair: pair[0])[1] if named else "")


def _count(eqn: JaxprEqn, inputs: list[Array], known: Sequence[Origin], line: str) -> Tally:
    """The counts of an equation without loops and products inside."""
    if not any(o.is_data for o in known):
        return _NOTHING
    if is_product(eqn):
        names = [o.name for o in known if not o.is_data]
        where = f"{eqn.primitive.name} at {line}"
        name = (names[0] or where) if names else f"activations: {where}"
        return Tally({name: measure(eqn, inputs, [o.is_data for o in known])}, {}, {})
    arithmetic, uncounted = _static_counts(eqn, line)
    return Tally(
        {},
        {name: counters.constant(n) for name, n in arithmetic.items()},
        {name: counters.constant(n) for name, n in uncounted.items()},
    )


def _static_counts(eqn: JaxprEqn, line: str) -> tuple[Counter[str], Counter[str]]:
    """The arithmetic of an equation, and what is not known of it; both known from its shapes."""
    name = eqn.primitive.name
    if inner := jaxprs_in(eqn):
        arithmetic, uncounted = Counter[str](), Counter[str]()
        for e in (e for body in inner for e in body.eqns):
            for mine, theirs in zip(
                (arithmetic, uncounted), _static_counts(e, _line(e, line)), strict=True
            ):
                mine.update({k: n * eqn.params.get("length", 1) for k, n in theirs.items()})
        return arithmetic, uncounted
    outs = sum(math.prod(type_of(v).shape) for v in eqn.outvars)
    if name in FREE:
        return Counter(), Counter()
    if name in ELEMENTWISE:
        return Counter({name: outs}), Counter()
    if name in REDUCTIONS:
        return Counter({name: max(math.prod(type_of(v).shape) for v in eqn.invars)}), Counter()
    if name in WINDOWS:
        return Counter({name: outs * math.prod(eqn.params["window_dimensions"])}), Counter()
    return Counter(), Counter({f"{name} at {line}": 1})


def _line(eqn: JaxprEqn, otherwise: str) -> str:
    """Where an equation stands in the user's code; ``otherwise`` inside the functions of JAX."""
    return source_info_util.summarize(eqn.source_info) or otherwise


def _has_counted_parts(eqn: JaxprEqn) -> bool:
    """Whether an equation holds products, or parts that run a number of times unknown here."""
    inner = [e for body in jaxprs_in(eqn) for e in body.eqns]
    return bool(inner) and (
        eqn.primitive.name in ("while", "cond")
        or any(is_product(e) or _has_counted_parts(e) for e in inner)
    )


def opened(closed, inputs, known):
    """A jaxpr whose constants are its first inputs, with values and origins for them."""
    jaxpr, consts = getattr(closed, "jaxpr", closed), list(getattr(closed, "consts", ()))
    jaxpr = jaxpr.replace(constvars=[], invars=[*jaxpr.constvars, *jaxpr.invars])
    return jaxpr, [*consts, *inputs], [*[Origin()] * len(consts), *known]


def _call(eqn, inputs, known, line):
    body = next(eqn.params[name] for name in _BODIES if name in eqn.params)
    jaxpr, args, origins = opened(body, inputs, known)
    return interpret(jaxpr, args, origins, line)


def _scan(eqn, inputs, known, line):
    nc, nk = scan_arity(eqn)
    body, args, origins = opened(eqn.params["jaxpr"], inputs, known)
    nc += len(args) - len(inputs)
    consts, init, xs = args[:nc], args[nc : nc + nk], args[nc + nk :]
    origins[nc : nc + nk] = [_DATA] * nk

    def turn(carry, x):
        outs, _, tally = interpret(body, [*consts, *carry, *x], origins, line)
        return outs[:nk], (outs[nk:], tally)

    length, reverse = eqn.params["length"], eqn.params["reverse"]
    carry, (ys, tallies) = lax.scan(turn, init, xs, length=length, reverse=reverse)
    outs = [*carry, *ys]
    return outs, [_DATA] * len(outs), jax.tree.map(counters.total_over_steps, tallies)


def _while(eqn, inputs, known, line):
    nc, nb = eqn.params["cond_nconsts"], eqn.params["body_nconsts"]
    first, rest, init = inputs[:nc], inputs[nc : nc + nb], inputs[nc + nb :]
    test, test_args, test_origins = opened(eqn.params["cond_jaxpr"], first, known[:nc])
    body, args, origins = opened(eqn.params["body_jaxpr"], rest, known[nc : nc + nb])

    def run(jaxpr, consts, known, carry):
        outs, _, tally = interpret(jaxpr, [*consts, *carry], [*known, *[_DATA] * len(carry)], line)
        return outs, tally

    def turn(loop):
        carry, tally, _ = loop
        carry, more = run(body, args, origins, carry)
        (goes_on,), again = run(test, test_args, test_origins, carry)
        return carry, merge(tally, more, again), goes_on

    (goes_on,), once = run(test, test_args, test_origins, init)
    shapes = jax.eval_shape(lambda c: run(body, args, origins, c)[1], init)
    tally = merge(once, jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), shapes))
    carry, tally, _ = lax.while_loop(lambda loop: loop[-1], turn, (init, tally, goes_on))
    return carry, [_DATA] * len(carry), tally


def _cond(eqn, inputs, known, line):
    index, *operands = inputs
    branches = [opened(branch, operands, known[1:]) for branch in eqn.params["branches"]]

    def run(branch):
        jaxpr, args, origins = branch
        outs, _, tally = interpret(jaxpr, args, origins, line)
        return outs, tally

    shapes = merge(*(jax.eval_shape(lambda b=b: run(b)[1]) for b in branches))
    none = jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), shapes)

    def counted(branch):
        outs, tally = run(branch)
        return outs, merge(none, tally)

    outs, tally = lax.switch(index, [lambda b=b: counted(b) for b in branches])
    return outs, [_DATA] * len(outs), tally


_INSIDE = {"scan": _scan, "while": _while, "cond": _cond}
