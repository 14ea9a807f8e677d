"""`Trace`: one array that an online gradient stores."""

import dataclasses

import numpy as np
from jax.extend.core import Var

from .._types import Array, Shape


@dataclasses.dataclass(frozen=True, eq=False)
class Trace:
    """A trace: the memory that one leaf has of an entry of its pool.

    Attributes:
        leaf: The leaf, by position; -1 if it belongs to none.
        stored: ``"neuron"``: per neuron, of something added; ``"synapse"``: per synapse;
            ``"operand"``: the operand itself, filtered, where all neurons filter alike; or one of
            `factored`.
        operand: The factor of the parameter in a product, or None.
        shape, dtype: Those of its array.
    """

    leaf: int
    stored: str
    operand: Var | None
    shape: Shape
    dtype: np.dtype


Kept = tuple[Trace, Array]
