"""Operations of each parameter."""

import numpy as np

from .._check import instance, kind
from ..cost import Operations
from ._axes import INK, MARK, QUIET, Axes, axes, legend_on_top


def operations(report: Operations, *, ax: Axes | None = None) -> Axes:
    """The operations of each parameter per sample, as bars of AC, multi and MAC, the first on top.

    A vertical line marks the dense operations.

    Args:
        report: The result of `jaxspike.cost.operations`.
        ax: Where to draw; None for a new figure.

    Raises:
        TypeError: If ``report`` is not a report.
        ValueError: If it has no product.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> def step(state, x):
        ...     return state, x @ jnp.ones((3, 4))
        >>> ax = js.plot.operations(js.cost.operations(step, (), jnp.ones((5, 2, 3))))
    """
    fix = "Make one: `jaxspike.cost.operations(net, state, x_seq)`."
    instance("`operations(report=...)`", report, Operations, "a report", fix, kind)
    rows = report.rows()
    if not rows:
        raise ValueError("`operations(report=...)` must have a product, got none.")
    ax = axes(ax, figsize=(6, 1 + 0.35 * len(rows)))
    at, left = np.arange(len(rows)), np.zeros(len(rows))
    for name, label, color in (("ac", "AC", QUIET), ("multi", "multi", INK), ("mac", "MAC", MARK)):
        width = np.asarray([getattr(row, name) for row in rows]) / report.samples
        ax.barh(at, width, left=left, color=color, height=0.7, label=label)
        left += width
    dense = np.asarray([row.dense for row in rows]) / report.samples
    ax.vlines(dense, at - 0.4, at + 0.4, color=INK, linewidth=1.5, label="dense")
    ax.set_yticks(at, [row.name for row in rows])
    ax.set(xlabel="operations per sample", ylim=(len(rows) - 0.4, -0.6))
    ax.xaxis.set_major_formatter("{x:,.0f}")
    ax.tick_params(axis="y", length=0)
    legend_on_top(ax)
    return ax
