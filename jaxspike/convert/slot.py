"""One array of a layer, as PyTorch has it."""

from collections.abc import Callable
from typing import NamedTuple, TypeVar

import jax.numpy as jnp
import numpy as np
from flax import nnx

from .. import _check
from .._types import Array

T = TypeVar("T")
Layout = Callable[[np.ndarray], np.ndarray]


def no_counterpart(
    call: str, path: str, layer: object, held: str, library: str, fix: str
) -> TypeError:
    """The error for a layer that another library does not have."""
    got = f"{_check.kind(layer)}{held} at `{path}`"
    return TypeError(f"`{call}(net=...)` must have a counterpart in {library}, got {got}. {fix}")


class Slot(NamedTuple):
    """The value of an array in PyTorch's layout, and what loads or refuses another one.

    ``variables`` is how many variables of the layer hold it.
    """

    value: np.ndarray
    load: Callable[[np.ndarray], None]
    variables: int = 1


def identity(a: T) -> T:
    """The same layout."""
    return a


def variable_slot(
    variable: nnx.Variable[Array], to_torch: Layout = identity, to_flax: Layout = identity
) -> Slot:
    """An array that a Flax variable holds, in the dtype of that variable."""

    def load(a: np.ndarray) -> None:
        variable[...] = jnp.asarray(to_flax(a), variable[...].dtype)

    return Slot(to_torch(np.asarray(variable[...])), load)


def constant_slot(what: str, value: object, shown: Layout = identity) -> Slot:
    """A number that the network does not hold as a variable: only the same one is accepted.

    Args:
        what: What the number is, for an error.
        value: Its value in PyTorch.
        shown: From a value in PyTorch to the one that an error shows.
    """
    want = np.asarray(value, np.float32)

    def load(a: np.ndarray) -> None:
        if not np.allclose(a, want, rtol=1e-6, atol=1e-7):
            trained, got = _text(shown(a)), _text(shown(want))
            raise ValueError(
                f"{what} must be {trained}, as in training, got {got}. Use that value."
            )

    return Slot(want, load)


def _text(a: np.ndarray | np.generic) -> str:
    return f"{a:.6g}" if np.ndim(a) == 0 else str(a)
