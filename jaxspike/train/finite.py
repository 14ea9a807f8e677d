"""Where numbers are not finite."""

import jax
import jax.numpy as jnp

from .. import debug
from .._types import Array, Tree
from ..nn import SpikingModule


def has_nan(state: Tree) -> Array:
    """Whether a state has a NaN; an infinity is allowed, such as the time since a spike."""
    leaves = [a for a in jax.tree.leaves(state) if jnp.issubdtype(a.dtype, jnp.inexact)]
    return jnp.array([jnp.isnan(a).any() for a in leaves]).any()


def not_finite(
    arrays: dict[str, Array], before: dict[str, Array] | None = None
) -> dict[str, Array]:
    """Which real or complex arrays are not finite; infinities of ``before`` are allowed to stay."""
    return {
        name: ~(jnp.isfinite(a) | (a == before[name] if before else False)).all()
        for name, a in arrays.items()
        if jnp.issubdtype(a.dtype, jnp.inexact)
    }


def name_layers(where: str, net: SpikingModule, state: Tree | None, x_seq: Array) -> None:
    """Raise an error that names the layers in which something is not finite, if there are any."""
    try:
        state = net.init_state(x_seq.shape[1:]) if state is None else state
        debug.check_finite(net, state, x_seq)
    except FloatingPointError as e:
        raise FloatingPointError(f"{where}.\n{e}") from None
