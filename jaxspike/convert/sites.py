"""The activations of an ANN in its equations."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.extend.core import Jaxpr, JaxprEqn, Literal, Var

from .._types import Array
from ..engine.program import Atom, evaluate, is_var, line_of, type_of, unique, value
from ..nn import QCFS
from .scaled import number

QCFS_FUNCTION = QCFS.function.__name__
_POOLS = ("reduce_window_max", "reduce_max")
_POSITIVE, _NEGATIVE = ("gt", "ge"), ("lt", "le")


@dataclasses.dataclass(frozen=True, eq=False)
class Site:
    """An activation ``relu(x) - slope * relu(-x)``, or one of few levels, in equations.

    Attributes:
        out: The variable that it defines.
        x: The variable before it.
        slope: The slope below zero; None for a relu.
        high: The largest value; None if there is none.
        threshold: Of `QCFS`: the largest value; else None.
        levels: Of `QCFS`: the number of levels above zero; else None.
        pools: Equations of max pooling between ``x`` and the activation: pooling its output is the
            same as pooling its input.
        line: The line of the user's code.
    """

    out: Var
    x: Var
    slope: Atom | None
    high: float | None
    threshold: Atom | None
    levels: int | None
    pools: tuple[JaxprEqn, ...]
    line: str

    @property
    def invars(self) -> list[Atom]:
        """What it reads, as for an equation."""
        return [a for a in (self.x, self.slope, self.threshold) if a is not None]

    @property
    def outvars(self) -> list[Var]:
        """What it defines, as for an equation."""
        return [self.out]

    def pool(self, x: Array) -> Array:
        """``x`` after max pooling."""
        for eqn in self.pools:
            x = one(eqn, [x])
        return x


def run(eqns: Sequence[JaxprEqn], env: dict[Var, Any]) -> None:
    """Evaluate equations and add their outputs to ``env``."""
    evaluate(eqns, env, lambda _: False, lambda *_: ())


def one(eqn: JaxprEqn, inputs: Sequence[Array]) -> Array:
    """The output of one equation."""
    env: dict[Var, Any] = {v: a for v, a in zip(eqn.invars, inputs, strict=True) if is_var(v)}
    run([eqn], env)
    return env[eqn.outvars[0]]


def is_quantized(eqn: JaxprEqn) -> bool:
    """Whether an equation is the activation of `QCFS`."""
    if eqn.primitive.name != "custom_jvp_call":
        return False
    info = eqn.params["call_jaxpr"].jaxpr.debug_info
    return info is not None and info.func_name.split(" ")[0] == QCFS_FUNCTION


class Finder:
    """The activations among the equations of a jaxpr, by the variable that each defines."""

    def __init__(self, jaxpr: Jaxpr, n_data: int):
        self.producer = {v: e for e in jaxpr.eqns for v in e.outvars}
        self.equal = _equal_variables(jaxpr)
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
        if is_quantized(e):
            self._add_quantized(e, data)
            return
        x, slope, high = self._rectified(e)
        given = slope is None or not is_var(slope) or slope not in data
        if given and x is not None and x in data:
            x, pools = self._pooled(x)
            line = line_of(e) or e.primitive.name
            self.sites[out] = Site(out, x, slope, high, None, None, pools, line)
            return
        operand = e.invars[0]
        before = self.sites.get(operand) if is_var(operand) else None
        if e.primitive.name == "min":  # relu6 is the minimum of a relu and a number
            relu, high = self._other(e, lambda a: self._number(a) is not None)
            before = self.sites.get(relu) if relu is not None else None
            bare = before and (before.slope, before.high, before.levels) == (None, None, None)
            if before and bare and self._only_user(relu):
                self._replace(before, out, high=self._number(high))
        elif before and e.primitive.name in _POOLS and self._is_monotone(before):
            self._replace(before, out, pools=(*before.pools, e))

    def _add_quantized(self, e: JaxprEqn, data: set[Var]) -> None:
        operand, threshold, levels = e.invars
        n = self._number(levels)
        if n is None or not is_var(operand) or (is_var(threshold) and threshold in data):
            return
        x, pools = self._pooled(operand)
        if type_of(threshold).shape:
            x, pools = operand, ()
        self.sites[e.outvars[0]] = Site(
            e.outvars[0], x, None, None, threshold, int(n), pools, line_of(e)
        )

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
            if x is not None:
                return (None if self._is_variance(x) else x), None, None
            for a, b in (e.invars, e.invars[::-1]):  # of x and slope * x, the slope below 1
                slope = self._slope(b, a)
                below = None if slope is None else self._number(slope)
                if is_var(a) and below is not None and 0 <= below < 1:
                    return a, slope, None
            return None, None, None
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
        slope = self._slope(below, x)
        return (x, slope, None) if slope is not None else (None, None, None)

    def _slope(self, product: Atom, x: Atom) -> Atom | None:
        """The factor of ``x`` in a product."""
        e = self.producer.get(product) if is_var(product) else None
        if e is None or e.primitive.name != "mul" or not is_var(x):
            return None
        first, second = e.invars
        if self._same(first, x):
            return second
        return first if self._same(second, x) else None

    def _is_variance(self, x: Var) -> bool:
        """Whether ``x`` is a mean of squares minus a square, which only rounding makes negative."""
        e = self.producer.get(x)
        if e is None or e.primitive.name != "sub" or not is_var(e.invars[1]):
            return False
        square = self.producer.get(e.invars[1])
        if square is None or square.primitive.name not in ("square", "integer_pow", "mul"):
            return False
        return square.params.get("y", 2) == 2 and self._same(square.invars[0], square.invars[-1])

    def _other(self, e: JaxprEqn, is_this: Callable[[Atom], bool]) -> tuple[Any, Any]:
        """The variable of two operands of which the other one ``is_this``, and that one."""
        for a, b in (e.invars, e.invars[::-1]):
            if is_this(b) and is_var(a):
                return a, b
        return None, None

    def _same(self, a: Atom, b: Atom) -> bool:
        return is_var(a) and is_var(b) and self.equal.get(a, a) is self.equal.get(b, b)

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
        if site.threshold is not None and type_of(site.threshold).shape:
            return False  # a number per channel, which the maximum may mix
        slope = 0.0 if site.slope is None else self._number(site.slope)
        return slope is not None and slope >= 0 and self._only_user(site.out)


def _equal_variables(jaxpr: Jaxpr) -> dict[Var, Var]:
    """The first variable that has the same value, by the equations: a function called twice."""
    equal: dict[Var, Var] = {}
    seen: dict[Any, list[Var]] = {}
    for e in jaxpr.eqns:
        if e.effects:
            continue
        ins = [equal.get(a, a) if is_var(a) else f"{value({}, a)} {a.aval}" for a in e.invars]
        outs = seen.setdefault((e.primitive, *ins, str(e.params)), list(e.outvars))
        equal.update(zip(e.outvars, outs, strict=True))
    return equal
