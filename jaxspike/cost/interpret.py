"""Run a program and count its operations: an interpreter that counts while it evaluates.

Every function here is traceable: counts are arrays, so the interpreter works under `jax.jit` and
`jax.vmap`, and the loops of the program stay loops. What is counted, and in which numbers, is a
`Meter`.
"""

import math
import re
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend import source_info_util
from jax.extend.core import DropVar, Jaxpr, JaxprEqn, Var

from .._types import Array, Tree
from ..engine.program import function, is_var, jaxprs_in, scan_arity, type_of, unique, value
from .primitives import ELEMENTWISE, FREE, REDUCTIONS, WINDOWS
from .products import is_product

# equations that only call a jaxpr, and the parameter that holds it
CALLS = {
    **dict.fromkeys(("jit", "remat2"), "jaxpr"),
    **dict.fromkeys(("call", "closed_call", "core_call"), "call_jaxpr"),
    **dict.fromkeys(("custom_jvp_call", "custom_vjp_call"), "call_jaxpr"),
    "custom_vmap_call": "call",
}
_COPIES = {"copy", "copy_p", "optimization_barrier", "stop_gradient"}  # of their only input


class Origin(NamedTuple):
    """Facts about a variable that the interpreter keeps.

    Attributes:
        is_data: Whether it depends on the input or the state.
        name: The path of the parameter that it is made from, "" if there is none.
        after: The path of the parameter that data was last multiplied by, "" if there is none.
    """

    is_data: bool = False
    name: str = ""
    after: str = ""


class Meter(NamedTuple):
    """How to count.

    Attributes:
        measure: The counts, a pytree, of a product, its operands and which of them are data.
        constant: A count that is known.
        add: The sum of two counts.
        total_over_steps: The sum of the counts ``[T, *]`` of a loop.
    """

    measure: Callable[[JaxprEqn, list[Array], list[bool]], Tree]
    constant: Callable[[int], Array]
    add: Callable[[Array, Array], Array]
    total_over_steps: Callable[[Array], Array]


class Tally(NamedTuple):
    """Counts, by name.

    Attributes:
        products: Of each parameter, or of each line that multiplies two activations.
        arithmetic: Elementwise operations and reductions on data, by primitive.
        uncounted: Runs of equations that the interpreter does not know, by primitive and line.
    """

    products: dict[str, Tree]
    arithmetic: dict[str, Array]
    uncounted: dict[str, Array]


_DATA = Origin(is_data=True)
_NOTHING = Tally({}, {}, {})


def interpret(
    meter: Meter,
    jaxpr: Jaxpr,
    args: Sequence[Array],
    origins: Sequence[Origin],
    line: str = "",
) -> tuple[list[Array], list[Origin], Tally]:
    """Evaluate a jaxpr without constants.

    Args:
        meter: How to count.
        jaxpr: The equations.
        args: Their inputs.
        origins: The facts about each input.
        line: The line of the user's code that called them, for equations that have none.

    Returns:
        The outputs, the facts about each, and the counts.
    """
    env: dict[Var, Array] = dict(zip(jaxpr.invars, args, strict=True))
    origin: dict[Var, Origin] = dict(zip(jaxpr.invars, origins, strict=True))
    copied: dict[Var, Var] = {}
    tally = _NOTHING
    for eqn in jaxpr.eqns:
        inputs = [value(env, v) for v in eqn.invars]
        known = [origin[v] if is_var(v) else Origin() for v in eqn.invars]
        if _has_counted_parts(eqn) and any(o.is_data for o in known):
            outs, outs_known, inside = _INSIDE.get(eqn.primitive.name, _call)(
                meter, eqn, inputs, known, _line(eqn, line)
            )
        else:
            outs = _evaluate(eqn, env)
            sources = _sources(eqn, copied)
            copied.update(zip(eqn.outvars, sources, strict=False))
            outs_known = [origin[v] for v in sources] or [_joined(eqn, known)] * len(outs)
            inside = _count(meter, eqn, inputs, known, _line(eqn, line))
        env.update(zip(eqn.outvars, outs, strict=True))
        origin.update(zip(eqn.outvars, outs_known, strict=True))
        tally = merge(meter, tally, inside)
    return (
        [value(env, v) for v in jaxpr.outvars],
        [origin[v] if is_var(v) else Origin() for v in jaxpr.outvars],
        tally,
    )


