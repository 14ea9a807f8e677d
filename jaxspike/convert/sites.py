"""The activations of an ANN in its equations, and what lies between them."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import source_info_util
from jax.extend.core import Jaxpr, JaxprEqn, Literal, Var

from .._types import Array, Tree
from ..engine.program import (
    Atom,
    evaluate,
    is_var,
    outputs_of,
    scales,
    scan_arity,
    type_of,
    unique,
    value,
)
from .scaled import Scaled, apply, number, plain

# what runs a body: derivative rules do not matter to a spiking network
_CALLS = {
    "jit": "jaxpr",
    "closed_call": "call_jaxpr",
    "remat2": "jaxpr",
    "custom_jvp_call": "call_jaxpr",
    "custom_vjp_call": "call_jaxpr",
    "scan": "jaxpr",
}
_POOLS = ("reduce_window_max", "reduce_max")
_POSITIVE, _NEGATIVE = ("gt", "ge"), ("lt", "le")


@dataclasses.dataclass(frozen=True, eq=False)
class Site:
    """An activation ``relu(x) - slope * relu(-x)``, in equations.

    Attributes:
        out: The variable that it defines.
        x: The variable before it.
        slope: The slope below zero; None for a relu.
        high: The largest value; None if there is none.
        pools: Equations of max pooling between ``x`` and the activation: pooling its output is the
            same as pooling its input.
        line: The line of the user's code.
    """

    out: Var
    x: Var
    slope: Atom | None
    high: float | None
    pools: tuple[JaxprEqn, ...]
    line: str

    def pool(self, x: Array) -> Array:
        """``x`` after max pooling."""
        for eqn in self.pools:
            x = _evaluate(eqn, [x])
        return x


@dataclasses.dataclass(frozen=True, eq=False)
class Program:
    """An ANN whose equations between the sites are affine in the activations.

    Attributes:
        invars: Its inputs: constants, parameters, and x last.
        outvars: Its outputs.
        parts: Sites, and equations, in topological order.
        islands: Equations that are neither, with their lines.
    """

    invars: list[Var]
    outvars: list[Atom]
    parts: list[Site | JaxprEqn]
    islands: list[str]

    @property
    def sites(self) -> list[Site]:
        """The activations, in order."""
        return [part for part in self.parts if isinstance(part, Site)]

    def __call__(self, args: Sequence[Array], activate: Callable[..., Any]) -> list[Array]:
        """Evaluate it.

        Args:
            args: Values for ``invars``.
            activate: ``activate(site, x, slope)`` is the output of a site, an array or `Scaled`,
                for ``x`` before max pooling.
        """
        env: dict[Var, Any] = dict(zip(self.invars, args, strict=True))
        pending = list[JaxprEqn]()  # evaluated together

        def flush() -> None:
            _run(pending, env)
            pending.clear()

        for part in self.parts:
            if isinstance(part, Site):
                flush()
                slope = None if part.slope is None else value(env, part.slope)
                env[part.out] = activate(part, plain(env[part.x]), slope)
            elif any(isinstance(env.get(v), Scaled) for v in unique(part.invars)):
                flush()
                inputs = [value(env, v) for v in part.invars]
                env[part.outvars[0]] = apply(part, inputs, _evaluate)
            else:
                pending.append(part)
        flush()
        return [plain(value(env, v)) for v in self.outvars]


def _run(eqns: Sequence[JaxprEqn], env: dict[Var, Any]) -> None:
    evaluate(eqns, env, lambda _: False, lambda *_: ())


def _evaluate(eqn: JaxprEqn, inputs: Sequence[Array]) -> Array:
    env: dict[Var, Any] = {v: a for v, a in zip(eqn.invars, inputs, strict=True) if is_var(v)}
    _run([eqn], env)
    return env[eqn.outvars[0]]


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
    evaluate(jaxpr.eqns, env, lambda e: e.primitive.name in _CALLS, special)
    return [value(env, v) for v in jaxpr.outvars]


def _program(jaxpr: Jaxpr, n_data: int) -> Program:
    found = _Finder(jaxpr, n_data).sites
    parts = [found.get(e.outvars[0], e) for e in jaxpr.eqns if e.outvars]
    # equations inside an activation feed nothing else
    need = set(unique(jaxpr.outvars))
    kept = list[Site | JaxprEqn]()
    for part in reversed(parts):
        if isinstance(part, Site):
            outs, ins = [part.out], [part.x] if part.slope is None else [part.x, part.slope]
        else:
            outs, ins = part.outvars, part.invars
        if any(v in need for v in outs):
            kept.append(part)
            need.update(unique(ins))
    data = set(jaxpr.invars[len(jaxpr.invars) - n_data :])
    islands = list[str]()
    for part in kept[::-1]:
        if isinstance(part, Site):
            data.add(part.out)
            continue
        at = [i for i, v in enumerate(part.invars) if is_var(v) and v in data]
        if not at:
            continue
        data.update(outputs_of([part]))
        factors = scales(part, at)
        if factors is None:
            shape = "x".join(map(str, type_of(part.outvars[0]).shape)) or "scalar"
            islands.append(f"`{part.primitive.name}` of {shape} at {line_of(part)}")
    return Program(jaxpr.invars, list(jaxpr.outvars), kept[::-1], islands)


def line_of(eqn: JaxprEqn) -> str:
    """Where an equation stands in the user's code."""
    return source_info_util.summarize(eqn.source_info)


