"""The picture of one digit on its way through the network."""

import os
from pathlib import Path

import numpy as np

from ..plot import raster
from .data import Array

INK, MARK, QUIET = "#1f2933", "#d9480f", "#9fb3c8"


def draw(path: Path, image: Array, label: int, hidden: Array, output: Array, title: str) -> None:
    """Draw a digit, the spikes that it causes in the hidden layer, and the output spike counts.

    Args:
        path: The PNG to write; an earlier one is replaced when the new one is complete.
        image: The digit, ``[H, W]``.
        label: What it is.
        hidden: Spikes of the hidden layer, ``[T, hidden]``.
        output: Spikes of the output layer, ``[T, 10]``.
        title: The line above.
    """
    # not pyplot: nothing of the user's settings is changed, no window is opened
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine
    from matplotlib.ticker import MaxNLocator

    figure = Figure(
        figsize=(12, 4.6), dpi=120, layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1)
    )
    figure.suptitle(title, fontsize=13, color=INK)
    left, middle, right = figure.subplots(1, 3, width_ratios=[1, 1.7, 1.5])

    left.imshow(image, cmap="gray_r", interpolation="nearest")
    left.set(title="Input: constant current", xlabel="pixel column", ylabel="pixel row")

    raster(hidden, ax=middle)
    spikes = f"{hidden.sum():.0f} spikes, {hidden.mean():.0%} of all possible"
    middle.set(title=f"Hidden layer: {spikes}")

    counts, digits = output.sum(axis=0), np.arange(10)
    bars = right.bar(digits, counts, color=[MARK if d == label else QUIET for d in digits])
    right.bar_label(bars, [f"{count:.0f}" for count in counts], fontsize=9)
    right.legend([bars[label]], [f"true class: {label}"], frameon=False)
    right.set(title="Output: spike counts", xlabel="digit")
    right.set(ylabel=f"spikes in {len(output)} time steps")
    right.set(xticks=digits, ylim=(0, max(1.25 * counts.max(), 1)))

    right.yaxis.set_major_locator(MaxNLocator(integer=True))
    right.spines[["top", "right"]].set_visible(False)

    beside = path.with_name(path.name + ".new")
    figure.savefig(beside, format="png")
    os.replace(beside, path)
