"""Rectifiers in equations, in any spelling: relu, leaky relu, abs, and clips to a range."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jax.extend.core import Jaxpr, JaxprEqn, Literal, Var

from ..engine.program import Atom, is_var, type_of, unique, value
from .scaled import number

_ABOVE, _BELOW = ("gt", "ge"), ("lt", "le")
_COPIES = ("copy", "stop_gradient", "name", "select_n")  # of cases that are equal


class Rectifier(NamedTuple):
    """The function ``min(relu(x), high) - slope * min(relu(-x), low)``.

    Attributes:
        x: The variable before it.
        slope: The slope below zero; None for zero.
        high: The largest value; None if there is none.
        low: The largest value of ``relu(-x)``; None if there is none.
        limit: The largest value, if it is an array of the network.
    """

    x: Var
    slope: Atom | None = None
    high: float | None = None
    low: float | None = None
    limit: Var | None = None

    def is_fixed(self, data: set[Var]) -> bool:
        """Whether slope and limit are none of the variables ``data``."""
        return not any(is_var(a) and a in data for a in (self.slope, self.limit) if a is not None)


class Rectifiers:
    """Finds the rectifier that an equation completes."""

    def __init__(self, jaxpr: Jaxpr):
        self.producer = {v: e for e in jaxpr.eqns for v in e.outvars}
        self.equal = _equal_variables(jaxpr)

    def find(self, e: JaxprEqn) -> Rectifier | None:
        """The rectifier whose output is that of ``e``."""
        name = e.primitive.name
        if name == "clamp":
            low, x, high = e.invars
            return self._clipped(x, self.number(low), self.number(high), e)
        if name == "abs" and is_var(e.invars[0]):
            return Rectifier(e.invars[0], _literal(-1.0, e))
        if name == "mul":
            return self._masked(e)
        if name in ("add", "add_any"):
            return self._of_parts(e)
        if bound := self._bound(e):
            return self._of_bounds(*bound, e)
        if name == "max":
            return self._of_slopes(e)
        if name == "min":
            return self._of_limit(e)
        return self._chosen(e) if name == "select_n" and len(e.invars) == 3 else None

    def _bound(self, e: JaxprEqn | None) -> tuple[str, Var, float] | None:
        """Of ``max(x, number)``, also ``where(x > number, x, number)``, and of minima likewise.

        Returns:
            "max" or "min", x and the number.
        """
        if e is None:
            return None
        name = e.primitive.name
        if name in ("max", "min"):
            x, bound = self.other(e, lambda a: self.number(a) is not None)
            limit = None if x is None else self.number(bound)
            return None if limit is None else (name, x, limit)
        if name != "select_n" or len(e.invars) != 3:
            return None
        x, limit, is_above = self._comparison(e.invars[0])
        below, above = e.invars[1:] if is_above else e.invars[:0:-1]
        if x is None or limit is None:
            return None
        if self.same(above, x) and self.number(below) == limit:
            return "max", x, limit
        return ("min", x, limit) if self.same(below, x) and self.number(above) == limit else None

    def _of_bounds(self, name: str, x: Var, limit: float, e: JaxprEqn) -> Rectifier | None:
        """Of ``max(x, 0)``, and of a minimum and a maximum of numbers."""
        inner = self._bound(self.made(x))
        if inner is not None and inner[0] != name:
            low, high = (limit, inner[2]) if name == "max" else (inner[2], limit)
            if found := self._clipped(inner[1], low, high, e):
                return found
        is_relu = name == "max" and limit == 0 and not self._is_variance(x)
        return Rectifier(x) if is_relu else None

    def _of_limit(self, e: JaxprEqn) -> Rectifier | None:
        """Of ``min(max(x, 0), limit)`` with an array."""
        for a, b in (e.invars, e.invars[::-1]):
            inner = self._bound(self.made(a))
            if inner and inner[::2] == ("max", 0) and is_var(b):
                return Rectifier(inner[1], limit=b)
        return None

    def _of_slopes(self, e: JaxprEqn) -> Rectifier | None:
        """Of ``max(x, slope * x)``, the slope below 1."""
        for a, b in (e.invars, e.invars[::-1]):
            slope = self._slope(b, a)
            below = None if slope is None else self.number(slope)
            if is_var(a) and below is not None and 0 <= below < 1:
                return Rectifier(a, slope)
        return None

    def _of_parts(self, e: JaxprEqn) -> Rectifier | None:
        """Of ``max(x, 0) + slope * min(x, 0)``."""
        for a, b in (e.invars, e.invars[::-1]):
            above, product = (self.made(v) for v in (a, b))
            bound = self._bound(above)
            if bound is None or bound[::2] != ("max", 0) or product is None:
                continue
            for v in unique(product.invars):
                below = self._bound(self.made(v))
                if below and below[::2] == ("min", 0) and self.same(below[1], bound[1]):
                    slope = self._slope(b, v)
                    return None if slope is None else Rectifier(bound[1], slope)
        return None

    def _clipped(
        self, x: Atom | None, low: float | None, high: float | None, e: JaxprEqn
    ) -> Rectifier | None:
        """Of ``clip(x, low, high)``, with zero in between."""
        if x is None or not is_var(x) or low is None or high is None or not low <= 0 < high:
            return None
        return Rectifier(x, None, high) if low == 0 else Rectifier(x, _literal(1.0, e), high, -low)

    def _masked(self, e: JaxprEqn) -> Rectifier | None:
        """Of ``x * (x > 0)`` and ``x * where(x > 0, 1, 0)``."""
        for a, b in (e.invars, e.invars[::-1]):
            x, limit, above = self._comparison(self._mask(b))
            if above and limit == 0 and self.same(a, x):
                return Rectifier(x)
        return None

    def _mask(self, a: Atom) -> Atom:
        """The truth value that is 0 or 1 in ``a``."""
        a = self._through(a, "convert_element_type")
        e = self.made(a)
        is_chosen = e and e.primitive.name == "select_n" and len(e.invars) == 3
        if e and is_chosen and [self.number(case) for case in e.invars[1:]] == [0, 1]:
            return e.invars[0]
        return a

    def _chosen(self, e: JaxprEqn) -> Rectifier | None:
        """Of ``where(x > 0, x, slope * x)``, and of ``where(x > 1, 1, where(x < -1, -1, x))``."""
        x, limit, is_above = self._comparison(e.invars[0])
        below, above = e.invars[1:] if is_above else e.invars[:0:-1]
        if x is None:
            return None
        if limit == 0 and self.same(above, x):
            slope = self._slope(below, x)
            return None if slope is None else Rectifier(x, slope)
        one = self._limited(e)
        other = self._limited(self.made(one[2])) if one else None
        if one and other and self.same(one[0], other[0]) and self.same(other[2], one[0]):
            limits = (other[1], one[1]) if is_above else (one[1], other[1])
            return self._clipped(x, *limits, e)
        return None

    def _limited(self, e: JaxprEqn | None) -> tuple[Var, float, Atom] | None:
        """Of ``where(x > limit, limit, rest)`` or with ``<``: x, the limit and the rest."""
        if e is None or e.primitive.name != "select_n" or len(e.invars) != 3:
            return None
        x, limit, _ = self._comparison(e.invars[0])
        if x is None or limit is None or self.number(e.invars[2]) != limit:
            return None
        return x, limit, e.invars[1]

    def _comparison(self, test: Atom) -> tuple[Any, float | None, bool]:
        """Of ``x > number`` or ``x < number``: x, the number, and whether x is above it."""
        e = self.made(self._condition(test))
        if e is not None and e.primitive.name == "not":
            x, limit, above = self._comparison(e.invars[0])
            return x, limit, not above
        if e is None or e.primitive.name not in (*_ABOVE, *_BELOW):
            return None, None, False
        x, limit = self.other(e, lambda a: self.number(a) is not None)
        above = (e.primitive.name in _ABOVE) == (x is e.invars[0])
        return x, None if x is None else self.number(limit), above

    def _condition(self, test: Atom) -> Atom:
        """The truth value inside one of `jnp.fmax`, `jnp.select` and `jnp.piecewise`.

        The first asks for NaN as well, the others for the place of the first, or the last, True in
        False and the condition.
        """
        e = self.made(test)
        if e is not None and e.primitive.name == "or":
            for a, b in (e.invars, e.invars[::-1]):
                other = self.made(self._through(b, "convert_element_type"))
                if other and other.primitive.name == "ne" and self.same(*other.invars):
                    return a
        if e is not None and e.primitive.name == "clamp":
            e = self.made(e.invars[1])
        if e is None or e.primitive.name != "argmax" or e.params["axes"] != (0,):
            return test
        e = self.made(self._through(e.invars[0], "cumsum", "convert_element_type"))
        if e is None or e.primitive.name not in ("stack", "concatenate") or len(e.invars) != 2:
            return test
        along = e.params.get("axis", e.params.get("dimension"))
        if along != 0 or self.number(e.invars[0]) != 0:
            return test
        return self._through(e.invars[1], "broadcast_in_dim")

    def _through(self, a: Atom, *names: str) -> Atom:
        """What ``a`` is made of by operations of one operand with these names."""
        while (e := self.made(a)) is not None and e.primitive.name in names:
            a = e.invars[0]
        return a

    def _slope(self, product: Atom, x: Atom) -> Atom | None:
        """The factor of ``x`` in a product."""
        e = self.made(product)
        if e is None or e.primitive.name not in ("mul", "div") or not is_var(x):
            return None
        first, second = e.invars
        if e.primitive.name == "div":
            divisor = self.number(second) if self.same(first, x) else None
            return _literal(1 / divisor, e) if divisor else None
        if self.same(first, x):
            return second
        return first if self.same(second, x) else None

    def _is_variance(self, x: Var) -> bool:
        """Whether ``x`` is a mean of squares minus a square, which only rounding makes negative."""
        e = self.made(x)
        if e is None or e.primitive.name != "sub" or not is_var(e.invars[1]):
            return False
        square = self.made(e.invars[1])
        if square is None or square.primitive.name not in ("square", "integer_pow", "mul"):
            return False
        return square.params.get("y", 2) == 2 and self.same(square.invars[0], square.invars[-1])

    def other(self, e: JaxprEqn, is_this: Callable[[Atom], bool]) -> tuple[Any, Any]:
        """The variable of two operands of which the other one ``is_this``, and that one."""
        for a, b in (e.invars, e.invars[::-1]):
            if is_this(b) and is_var(a):
                return a, b
        return None, None

    def same(self, a: Atom | None, b: Atom | None) -> bool:
        """Whether two variables, or two numbers, have the same value."""
        if a is None or b is None:
            return False
        if is_var(a) and is_var(b):
            return self.equal.get(a, a) is self.equal.get(b, b)
        return not is_var(a) and not is_var(b) and number(a) == number(b) is not None

    def number(self, a: Atom) -> float | None:
        """The number that fills a literal or a broadcast literal."""
        a = self._through(a, "broadcast_in_dim", "convert_element_type")
        return None if is_var(a) else number(a)

    def made(self, a: Atom | None) -> JaxprEqn | None:
        """The equation of a variable; None for others."""
        if a is None or not is_var(a):
            return None
        return self.producer.get(self.equal.get(a, a))


def _literal(number: float, e: JaxprEqn) -> Literal:
    return Literal(np.float32(number), type_of(e.outvars[0]))


def _equal_variables(jaxpr: Jaxpr) -> dict[Var, Var]:
    """The first variable that has the same value, by the equations: a function called twice."""
    equal: dict[Var, Var] = {}
    seen: dict[Any, list[Var]] = {}
    for e in jaxpr.eqns:
        if e.effects:
            continue
        name, cases = e.primitive.name, [equal.get(a, a) if is_var(a) else a for a in e.invars]
        if name == "select_n":
            cases = cases[1:]
        if name in _COPIES and is_var(cases[0]) and all(a is cases[0] for a in cases):
            equal[e.outvars[0]] = cases[0]
            continue
        ins = [equal.get(a, a) if is_var(a) else f"{value({}, a)} {a.aval}" for a in e.invars]
        outs = seen.setdefault((e.primitive, *ins, str(e.params)), list(e.outvars))
        equal.update(zip(e.outvars, outs, strict=True))
    return equal
