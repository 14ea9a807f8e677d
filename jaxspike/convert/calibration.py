"""Thresholds of the neurons of a converted ANN, from its activations on data."""

from collections.abc import Callable, Iterable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from .. import _check
from .._types import Array

Average = Literal["all"] | float
EPS = 1e-6  # the smallest threshold


def statistic(threshold: str | float) -> Callable[[Array], Array]:
    """The function of activations ``[entries, channels]`` that is their threshold."""
    where = "`spiking(threshold=...)`"
    if isinstance(threshold, str):
        if threshold == "max":
            return lambda a: a.max(0)
        percent = threshold.removesuffix("%")
        try:
            number = float(percent)
        except ValueError:
            number = np.nan
        if not threshold.endswith("%") or not 0 < number <= 100:
            raise ValueError(
                f"{where} must be 'max', a percentile or a fraction of the maximum, got "
                f"{threshold!r}. Give '99%' or 0.5."
            )
        return lambda a: jnp.quantile(a, number / 100, axis=0)
    fraction = _check.number(where, threshold, above=0.0)
    if fraction > 1:
        raise ValueError(f"{where} must be at most 1, got {fraction}. Give a fraction of the max.")
    return lambda a: a.max(0) * fraction


def calibrate(
    activations: Callable[[Array], list[Array]],
    batches: Iterable[Any],
    threshold: str | float,
    per: str,
    average: Average,
) -> list[Array]:
    """The threshold of each activation: a number, or one for each channel.

    Args:
        activations: A function of a batch.
        batches: Inputs.
        threshold: See `spiking`.
        per: "channel" or "layer".
        average: Over batches; "all" for their mean, of maxima the maximum; or the weight of a new
            batch in a moving average.
    """
    of = statistic(threshold)
    if average != "all":
        weight = _check.number("`spiking(average=...)`", average, above=0.0)
        _check.in_range("`spiking(average=...)`", weight, high=1.0)

    @jax.jit
    def measure(x: Array) -> list[Array]:
        out = []
        for a in activations(x):
            a = a.astype(jnp.promote_types(a.dtype, jnp.float32))
            columns = a.shape[-1] if per == "channel" and a.ndim > 1 else 1
            entries = jnp.maximum(a, 0).reshape(-1, columns)
            found = of(entries)
            out.append(found if per == "channel" else found[0])
        return out

    total: list[Array] = []
    n = 0
    for x in batches:
        new = measure(_checked(x))
        n += 1
        if n == 1:
            total = new
        elif average != "all":
            weight = float(average)
            total = [(1 - weight) * a + weight * b for a, b in zip(total, new, strict=True)]
        elif threshold == "max" or not isinstance(threshold, str):
            total = [jnp.maximum(a, b) for a, b in zip(total, new, strict=True)]
        else:
            total = [a + (b - a) / n for a, b in zip(total, new, strict=True)]
    if not n:
        raise ValueError("`spiking(batches=...)` must have at least one batch, got none.")
    return [jnp.maximum(a, EPS) for a in total]


def _checked(x: Any) -> Array:
    if not _check.all_known(x, np.isfinite):
        raise ValueError("`spiking(batches=...)` must be finite, got a NaN or an infinity.")
    return jnp.asarray(x)
