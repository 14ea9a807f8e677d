"""The parameters of a step: their arrays, and their names in a report."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .._paths import dotted
from .._types import Array, State, Tree

_KEYS = "key", "idx", "name"  # of an entry of a path in a pytree
_VALUE = "value", "raw_value"  # the array of a variable of Flax


class Parameters(NamedTuple):
    """The arrays that a step holds.

    Attributes:
        arrays: The arrays.
        names: Their dotted paths.
        call: The step as ``call(arrays, state, x)``.
    """

    arrays: list[Array]
    names: list[str]
    call: Callable[..., Any]


def parameters_of(owner: str, step: Any) -> Parameters:
    """Take the arrays out of a step, which is a pytree or a `functools.partial` over one.

    Args:
        owner: The function that was given the step, for errors.
        step: The step.
    """
    if isinstance(step, functools.partial):
        held: Tree = (step.args, step.keywords)

        def rebuild(tree: Tree) -> Callable[..., Any]:
            return functools.partial(step.func, *tree[0], **tree[1])
    else:
        held, rebuild = step, lambda tree: tree
    pairs, tree = jax.tree_util.tree_flatten_with_path(held)
    is_array = [isinstance(leaf, jax.Array | np.ndarray) for _, leaf in pairs]
    arrays = [jnp.asarray(leaf) for (_, leaf), own in zip(pairs, is_array, strict=True) if own]
    below = 2 if isinstance(step, functools.partial) else 0  # keys that lead to an argument
    paths = [path for (path, _), own in zip(pairs, is_array, strict=True) if own]
    names = [name_of(held, path, below) for path in paths]

    def call(arrays: list[Array], state: State, x: Tree):
        given = iter(arrays)
        leaves = [
            next(given) if own else leaf for (_, leaf), own in zip(pairs, is_array, strict=True)
        ]
        copy = jax.tree.unflatten(tree, leaves)
        result = rebuild(copy)(state, x)
        _refuse_changes(owner, names, arrays, copy)
        return result

    return Parameters(arrays, names, call)


def _refuse_changes(owner: str, names: list[str], arrays: list[Array], held: Tree) -> None:
    """A change of a variable would be lost: the step ran on a copy."""
    after = [leaf for leaf in jax.tree.leaves(held) if isinstance(leaf, jax.Array | np.ndarray)]
    for name, old, new in zip(names, arrays, after, strict=True):
        if new is not old:
            raise ValueError(
                f"`{owner}(step=...)` must not change its variables while it runs, got a change "
                f"of {name}. Use evaluation mode: `net.eval()`."
            )


def name_of(holder: Tree, path: tuple[Any, ...], below: int = 0) -> str:
    """The dotted path of an array, without the first ``below`` keys and the ``value`` of Flax."""
    keys = [getattr(entry, a) for entry in path for a in _KEYS if hasattr(entry, a)]
    if keys and keys[-1] in _VALUE:
        keys.pop()
    for key in keys[:below]:
        holder = holder[key]
    return dotted(holder, keys[below:] or keys[-1:] or [0])
