"""The axes of a trace per synapse: those of the operand, of the outputs, and those summed over."""

import string

import jax.numpy as jnp

from .._types import Array, Shape
from ..engine.program import type_of
from .ways import Way


class Layout:
    """Letters for the axes of a matrix product of an operand and a parameter.

    Attributes:
        out: The axes of the product.
        operand: Those of the operand.
        parameter: Those of the parameter.
        trace: Those of a trace: the rows of the operand (the batch) first.
        shape: The shape of a trace.
    """

    def __init__(self, product: Way):
        (e,) = product.eqns
        right = e.invars[1] is product.parameter
        (left_summed, right_summed), (left_both, right_both) = e.params["dimension_numbers"]
        letters = iter(string.ascii_letters)
        axes: list[list[str]] = [[""] * len(type_of(v).shape) for v in e.invars]
        for pairs in (
            zip(left_both, right_both, strict=True),
            zip(left_summed, right_summed, strict=True),
        ):
            for i, j in pairs:
                axes[0][i] = axes[1][j] = next(letters)
        for side in axes:
            side[:] = [c or next(letters) for c in side]
        both = [axes[0][i] for i in left_both]
        summed = [axes[0][i] for i in left_summed]
        free = [[c for c in side if c not in both + summed] for side in axes]
        self.out = "".join([*both, *free[0], *free[1]])
        self.operand, self.parameter = ("".join(axes[i]) for i in (1 - right, right))
        self.trace = "".join([*free[1 - right], *both, *free[right], *summed])
        sizes = dict(zip(self.operand, type_of(e.invars[1 - right]).shape, strict=True))
        sizes.update(zip(self.parameter, type_of(product.parameter).shape, strict=True))
        self.shape: Shape = tuple(sizes[c] for c in self.trace)

    def spread(self, a: Array, axes: str) -> Array:
        """An array with these axes, so that it broadcasts against a trace."""
        order = sorted(range(len(axes)), key=lambda i: self.trace.index(axes[i]))
        missing = [i for i, c in enumerate(self.trace) if c not in axes]
        return jnp.expand_dims(a.transpose(order), missing)

    def outer(self, out: Array, operand: Array) -> Array:
        """The trace of an operand that enters with a derivative per output."""
        return self.spread(out, self.out) * self.spread(operand, self.operand)

    def outer_over_time(self, out: Array, operand: Array) -> Array:
        """The sum over the leading axis, time, of `outer`: one matrix product."""
        return jnp.einsum(f"Z{self.out},Z{self.operand}->{self.trace}", out, operand)

    def gradient(self, out: Array, trace: Array) -> Array:
        """The gradient of the parameter for a cotangent of the outputs."""
        rows = len([c for c in self.trace if c not in self.parameter])
        found = (self.spread(out, self.out) * trace).sum(tuple(range(rows)))
        left = self.trace[rows:]
        return found.transpose([left.index(c) for c in self.parameter])
