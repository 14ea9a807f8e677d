"""Contractions: matrix products and convolutions, the equations worth storing and batching."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.extend.core import JaxprEqn, Var

from ..._types import Array
from .. import device
from .jaxpr import Atom, bind, is_var, type_of, unique
from .step import Step

CONTRACTIONS = ("dot_general", "conv_general_dilated")


def find(step: Step) -> list[JaxprEqn]:
    """The equations of a step whose outputs are worth storing."""
    return [
        e
        for e in step.eqns
        if e.primitive.name in CONTRACTIONS
        and jnp.issubdtype(type_of(e.outvars[0]).dtype, jnp.inexact)
    ]


def operands(step: Step, eqn: JaxprEqn) -> tuple[list[Var], list[Var]]:
    """The inputs of a contraction: the constants of the step, and the others."""
    ins = unique(eqn.invars)
    return [v for v in ins if v in step.consts], [v for v in ins if v not in step.consts]


def only_in_contractions(step: Step, eqns: list[JaxprEqn]) -> set[Var]:
    """The constants of a step that only the contractions ``eqns`` read."""
    chosen = {id(e) for e in eqns}
    others = {v for e in step.eqns if id(e) not in chosen for v in unique(e.invars)}
    others.update(unique([*step.new_state, *step.ys]))
    return {v for e in eqns for v in operands(step, e)[0]} - others


def can_fold(x: jax.core.ShapedArray) -> bool:
    """Whether to merge the leading axes of an array of this type in a product with a matrix.

    XLA:CPU takes 1.3 to 3 times as long for the gradient of the matrix if it sums over two axes,
    time and batch, because it transposes the whole sequence. On several devices the merged axis
    would gather a batch that is sharded over them.
    """
    split = any(axis is not None for axis in x.sharding.spec)  # on a mesh of explicit axes
    return device.one_cpu() and not split and all(isinstance(n, int) for n in x.shape)


def fold_batch(f: Callable[[Array], Array], x: Array) -> Array:
    """``f(x)`` for an ``f`` that acts on the last axis, with all other axes merged if faster."""
    if getattr(x, "ndim", 0) < 3 or not can_fold(jax.typeof(x)):
        return f(x)
    y = f(x.reshape(math.prod(x.shape[:-1]), x.shape[-1]))
    return y.reshape(*x.shape[:-1], y.shape[-1])


def batch_outermost(f: Callable[[Array], Array], x: Array, n_axes: int) -> Array:
    """``f(x)`` for an ``f`` that merges all axes of ``x`` but the last ``n_axes`` into one.

    On several devices the batch of a sequence ``[T, N, *]`` goes before time, and back. Merged
    behind it, a batch that is sharded would be gathered, and every device would do all of the work.
    """
    if getattr(x, "ndim", 0) < n_axes + 2 or not device.several():
        return f(x)
    return f(x.swapaxes(0, 1)).swapaxes(0, 1)


def folds(eqn: JaxprEqn, is_time_varying: Callable[[Atom], bool]) -> bool:
    """Whether time is to be merged into the batch of the left operand of a contraction.

    Args:
        eqn: The contraction.
        is_time_varying: Whether an operand changes over time.
    """
    if eqn.primitive.name not in CONTRACTIONS:
        return False
    left, right = eqn.invars
    if not is_time_varying(left) or is_time_varying(right):
        return False
    if eqn.primitive.name == "conv_general_dilated":
        return device.several() and eqn.params["batch_group_count"] == 1
    (summed, _), (batched, _) = eqn.params["dimension_numbers"]
    kind = type_of(left)
    free = not batched and kind.ndim > 1 and 0 not in summed and is_var(right)
    return free and can_fold(kind)


def folded(eqn: JaxprEqn, left: Array, right: Array) -> Array:
    """The contraction that `folds`, for all steps at once; ``left`` is ``[T, *]``."""
    if eqn.primitive.name == "conv_general_dilated":
        return _batch_outermost_conv(eqn, left, right)
    steps, n, *rest = left.shape
    (out,) = bind(eqn, [left.reshape(steps * n, *rest), right])
    return out.reshape(steps, n, *out.shape[1:])


def _batch_outermost_conv(eqn: JaxprEqn, x: Array, kernel: Array) -> Array:
    """A convolution of ``[T, *]``, with time behind the batch as in `batch_outermost`."""
    numbers = eqn.params["dimension_numbers"]
    at, to = numbers.lhs_spec[0], numbers.out_spec[0]
    x = jnp.moveaxis(x, 0, at + 1)
    batch = x.shape[at : at + 2]
    (y,) = bind(eqn, [x.reshape(*x.shape[:at], math.prod(batch), *x.shape[at + 2 :]), kernel])
    return jnp.moveaxis(y.reshape(*y.shape[:to], *batch, *y.shape[to + 1 :]), to + 1, 0)
