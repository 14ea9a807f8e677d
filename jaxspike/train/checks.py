"""What `fit` and `evaluate` refuse; each error names the call, the value and the fix."""

from collections.abc import Iterable, Iterator
from typing import Any

import jax
import jax.numpy as jnp

from .. import _check, debug
from .._types import Array
from ..engine.program import flatten, prune
from ..nn import SpikingModule


def arguments(caller: str, net: Any, encode: Any, key: Any, **functions: Any) -> None:
    """Refuse what is no network, no function or no key."""
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


def pairs(caller: str, data: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
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


def encoder_key(caller: str, encode: Any, key: Array | None, x: Any) -> Array:
    """The key of an encoder; one that draws nothing needs none."""
    if key is not None:
        return key
    any_key = jax.random.key(0)
    if encode is not None:
        jaxpr, consts, _ = flatten(encode, any_key, x)
        eqns, outs = prune(jaxpr.eqns, jaxpr.outvars), jaxpr.outvars
        if any(
            v is jaxpr.invars[len(consts)] for vs in (outs, *(e.invars for e in eqns)) for v in vs
        ):
            raise ValueError(
                f"`{caller}(key=...)` must be a random key where `encode` draws from it, got None. "
                "Give `jax.random.key(seed)`."
            )
    return any_key


def sequence(caller: str, x_seq: Any, encode: Any) -> Array:
    """``x_seq`` as an array, with time steps and samples."""
    x_seq = jnp.asarray(x_seq)
    if x_seq.ndim < 2 or 0 in x_seq.shape[:2]:
        name, verb = ("data", "give") if encode is None else ("encode", "return")
        raise ValueError(
            f"`{caller}({name}=...)` must {verb} x_seq [T, N, *] with at least one time step and "
            f"one sample, got the shape {x_seq.shape}. Time is the first axis."
        )
    return x_seq


def scalar(where: str, value: Any) -> Any:
    """What a loss or an accuracy returned: one number."""
    if not isinstance(value, jax.Array | int | float) or jnp.shape(value):
        got = f"the shape {value.shape}" if hasattr(value, "shape") else _kind(value)
        raise ValueError(f"{where} must return one number, got {got}. Return a mean over samples.")
    return value


def layers(where: str, net: Any, state: Any, x_seq: Array) -> None:
    """Name the layers in which something is not finite, if there are any."""
    try:
        state = net.init_state(x_seq.shape[1:]) if state is None else state
        debug.check_finite(net, state, x_seq)
    except FloatingPointError as e:
        raise FloatingPointError(f"{where}.\n{e}") from None


def _kind(value: Any) -> str:
    return f"a value of type {type(value).__name__}"
