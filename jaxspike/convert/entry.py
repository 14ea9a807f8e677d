"""One array of a layer, as PyTorch has it."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

Layout = Callable[[np.ndarray], np.ndarray]


class Entry(NamedTuple):
    """The value of an array as PyTorch has it, and what loads another one or refuses it."""

    value: np.ndarray
    load: Callable[[np.ndarray], None]


def same(a: np.ndarray) -> np.ndarray:
    """As it is."""
    return a


def stored(variable: Any, to_torch: Layout = same, to_flax: Layout = same) -> Entry:
    """An array that a Flax variable holds, in the dtype of that variable."""

    def load(a):
        variable[...] = jnp.asarray(to_flax(a), variable[...].dtype)

    return Entry(to_torch(np.asarray(variable[...])), load)


def fixed(what: str, value: Any, shown: Layout = same) -> Entry:
    """A number that the network does not hold as a variable: another one is refused.

    Args:
        what: What it is.
        value: Its value as PyTorch has it.
        shown: From a value in PyTorch to the one that an error shows.
    """
    want = np.asarray(value, np.float32)

    def load(a):
        if not np.allclose(a, want, rtol=1e-6, atol=1e-7):
            raise ValueError(
                f"{what} must be what the weights were trained with, {_say(shown(a))}, "
                f"got {_say(shown(want))}. Make the network with that value."
            )

    return Entry(want, load)


def _say(a: np.ndarray) -> str:
    return f"{a:.6g}" if np.ndim(a) == 0 else str(a)
