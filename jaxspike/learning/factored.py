"""Factored traces: a mean of the inputs and one of the derivatives in place of their product.

With the derivatives ``D_t`` of a neuron's memory by its memory and ``B_t`` by what enters it,
inputs ``p_t``, a decay ``a``, and the gradients ``dl/dh`` by the memory before the step and
``dl/du`` by what enters in it:

``x_t = a x_{t-1} + p_t``, ``f_t = a D_t f_{t-1} + (1 - a) B_t``, ``c_t = a c_{t-1} + 1 - a``,
``dl_t/dw = (a dl/dh f_{t-1} + (1 - a) dl/du) / c_t (x) x_t``.

Source: Wang et al., ES-D-RTRL; in braintrace ``pp_prop``. There the gradient is taken by the memory
after the step, ``dl/dh_t f_t``, which is the same if the loss depends on nothing else.
"""

from collections.abc import Iterator, Sequence

import jax.numpy as jnp
import numpy as np
from jax.extend.core import Var

from .._types import Array, Shape
from ..engine.program import type_of
from .trace import Kept, Trace

INPUT, OUTPUT, WEIGHT = "input", "output", "weight"


def traces(
    operands: Sequence[Var], leaves: Sequence[int], shape: Shape, dtype: np.dtype
) -> Iterator[Trace]:
    """Factored traces of the operands that enter neurons of a shape, in some of their memories."""
    for p in operands:
        yield Trace(-1, INPUT, p, type_of(p).shape, dtype)
    for leaf in leaves:
        yield Trace(leaf, OUTPUT, None, shape, dtype)
    yield Trace(-1, WEIGHT, None, tuple(n if i == 0 else 1 for i, n in enumerate(shape)), dtype)


def signal(decay: float, kept: list[Kept], by_leaf: Sequence[Array], entering: Array) -> Array:
    """The gradient that each neuron gives to the mean of its inputs."""
    total = (1 - decay) * entering
    for t, a in kept:
        if t.stored == OUTPUT:
            total = total + decay * by_leaf[t.leaf].astype(a.dtype) * a
    (weight,) = (a for t, a in kept if t.stored == WEIGHT)
    return total / (decay * weight + 1 - decay)


def moved(
    decay: float,
    trace: Trace,
    old: list[Kept],
    by_leaf: Sequence[Array],
    by_entry: Array | None,
    operand: Array | None,
) -> Array:
    """One trace after a step.

    Args:
        decay: The decay.
        trace: The trace.
        old: All traces before.
        by_leaf: The derivatives of its leaf for each leaf.
        by_entry: That by what enters.
        operand: The value of its operand.
    """
    (mine,) = (a for t, a in old if t is trace)
    if trace.stored == WEIGHT:
        return decay * mine + (1 - decay)
    if trace.stored == INPUT:
        assert operand is not None
        return decay * mine + operand.astype(trace.dtype)
    assert by_entry is not None
    total = (1 - decay) * by_entry.astype(trace.dtype)
    for t, a in old:
        if t.stored == OUTPUT:
            total = total + decay * by_leaf[t.leaf].astype(trace.dtype) * a
    return jnp.broadcast_to(total, trace.shape)
