"""Names used in signatures."""

from typing import Any

import jax
import jax.typing

Array = jax.Array

#: A parameter: a number, or an array that broadcasts against one step of data ``[N, *]``.
Param = float | jax.Array

#: Sizes of one step of data, ``(N, *)``.
Shape = tuple[int, ...]

#: A dtype, such as ``jnp.float32``.
DType = jax.typing.DTypeLike

#: Any pytree of arrays.
Tree = Any

#: The state of a neuron or a layer: any pytree of arrays.
State = Tree
