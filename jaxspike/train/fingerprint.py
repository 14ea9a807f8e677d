"""The fingerprint of a run, in JSON: the call, the constants of the network, the first batch.

A resumed run is compared with it. Functions cannot be compared by their code, so they are compared
by name, and by their results for fixed inputs.
"""

import dataclasses
import functools
import hashlib
import json
import math
import textwrap
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import ArrayLike

from .._types import Array, Tree
from ..nn import Spiking, SpikingModule
from ..nn.paths import named_layers

#: Anything that JSON holds.
Json = Any
Measure = Callable[[Array, Array], Array]

STEPS = (0, 1, *(10**n for n in range(1, 7)))  # of a schedule of learning rates
ROUNDING = 1e-5  # relative, on another device
SHOWN = 3  # differences in an error


def of_call(
    net: SpikingModule, optimizer: nnx.Optimizer[Any], arguments: Mapping[str, object]
) -> dict[str, Json]:
    """The arguments by name, the network's constants by layer, the optimizer by its updates."""
    return {
        **{name: of_value(value) for name, value in arguments.items()},
        "optimizer": {"wrt": of_value(optimizer.wrt), "updates": _updates(net, optimizer)},
        "network": {path: _of_layer(layer) for path, layer in named_layers(net).items()},
    }


def of_batch(
    net: SpikingModule,
    batch: tuple[Tree, Tree],
    x_seq: Array,
    measures: Mapping[str, Measure],
    *,
    truncate: int | None,
    repeatable: bool,
) -> dict[str, Json]:
    """The first batch: its shapes, its values if they are ``repeatable``, what measures give."""
    kinds = [[*map(_kind, jax.tree.leaves(tree))] for tree in (*batch, x_seq)]
    found: dict[str, Json] = dict(zip(("x", "labels", "x_seq"), kinds, strict=True))
    arrays = [a for a in jax.tree.leaves(batch) if isinstance(a, jax.Array)]
    if any(len(a.sharding.device_set) > 1 for a in arrays):
        return found  # this process may not see all of it
    if repeatable:
        found["digest"] = _digest(*jax.tree.leaves(batch))
        found["mean of x_seq"] = _rounded(jnp.mean(x_seq, dtype=jnp.float32))
    piece = x_seq[:truncate]
    outputs = nnx.eval_shape(lambda net, x: net(net.init_state(x.shape[1:]), x)[1], net, piece)
    fixed = jax.tree.map(_pattern, outputs), jax.tree.map(jnp.zeros_like, batch[1])
    measured = jax.jit(lambda *fixed: {n: f(*fixed) for n, f in measures.items()})(*fixed)
    return found | {f"{name} of fixed outputs": _rounded(a) for name, a in measured.items()}


def _pattern(like: jax.ShapeDtypeStruct) -> Array:
    """An array with 30 % ones."""
    ones = np.arange(like.size) * 7919 % 1000 < 300
    return jnp.asarray(ones.reshape(like.shape), like.dtype)


def differences(there: Json, here: Json, path: str = "") -> Iterator[tuple[str, Json, Json]]:
    """Where two fingerprints differ: the name and both values, for names that are in both."""
    if isinstance(there, dict) and isinstance(here, dict):
        for name in dict.fromkeys([*here, *there]):
            if path == "network" or (name in there and name in here):  # a layer is known
                inside = f"{path}.{name}" if path else name
                yield from differences(there.get(name), here.get(name), inside)
    elif not _equal(there, here):
        yield path, there, here


def _equal(a: Json, b: Json) -> bool:
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=ROUNDING) or (math.isnan(a) and math.isnan(b))
    return json.dumps(a) == json.dumps(b)


