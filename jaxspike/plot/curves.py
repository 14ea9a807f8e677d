"""Curves of a training run."""

from collections.abc import Mapping, Sequence

import numpy as np

from .._check import in_range
from ._axes import LINES, Axes, array, axes, legend_on_top, named, whole_numbers


def training_curves(
    curves: Mapping[str, Sequence[float]],
    *,
    xlabel: str = "epoch",
    ylabel: str = "",
    log: bool = False,
    ax: Axes | None = None,
) -> Axes:
    """Losses or accuracies over the epochs, with the last value of each next to its name.

    Args:
        curves: From names to one value per epoch; the first is epoch 1.
        xlabel: Label of the x axis, such as ``"step"``.
        ylabel: Label of the y axis.
        log: Whether the y axis is logarithmic.
        ax: Where to draw; None for a new figure. Losses and accuracies need separate axes.

    Raises:
        TypeError: If ``curves`` is not a dict, or empty.
        ValueError: If a curve is not a series of finite numbers, or not above 0 with ``log``.

    Example:
        >>> import jaxspike as js
        >>> curves = {"training": [2.3, 0.9, 0.4], "test": [2.3, 1.0, 0.6]}
        >>> ax = js.plot.training_curves(curves, ylabel="loss", log=True)
    """
    named("`training_curves(curves=...)`", curves)
    ax = axes(ax, figsize=(6, 3.2))
    for i, (name, values) in enumerate(curves.items()):
        where = f"`training_curves(curves=...)[{name!r}]`"
        y = array(where, values, 1, layout="a list of numbers")
        in_range(f"{where} with `log=True`", y.min() if log else None, above=0)
        ax.plot(
            np.arange(1, len(y) + 1),
            y,
            color=LINES[i % len(LINES)],
            linewidth=1.6,
            marker="o",
            markersize=4,
            markevery=[len(y) - 1],
            label=f"{name}  {y[-1]:.3g}",
        )
    ax.set(xlabel=xlabel, ylabel=ylabel, yscale="log" if log else "linear")
    whole_numbers(ax.xaxis)
    legend_on_top(ax)
    return ax
