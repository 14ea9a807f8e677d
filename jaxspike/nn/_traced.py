"""What makes something to be read, or raises by value, cannot run inside `jit`."""

from typing import Any

import jax
from flax import nnx


def refuse_traced(name: str, instead: str, net: Any, *values: Any) -> None:
    """Refuse tracers, in the parameters of ``net`` too."""
    variables = nnx.state(net) if isinstance(net, nnx.Module) else None
    if any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves((variables, values))):
        raise TypeError(
            f"`{name}` must be called outside of `jit`: it looks at values. Inside, use {instead}."
        )
