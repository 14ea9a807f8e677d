"""The operations of one product, a matrix product or a convolution, on real data."""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import JaxprEqn

from .._types import Array
from ..engine.program import CONTRACTIONS, type_of
from . import counters

_FLOAT_LIMIT, _WORD_LIMIT = 2**24, 2**32  # the largest exact count in float32 and in uint32


class Product(NamedTuple):
    """Counts of one product (see `counters`).

    Attributes:
        ac: Accumulations: pairs of nonzero operands where an activation is in {-1, 0, 1}.
        multi: Accumulations where an activation has other whole numbers: a value of 3 is sent three
            times.
        mac: Multiply-accumulates: pairs of nonzero operands where all activations are real.
        effective: Pairs of nonzero operands, of any class.
        dense: All pairs, without those that padding adds.
        spike_fan_out: Pairs with a spike, whatever the weight, where an activation is in {0, 1}.
        dense_mac: All pairs where no activation is in {0, 1}.
        nonzeros: The activations that are not zero.
        spikes: Those of them in operands in {0, 1}.
        elements: All activations.
        dense_elements: Those in operands that are not in {0, 1}.
        outputs: The results.
        bytes: The bytes of all activations.
    """

    ac: Array
    multi: Array
    mac: Array
    effective: Array
    dense: Array
    spike_fan_out: Array
    dense_mac: Array
    nonzeros: Array
    spikes: Array
    elements: Array
    dense_elements: Array
    outputs: Array
    bytes: Array


def is_product(eqn: JaxprEqn) -> bool:
    """Whether an equation is a matrix product or a convolution."""
    return eqn.primitive.name in CONTRACTIONS


def measure(eqn: JaxprEqn, operands: list[Array], is_data: list[bool]) -> Product:
    """Count the operations of a product whose operands have these values.

    Args:
        eqn: The product.
        operands: Its two operands.
        is_data: Which of them are activations; the other is a weight.
    """
    largest = _largest(eqn)
    if dense(eqn) >= counters.LARGEST or not largest:
        raise ValueError(
            f"`operations(x_seq=...)` must be small enough to count exactly, got a product of "
            f"{operands[0].shape} and {operands[1].shape}. Give fewer samples at a time."
        )
    none = counters.constant(0)
    nonzero = [v != 0 for v in operands]
    present = [mask.astype(jnp.uint32) for mask in nonzero]
    effective = counters.total(pairs(eqn, *present))

    def total(i: int, activation: Array, weight: Array) -> Array:
        return counters.total(pairs(eqn, *(activation, weight)[:: 1 if i == 0 else -1]))

    def of_operands(holds: Callable[[Array], Array]) -> Array:
        return jnp.stack([jnp.all(holds(v)) for v in operands]) & jnp.asarray(is_data)

    spikes = of_operands(lambda v: (v == 0) | (v == 1))
    binary = of_operands(lambda v: (v == 0) | (abs(_signed(v)) == 1))
    whole = of_operands(
        lambda v: (_signed(v) == jnp.round(_signed(v))) & (abs(_signed(v)) <= _within(v, largest))
    )

    def sent(i: int) -> Array:
        """Each whole number as often as it is sent."""
        times = jnp.where(whole[i], abs(_signed(operands[i])), 0).astype(jnp.uint32)
        return total(i, times, present[1 - i])

    def fan_out(i: int) -> Array:
        return total(i, present[i], jnp.ones_like(present[1 - i]))

    is_multi = whole.any() & ~binary.any()
    multi = lax.switch(
        jnp.where(is_multi, jnp.argmax(whole), 2), [lambda: sent(0), lambda: sent(1), lambda: none]
    )
    spike_fan_out = lax.switch(
        jnp.where(spikes.all(), 2, jnp.where(spikes.any(), jnp.argmax(spikes), 3)),
        [lambda: fan_out(0), lambda: fan_out(1), lambda: effective, lambda: none],
    )
    all_pairs = counters.constant(dense(eqn))
    return Product(
        ac=jnp.where(binary.any(), effective, none),
        multi=multi,
        mac=jnp.where(whole.any() | binary.any(), none, effective),
        effective=effective,
        dense=all_pairs,
        spike_fan_out=spike_fan_out,
        dense_mac=jnp.where(spikes.any(), none, all_pairs),
        **_sizes(eqn, nonzero, spikes, [i for i in (0, 1) if is_data[i]]),
    )


