"""Axes, colors and checks shared by all plots."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .._check import package

Axes = Any  # matplotlib.axes.Axes, which is not imported before it is needed
INK, MARK, QUIET = "#1f2933", "#d9480f", "#9fb3c8"
LINES = (INK, MARK, "#1971c2", "#2f9e44", "#9c36b5", "#e8a100", "#0c8599", "#868e96")


def axes(ax: Axes | None, **figure: object) -> Axes:
    """``ax``, or the axes of a new figure, without the top and right spines."""
    if ax is None:
        plt = package("`jaxspike.plot`", "matplotlib.pyplot", "plot")
        _, ax = plt.subplots(layout="constrained", **figure)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def whole_numbers(axis: Axes) -> None:
    """Put the ticks of an axis at whole numbers only."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10], min_n_ticks=1))


def legend_above(ax: Axes) -> None:
    """A legend above the axes, where it covers nothing."""
    ax.legend(frameon=False, ncols=4, loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0.2)


def time_axis(ax: Axes, steps: int) -> None:
    """Make the x axis cover ``steps`` time steps."""
    ax.set(xlabel="time step", xlim=(-0.5, steps - 0.5))
    whole_numbers(ax.xaxis)


def array(where: str, value: ArrayLike, *ranks: int, layout: str):
    """``value`` as a NumPy array of finite numbers with one of ``ranks`` many axes."""
    a = np.asarray(value)
    if a.dtype.kind in "cOSUmM":
        raise TypeError(f"{where} must be numbers, got {a.dtype}.")
    a = a if a.dtype.kind in "biuf" else a.astype(np.float32)  # bfloat16
    if a.ndim not in ranks or not a.size:
        raise ValueError(f"{where} must be {layout}, got the shape {a.shape}.")
    if not np.isfinite(a).all():
        raise ValueError(f"{where} must be finite, got a NaN or an infinity.")
    return a


def dots(steps: int) -> str:
    """The marker of a line: a line of a single step is invisible without one."""
    return "o" if steps == 1 else ""


def named(where: str, values: Mapping[str, object]) -> None:
    """Refuse ``values`` that are not a nonempty dict."""
    if not isinstance(values, Mapping) or not values:
        raise TypeError(f"{where} must be a dict from names to values, got {values!r:.60}.")
