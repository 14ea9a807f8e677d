"""`operations`: what a network computes on real data, counted."""

import functools
import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from .. import _check
from .._paths import dotted
from .._types import Array, State, Tree
from ..engine.device import portable
from . import counters
from .interpret import Origin, interpret, opened
from .report import Operations, Size

_KEYS = "key", "idx", "name"  # of an entry of a path in a pytree
_VALUE = "value", "raw_value"  # the array of a variable of Flax


def operations(step: Callable[..., tuple[State, Tree]], state: State, x_seq: Tree) -> Operations:
    r"""Count the operations of a step, or of a network, on a sequence.

    The step is traced, and its equations are evaluated with the data of every time step while
    each matrix product and convolution, in loops and branches too, is counted. With activations
    :math:`a` and weights :math:`w`, the effective operations of a product are the pairs of which
    neither is zero; its dense operations are all pairs, without those of padding. A product at one
    time step is

    - **AC** (accumulate) if all its activations are in {-1, 0, 1};
    - **multi** if they are other whole numbers, such as sums of spikes: a value of 3 is three
      accumulations for each weight that is not zero;
    - **MAC** (multiply-accumulate) otherwise.

    A product of two activations (attention) takes the cheapest class of the two. The numbers are
    exact, and do not depend on the order of execution, `jax.jit` or `jax.vmap`.

    Args:
        step: A network in evaluation mode, a neuron, or any function ``(state, x) -> (state, y)``.
            Parameters are named if the step is a pytree (a Flax network) or a `functools.partial`
            of a function over them.
        state: The state before the first step.
        x_seq: A sequence ``[T, N, *]``, or a pytree of sequences.

    Returns:
        An `Operations`: a pytree of counts that prints as a table.

    Raises:
        TypeError: If ``step`` is not callable.
        ValueError: If the sequence is empty or has a NaN, or if a product is too large to be
            counted exactly.

    Warns:
        UserWarning: If no activation of a product was ever different from zero.

    Example:
        >>> import functools, jax.numpy as jnp, jaxspike as js
        >>> def step(params, state, x):
        ...     return js.LIF()(state, x @ params["w"])
        >>> net = functools.partial(step, {"w": jnp.ones((3, 4))})
        >>> x_seq = jnp.zeros((5, 2, 3)).at[:, :, 0].set(1.0)  # one spike per sample and step
        >>> js.cost.operations(net, js.LIF().init_state((2, 4)), x_seq).ac
        40

    Source: AC, MAC and effective operations are those of NeuroBench: Yik et al., "The NeuroBench
    framework for benchmarking neuromorphic computing", Nature Communications 16, 2025.
    """
    _check.function("`operations(step=...)`", step)
    _refuse(x_seq)
    leaves, names, call = _parameters(step)
    paths = [_name(state, path) for path, _ in jax.tree_util.tree_leaves_with_path(state)]
    flat, tree = jax.tree.flatten(state)
    flat = [jnp.asarray(leaf) for leaf in flat]
    origins = [*(Origin(name=name) for name in names), *[Origin(is_data=True)] * len(flat)]

    def turn(flat, x):
        xs = jax.tree.leaves(x)
        with portable():  # a sparse layer is a product
            closed = jax.make_jaxpr(lambda *a: call(*a))(leaves, jax.tree.unflatten(tree, flat), x)
        known = [*origins, *[Origin(is_data=True)] * len(xs)]
        outs, _, tally = interpret(*opened(closed, [*leaves, *flat, *xs], known))
        new = outs[: len(flat)]
        changed = [
            counters.total((a != b).astype(jnp.uint32)) for a, b in zip(flat, new, strict=True)
        ]
        return new, (tally, dict(zip(paths, changed, strict=True)))

    _, (tally, updates) = lax.scan(turn, flat, x_seq)
    arrays = [(n, v) for n, v in zip(names, leaves, strict=True) if _is_number(v)]
    report = Operations(
        tally.products,
        tally.arithmetic,
        tally.uncounted,
        updates=updates,
        weights={n: counters.total((v != 0).astype(jnp.uint32)) for n, v in arrays},
        parameters=tuple(Size(n, v.size, v.dtype.itemsize) for n, v in arrays),
        states=tuple(Size(n, v.size, v.dtype.itemsize) for n, v in zip(paths, flat, strict=True)),
        batch=_samples(x_seq),
    )
    _warn_if_silent(report)
    return report


def _parameters(step: Any) -> tuple[list[Array], list[str], Callable[..., Any]]:
    """The arrays of a step, their names, and the step as a function of them."""
    if isinstance(step, functools.partial):
        held: Tree = (step.args, step.keywords)

        def rebuild(tree: Tree) -> Callable[..., Any]:
            return functools.partial(step.func, *tree[0], **tree[1])
    else:
        held, rebuild = step, lambda tree: tree
    pairs, tree = jax.tree_util.tree_flatten_with_path(held)
    is_array = [isinstance(leaf, jax.Array | np.ndarray) for _, leaf in pairs]
    arrays = [leaf for (_, leaf), own in zip(pairs, is_array, strict=True) if own]
    paths = [path for (path, _), own in zip(pairs, is_array, strict=True) if own]

    def call(arrays: list[Array], state: State, x: Tree):
        given = iter(arrays)
        leaves = [
            next(given) if own else leaf for (_, leaf), own in zip(pairs, is_array, strict=True)
        ]
        return rebuild(jax.tree.unflatten(tree, leaves))(state, x)

    below = 2 if isinstance(step, functools.partial) else 0  # keys that lead to an argument
    return arrays, [_name(held, path, below) for path in paths], call


def _name(holder: Tree, path: tuple[Any, ...], below: int = 0) -> str:
    """The dotted path of an array, without the first ``below`` keys and the ``value`` of Flax."""
    keys = [getattr(entry, a) for entry in path for a in _KEYS if hasattr(entry, a)]
    if keys and keys[-1] in _VALUE:
        keys.pop()
    for key in keys[:below]:
        holder = holder[key]
    return dotted(holder, keys[below:] or keys[-1:] or [0])


def _is_number(x: Array) -> bool:
    return not jnp.issubdtype(x.dtype, jax.dtypes.prng_key)


def _samples(x_seq: Tree) -> int:
    return next((x.shape[1] for x in jax.tree.leaves(x_seq) if x.ndim > 1), 1)


def _refuse(x_seq: Tree) -> None:
    leaves = jax.tree.leaves(x_seq)
    if not leaves or not all(jnp.size(x) for x in leaves):
        raise ValueError("`operations(x_seq=...)` must have at least one time step of data.")
    for x in leaves:
        real = jnp.issubdtype(x.dtype, jnp.inexact)
        if real and not _check.all_known(x, np.isfinite):
            raise ValueError(
                "`operations(x_seq=...)` must be finite, got a NaN or an infinity. "
                "Find where it comes from with `js.debug.first_nonfinite`."
            )


def _warn_if_silent(report: Operations) -> None:
    if any(isinstance(x, jax.core.Tracer) for x in jax.tree.leaves(report)):
        return
    silent = [n for n, p in report.products.items() if not counters.integer(p.nonzeros)]
    if silent:
        warnings.warn(
            f"`operations`: every activation that reaches {', '.join(silent)} is zero.",
            stacklevel=3,
        )
