"""Checks of the arguments that `fit` and `evaluate` share."""

import functools
from collections.abc import Iterable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from .. import _check
from .._types import Array, Tree
from ..nn import SpikingModule


def check(caller: str, net: object, encode: object, key: Array | None) -> None:
    """Check that these are a network, a function or None, and a key or None."""
    where, fix = f"`{caller}(net=...)`", "Put it in a `js.nn.Sequential`."
    _check.instance(where, net, SpikingModule, "a SpikingModule", fix, _check.kind)
    if encode is not None:
        _check.function(f"`{caller}(encode=...)`", encode, of="(key, x)")
    if key is not None or encode is not None:
        _check.key(f"`{caller}(key=...)`", key)


def pairs(caller: str, data: Any) -> Iterator[tuple[Array, Tree]]:
    """The batches of ``data``, with labels of any structure as arrays."""
    where, what = f"`{caller}(data=...)`", "batches, or a function of the epoch that returns them"
    fix = "`js.data.batches` cuts arrays into batches."
    _check.instance(where, data, Iterable, what, fix, _check.kind)
    for batch in data:
        _check.instance(where, batch, tuple | list, "pairs (x_seq, labels)", fix, _check.kind)
        if len(batch) != 2:
            raise ValueError(
                f"{where} must be pairs (x_seq, labels), got {len(batch)} arrays. {fix}"
            )
        labels = functools.partial(_labels, caller)
        yield batch[0], jax.tree.map(labels, batch[1], is_leaf=lambda a: isinstance(a, list))


def _labels(caller: str, labels: ArrayLike) -> Array:
    fix = "Give classes as integers: `np.unique(labels, return_inverse=True)[1]`."
    return _check.numbers(f"Labels of `{caller}(data=...)`", labels, fix)


def sequence(caller: str, x_seq: ArrayLike, encode: object) -> Array:
    """``x_seq`` as an array with time steps and samples."""
    x_seq = jnp.asarray(x_seq)
    where = f"x_seq of `{caller}({'data' if encode is None else 'encode'}=...)`"
    _check.axes(where, x_seq, "T", "N", "...", fix="Time is the first axis.")
    for n, what in zip(x_seq.shape, ("time steps", "samples"), strict=False):
        _check.integer(f"The number of {what} in {where}", n, low=1)
    return x_seq


def at_least_one_batch(caller: str, n: int, epoch: int = 0) -> None:
    """Refuse an epoch without batches."""
    if not n:
        fix = "An iterator can be consumed only once; give a list or a function of the epoch."
        raise ValueError(
            f"`{caller}(data=...)` must have a batch in epoch {epoch}, got none. {fix}"
        )


def scalar(where: str, value: Any) -> Array | float:
    """The one number that a loss or an accuracy must return."""
    if not isinstance(value, jax.Array | int | float) or jnp.shape(value):
        got = f"the shape {value.shape}" if hasattr(value, "shape") else _check.kind(value)
        raise ValueError(f"{where} must return one number, got {got}. Return a mean over samples.")
    return value
