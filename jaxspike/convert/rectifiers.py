"""Rectifiers in equations, in any spelling: relu, leaky relu, abs, and clips to a range."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jax.extend.core import Jaxpr, JaxprEqn, Literal, Var

from ..engine.program import Atom, is_var, type_of, value
from .scaled import number

_ABOVE, _BELOW = ("gt", "ge"), ("lt", "le")


class Rectifier(NamedTuple):
    """The function ``min(relu(x), high) - slope * min(relu(-x), low)``.

    Attributes:
        x: The variable before it.
        slope: The slope below zero; None for zero.
        high: The largest value; None if there is none.
        low: The largest value of ``relu(-x)``; None if there is none.
    """

    x: Var
    slope: Atom | None = None
    high: float | None = None
    low: float | None = None

    def has_fixed_slope(self, data: set[Var]) -> bool:
        """Whether the slope is none of the variables ``data``."""
        return self.slope is None or not is_var(self.slope) or self.slope not in data


class Rectifiers:
    """Finds the rectifier that an equation completes."""

    def __init__(self, jaxpr: Jaxpr):
        self.producer = {v: e for e in jaxpr.eqns for v in e.outvars}
        self.equal = _equal_variables(jaxpr)

    def find(self, e: JaxprEqn) -> Rectifier | None:
        """The rectifier whose output is that of ``e``."""
        name = e.primitive.name
        if name in ("max", "min"):
            return self._of_bounds(e)
        if name == "clamp":
            low, x, high = e.invars
            return self._clipped(x, self.number(low), self.number(high), e)
        if name == "abs" and is_var(e.invars[0]):
            return Rectifier(e.invars[0], _literal(-1.0, e))
        if name == "mul":
            return self._masked(e)
        return self._chosen(e) if name == "select_n" and len(e.invars) == 3 else None

    def _of_bounds(self, e: JaxprEqn) -> Rectifier | None:
        """Of ``max(x, 0)``, ``max(x, slope * x)``, and a minimum and a maximum of numbers."""
        name = e.primitive.name
        x, bound = self.other(e, lambda a: self.number(a) is not None)
        if x is not None:
            inner = self.producer.get(x)
            if inner is not None and {name, inner.primitive.name} == {"max", "min"}:
                a, limit = self.other(inner, lambda a: self.number(a) is not None)
                bounds = [self.number(bound), None if a is None else self.number(limit)]
                low, high = bounds if name == "max" else bounds[::-1]
                if found := self._clipped(a, low, high, e):
                    return found
            is_relu = name == "max" and self.number(bound) == 0 and not self._is_variance(x)
            return Rectifier(x) if is_relu else None
        for a, b in (e.invars, e.invars[::-1]):  # of x and slope * x, the slope below 1
            slope = self._slope(b, a) if name == "max" else None
            below = None if slope is None else self.number(slope)
            if is_var(a) and below is not None and 0 <= below < 1:
                return Rectifier(a, slope)
        return None

    def _clipped(
        self, x: Atom | None, low: float | None, high: float | None, e: JaxprEqn
    ) -> Rectifier | None:
        """Of ``clip(x, low, high)``, with zero in between."""
        if x is None or not is_var(x) or low is None or high is None or not low <= 0 < high:
            return None
        return Rectifier(x, None, high) if low == 0 else Rectifier(x, _literal(1.0, e), high, -low)

    def _masked(self, e: JaxprEqn) -> Rectifier | None:
        """Of ``x * (x > 0)``."""
        for a, b in (e.invars, e.invars[::-1]):
            mask = self.producer.get(b) if is_var(b) else None
            if mask is not None and mask.primitive.name == "convert_element_type":
                x, limit, above = self._comparison(mask.invars[0])
                if above and limit == 0 and self.same(a, x):
                    return Rectifier(x)
        return None

    def _chosen(self, e: JaxprEqn) -> Rectifier | None:
        """Of ``where(x > 0, x, slope * x)``, and of ``where(x > 1, 1, where(x < -1, -1, x))``."""
        x, limit, is_above = self._comparison(e.invars[0])
        below, above = e.invars[1:] if is_above else e.invars[:0:-1]
        if x is None:
            return None
        if limit == 0 and self.same(above, x):
            if self.number(below) == 0:
                return Rectifier(x)
            slope = self._slope(below, x)
            return None if slope is None else Rectifier(x, slope)
        one, other = self._limited(e), None
        if one and is_var(one[2]) and one[2] in self.producer:
            other = self._limited(self.producer[one[2]])
        if one and other and self.same(one[0], other[0]) and self.same(other[2], one[0]):
            limits = (other[1], one[1]) if is_above else (one[1], other[1])
            return self._clipped(x, *limits, e)
        return None

    def _limited(self, e: JaxprEqn) -> tuple[Var, float, Atom] | None:
        """Of ``where(x > limit, limit, rest)`` or with ``<``: x, the limit and the rest."""
        if e.primitive.name != "select_n" or len(e.invars) != 3:
            return None
        x, limit, _ = self._comparison(e.invars[0])
        if x is None or limit is None or self.number(e.invars[2]) != limit:
            return None
        return x, limit, e.invars[1]

    def _comparison(self, test: Atom) -> tuple[Any, float | None, bool]:
        """Of ``x > number`` or ``x < number``: x, the number, and whether x is above it."""
        e = self.producer.get(test) if is_var(test) else None
        if e is not None and e.primitive.name == "not":
            x, limit, above = self._comparison(e.invars[0])
            return x, limit, not above
        if e is None or e.primitive.name not in (*_ABOVE, *_BELOW):
            return None, None, False
        x, limit = self.other(e, lambda a: self.number(a) is not None)
        above = (e.primitive.name in _ABOVE) == (x is e.invars[0])
        return x, None if x is None else self.number(limit), above

    def _slope(self, product: Atom, x: Atom) -> Atom | None:
        """The factor of ``x`` in a product."""
        e = self.producer.get(product) if is_var(product) else None
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
        e = self.producer.get(x)
        if e is None or e.primitive.name != "sub" or not is_var(e.invars[1]):
            return False
        square = self.producer.get(e.invars[1])
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
        """Whether two variables have the same value."""
        if a is None or b is None or not (is_var(a) and is_var(b)):
            return False
        return self.equal.get(a, a) is self.equal.get(b, b)

    def number(self, a: Atom) -> float | None:
        """The number that fills a literal or a broadcast literal."""
        if not is_var(a):
            return number(a)
        e = self.producer.get(a)
        if e is not None and e.primitive.name in ("broadcast_in_dim", "convert_element_type"):
            return self.number(e.invars[0])
        return None


def _literal(number: float, e: JaxprEqn) -> Literal:
    return Literal(np.float32(number), type_of(e.outvars[0]))


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