def merge(meter: Meter, *tallies: Tally) -> Tally:
    """The sum of counts, name by name."""

    def merged(dicts: Sequence[dict[str, Tree]]) -> dict[str, Tree]:
        out: dict[str, Tree] = OrderedDict()  # JAX sorts the names of a plain one
        for name, counts in (item for d in dicts for item in d.items()):
            out[name] = jax.tree.map(meter.add, out[name], counts) if name in out else counts
        return out

    return Tally(*(merged(dicts) for dicts in zip(*tallies, strict=True)))


def _evaluate(eqn: JaxprEqn, env: dict[Var, Array]) -> list[Array]:
    kept = [v for v in eqn.outvars if not isinstance(v, DropVar)]
    ins = unique(eqn.invars)
    values = dict(zip(kept, function(ins, kept, [eqn])(*[env[v] for v in ins]), strict=True))
    return [values.get(v) for v in eqn.outvars]  # type: ignore[misc]


def _sources(eqn: JaxprEqn, copied: dict[Var, Var]) -> list[Var]:
    """The variable that each output is a copy of; none if it is computed.

    A choice between copies of one variable is one too: `jax.vmap` makes it of the operands of a
    `cond`, and else a parameter that went through it would be taken for data.
    """
    name, ins = eqn.primitive.name, eqn.invars
    cases = ins if name in _COPIES else ins[1:] if name == "select_n" else []
    found = [copied.get(v, v) for v in cases if is_var(v)]
    if len(found) < len(cases) or (name == "select_n" and len(set(found)) > 1):
        return []
    return found[: len(eqn.outvars)]


def _joined(eqn: JaxprEqn, known: Sequence[Origin]) -> Origin:
    """The origin of what an equation computes: the name of its largest parameter, not an index."""
    if any(o.is_data for o in known):
        last = [o.name for o in known if is_product(eqn)] + [o.after for o in known]
        return Origin(is_data=True, after=next(filter(None, last), ""))
    kinds = [type_of(v) for v in eqn.invars]
    sizes = [(jnp.issubdtype(k.dtype, jnp.inexact), math.prod(k.shape)) for k in kinds]
    named = [(n, o.name) for n, o in zip(sizes, known, strict=True) if o.name]
    return Origin(name=max(named, key=lambda pair: pair[0])[1] if named else "")


def _count(
    meter: Meter, eqn: JaxprEqn, inputs: list[Array], known: Sequence[Origin], line: str
) -> Tally:
    """The counts of an equation without loops and products inside."""
    if not any(o.is_data for o in known):
        return _NOTHING
    if is_product(eqn):
        names = [o.name for o in known if not o.is_data]
        where = f"{eqn.primitive.name} at {line}"
        after = next((f" after {o.after}" for o in known if o.after), "")
        name = (names[0] or where) if names else f"activations{after}: {where}"
        return Tally({name: meter.measure(eqn, inputs, [o.is_data for o in known])}, {}, {})
    arithmetic, uncounted = _static_counts(eqn, line)
    return Tally(
        {},
        {name: meter.constant(n) for name, n in arithmetic.items()},
        {name: meter.constant(n) for name, n in uncounted.items()},
    )


def _static_counts(eqn: JaxprEqn, line: str) -> tuple[Counter[str], Counter[str]]:
    """The arithmetic of an equation, and what is not counted; both follow from its shapes."""
    name = eqn.primitive.name
    if (inner := jaxprs_in(eqn)) and (name in CALLS or name in _INSIDE):
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
    line = source_info_util.summarize(eqn.source_info)
    return re.sub(r"^.*[/\\]", "", line) or otherwise  # without the folders


