"""Curves of a training."""

from collections.abc import Mapping, Sequence

import numpy as np

from ._axes import LINES, Axes, array, axes, named, whole_numbers


def training_curves(
    curves: Mapping[str, Sequence[float]],
    *,
    xlabel: str = "epoch",
    ylabel: str = "",
    log: bool = False,
    ax: Axes | None = None,
) -> Axes:
    """Losses, or accuracies, over the epochs, each with its last value.

    Args:
        curves: From names to a value an epoch; the first is epoch 1.
        xlabel: What is counted to the right, such as ``"step"``.
        ylabel: What is shown.
        log: A logarithmic scale.
        ax: Where to draw; None is a new figure. Losses and accuracies need axes of their own.

    Raises:
        TypeError: If ``curves`` is not a dict, or empty.
        ValueError: If a curve is not a series of numbers.

    Example:
        >>> import jaxspike as js
        >>> curves = {"training": [2.3, 0.9, 0.4], "test": [2.3, 1.0, 0.6]}
        >>> ax = js.plot.training_curves(curves, ylabel="loss", log=True)
    """
    named("`training_curves(curves=...)`", curves)
    ax = axes(ax, figsize=(6, 3.2))
    for i, (name, values) in enumerate(curves.items()):
        y = array(f"`training_curves(curves=...)[{name!r}]`", values, 1, layout="a list of numbers")
        color, x = LINES[i % len(LINES)], np.arange(1, len(y) + 1)
        ax.plot(x, y, color=color, linewidth=1.6, label=name)
        ax.plot(x[-1:], y[-1:], "o", color=color, markersize=4)
        beside = {"xytext": (6, 0), "textcoords": "offset points", "va": "center"}
        ax.annotate(f"{y[-1]:.3g}", (x[-1], y[-1]), color=color, fontsize=9, **beside)
    ax.set(xlabel=xlabel, ylabel=ylabel, yscale="log" if log else "linear")
    whole_numbers(ax.xaxis)
    ax.legend(frameon=False)
    return ax
