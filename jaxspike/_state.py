"""Facts about the state of any neuron or layer: its layout and its dtypes."""

from collections.abc import Iterable

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from ._types import Array, DType, Shape, State


def layout(state: State) -> tuple[jax.tree_util.PyTreeDef, list[Shape]]:
    """Structure and shapes of a state, which must agree between a state and its owner."""
    return jax.tree.structure(state), [np.shape(leaf) for leaf in jax.tree.leaves(state)]


def check_shape(name: str, shape: Shape) -> Shape:
    """``shape`` as a tuple, or an error that says what a shape is."""
    if not isinstance(shape, tuple | list) or not all(map(_is_size, shape)):
        raise TypeError(
            f"`{name}.init_state(shape=...)` must be a tuple of sizes, got {shape!r}. "
            "Give the shape of one step of input: `init_state(x.shape)`."
        )
    return tuple(shape)


def _is_size(n):
    return isinstance(n, int) or jax.export.is_symbolic_dim(n)


def shape_mismatch(name: str, state: State, shape: State) -> ValueError:
    """The error for an input of ``shape``, or several, and a state built for another shape."""
    leaves = jax.tree.leaves(state)
    have = np.shape(leaves[0]) if leaves else state
    if isinstance(have, tuple) and have[1:] == shape:
        hint = "An axis is missing: a step is `[N, *]`, a sequence `[T, N, *]`."
    elif not isinstance(shape, tuple):
        hint = "Build it with `init_state` of the shapes of one step; time is axis 0, batch 1."
    elif shape[1:] == have:
        hint = "For a sequence `[T, N, *]` call `jaxspike.scan(neuron, state, xs)`."
    else:
        one = shape[1:] if isinstance(have, tuple) and len(shape) == len(have) + 1 else shape
        hint = f"A step of {one} needs a state of `init_state({one})`; time is axis 0, batch 1."
    return ValueError(
        f"`{name}(x=...)` must have the shape that the state was built for, "
        f"got {shape} for a state of {have}. {hint}"
    )


def is_float(a: object) -> bool:
    """Whether ``a`` is an array of floating point numbers."""
    return hasattr(a, "dtype") and jnp.issubdtype(a.dtype, jnp.floating)


def placed_with(a: Array, x: Array) -> Array:
    """A state at rest, ``[*, ...]``, split over devices as an input ``[*]`` is.

    It differs from ``a`` only on a mesh of explicit axes, where a state that is split over none of
    them and an input that is split may not meet in one operation. A state that is split already is
    returned as it is.
    """
    where = jax.typeof(x).sharding
    if not any(where.spec) or any(jax.typeof(a).sharding.spec):
        return a
    spec = PartitionSpec(*where.spec, *[None] * (a.ndim - x.ndim))
    return jax.sharding.reshard(a, NamedSharding(where.mesh, spec))


def compute_dtype(dtypes: Iterable[DType]) -> DType:
    """The widest of some floating dtypes and float32."""
    return max([jnp.dtype(jnp.float32), *dtypes], key=lambda d: jnp.finfo(d).bits)


def output_dtype(x: Array) -> DType:
    """The dtype of the output for an input ``x``: its own if floating, else float32."""
    return x.dtype if is_float(x) else jnp.dtype(jnp.float32)
