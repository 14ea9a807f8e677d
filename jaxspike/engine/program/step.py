"""One step as flat equations: nested calls inlined, every closed-over constant an argument."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax.extend import source_info_util
from jax.extend.core import Jaxpr, JaxprEqn, Var

from ..._delay_line import push
from ..._types import Array, Tree
from .compat import pins_shardings
from .jaxpr import DEBUG_INFO, Atom, evaluate, function, prune, type_of, value

# equations that only wrap a jaxpr, and the parameter that holds it; `remat2` is `jax.checkpoint`,
# which adds nothing here: the engine itself decides what to store and what to recompute
_CALLS = {"jit": "jaxpr", "closed_call": "call_jaxpr", "remat2": "jaxpr"}
_RULES = {"custom_jvp_call": "call_jaxpr", "custom_vjp_call": "call_jaxpr"}


@dataclasses.dataclass(frozen=True, eq=False)
class Step:
    """A step ``(consts, state, x) -> (state, y)`` on flat lists, as equations.

    Attributes:
        consts: Variables that are the same at every step (parameters, closed-over arrays).
        state: Variables of the state before the step.
        xs: Variables of the input.
        new_state: Atoms of the state after the step, in the order of ``state``.
        ys: Atoms of the output.
        eqns: The equations, in topological order.
        delays: By position, the states that are the ``new_state`` of n > 1 steps ago, and n.
    """

    consts: list[Var]
    state: list[Var]
    xs: list[Var]
    new_state: list[Atom]
    ys: list[Atom]
    eqns: list[JaxprEqn]
    delays: dict[int, int] = dataclasses.field(default_factory=dict)

    def __call__(self, consts, state, x) -> tuple[list[Array], list[Array]]:
        n = len(self.state)
        f = function([*self.consts, *self.state, *self.xs], [*self.new_state, *self.ys], self.eqns)
        out = f(*consts, *state, *x)
        return list(out[:n]), list(out[n:])


def flatten(
    f: Callable[..., Any], *args: Tree, rules: bool = True
) -> tuple[Jaxpr, list[Array], Tree]:
    """Trace ``f(*args)`` into a jaxpr without nested calls.

    Args:
        f: A function.
        *args: Its arguments, or their types.
        rules: Whether functions with a custom derivative stay calls. If not, the jaxpr is to be
            read: an equation of no line of the user's has that of the call it was in.

    Returns:
        The jaxpr, whose inputs are its constants first and then the leaves of ``args``; the values
        of those constants; and the shapes that ``f`` returned.
    """
    # a fresh function: traces are cached by identity, and a mutable callable (a Flax module) would
    # come back with the parameters of its first trace
    closed, out_shape = jax.make_jaxpr(lambda *a: f(*a), return_shape=True)(*args)
    jaxpr, consts = _opened(closed.jaxpr), list(closed.consts)
    calls = _CALLS if rules else _CALLS | _RULES
    if any(e.primitive.name in calls for e in jaxpr.eqns):
        closed = jax.make_jaxpr(lambda *a: _inline(jaxpr, a, calls))(
            *consts, *jax.tree.leaves(args)
        )
        jaxpr = _opened(closed.jaxpr)  # the constants of inlined calls surface here as new ones
        consts = [*closed.consts, *consts]
    return jaxpr, consts, out_shape


def trace_step(f: Callable[..., Any], state: Tree, x: Tree) -> tuple[Step, list[Array], Tree]:
    """Trace a step function; return the step, its constants and the shapes it returned."""
    jaxpr, consts, out_shape = flatten(f, state, x)
    nc, ns = len(consts), len(jax.tree.leaves(state))
    invars, outvars = jaxpr.invars, jaxpr.outvars
    eqns = prune(jaxpr.eqns, outvars)
    step = Step(
        invars[:nc], invars[nc : nc + ns], invars[nc + ns :], outvars[:ns], outvars[ns:], eqns
    )
    return step, consts, out_shape


def _opened(jaxpr: Jaxpr) -> Jaxpr:
    """The same jaxpr with its constants as its first inputs."""
    invars = [*jaxpr.constvars, *jaxpr.invars]
    outvars, eqns = list(jaxpr.outvars), list(jaxpr.eqns)
    return Jaxpr([], invars, outvars, eqns, jaxpr.effects, debug_info=DEBUG_INFO)


def is_push(eqn: JaxprEqn) -> bool:
    """Whether an equation is a call of `push`, and not of what a transformation made of it."""
    if eqn.primitive.name != "jit" or eqn.params["name"] != "push":
        return False
    kinds = [type_of(v) for v in eqn.invars]
    if len(kinds) != 3 or kinds[0].dtype != kinds[2].dtype:
        return False
    if not kinds[0].shape[:-1] == kinds[1].shape == kinds[2].shape:
        return False
    (known,) = jax.make_jaxpr(push)(*kinds).eqns
    return str(known.params["jaxpr"]) == str(eqn.params["jaxpr"])


def _is_inlinable(eqn: JaxprEqn, calls: dict[str, str]) -> bool:
    name = eqn.primitive.name  # a call that pins shardings must stay a call
    return name in calls and not (name == "jit" and (pins_shardings(eqn) or is_push(eqn)))


def _with_line(eqn: JaxprEqn, call: JaxprEqn) -> JaxprEqn:
    known = source_info_util.summarize(eqn.source_info)
    return eqn if known else eqn.replace(source_info=call.source_info)


def _inline(jaxpr: Jaxpr, args: Sequence[Array], calls: dict[str, str]) -> list[Array]:
    """Evaluate a jaxpr, including the bodies of the calls in it."""

    def call(eqn, values):
        inner = eqn.params[calls[eqn.primitive.name]]
        opened = _opened(getattr(inner, "jaxpr", inner))  # closed or open
        if calls is not _CALLS:
            opened = opened.replace(eqns=[_with_line(e, eqn) for e in opened.eqns])
        return _inline(opened, [*getattr(inner, "consts", ()), *values], calls)

    env = dict(zip(jaxpr.invars, args, strict=True))
    evaluate(jaxpr.eqns, env, lambda e: _is_inlinable(e, calls), call)
    return [value(env, v) for v in jaxpr.outvars]
