"""An ANN in equations: its activations, and what lies between them."""

import dataclasses
from collections.abc import Callable, Collection, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import Jaxpr, JaxprEqn, Var

from .._types import Array, Tree
from ..engine.program import (
    CONTRACTIONS,
    Atom,
    evaluate,
    is_var,
    line_of,
    scales,
    scan_arity,
    type_of,
    unique,
    value,
)
from .scaled import Scaled, apply, plain
from .sites import Finder, Site, called, is_quantized, outputs, run

# what runs a body: derivative rules do not matter to a spiking network
_CALLS = {
    "jit": "jaxpr",
    "closed_call": "call_jaxpr",
    "remat2": "jaxpr",
    "custom_jvp_call": "call_jaxpr",
    "custom_vjp_call": "call_jaxpr",
    "scan": "jaxpr",
}
# functions of JAX with a relu or an absolute value inside, which is no activation
_WHOLE = {"softplus", "log_sigmoid", "logaddexp", "mish", "soft_sign", "hard_silu"}


@dataclasses.dataclass(frozen=True, eq=False)
class Program:
    """An ANN whose equations after the first sites are affine in the activations.

    Attributes:
        invars: Its inputs: constants, parameters, and x last.
        outvars: Its outputs.
        parts: Sites, and equations, in topological order.
        islands: Equations that depend on activations and are not affine in them, with their lines.
        preprocessing: Equations that depend on the input alone and are not affine in it.
    """

    invars: list[Var]
    outvars: list[Atom]
    parts: list[Site | JaxprEqn]
    islands: list[str]
    preprocessing: list[str]

    @property
    def sites(self) -> list[Site]:
        """The activations, in order."""
        return [part for part in self.parts if isinstance(part, Site)]

    def __call__(self, args: Sequence[Array], activate: Callable[..., Any]) -> list[Array]:
        """Evaluate it.

        Args:
            args: Values for ``invars``.
            activate: ``activate(site, x, slope, threshold)`` is the output of a site, an array or
                `Scaled`, for ``x`` before max pooling.
        """
        env: dict[Var, Any] = dict(zip(self.invars, args, strict=True))
        pending = list[JaxprEqn]()  # evaluated together

        def flush() -> None:
            run(pending, env)
            pending.clear()

        for part in self.parts:
            if isinstance(part, Site):
                flush()
                given = (None if a is None else value(env, a) for a in (part.slope, part.threshold))
                env[part.out] = activate(part, plain(env[part.x]), *given)
            elif any(isinstance(env.get(v), Scaled) for v in unique(part.invars)):
                flush()
                inputs = [value(env, v) for v in part.invars]
                env.update(zip(part.outvars, apply(part, inputs, outputs), strict=True))
            else:
                pending.append(part)
        flush()
        return [plain(value(env, v)) for v in self.outvars]


def read(f: Callable[..., Any], *args: Tree) -> tuple[Program, list[Array], Tree]:
    """The equations of ``f(*args)``, whose last argument is the input, and its activations.

    Returns:
        The program; the values of its first inputs, which ``f`` closes over; and the shapes that
        ``f`` returned.
    """
    # a fresh function: traces are cached by identity, and a module may have changed
    closed, out = jax.make_jaxpr(lambda *a: f(*a), return_shape=True)(*args)
    jaxpr, consts = _opened(closed), list(closed.consts)
    closed = jax.make_jaxpr(lambda *a: _inline(jaxpr, a))(*consts, *jax.tree.leaves(args))
    jaxpr, consts = _opened(closed), [*closed.consts, *consts]
    n_data = len(jax.tree.leaves(args[-1]))
    return _program(jaxpr, n_data), consts, out


def _opened(closed: Any) -> Jaxpr:
    """A jaxpr whose constants are its first inputs."""
    jaxpr = getattr(closed, "jaxpr", closed)
    return jaxpr.replace(constvars=[], invars=[*jaxpr.constvars, *jaxpr.invars])