def _has_counted_parts(eqn: JaxprEqn) -> bool:
    """Whether an equation contains products, or parts that run an unknown number of times."""
    name = eqn.primitive.name
    if name not in CALLS and name not in _INSIDE:
        return False  # such as a kernel, whose body is not in terms of its operands
    inner = [e for body in jaxprs_in(eqn) for e in body.eqns]
    return name in ("while", "cond") or any(is_product(e) or _has_counted_parts(e) for e in inner)


def opened(closed, inputs, known):
    """A jaxpr whose constants are its first inputs, with values and origins for them."""
    jaxpr, consts = getattr(closed, "jaxpr", closed), list(getattr(closed, "consts", ()))
    jaxpr = jaxpr.replace(constvars=[], invars=[*jaxpr.constvars, *jaxpr.invars])
    return jaxpr, [*consts, *inputs], [*[Origin()] * len(consts), *known]


def _call(meter, eqn, inputs, known, line):
    jaxpr, args, origins = opened(eqn.params[CALLS[eqn.primitive.name]], inputs, known)
    return interpret(meter, jaxpr, args, origins, line)


def _scan(meter, eqn, inputs, known, line):
    nc, nk = scan_arity(eqn)
    body, args, origins = opened(eqn.params["jaxpr"], inputs, known)
    nc += len(args) - len(inputs)
    consts, init, xs = args[:nc], args[nc : nc + nk], args[nc + nk :]
    origins[nc : nc + nk] = [_DATA] * nk

    def turn(carry, x):
        outs, _, tally = interpret(meter, body, [*consts, *carry, *x], origins, line)
        return outs[:nk], (outs[nk:], tally)

    length, reverse = eqn.params["length"], eqn.params["reverse"]
    carry, (ys, tallies) = lax.scan(turn, init, xs, length=length, reverse=reverse)
    outs = [*carry, *ys]
    return outs, [_DATA] * len(outs), jax.tree.map(meter.total_over_steps, tallies)


def _while(meter, eqn, inputs, known, line):
    nc, nb = eqn.params["cond_nconsts"], eqn.params["body_nconsts"]
    first, rest, init = inputs[:nc], inputs[nc : nc + nb], inputs[nc + nb :]
    test, test_args, test_origins = opened(eqn.params["cond_jaxpr"], first, known[:nc])
    body, args, origins = opened(eqn.params["body_jaxpr"], rest, known[nc : nc + nb])

    def run(jaxpr, consts, known, carry):
        outs, _, tally = interpret(
            meter, jaxpr, [*consts, *carry], [*known, *[_DATA] * len(carry)], line
        )
        return outs, tally

    def turn(loop):
        carry, tally, _ = loop
        carry, more = run(body, args, origins, carry)
        (goes_on,), again = run(test, test_args, test_origins, carry)
        return carry, merge(meter, tally, more, again), goes_on

    (goes_on,), once = run(test, test_args, test_origins, init)
    shapes = jax.eval_shape(lambda c: run(body, args, origins, c)[1], init)
    tally = merge(meter, once, jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), shapes))
    carry, tally, _ = lax.while_loop(lambda loop: loop[-1], turn, (init, tally, goes_on))
    return carry, [_DATA] * len(carry), tally


def _cond(meter, eqn, inputs, known, line):
    index, *operands = inputs
    branches = [opened(branch, operands, known[1:]) for branch in eqn.params["branches"]]

    def run(branch):
        jaxpr, args, origins = branch
        outs, _, tally = interpret(meter, jaxpr, args, origins, line)
        return outs, tally

    shapes = merge(meter, *(jax.eval_shape(lambda b=b: run(b)[1]) for b in branches))
    none = jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), shapes)

    def counted(branch):
        outs, tally = run(branch)
        return outs, merge(meter, none, tally)

    outs, tally = lax.switch(index, [lambda b=b: counted(b) for b in branches])
    return outs, [_DATA] * len(outs), tally


_INSIDE = {"scan": _scan, "while": _while, "cond": _cond}
