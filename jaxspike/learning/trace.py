"""`Trace`: one array that an online gradient keeps."""

import dataclasses

import numpy as np
from jax.extend.core import Var

from .._types import Array, Shape


@dataclasses.dataclass(frozen=True, eq=False)
class Trace:
    """The memory that one leaf has of what entered a pool.

    Attributes:
        leaf: The leaf, by position; -1 for what belongs to none.
        stored: ``"neuron"``: per neuron, of something added; ``"synapse"``: per synapse;
            ``"operand"``: the operand itself, filtered, where all neurons filter alike; or one of
            `factored`.
        operand: What the parameter is multiplied with, or None.
        shape, dtype: Those of its array.
    """

    leaf: int
    stored: str
    operand: Var | None
    shape: Shape
    dtype: np.dtype


Kept = tuple[Trace, Array]
