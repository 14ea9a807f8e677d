"""Affine recurrences for all steps at once, forward and backward in time."""

from collections.abc import Sequence

import jax.numpy as jnp
from jax import lax

from ..._types import Array

Vector = Sequence[Array]  # an array for each state of a neuron
Matrix = Sequence[Sequence[Array]]  # an array for each pair of them: by row, by column


def affine_scan(a: Matrix, b: Vector, first: Vector) -> list[Array]:
    """The states ``s[t] = A[t] s[t - 1] + b[t]`` of every step, neuron by neuron.

    Affine maps can be composed before the state that they act on is known, in any grouping:
    ``(A', b') . (A, b) = (A' A, A' b + b')``. `jax.lax.associative_scan` does it in a binary tree:
    about 2 T compositions in about 2 log2(T) passes that wait for one another, where a loop takes T
    steps that do.

    Args:
        a: The matrices, ``[T, *]`` for each pair of states.
        b: The vectors, ``[T, *]`` for each state.
        first: The state before the first step.

    Returns:
        The states after every step, ``[T, *]`` each.
    """
    starts = [_dot([entry[0] for entry in row], first) for row in a]
    b = [rows.at[0].add(start) for rows, start in zip(b, starts, strict=True)]
    return list(lax.associative_scan(_compose, (a, b))[1])


def adjoint_scan(jacobians: Matrix, g: Vector) -> tuple[list[Array], list[Array]]:
    """The total cotangents of the states ``s[t] = f_t(s[t - 1])``, neuron by neuron.

    They are ``l[t] = g[t] + J[t + 1]^T l[t + 1]``; and that of s[t - 1] by way of s[t],
    ``n[t] = J[t]^T l[t] = J[t]^T n[t + 1] + J[t]^T g[t]``, is an affine recurrence.

    Args:
        jacobians: The derivatives J[t] of s[t] by s[t - 1], ``[T, *]`` for each pair of states.
        g: The cotangents of the states s[1], ..., s[T] but for those of later states.

    Returns:
        The total cotangents of s[1], ..., s[T], and that of s[0].
    """
    a = transposed(jacobians)
    terms = [_dot(row, g) for row in a]
    earlier = lax.associative_scan(_compose, (a, terms), reverse=True)[1]
    later = [jnp.concatenate([n[1:], jnp.zeros_like(n[:1])]) for n in earlier]
    return [a + b for a, b in zip(g, later, strict=True)], [n[0] for n in earlier]


def transposed(a: Matrix) -> list[list[Array]]:
    """The transposed matrices."""
    return [list(row) for row in zip(*a, strict=True)]


def before(first: Vector, states: Vector) -> list[Array]:
    """The states before every step, from the first one and those after every step."""
    pairs = zip(first, states, strict=True)
    return [jnp.concatenate([a[None], rows[:-1]]) for a, rows in pairs]


def _compose(early: tuple[Matrix, Vector], late: tuple[Matrix, Vector]) -> tuple[Matrix, Vector]:
    (a, b), (a_late, b_late) = early, late
    product = [[_dot(row, column) for column in transposed(a)] for row in a_late]
    return product, [_dot(row, b) + c for row, c in zip(a_late, b_late, strict=True)]


def _dot(row: Vector, column: Vector) -> Array:
    first, *rest = [x * y for x, y in zip(row, column, strict=True)]
    return sum(rest, first)