def _sizes(
    eqn: JaxprEqn, nonzero: list[Array], spikes: Array, activations: list[int]
) -> dict[str, Array]:
    """The counts of a product that depend on its activations and results only."""
    kinds = [type_of(eqn.invars[i]) for i in activations]
    sizes = [math.prod(kind.shape) for kind in kinds]
    nonzeros = jnp.stack([nonzero[i].sum(dtype=jnp.uint32) for i in activations])
    is_spikes = jnp.stack([spikes[i] for i in activations])
    stored = sum(n * kind.dtype.itemsize for n, kind in zip(sizes, kinds, strict=True))
    return {
        "nonzeros": counters.total(nonzeros),
        "spikes": counters.total(jnp.where(is_spikes, nonzeros, 0)),
        "elements": counters.constant(sum(sizes)),
        "dense_elements": counters.total(jnp.where(is_spikes, 0, jnp.asarray(sizes, jnp.uint32))),
        "outputs": counters.constant(math.prod(type_of(eqn.outvars[0]).shape)),
        "bytes": counters.constant(stored),
    }


def pairs(eqn: JaxprEqn, a: Array, b: Array) -> Array:
    """An array whose sum is that of the product of ``a`` and ``b``, without computing all of it.

    Summed over its outputs, a matrix product is a product of sums, and a convolution one with a
    single output channel.
    """
    if eqn.primitive.name == "dot_general":
        summed, batched = eqn.params["dimension_numbers"]
        left, right = map(_over_free_axes, (a, b), summed, batched)
        return left * right
    dtype = a.dtype
    kernel = _one_channel(eqn, b.astype(jnp.float32))
    p = eqn.params
    out = lax.conv_general_dilated(
        a.astype(jnp.float32),
        kernel,
        p["window_strides"],
        p["padding"],
        p["lhs_dilation"],
        p["rhs_dilation"],
        p["dimension_numbers"],
        p["feature_group_count"],
        p["batch_group_count"],
        precision=lax.Precision.HIGHEST,
    )
    return out.astype(dtype)


def dense(eqn: JaxprEqn) -> int:
    """The multiplications of a product whose operands have no zeros."""
    a, b = (type_of(v).shape for v in eqn.invars)
    out = math.prod(type_of(eqn.outvars[0]).shape)
    if eqn.primitive.name == "dot_general":
        (summed, _), _ = eqn.params["dimension_numbers"]
        return out * math.prod(a[i] for i in summed)
    p, spec = eqn.params, eqn.params["dimension_numbers"]
    out_shape = type_of(eqn.outvars[0]).shape
    taps = 1  # pairs of an output and a tap of the kernel that lies on the input
    for i, (low, _) in enumerate(p["padding"]):
        size, taps_here, steps = (s[d[2 + i]] for s, d in zip((a, b, out_shape), spec, strict=True))
        at = np.arange(steps)[:, None] * p["window_strides"][i] - low
        at = at + np.arange(taps_here) * p["rhs_dilation"][i]
        inside = (at >= 0) & (at <= (size - 1) * p["lhs_dilation"][i])
        taps *= int((inside & (at % p["lhs_dilation"][i] == 0)).sum())
    channels = a[spec.lhs_spec[0]] * out_shape[spec.out_spec[1]] * b[spec.rhs_spec[1]]
    return taps * channels // p["batch_group_count"]


def _signed(x: Array) -> Array:
    return x if jnp.issubdtype(x.dtype, jnp.inexact) else x.astype(jnp.float32)


def _over_free_axes(x: Array, summed, batched) -> Array:
    kept = (*batched, *summed)
    x = x.sum([i for i in range(x.ndim) if i not in kept], keepdims=True, dtype=x.dtype)
    order = [*kept, *(i for i in range(x.ndim) if i not in kept)]
    return x.transpose(order).reshape([x.shape[i] for i in kept])


def _one_channel(eqn: JaxprEqn, kernel: Array) -> Array:
    """A kernel summed over the output channels of each group."""
    if eqn.params["batch_group_count"] > 1:
        return kernel
    axis, groups = eqn.params["dimension_numbers"].rhs_spec[0], eqn.params["feature_group_count"]
    kernel = jnp.moveaxis(kernel, axis, 0)
    kernel = kernel.reshape(groups, -1, *kernel.shape[1:]).sum(1)
    return jnp.moveaxis(kernel, 0, axis)


def _within(v: Array, n: int) -> int:
    """``n``, or the largest number of the dtype of ``v`` if that is smaller, as in float16."""
    return (
        min(n, int(float(jnp.finfo(v.dtype).max))) if jnp.issubdtype(v.dtype, jnp.floating) else n
    )


def _largest(eqn: JaxprEqn) -> int:
    """The largest activation whose `pairs` are exact."""
    a, b = (type_of(v).shape for v in eqn.invars)
    if eqn.primitive.name == "dot_general":
        free = [
            math.prod(n for i, n in enumerate(shape) if i not in (*summed, *batched))
            for shape, summed, batched in zip((a, b), *eqn.params["dimension_numbers"], strict=True)
        ]
        return min((_WORD_LIMIT - 1) // max(math.prod(free), 1), _FLOAT_LIMIT)
    groups = eqn.params["feature_group_count"]
    return (_FLOAT_LIMIT - 1) // max(math.prod(b) // groups, 1)