def of_value(value: object) -> Json:
    """Plain values as they are, functions and classes by name, arrays by shape and digest."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, tuple | list):
        return [of_value(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): of_value(item) for key, item in value.items()}
    if isinstance(value, functools.partial):
        return {_name(value.func): of_value([*value.args, value.keywords])}
    if isinstance(value, np.ndarray | np.generic | jax.Array):
        return value.item() if value.ndim == 0 and not _is_key(value) else _of_array(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: of_value(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return {"class": _name(type(value)), **fields}
    return str(value) if isinstance(value, np.dtype) else _name(value)


def _name(value: object) -> str:
    """The name of a function or a class, without its module, which may be ``__main__``."""
    return getattr(value, "__qualname__", type(value).__qualname__)


def _is_key(value: Json) -> bool:
    return jnp.issubdtype(value.dtype, jax.dtypes.prng_key)


def _of_array(value: Json) -> str:
    if _is_key(value):
        return f"{value.dtype} {jax.random.key_data(value).tolist()}"
    return f"{_kind(value)} {_digest(value)}"


def _kind(value: ArrayLike) -> str:
    array = value if isinstance(value, jax.Array) else np.asarray(value)
    return f"{array.dtype}{list(array.shape)}"


def _digest(*arrays: ArrayLike) -> str:
    parts = [np.ascontiguousarray(a) for a in arrays]
    return hashlib.sha256(b"".join(a.tobytes() for a in parts)).hexdigest()[:16]


def _of_layer(layer: nnx.Module) -> dict[str, Json]:
    """The class of a layer, and its attributes other than variables and layers."""
    held = vars(layer)
    if isinstance(layer, Spiking):
        neuron = layer.neuron
        learned = {n for n in held if isinstance(held[n], nnx.Param)} | {*layer.learn}
        names = [f.name for f in dataclasses.fields(neuron) if f.name not in learned]
        held = {"neuron": type(neuron), **{name: getattr(neuron, name) for name in names}}
    constants = {
        name: of_value(value)
        for name, value in held.items()
        if not name.startswith("_") and not isinstance(value, nnx.Pytree | nnx.Variable)
    }
    return {"class": _name(type(layer)), **constants}


def _updates(net: SpikingModule, optimizer: nnx.Optimizer[Any]) -> dict[str, Json] | None:
    """The mean updates of parameters of 1 for gradients of 1, twice after each number of steps."""
    kinds = nnx.as_pure(nnx.state(net, optimizer.wrt))
    ones = jax.tree.map(lambda a: jnp.ones([min(n, 8) for n in a.shape], a.dtype), kinds)

    def mean(tree):
        return sum(a.mean(dtype=jnp.float32) for a in jax.tree.leaves(tree))

    def after(step):
        state = jax.tree.map(
            lambda a: jnp.full_like(a, step) if _counts(a) else a, optimizer.tx.init(ones)
        )
        first, state = optimizer.tx.update(ones, state, ones)
        return mean(first), mean(optimizer.tx.update(ones, state, ones)[0])

    n = len(jax.tree.leaves(ones))
    try:
        found = jax.jit(lambda: jax.lax.map(after, jnp.array(STEPS)))()
    except (TypeError, ValueError):  # it holds arrays of the parameters' full shapes
        return None
    return {
        f"{which} after step {step}": _rounded(value / n)
        for which, values in zip(("first", "second"), found, strict=True)
        for step, value in zip(STEPS, values, strict=True)
    }


def _rounded(value: ArrayLike) -> float:
    return float(f"{np.asarray(value).item():.6g}")


def _counts(a: Array) -> bool:
    return a.ndim == 0 and jnp.issubdtype(a.dtype, jnp.integer)


def check(there: Json, here: Json, folder: Path) -> None:
    """Refuse to resume from the checkpoints of another call."""
    found = [
        f"{name}: {_short(a)} in {folder}, {_short(b)} here"
        for name, a, b in differences(there, here)
    ]
    if found:
        raise ValueError(
            "`fit(checkpoints=...)` must be of the same call, got "
            f'{"; ".join(found[:SHOWN])}. Give another folder, or `resume="anyway"` to continue '
            "from there with the arguments given here."
        )


def _short(value: Json) -> str:
    return textwrap.shorten(json.dumps(value), 80)
