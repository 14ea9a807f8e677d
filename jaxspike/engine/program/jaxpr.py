"""Equations of a jaxpr: what they read and write, and how to evaluate them."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeGuard, cast

import jax
from jax.extend import source_info_util
from jax.extend.core import (
    ClosedJaxpr,  # type: ignore[attr-defined, unused-ignore]  # JAX 0.12
    DebugInfo,
    DropVar,
    Jaxpr,
    JaxprEqn,
    Literal,
    Var,
    jaxpr_as_fun,
)

from ..._types import Array
from .compat import effects as effects_of

Atom = Var | Literal

DEBUG_INFO = DebugInfo("scan", "jaxspike.scan", None, None)


def is_var(atom: Atom) -> TypeGuard[Var]:
    """Whether an atom of a jaxpr is a variable and not a literal."""
    return not isinstance(atom, Literal)


def type_of(atom: Atom) -> jax.core.ShapedArray:
    """The type of an atom, with its shape and dtype."""
    return cast(jax.core.ShapedArray, atom.aval)


def unique(atoms: Iterable[Atom]) -> list[Var]:
    """The variables among ``atoms``, each once, in order."""
    return list(dict.fromkeys(v for v in atoms if is_var(v)))


def function(
    invars: Sequence[Var], outvars: Sequence[Atom], eqns: Sequence[JaxprEqn]
) -> Callable[..., list[Array]]:
    """The callable ``(*invars) -> list of outvars`` of some equations."""
    effects = frozenset().union(*(e.effects for e in eqns))
    jaxpr = Jaxpr([], list(invars), list(outvars), list(eqns), effects, debug_info=DEBUG_INFO)
    return jaxpr_as_fun(ClosedJaxpr(jaxpr, []))


def bind(eqn: JaxprEqn, values: Sequence[Array]) -> list[Array]:
    """Evaluate one equation, also on values of other shapes than it was traced for."""
    names = source_info_util.current_name_stack() + eqn.source_info.name_stack
    with source_info_util.user_context(eqn.source_info.traceback, name_stack=names):
        out = eqn.primitive.bind(*values, **eqn.params)
    return list(out) if eqn.primitive.multiple_results else [out]


def inputs_of(eqns: Sequence[JaxprEqn]) -> list[Var]:
    """The variables that ``eqns`` read but do not define."""
    own = {v for e in eqns for v in e.outvars}
    return [v for v in unique(v for e in eqns for v in e.invars) if v not in own]


def outputs_of(eqns: Sequence[JaxprEqn]) -> list[Var]:
    """The variables that ``eqns`` define."""
    return [v for e in eqns for v in e.outvars if not isinstance(v, DropVar)]


def jaxprs_in(eqn: JaxprEqn) -> list[Jaxpr]:
    """The jaxprs inside an equation."""
    leaves = jax.tree.leaves(list(eqn.params.values()), is_leaf=lambda p: hasattr(p, "eqns"))
    found = (getattr(p, "jaxpr", p) for p in leaves)
    return [j for j in found if isinstance(j, Jaxpr)]


def prune(
    eqns: Sequence[JaxprEqn], outvars: Iterable[Atom], *, effects: bool = True
) -> list[JaxprEqn]:
    """The equations that ``outvars`` depend on and, if asked, those with side effects."""
    need, kept = set(unique(outvars)), []
    for e in reversed(eqns):
        if (effects and effects_of(e)) or any(v in need for v in e.outvars):
            kept.append(e)
            need.update(unique(e.invars))
    return kept[::-1]


def value(env: dict[Var, Array], atom: Atom) -> Any:
    """The value of an atom."""
    return env[atom] if is_var(atom) else cast(Literal, atom).val


def evaluate(
    eqns: Iterable[JaxprEqn],
    env: dict[Var, Array],
    is_special: Callable[[JaxprEqn], bool],
    special: Callable[[JaxprEqn, list[Any]], Sequence[Any]],
    run: Callable[..., Callable[..., Sequence[Any]]] | None = None,
) -> None:
    """Evaluate equations and add their outputs to ``env``.

    Args:
        eqns: The equations.
        env: The values of variables.
        is_special: Which equations ``special`` evaluates.
        special: ``special(eqn, inputs)`` returns the outputs.
        run: ``run(invars, outvars, eqns)`` returns the other equations as a function; by default
            `function`.
    """
    run = run or function
    pending: list[JaxprEqn] = []

    def flush():
        if pending:
            ins, outs = inputs_of(pending), outputs_of(pending)
            values = run(ins, outs, pending)(*[env[v] for v in ins])
            env.update(zip(outs, values, strict=True))
            pending.clear()

    for eqn in eqns:
        if is_special(eqn):
            flush()
            values = special(eqn, [value(env, v) for v in eqn.invars])
            env.update(zip(eqn.outvars, values, strict=True))
        else:
            pending.append(eqn)
    flush()
