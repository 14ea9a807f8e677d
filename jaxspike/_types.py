"""Names used in signatures."""

from typing import Any

import jax

Array = jax.Array

#: A parameter: a number, or an array that broadcasts against one step of data ``[N, *]``.
Param = float | jax.Array

#: Sizes of one step of data, ``(N, *)``.
Shape = tuple[int, ...]

#: Any pytree of arrays.
Tree = Any
