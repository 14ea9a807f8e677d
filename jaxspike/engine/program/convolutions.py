"""Convolutions with their axes in the order for which XLA:CPU has a fast kernel."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax
from jax import lax
from jax.extend.core import (
    ClosedJaxpr,  # type: ignore[attr-defined, unused-ignore]  # JAX 0.12
    JaxprEqn,
)

from ..._types import Array, Tree
from .. import device
from .jaxpr import evaluate, jaxprs_in, value

NAME = "conv_general_dilated"
INLINE = ("jit", "pjit", "closed_call", "scan", "while", "cond")


def has_convolution(eqns: Iterable[JaxprEqn]) -> bool:
    """Whether there is a convolution in some equations, or inside them."""
    return any(
        e.primitive.name == NAME or any(has_convolution(j.eqns) for j in jaxprs_in(e)) for e in eqns
    )


def with_fast_convolutions(f: Callable[..., Tree]) -> Callable[..., Tree]:
    """The same function, with convolutions whose last axis is that of features.

    XLA:CPU calls its fast kernel for convolutions of ``[N, *, C]`` by ``[*, C, D]``, and moves axes
    to make them so, but only outside of loops. In a loop the gradient of a convolution, which has
    its axes in another order, takes ten times as long.
    """

    def fast(*args):
        if not device.one_cpu():
            return f(*args)
        closed, out = jax.make_jaxpr(f, return_shape=True)(*args)
        found = _run(closed, jax.tree.leaves(args))
        return jax.tree.unflatten(jax.tree.structure(out), found)

    return fast


def _run(closed: ClosedJaxpr, args: Sequence[Array]) -> list[Array]:
    jaxpr = closed.jaxpr
    ins = [*jaxpr.constvars, *jaxpr.invars]
    env = dict(zip(ins, [*closed.consts, *args], strict=True))
    evaluate(jaxpr.eqns, env, lambda e: has_convolution([e]), _run_one)
    return [value(env, v) for v in jaxpr.outvars]


def _run_one(eqn: JaxprEqn, values: list[Array]) -> Sequence[Array]:
    params = eqn.params
    if eqn.primitive.name == NAME:
        return (
            [_convolved(*values, **params)]
            if params["batch_group_count"] == 1
            else _bound(eqn, values)
        )
    if eqn.primitive.name in INLINE:
        params = {name: _rewritten(p) for name, p in params.items()}
    return _bound(eqn, values, params)


def _bound(eqn: JaxprEqn, values, params=None):
    out = eqn.primitive.bind(*values, **(params or eqn.params))
    return list(out) if eqn.primitive.multiple_results else [out]


def _rewritten(p: Any) -> Any:
    """A parameter of an equation, with the convolutions inside it."""
    if isinstance(p, tuple) and p and all(isinstance(b, ClosedJaxpr) for b in p):
        return tuple(map(_rewritten, p))
    if not isinstance(p, ClosedJaxpr) or not has_convolution(p.eqns):
        return p
    return jax.make_jaxpr(lambda *args: _run(p, args))(*p.in_avals)


def _convolved(x: Array, kernel: Array, *, dimension_numbers, **params) -> Array:
    """A convolution with the last axis for features."""
    (n, c, *of_x), (d, c_of_kernel, *of_kernel), (n_out, d_out, *of_out) = dimension_numbers
    y = lax.conv_general_dilated_p.bind(
        lax.transpose(x, (n, *of_x, c)),
        lax.transpose(kernel, (*of_kernel, c_of_kernel, d)),
        dimension_numbers=features_last(len(of_x)),
        **params,
    )
    places = (n_out, *of_out, d_out)  # of the axes of y in the result
    return lax.transpose(y, [places.index(i) for i in range(y.ndim)])


def features_last(n: int) -> lax.ConvDimensionNumbers:
    """The places of batch, features and ``n`` other axes, and of those of the kernel."""
    return lax.ConvDimensionNumbers(
        (0, n + 1, *range(1, n + 1)), (n + 1, n, *range(n)), (0, n + 1, *range(1, n + 1))
    )