def _inline(jaxpr: Jaxpr, args: Sequence[Array]) -> list[Array]:
    """Evaluate a jaxpr, including the bodies of calls and of scans."""

    def special(eqn: JaxprEqn, values: list[Any]) -> list[Any]:
        inner = eqn.params[_CALLS[eqn.primitive.name]]
        body, consts = _opened(inner), list(getattr(inner, "consts", ()))
        info = eqn.source_info  # for equations that a function of JAX traced before
        eqns = [e if line_of(e) else e.replace(source_info=info) for e in body.eqns]
        body = body.replace(eqns=eqns)
        if eqn.primitive.name != "scan":
            return _inline(body, [*consts, *values])
        nc, nk = scan_arity(eqn)
        carry, xs = values[nc : nc + nk], values[nc + nk :]
        order = range(eqn.params["length"])
        rows: dict[int, list[Any]] = {}
        for t in reversed(order) if eqn.params["reverse"] else order:
            outs = _inline(body, [*consts, *values[:nc], *carry, *(x[t] for x in xs)])
            carry, rows[t] = outs[:nk], outs[nk:]
        columns = zip(*(rows[t] for t in order), strict=True)
        return [*carry, *(jnp.stack(column) for column in columns)]

    env: dict[Var, Any] = dict(zip(jaxpr.invars, args, strict=True))
    evaluate(jaxpr.eqns, env, _is_call, special)
    return [value(env, v) for v in jaxpr.outvars]


def _is_call(eqn: JaxprEqn) -> bool:
    return eqn.primitive.name in _CALLS and not is_quantized(eqn) and called(eqn) not in _WHOLE


def _program(jaxpr: Jaxpr, n_data: int) -> Program:
    found = Finder(jaxpr, n_data).sites
    data = jaxpr.invars[len(jaxpr.invars) - n_data :]
    while True:
        parts = _needed([found.get(e.outvars[0], e) for e in jaxpr.eqns if e.outvars], jaxpr)
        analog, islands, unweighted = _classify(parts, data)
        if not unweighted:
            break
        for site in unweighted:  # part of a function of the input, such as `softplus`
            del found[site.out]
    return Program(jaxpr.invars, list(jaxpr.outvars), parts, islands, analog)


def _needed(parts: Sequence[Site | JaxprEqn], jaxpr: Jaxpr) -> list[Site | JaxprEqn]:
    """Without equations inside an activation, which feed nothing else."""
    need = set(unique(jaxpr.outvars))
    kept = list[Site | JaxprEqn]()
    for part in reversed(parts):
        if any(v in need for v in part.outvars):
            kept.append(part)
            need.update(unique(part.invars))
    return kept[::-1]


def _classify(
    parts: Sequence[Site | JaxprEqn], data: Collection[Var]
) -> tuple[list[str], list[str], frozenset[Site]]:
    """The equations that are not affine in what changes over time.

    Returns:
        Those of the input alone; those of activations; and the activations that act on the input
        before any weights, and on which alone some of the latter depend.
    """
    analog, islands, unweighted = list[str](), list[str](), frozenset[Site]()
    sources: dict[Var, frozenset[Site]] = {v: frozenset() for v in data}  # the last activations
    weighted = set[Var]()
    for part in parts:
        read = {i: sources[v] for i, v in enumerate(part.invars) if is_var(v) and v in sources}
        if not read:
            continue
        before = frozenset[Site]().union(*read.values())
        is_product = not isinstance(part, Site) and part.primitive.name in CONTRACTIONS
        if is_product or any(v in weighted for v in unique(part.invars)):
            weighted.update(part.outvars)
        sources.update(dict.fromkeys(part.outvars, before))
        if isinstance(part, Site):
            sources[part.out] = frozenset([part])
        elif not _is_affine(part, [i for i in read if not before or read[i]]):
            if before:
                islands.append(_described(part))
            elif jnp.issubdtype(type_of(part.outvars[0]).dtype, jnp.floating):
                analog.append(_described(part))
            if not any(v in weighted for site in before for v in unique(site.invars)):
                unweighted |= before
    return list(dict.fromkeys(analog)), list(dict.fromkeys(islands)), unweighted


def _is_affine(eqn: JaxprEqn, positions: Collection[int]) -> bool:
    name = eqn.primitive.name  # a gradient that stops is a matter of training
    return name == "stop_gradient" or scales(eqn, positions) is not None


def _described(eqn: JaxprEqn) -> str:
    shape = "x".join(map(str, type_of(eqn.outvars[0]).shape)) or "scalar"
    line = line_of(eqn)
    return f"`{called(eqn)}` of {shape}" + (f" at {line}" if line else "")
