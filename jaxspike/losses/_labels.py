"""Helpers of the losses: reading outputs out, and checking labels."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike

from .. import _check
from .._types import Array, Tree
from ..readout import first_spike_time

Readout = Callable[[Array], Array]


def first_times(spikes: Array) -> Array:
    """First spike times as in snnTorch: a silent neuron fires at the last step."""
    return first_spike_time(spikes, silent=len(spikes) - 1)


def read(owner: str, x: ArrayLike, readout: Readout | None) -> Array:
    """``[N, C]`` of a readout, or ``[T, N, C]`` without one."""
    name = "spikes" if owner.endswith(("_temporal", "_count")) else "x_seq"
    x = non_empty(f"`{owner}({name}=...)`", x, "[T, N, C]")
    if readout is None:
        return x
    fix = "Give one of `jaxspike.readout`, such as `rate`."
    _check.function(f"`{owner}(readout=...)`", readout, fix)
    y = readout(x)
    where = f"The result of `{owner}(readout=...)` for x_seq of {x.shape}"
    _check.axes(where, y, x.shape[1], "C")
    return y


def non_empty(where: str, x: ArrayLike, layout: str = "[T, N, *]") -> Array:
    """A sequence with at least one entry: the mean of nothing is NaN."""
    x = _check.sequence(where, x, layout)
    if not x.size:
        raise ValueError(f"{where} must not be empty, got the shape {x.shape}.")
    return x


def as_numbers(owner: str, labels: ArrayLike) -> Array:
    fix = "Give classes as integers: `np.unique(labels, return_inverse=True)[1]`."
    return _check.numbers(f"`{owner}(labels=...)`", labels, fix)


def classes(owner: str, labels: ArrayLike) -> Array:
    labels = as_numbers(owner, labels)
    _check.axes(f"`{owner}(labels=...)`", labels, "N")
    return labels


def check_labels(owner: str, y: Array, labels: Array) -> None:
    """Labels are ``[N]`` integers, or numbers in the shape of one step or of all of ``y``."""
    where = f"`{owner}(labels=...)`"
    if labels.ndim == 1 and not jnp.issubdtype(labels.dtype, jnp.integer):
        raise TypeError(f"{where} must be integers, got {labels.dtype}. Give class indices.")
    if labels.shape not in (y.shape[-2:-1], y.shape[-2:], y.shape):
        got = f"the shape {labels.shape} for outputs of the shape {y.shape}"
        raise ValueError(f"{where} must be [N] or like the outputs [N, C], got {got}.")
    if labels.ndim == 1 and not _check.all_known(labels, lambda n: (n >= 0) & (n < y.shape[-1])):
        got = f"{labels.min()} to {labels.max()}. Leave out samples that have no class"
        raise ValueError(f"{where} must be classes from 0 to {y.shape[-1] - 1}, got {got}.")


def check_targets_alone(
    owner: str, labels: ArrayLike, correct: float, incorrect: float, default: tuple[float, float]
) -> None:
    if jnp.ndim(labels) != 1 and (correct, incorrect) != default:
        what = "must be left out if `labels` are the targets themselves"
        got = f"got {correct} and {incorrect}. Give labels [N], or targets alone."
        raise ValueError(f"`{owner}(correct=..., incorrect=...)` {what}, {got}")


def nan_where_no_class(values: Array, labels: Array, classes: int) -> Array:
    """NaN for labels that are not a class, which cannot be refused while they are traced."""
    return jnp.where((labels >= 0) & (labels < classes), values, jnp.nan)


def softmax(owner: str, logits: Array, labels: ArrayLike) -> Array:
    labels = as_numbers(owner, labels)
    check_labels(owner, logits, labels)
    if labels.ndim == 1:
        labels = jnp.broadcast_to(labels, logits.shape[:-1])
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
        return nan_where_no_class(losses, labels, logits.shape[-1]).mean()
    return optax.softmax_cross_entropy(logits, labels.astype(logits.dtype)).mean()


def targets(owner: str, y: Array, labels: ArrayLike, correct: float, incorrect: float) -> Array:
    labels = as_numbers(owner, labels)
    check_labels(owner, y, labels)
    if labels.ndim == 1:
        right = jax.nn.one_hot(labels, y.shape[-1], dtype=bool)
        target = jnp.where(right, correct, incorrect).astype(y.dtype)
        return nan_where_no_class(target, labels[:, None], y.shape[-1])
    return labels.astype(y.dtype)


def arrays(owner: str, spikes: Tree) -> list[Array]:
    found = [non_empty(f"`{owner}(spikes=...)`", x) for x in jax.tree.leaves(spikes)]
    if not found:
        raise ValueError(f"`{owner}(spikes=...)` must hold an array, got {spikes!r}.")
    return found
