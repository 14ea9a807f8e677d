"""One step as a flat jaxpr: nested calls inlined, every closed-over constant an argument."""

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax
from jax.extend import core as jex

from .compat import effects as effects_of, pins_shardings

Array = jax.Array
Atom = Any  # a jaxpr variable or a literal

_INFO = jex.DebugInfo("scan", "jaxspike.scan", None, None)
# equations that only wrap a jaxpr, and the parameter that holds it; `remat2` is `jax.checkpoint`,
# which has nothing to add where the engine itself decides what to keep and what to compute again
_CALLS = {"jit": "jaxpr", "closed_call": "call_jaxpr", "remat2": "jaxpr"}


def is_var(atom: Atom) -> bool:
    """Whether an atom of a jaxpr is a variable and not a literal."""
    return not isinstance(atom, jex.Literal)


def unique(atoms: Iterable[Atom]) -> list[Atom]:
    """The variables among ``atoms``, each once, in order."""
    return list(dict.fromkeys(v for v in atoms if is_var(v)))


def function(
    invars: Sequence[Atom], outvars: Sequence[Atom], eqns: Sequence[Any]
) -> Callable[..., Any]:
    """The callable ``(*invars) -> list of outvars`` of some equations."""
    effects = frozenset().union(*(e.effects for e in eqns))
    jaxpr = jex.Jaxpr([], list(invars), list(outvars), list(eqns), effects, debug_info=_INFO)
    closed = jex.ClosedJaxpr(jaxpr, [])  # type: ignore[attr-defined, unused-ignore]  # JAX 0.12
    return jex.jaxpr_as_fun(closed)


def inputs_of(eqns: Sequence[Any]) -> list[Atom]:
    """The variables that ``eqns`` read and do not make."""
    own = {v for e in eqns for v in e.outvars}
    return [v for v in unique(v for e in eqns for v in e.invars) if v not in own]


def outputs_of(eqns: Sequence[Any]) -> list[Atom]:
    """The variables that ``eqns`` make."""
    return [v for e in eqns for v in e.outvars if not isinstance(v, jex.DropVar)]


def prune(eqns: Sequence[Any], outvars: Iterable[Atom], *, effects: bool = True) -> list[Any]:
    """The equations that some of ``outvars`` depends on, or, if asked, that have an effect."""
    need, kept = set(unique(outvars)), []
    for e in reversed(eqns):
        if (effects and effects_of(e)) or any(v in need for v in e.outvars):
            kept.append(e)
            need.update(unique(e.invars))
    return kept[::-1]


@dataclasses.dataclass(frozen=True, eq=False)
class Step:
    """A step ``(consts, state, x) -> (state, y)`` on flat lists, as equations.

    Attributes:
        consts: Variables that are the same at every step (parameters, closed-over arrays).
        state: Variables of the state before the step.
        xs: Variables of the input.
        new_state: Atoms of the state after the step, in the order of ``state``.
        ys: Atoms of the output.
        eqns: What is computed, in an order that works.
    """

    consts: list[Atom]
    state: list[Atom]
    xs: list[Atom]
    new_state: list[Atom]
    ys: list[Atom]
    eqns: list[Any]

    def __call__(self, consts, state, x) -> tuple[list[Array], list[Array]]:
        n = len(self.state)
        f = function([*self.consts, *self.state, *self.xs], [*self.new_state, *self.ys], self.eqns)
        out = f(*consts, *state, *x)
        return list(out[:n]), list(out[n:])


def flatten(f: Callable[..., Any], *args: Any) -> tuple[jex.Jaxpr, list[Array], Any]:
    """Trace ``f(*args)`` into a jaxpr without nested calls.

    Returns:
        The jaxpr, whose inputs are its constants first and then the leaves of ``args``; the values
        of those constants; and the shapes of what ``f`` returned.
    """
    # a fresh function: traces are cached by identity, and a mutable callable (a Flax module) would
    # come back with the parameters of its first trace
    closed, out_shape = jax.make_jaxpr(lambda *a: f(*a), return_shape=True)(*args)
    jaxpr, consts = _opened(closed.jaxpr), list(closed.consts)
    if any(e.primitive.name in _CALLS for e in jaxpr.eqns):
        closed = jax.make_jaxpr(lambda *a: _inline(jaxpr, a))(*consts, *jax.tree.leaves(args))
        jaxpr = _opened(closed.jaxpr)  # the constants of inlined calls surface here as new ones
        consts = [*closed.consts, *consts]
    return jaxpr, consts, out_shape


def trace_step(f: Callable[..., Any], state: Any, x: Any) -> tuple[Step, list[Array], Any]:
    """Trace a step function; returns the step, its constants and the shapes it returned."""
    jaxpr, consts, out_shape = flatten(f, state, x)
    nc, ns = len(consts), len(jax.tree.leaves(state))
    invars, outvars = jaxpr.invars, jaxpr.outvars
    eqns = prune(jaxpr.eqns, outvars)
    step = Step(
        invars[:nc], invars[nc : nc + ns], invars[nc + ns :], outvars[:ns], outvars[ns:], eqns
    )
    return step, consts, out_shape


def _opened(jaxpr: jex.Jaxpr) -> jex.Jaxpr:
    """The same jaxpr with its constants as its first inputs."""
    invars = [*jaxpr.constvars, *jaxpr.invars]
    outvars, eqns = list(jaxpr.outvars), list(jaxpr.eqns)
    return jex.Jaxpr([], invars, outvars, eqns, jaxpr.effects, debug_info=_INFO)


def _inlinable(eqn: Any) -> bool:
    name = eqn.primitive.name  # a call that pins shardings must stay a call
    return name in _CALLS and not (name == "jit" and pins_shardings(eqn))


def _inline(jaxpr: jex.Jaxpr, args: Sequence[Array]) -> list[Array]:
    """Evaluate a jaxpr, going into the calls in it."""

    def call(eqn, values):
        inner = eqn.params[_CALLS[eqn.primitive.name]]
        opened = _opened(getattr(inner, "jaxpr", inner))  # closed or open
        return _inline(opened, [*getattr(inner, "consts", ()), *values])

    env = dict(zip(jaxpr.invars, args, strict=True))
    evaluate(jaxpr.eqns, env, _inlinable, call)
    return [value(env, v) for v in jaxpr.outvars]


def value(env: dict[Any, Array], atom: Atom) -> Any:
    """The value of an atom."""
    return env[atom] if is_var(atom) else atom.val


def evaluate(
    eqns: Iterable[Any],
    env: dict[Any, Array],
    is_special: Callable[[Any], bool],
    special: Callable[[Any, list[Any]], Sequence[Any]],
    run: Callable[..., Callable[..., Sequence[Any]]] | None = None,
) -> None:
    """Evaluate equations and add what they make to ``env``.

    Args:
        eqns: The equations.
        env: The values of variables.
        is_special: Which equations ``special`` evaluates.
        special: ``special(eqn, inputs)``, the outputs.
        run: ``run(invars, outvars, eqns)``, the others as a function; None is `function`.
    """
    run = run or function
    pending: list[Any] = []

    def flush():
        if pending:
            ins, outs = inputs_of(pending), outputs_of(pending)
            made = run(ins, outs, pending)(*[env[v] for v in ins])
            env.update(zip(outs, made, strict=True))
            pending.clear()

    for eqn in eqns:
        if is_special(eqn):
            flush()
            made = special(eqn, [value(env, v) for v in eqn.invars])
            env.update(zip(eqn.outvars, made, strict=True))
        else:
            pending.append(eqn)
    flush()
