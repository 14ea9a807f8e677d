"""Axes, colors and checks shared by all plots."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .._check import number, package

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


def points(ax: Axes) -> tuple[float, float]:
    """The width and the height of the axes in points."""
    at, figure = ax.get_position(), ax.figure
    return at.width * figure.get_figwidth() * 72, at.height * figure.get_figheight() * 72


def legend_on_top(ax: Axes) -> None:
    """A legend at the top inside the axes, in room that is made for it above the data."""
    legend = ax.legend(frameon=False, ncols=4, loc="upper left", borderaxespad=0.2, fontsize=9)
    _, height = points(ax)
    share = min(0.5, 16 * -(-len(legend.get_texts()) // 4) / height)
    low, high = ax.transScale.transform([(1, y) for y in ax.get_ylim()])[:, 1]
    top = low + (high - low) / (1 - share)
    top = ax.transScale.inverted().transform((1, top))[1]
    ax.update_datalim([(0, top)], updatex=False)  # not `set_ylim`: what is drawn later must fit too
    ax.autoscale_view(scalex=False)


def time_step(where: str, dt: float | None) -> float:
    """The length of a time step on the x axis: 1 if it counts them."""
    return 1.0 if dt is None else number(f"`{where}(dt=...)`", dt, above=0)


def time_axis(ax: Axes, steps: int, dt: float | None, unit: str) -> None:
    """Make the x axis cover ``steps`` time steps."""
    step = 1.0 if dt is None else dt
    label = "time step" if dt is None else f"time ({unit})"
    ax.set(xlabel=label, xlim=(-0.5 * step, (steps - 0.5) * step))
    if dt is None:
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
