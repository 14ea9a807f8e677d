"""Checks of the arguments that `fit` and `evaluate` share."""

from collections.abc import Iterable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from .. import _check
from .._types import Array
from ..nn import SpikingModule

ITERATOR = "An iterator can be consumed only once; give a list or a function of the epoch."


def check(caller: str, net: object, encode: object, key: Array | None, **functions: object) -> None:
    """Refuse what is not a network, not a function or not a key."""
    if not isinstance(net, SpikingModule):
        raise TypeError(
            f"`{caller}(net=...)` must be a SpikingModule, got {_kind(net)}. "
            "Put it in a `js.nn.Sequential`."
        )
    functions |= {} if encode is None else {"encode": encode}
    for name, f in functions.items():
        if not callable(f):
            takes = "(key, x)" if name == "encode" else "(output, labels)"
            raise TypeError(f"`{caller}({name}=...)` must be a function of {takes}, got {f!r}.")
    if key is not None:
        _check.key(f"`{caller}(key=...)`", key)
    elif encode is not None:
        raise ValueError(
            f"`{caller}(key=...)` must be a random key if `encode` is given, got None. "
            "Give `jax.random.key(seed)`."
        )


def pairs(caller: str, data: object) -> Iterator[tuple[Array, Array]]:
    """The batches of ``data``."""
    if not isinstance(data, Iterable):
        raise TypeError(
            f"`{caller}(data=...)` must be batches, or a function of the epoch that returns them, "
            f"got {_kind(data)}."
        )
    for batch in data:
        if not isinstance(batch, tuple | list) or len(batch) != 2:
            got = _kind(batch) + (f", length {len(batch)}" if hasattr(batch, "__len__") else "")
            raise TypeError(
                f"`{caller}(data=...)` must give pairs (x_seq, labels), got {got}. "
                "`js.data.batches` cuts arrays into such batches."
            )
        yield batch[0], batch[1]


def sequence(caller: str, x_seq: ArrayLike, encode: object) -> Array:
    """``x_seq`` as an array with time steps and samples."""
    x_seq = jnp.asarray(x_seq)
    if x_seq.ndim < 2 or 0 in x_seq.shape[:2]:
        name, verb = ("data", "give") if encode is None else ("encode", "return")
        raise ValueError(
            f"`{caller}({name}=...)` must {verb} x_seq [T, N, *] with at least one time step and "
            f"one sample, got the shape {x_seq.shape}. Time is the first axis."
        )
    return x_seq


def scalar(where: str, value: Any) -> Array | float:
    """The one number that a loss or an accuracy must return."""
    if not isinstance(value, jax.Array | int | float) or jnp.shape(value):
        got = f"the shape {value.shape}" if hasattr(value, "shape") else _kind(value)
        raise ValueError(f"{where} must return one number, got {got}. Return a mean over samples.")
    return value


def _kind(value: object) -> str:
    return f"a value of type {type(value).__name__}"