class _Finder:
    """The activations among the equations of a jaxpr, by the variable that each defines."""

    def __init__(self, jaxpr: Jaxpr, n_data: int):
        self.producer = {v: e for e in jaxpr.eqns for v in e.outvars}
        self.users: dict[Var, list[JaxprEqn | None]] = {}
        for e in jaxpr.eqns:
            for v in unique(e.invars):
                self.users.setdefault(v, []).append(e)
        for v in unique(jaxpr.outvars):
            self.users.setdefault(v, []).append(None)
        data = set(jaxpr.invars[len(jaxpr.invars) - n_data :])
        self.sites: dict[Var, Site] = {}
        for e in jaxpr.eqns:
            if any(v in data for v in unique(e.invars)):
                data.update(e.outvars)
                self._add(e, data)

    def _add(self, e: JaxprEqn, data: set[Var]) -> None:
        out = e.outvars[0]
        if not jnp.issubdtype(type_of(out).dtype, jnp.floating):
            return
        x, slope, high = self._rectified(e)
        given = slope is None or not is_var(slope) or slope not in data
        if given and x is not None and x in data:
            x, pools = self._pooled(x)
            self.sites[out] = Site(out, x, slope, high, pools, line_of(e) or e.primitive.name)
            return
        operand = e.invars[0]
        before = self.sites.get(operand) if is_var(operand) else None
        if e.primitive.name == "min":  # relu6 is the minimum of a relu and a number
            relu, high = self._other(e, lambda a: self._number(a) is not None)
            before = self.sites.get(relu) if relu is not None else None
            if before and before.slope is None and before.high is None and self._only_user(relu):
                self._replace(before, out, high=self._number(high))
        elif before and e.primitive.name in _POOLS and self._is_monotone(before):
            self._replace(before, out, pools=(*before.pools, e))

    def _pooled(self, x: Var) -> tuple[Var, tuple[JaxprEqn, ...]]:
        """The variable of which ``x`` is the maximum, and the equations of that."""
        pools: tuple[JaxprEqn, ...] = ()
        while (e := self.producer.get(x)) is not None and e.primitive.name in _POOLS:
            before = e.invars[0]
            if not is_var(before) or before in self.sites:
                break
            x, pools = before, (e, *pools)
        return x, pools

    def _replace(self, site: Site, out: Var, **changes: Any) -> None:
        del self.sites[site.out]
        self.sites[out] = dataclasses.replace(site, out=out, **changes)

    def _only_user(self, v: Var | None) -> bool:
        return v is not None and len(self.users.get(v, ())) == 1

    def _rectified(self, e: JaxprEqn) -> tuple[Var | None, Atom | None, float | None]:
        """The input, the slope below zero and the largest value of an activation."""
        name = e.primitive.name
        if name == "max":
            x, _ = self._other(e, self._is_zero)
            return x, None, None
        if name == "clamp" and self._is_zero(e.invars[0]) and is_var(e.invars[1]):
            high = self._number(e.invars[2])
            return (e.invars[1], None, high) if high is not None else (None, None, None)
        if name == "abs" and is_var(e.invars[0]):
            return e.invars[0], Literal(np.float32(-1), type_of(e.outvars[0])), None
        if name == "select_n" and len(e.invars) == 3:
            return self._chosen(e)
        return None, None, None

    def _chosen(self, e: JaxprEqn) -> tuple[Var | None, Atom | None, float | None]:
        """Of ``where(x > 0, x, slope * x)``."""
        test = self.producer.get(e.invars[0]) if is_var(e.invars[0]) else None
        if test is None or test.primitive.name not in (*_POSITIVE, *_NEGATIVE):
            return None, None, None
        if not self._is_zero(test.invars[1]) or not is_var(test.invars[0]):
            return None, None, None
        x, below, above = test.invars[0], e.invars[1], e.invars[2]
        if test.primitive.name in _NEGATIVE:
            below, above = above, below
        if not self._same(above, x):
            return None, None, None
        if self._is_zero(below):
            return x, None, None
        product = self.producer.get(below) if is_var(below) else None
        if product is None or product.primitive.name != "mul":
            return None, None, None
        first, second = product.invars
        if self._same(first, x):
            return x, second, None
        return (x, first, None) if self._same(second, x) else (None, None, None)

    def _other(self, e: JaxprEqn, is_this: Callable[[Atom], bool]) -> tuple[Any, Any]:
        """The variable of two operands of which the other one ``is_this``, and that one."""
        for a, b in (e.invars, e.invars[::-1]):
            if is_this(b) and is_var(a):
                return a, b
        return None, None

    def _same(self, a: Atom, b: Atom) -> bool:
        if a is b:
            return True
        if not (is_var(a) and is_var(b)):
            return False
        p, q = self.producer.get(a), self.producer.get(b)
        if p is None or q is None or p.primitive is not q.primitive:
            return False
        reads = [[id(v) for v in e.invars] for e in (p, q)]
        return reads[0] == reads[1] and str(p.params) == str(q.params)

    def _number(self, a: Atom) -> float | None:
        """The number that fills a literal or a broadcast literal."""
        if not is_var(a):
            return number(a)
        e = self.producer.get(a)
        if e is not None and e.primitive.name in ("broadcast_in_dim", "convert_element_type"):
            return self._number(e.invars[0])
        return None

    def _is_zero(self, a: Atom) -> bool:
        return self._number(a) == 0.0

    def _is_monotone(self, site: Site) -> bool:
        """Whether a maximum over ``site`` alone is that over its input."""
        slope = 0.0 if site.slope is None else self._number(site.slope)
        return slope is not None and slope >= 0 and self._only_user(site.out)
