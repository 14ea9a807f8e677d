"""Where derivatives flow in a step, and its equations as differentiation leaves them."""

import dataclasses
from collections.abc import Iterable, Sequence

import jax
import jax.numpy as jnp
from jax.extend.core import Jaxpr, JaxprEqn, Var

from .jaxpr import Atom, function, is_var, jaxprs_in, outputs_of, prune, type_of, unique
from .linear import has_gradient
from .loop import Loop

_RULES = ("custom_jvp_call", "custom_vjp_call")


def reached(loop: Loop, sources: Iterable[Var]) -> frozenset[Var]:
    """The variables of a loop whose derivative with respect to ``sources`` may not be zero."""
    step, found = loop.step, set(sources)
    back = [*zip(step.state, step.new_state, strict=True), *loop.lines]
    size = -1
    while size != len(found):
        size = len(found)
        _spread(step.eqns, found)
        found.update(old for old, new in back if is_var(new) and new in found)
    return frozenset(found)


def without_gradient(loop: Loop) -> list[bool]:
    """Which new states, outputs and last rows have none, whatever is differentiated."""
    step, lines = loop.step, [late for late, _ in loop.lines]
    inputs = [*step.consts, *step.state, *step.xs]
    found = reached(loop, [v for v in inputs if _is_inexact(v)])
    results: list[Atom] = [*step.new_state, *step.ys[: loop.n_ys], *lines]
    return [not (is_var(v) and v in found) for v in results]


def _spread(eqns: Iterable[JaxprEqn], found: set[Var]) -> None:
    for e in eqns:
        flags = _through(e, [is_var(v) and v in found for v in e.invars])
        found.update(v for v, f in zip(e.outvars, flags, strict=True) if f and _is_inexact(v))


def _through(eqn: JaxprEqn, flags: Sequence[bool]) -> list[bool]:
    """Which outputs may depend smoothly on the inputs with a flag."""
    if not any(flags) or not has_gradient(eqn):
        return [False] * len(eqn.outvars)
    if eqn.primitive.name == "jit":
        (body,) = jaxprs_in(eqn)
        return _through_body(body, flags)
    if eqn.primitive.name == "cond":
        branches = [_through_body(body, flags[1:]) for body in jaxprs_in(eqn)]
        return [any(f) for f in zip(*branches, strict=True)]
    return [True] * len(eqn.outvars)


def _through_body(body: Jaxpr, flags: Sequence[bool]) -> list[bool]:
    found = {v for v, f in zip(body.invars, flags, strict=True) if f}
    _spread(body.eqns, found)
    return [is_var(v) and v in found for v in body.outvars]


def _is_inexact(atom: Atom) -> bool:
    return jnp.issubdtype(type_of(atom).dtype, jnp.inexact)


def as_differentiated(loop: Loop, found: frozenset[Var]) -> Loop:
    """The loop as its forward pass under differentiation.

    A second derivative is that of the first one as JAX computes it: in place of a function with a
    rule of its own it has the forward part of the rule.

    Args:
        loop: The loop.
        found: The variables that a derivative flows to.
    """
    step = loop.step
    eqns = [_differentiated(e, found) if _has_rule(e) else e for e in step.eqns]
    if all(new is old for new, old in zip(eqns, step.eqns, strict=True)):
        return loop
    return dataclasses.replace(loop, step=dataclasses.replace(step, eqns=eqns), rules=step)


def _has_rule(eqn: JaxprEqn) -> bool:
    inside = (e for body in jaxprs_in(eqn) for e in body.eqns)
    return eqn.primitive.name in _RULES or any(map(_has_rule, inside))


def _differentiated(eqn: JaxprEqn, found: frozenset[Var]) -> JaxprEqn:
    """An equation whose inputs in ``found`` are differentiated; itself if that is the same."""
    ins, outs = unique(eqn.invars), outputs_of([eqn])
    moving = [v for v in ins if v in found]
    if not moving:
        return eqn
    run = function(ins, outs, [eqn])

    def forward(*values):
        env = dict(zip(ins, values, strict=True))

        def f(*some):
            now = env | dict(zip(moving, some, strict=True))
            return run(*[now[v] for v in ins])

        return jax.vjp(f, *[env[v] for v in moving])[0]

    kinds = [type_of(v) for v in ins]
    if _equations(forward, kinds) == _equations(run, kinds):
        return eqn
    traced = jax.make_jaxpr(jax.jit(forward))(*kinds)
    if traced.consts:
        return eqn
    (call,) = traced.eqns
    return call.replace(invars=ins, outvars=outs)


def _equations(f, kinds) -> str:
    jaxpr = jax.make_jaxpr(f)(*kinds).jaxpr
    return str(jaxpr.replace(eqns=prune(jaxpr.eqns, jaxpr.outvars)))
