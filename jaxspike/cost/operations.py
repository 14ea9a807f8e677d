"""`operations`: count the operations of a network on real data."""

import warnings
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import ArrayLike

from .. import _check
from .._types import Array, State, Tree
from ..engine.device import portable
from ..engine.program import type_of
from . import counters
from .batch import has_batch_axis
from .interpret import Meter, Origin, interpret, opened
from .parameters import name_of, parameters_of
from .products import measure
from .report import Operations, Size

_EXACT = Meter(measure, counters.constant, counters.add, counters.total_over_steps)


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
    exact, and do not depend on the order of execution or `jax.jit`. The class is that of the whole
    batch: where `jax.vmap` counts samples apart, each has its own class, as it has alone.

    Args:
        step: A network in evaluation mode, a neuron, or any function ``(state, x) -> (state, y)``.
            Parameters are named if the step is a pytree (a Flax network) or a `functools.partial`
            of a function over them.
        state: The state before the first step.
        x_seq: A sequence ``[T, N, *]``, or a pytree of sequences. It is one sample without a batch,
            ``[T, *]``, if a product sums over the axis after time.

    Returns:
        An `Operations`: a pytree of counts that prints as a table.

    Raises:
        TypeError: If ``step`` is not callable, does not return a pair, or changes the structure, a
            shape or a dtype of the state.
        ValueError: If the sequence is empty or its arrays differ in length, or it, the state or a
            parameter has a NaN that is known (inside `jax.jit` it is not), or a product is too
            large to be counted exactly.

    Warns:
        UserWarning: If no activation of a product was ever different from zero; not inside
            `jax.jit`, where that is unknown.

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
    leaves, names, call = parameters_of("operations", step)
    _refuse_unusable(x_seq, state, dict(zip(names, leaves, strict=True)))
    paths = [name_of(state, path) for path, _ in jax.tree_util.tree_leaves_with_path(state)]
    flat, tree = jax.tree.flatten(state)
    flat = [jnp.asarray(leaf) for leaf in flat]
    origins = [*(Origin(name=name) for name in names), *[Origin(is_data=True)] * len(flat)]
    batched = [True]

    def turn(flat, x):
        xs = jax.tree.leaves(x)
        with portable():  # a sparse layer is a product
            trace = jax.make_jaxpr(lambda *a: call(*a), return_shape=True)
            now = jax.tree.unflatten(tree, flat)
            closed, shapes = trace(leaves, now, x)
        _check.step_form("operations(step=...)", now, shapes, "x_seq[0]")
        _check.step_dtypes("operations(step=...)", now, shapes)
        given = closed.jaxpr.invars[len(leaves) + len(flat) :]
        batched[:] = [has_batch_axis(closed.jaxpr, [v for v in given if type_of(v).shape])]
        known = [*origins, *[Origin(is_data=True)] * len(xs)]
        outs, _, tally = interpret(_EXACT, *opened(closed, [*leaves, *flat, *xs], known))
        new = outs[: len(flat)]
        changed = [counters.number_of(a != b) for a, b in zip(flat, new, strict=True)]
        return new, (tally, dict(zip(paths, changed, strict=True)))

    _, (tally, updates) = lax.scan(turn, flat, x_seq)
    arrays = [(n, v) for n, v in zip(names, leaves, strict=True) if _is_number(v)]
    report = Operations(
        tally.products,
        tally.arithmetic,
        tally.uncounted,
        updates=updates,
        weights={n: counters.number_of(v != 0) for n, v in arrays},
        turns=jnp.ones(len(jax.tree.leaves(x_seq)[0]), jnp.uint32),
        parameters=tuple(Size(n, v.shape, v.dtype.itemsize) for n, v in arrays),
        states=tuple(Size(n, v.shape, v.dtype.itemsize) for n, v in zip(paths, flat, strict=True)),
        batch=_samples(x_seq) if batched[0] else 1,
    )
    _warn_if_silent(report)
    return report


def _is_number(x: Array) -> bool:
    return not jnp.issubdtype(x.dtype, jax.dtypes.prng_key)


def _samples(x_seq: Tree) -> int:
    return next((x.shape[1] for x in jax.tree.leaves(x_seq) if x.ndim > 1), 1)


def _refuse_unusable(x_seq: Tree, state: State, parameters: dict[str, Array]) -> None:
    leaves = jax.tree.leaves(x_seq)
    if not leaves or not all(jnp.size(x) for x in leaves):
        raise ValueError("`operations(x_seq=...)` must have at least one time step of data.")
    lengths = {np.shape(x)[:1] for x in leaves}
    if () in lengths or len(lengths) > 1:
        raise ValueError(
            "`operations(x_seq=...)` must have time as axis 0 of every array, got the shapes "
            f"{[np.shape(x) for x in leaves]}. Give `[T, N, *]`."
        )
    for argument, tree in (("x_seq", x_seq), ("state", state)):
        if not all(map(_is_finite, jax.tree.leaves(tree))):
            raise ValueError(
                f"`operations({argument}=...)` must be finite, got a NaN or an infinity. "
                "Find where it comes from with `js.debug.first_nonfinite`."
            )
    for name, value in parameters.items():
        if not _is_finite(value):
            raise ValueError(
                f"`operations(step=...)` must have finite parameters, got a NaN or an infinity in "
                f"{name}. Train it again, or load other weights."
            )


def _is_finite(x: ArrayLike) -> bool:
    real = jnp.issubdtype(jnp.result_type(x), jnp.inexact)
    return not real or _check.all_known(x, np.isfinite)


def _warn_if_silent(report: Operations) -> None:
    if any(isinstance(x, jax.core.Tracer) for x in jax.tree.leaves(report)):
        return
    silent = [n for n, p in report.products.items() if not counters.integer(p.nonzeros)]
    if silent:
        warnings.warn(
            f"`operations`: every activation that reaches {', '.join(silent)} is zero.",
            stacklevel=3,
        )
