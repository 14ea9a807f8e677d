"""Accuracy against the number of time steps."""

from collections.abc import Mapping, Sequence

import numpy as np

from .._check import in_range, number
from ._axes import LINES, QUIET, Axes, array, axes, dots, legend_on_top, named


def accuracy(
    curves: Mapping[str, Sequence[float]],
    *,
    ann: float | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Accuracies after 1, 2, ..., T time steps, with the last of each next to its name.

    Args:
        curves: From names to one accuracy, between 0 and 1, per time step.
        ann: The accuracy of the ANN that was converted, a dashed line; None for no line.
        ax: Where to draw; None for a new figure. The axis of time steps is logarithmic.

    Raises:
        TypeError: If ``curves`` is not a dict, or empty.
        ValueError: If a curve is not a series of numbers between 0 and 1, or ``ann`` not such a
            number.

    Example:
        >>> import jaxspike as js
        >>> ax = js.plot.accuracy({"default": [0.61, 0.84, 0.95, 0.97]}, ann=0.98)
    """
    named("`accuracy(curves=...)`", curves)
    ax = axes(ax, figsize=(6, 3.2))
    steps = 1
    for i, (name, values) in enumerate(curves.items()):
        where = f"`accuracy(curves=...)[{name!r}]`"
        y = array(where, values, 1, layout="a list of numbers")
        in_range(where, y, low=0, high=1)
        steps = max(steps, len(y))
        color, label = LINES[i % len(LINES)], f"{name}  {y[-1]:.1%}"
        x = np.arange(1, len(y) + 1)
        ax.plot(x, 100 * y, color=color, linewidth=1.6, marker=dots(len(y)), label=label)
    if ann is not None:
        ann = number("`accuracy(ann=...)`", ann)
        in_range("`accuracy(ann=...)`", ann, low=0, high=1)
        label = f"ANN  {ann:.1%}"
        ax.axhline(100 * ann, color=QUIET, linewidth=1.2, linestyle="--", label=label)
    ax.set_xscale("log", base=2)
    ticks = 2 ** np.arange(int(np.log2(steps)) + 1)
    ax.set_xticks(ticks, [str(t) for t in ticks])
    ax.set(xlabel="time steps", ylabel="accuracy (%)")
    legend_on_top(ax)
    return ax
