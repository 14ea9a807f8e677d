"""The activations of an ANN in its equations."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from jax.extend.core import Jaxpr, JaxprEqn, Var

from .._types import Array
from ..engine.program import Atom, evaluate, is_elementwise, is_var, line_of, type_of, unique
from ..nn import QCFS
from .maxima import Maximum, continues, maximum
from .rectifiers import Rectifiers

QCFS_FUNCTION = QCFS.function.__name__


@dataclasses.dataclass(frozen=True, eq=False)
class Site:
    """A `Rectifier`, or an activation of few levels, in equations.

    Attributes:
        out: The variable that it defines.
        x: The variable before it.
        slope: The slope below zero; None for a relu.
        high: The largest value; None if there is none.
        low: The largest value of ``relu(-x)``; None if there is none.
        threshold: The largest value, if it is an array of the network, as that of `QCFS` is.
        levels: Of `QCFS`: the number of levels above zero; else None.
        pools: The max pooling between ``x`` and the activation: pooling its output is the same as
            pooling its input.
        line: The line of the user's code.
        channel: The axis of channels: the features of the convolution before it, else the last.
    """

    out: Var
    x: Var
    slope: Atom | None
    high: float | None
    low: float | None
    threshold: Atom | None
    levels: int | None
    pools: tuple[Maximum, ...]
    line: str
    channel: int

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
        for pool in self.pools:
            x = pool(x)
        return x


def run(eqns: Sequence[JaxprEqn], env: dict[Var, Any]) -> None:
    """Evaluate equations and add their outputs to ``env``."""
    evaluate(eqns, env, lambda _: False, lambda *_: ())


def outputs(eqn: JaxprEqn, inputs: Sequence[Array]) -> list[Array]:
    """The outputs of one equation."""
    env: dict[Var, Any] = {v: a for v, a in zip(eqn.invars, inputs, strict=True) if is_var(v)}
    run([eqn], env)
    return [env[v] for v in eqn.outvars]


def called(eqn: JaxprEqn) -> str:
    """The name of the function that an equation calls; of others their own."""
    if eqn.primitive.name != "custom_jvp_call":
        return str(eqn.params.get("name", eqn.primitive.name))
    info = eqn.params["call_jaxpr"].jaxpr.debug_info
    return "" if info is None else info.func_name.split(" ")[0]


def is_quantized(eqn: JaxprEqn) -> bool:
    """Whether an equation is the activation of `QCFS`."""
    return eqn.primitive.name == "custom_jvp_call" and called(eqn) == QCFS_FUNCTION


class Finder:
    """The activations among the equations of a jaxpr, by the variable that each defines."""

    def __init__(self, jaxpr: Jaxpr, n_data: int):
        self.rectifiers = Rectifiers(jaxpr)
        self.users: dict[Var, list[JaxprEqn | None]] = {}
        for e in jaxpr.eqns:
            for v in unique(e.invars):
                self.users.setdefault(v, []).append(e)
        for v in unique(jaxpr.outvars):
            self.users.setdefault(v, []).append(None)
        data = set(jaxpr.invars[len(jaxpr.invars) - n_data :])
        self.sites: dict[Var, Site] = {}
        for e in jaxpr.eqns:
            if e.outvars and any(v in data for v in unique(e.invars)):
                data.update(e.outvars)
                self._add(e, data)

    def _add(self, e: JaxprEqn, data: set[Var]) -> None:
        out = e.outvars[0]
        if not jnp.issubdtype(type_of(out).dtype, jnp.floating):
            return
        if is_quantized(e):
            self._add_quantized(e, data)
            return
        found = self.rectifiers.find(e)
        is_real = found is not None and jnp.issubdtype(type_of(found.x).dtype, jnp.floating)
        if found is not None and is_real and found.is_fixed(data) and found.x in data:
            x, pools = self._pooled(found.x, found.limit)
            line = line_of(e) or e.primitive.name
            channel = self._channel(x)
            self.sites[out] = Site(out, x, *found[1:], None, pools, line, channel)
            return
        producers = self.rectifiers.producer
        pool = maximum(e, producers)
        before = self.sites.get(pool.x) if pool else None
        more = any(continues(user, out, producers) for user in self.users.get(out, ()))
        if pool and before and not more and self._is_monotone(before):
            self._replace(before, out, pools=(*before.pools, pool))

    def _add_quantized(self, e: JaxprEqn, data: set[Var]) -> None:
        operand, threshold, levels = e.invars
        n = self.rectifiers.number(levels)
        if n is None or not is_var(operand) or (is_var(threshold) and threshold in data):
            return
        x, pools = self._pooled(operand, threshold)
        self.sites[e.outvars[0]] = Site(
            e.outvars[0], x, None, None, None, threshold, int(n), pools, line_of(e), -1
        )

    def _pooled(self, x: Var, threshold: Atom | None) -> tuple[Var, tuple[Maximum, ...]]:
        """The variable of which ``x`` is the maximum, and the max pooling between them."""
        pools: tuple[Maximum, ...] = ()
        if threshold is not None and type_of(threshold).shape:
            return x, pools  # a number per channel, which the maximum may mix
        producers = self.rectifiers.producer
        while (pool := maximum(producers.get(x), producers)) is not None:
            if pool.x in self.sites:
                break
            x, pools = pool.x, (pool, *pools)
        return x, pools

    def _channel(self, x: Var) -> int:
        """The axis of channels, looked for in what has the same axes as ``x``."""
        todo, seen, ndim = [x], {x}, type_of(x).ndim
        while todo:
            e = self.rectifiers.producer.get(todo.pop())
            if e is None:
                continue
            if e.primitive.name == "conv_general_dilated":
                axis = e.params["dimension_numbers"].out_spec[1]
                return axis - ndim if type_of(e.outvars[0]).ndim == ndim else -1
            if is_elementwise(e) or e.primitive.name.startswith("reduce_window"):
                found = [v for v in unique(e.invars) if v not in seen and type_of(v).ndim == ndim]
                todo += found
                seen.update(found)
        return -1

    def _replace(self, site: Site, out: Var, **changes: Any) -> None:
        del self.sites[site.out]
        self.sites[out] = dataclasses.replace(site, out=out, **changes)

    def _only_user(self, v: Var | None) -> bool:
        return v is not None and len(self.users.get(v, ())) == 1

    def _is_monotone(self, site: Site) -> bool:
        """Whether a maximum over ``site`` alone is that over its input."""
        if site.threshold is not None and type_of(site.threshold).shape:
            return False  # a number per channel, which the maximum may mix
        slope = 0.0 if site.slope is None else self.rectifiers.number(site.slope)
        return slope is not None and slope >= 0 and self._only_user(site.out)
