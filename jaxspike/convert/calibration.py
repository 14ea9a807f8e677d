"""Thresholds of the neurons of a converted ANN, from its activations on data."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from .. import _check
from .._types import Array, Shape
from ..engine.program import type_of
from .sites import Site
from .spiking_ann import SpikingANN, rectify

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
                f"{where} must be 'max', 'balanced', a percentile or a fraction of the maximum, "
                f"got {threshold!r}. Give '99%' or 0.5."
            )
        return lambda a: jnp.quantile(a, number / 100, axis=0)
    fraction = _check.number(where, threshold, above=0.0)
    if fraction > 1:
        raise ValueError(f"{where} must be at most 1, got {fraction}. Give a fraction of the max.")
    return lambda a: a.max(0) * fraction


def calibrate(
    snn: SpikingANN,
    batches: Iterable[Array],
    threshold: str | float,
    per: str,
    average: Average,
) -> list[Array]:
    """The threshold of each population of neurons: a number, or one for each channel.

    Args:
        snn: The network.
        batches: Inputs, at least one batch.
        threshold: See `spiking`.
        per: "channel" or "layer".
        average: Over batches; "all" for their mean, of maxima the maximum; or the weight of a new
            batch in a moving average.
    """
    if threshold == "balanced":
        total = _balance(snn, batches, per, average)
    else:
        total = _average(snn, batches, threshold, per, average)
    return [jnp.maximum(a, EPS) for a in total]


def _columns(a: Array, per: str, site: Site) -> tuple[Array, Shape]:
    """Activations ``[N, *]`` as ``[entries, channels]``, or ``[entries, 1]``.

    Returns:
        The columns, and the shape in which a number for each of them broadcasts against ``a``.
    """
    a = _check.at_least_float32(a)
    if per == "layer" or a.ndim < 2:
        return a.reshape(-1, 1), ()
    axis = site.channel if a.ndim == type_of(site.x).ndim else -1  # a maximum may drop axes
    columns = jnp.moveaxis(a, axis, -1).reshape(-1, a.shape[axis])
    return columns, (a.shape[axis], *[1] * (-1 - axis))


def _average(
    snn: SpikingANN, batches: Iterable[Array], threshold: str | float, per: str, average: Average
) -> list[Array]:
    """Each threshold from the activations of a batch, then over batches."""
    of = statistic(threshold)
    if average != "all":
        weight = _check.number("`spiking(average=...)`", average, above=0.0)
        _check.in_range("`spiking(average=...)`", weight, high=1.0)

    def activate(k: int, site: Site, a: Array, sign: int, learned: Array | None) -> Any:
        a = rectify(site, a, sign, learned)
        columns, shape = _columns(a, per, site)
        return of(columns).reshape(shape), a

    @jax.jit
    def measure(x: Array) -> list[Array]:
        return snn.evaluate(x, activate)[0]

    total: list[Array] = []
    for n, x in enumerate(batches, 1):
        new = measure(x)
        if n == 1:
            total = new
        elif average != "all":
            weight = float(average)
            total = [(1 - weight) * a + weight * b for a, b in zip(total, new, strict=True)]
        elif threshold == "max" or not isinstance(threshold, str):
            total = [jnp.maximum(a, b) for a, b in zip(total, new, strict=True)]
        else:
            total = [a + (b - a) / n for a, b in zip(total, new, strict=True)]
    return total


def _balance(snn: SpikingANN, batches: Iterable[Array], per: str, average: Average) -> list[Array]:
    """Local threshold balancing: each batch raises a threshold by twice the mean excess over it.

    Layers see activations that are clipped at the thresholds before them.
    """
    if average != "all":
        raise ValueError(
            f"`spiking(average=...)` must be 'all' with threshold='balanced', got {average!r}. "
            "Balanced thresholds grow with every batch."
        )

    @jax.jit
    def update(thresholds: list[Array] | None, x: Array) -> list[Array]:
        def activate(k: int, site: Site, a: Array, sign: int, learned: Array | None) -> Any:
            a = rectify(site, a, sign, learned)
            columns, shape = _columns(a, per, site)
            theta = jnp.zeros(shape, columns.dtype) if thresholds is None else thresholds[k]
            excess = jnp.maximum(columns - theta.reshape(-1), 0).mean(0).reshape(shape)
            theta = jnp.maximum(theta + 2 * excess, EPS)
            return theta, jnp.minimum(a, theta.astype(a.dtype))

        return snn.evaluate(x, activate)[0]

    thresholds = None
    for x in batches:
        thresholds = update(thresholds, x)
    assert thresholds is not None
    return thresholds


def checked(call: str, batches: Any, features: Shape | None, progress: bool) -> Iterator[Array]:
    """Batches as arrays; one that is not ``[N, *]`` of finite numbers is refused.

    Args:
        call: The function that they were given to, for errors.
        batches: The batches.
        features: The shape of a sample; None for that of the first batch.
        progress: Whether to show a bar.
    """
    where = f"`{call}(batches=...)`"
    if not hasattr(batches, "__iter__"):
        got = _check.shown(batches)
        raise TypeError(f"{where} must be batches of inputs, got {got}. Give `[x]`.")
    if hasattr(batches, "ndim"):
        got = f"an array of shape {batches.shape}"
        raise TypeError(f"{where} must be batches, got {got}. Give `[x]`.")
    n, shown = 0, _shown(call, batches) if progress else batches
    for x in shown:
        if not hasattr(x, "shape"):
            got = _check.kind(x)
            fix = "Leave labels out, and join several inputs to one array."
            raise TypeError(f"{where} must be arrays of inputs, got {got}. {fix}")
        if not x.size or not x.ndim:
            raise ValueError(f"{where} must be [N, *] with samples, got the shape {x.shape}.")
        features = x.shape[1:] if features is None else features
        if x.shape[1:] != features:
            want = ", ".join(["N", *map(str, features)])
            raise ValueError(f"{where} must all be [{want}], got the shape {x.shape}.")
        if not _check.all_known(x, np.isfinite):
            raise ValueError(f"{where} must be finite, got a NaN or an infinity.")
        n += 1
        yield jnp.asarray(x)
    if not n:
        raise ValueError(f"{where} must have at least one batch, got none. Give `[x]`.")


def _shown(call: str, batches: Iterable[Any]) -> Iterable[Any]:
    """Batches with a progress bar."""
    fix = ", or give `progress=False`"
    tqdm = _check.package(f"`{call}(progress=True)`", "tqdm.auto", "train", fix)
    return tqdm.tqdm(batches, desc=call, unit="batch")
