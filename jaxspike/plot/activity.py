"""Spikes and membranes over time."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from .._check import axes as check_axes, integer, one_of
from ._axes import (
    INK,
    LINES,
    MARK,
    QUIET,
    Axes,
    array,
    axes,
    dots,
    legend_on_top,
    named,
    points,
    time_axis,
    time_step,
    whole_numbers,
)


def raster(
    spikes: ArrayLike,
    *,
    sample: int = 0,
    dt: float | None = None,
    unit: str = "ms",
    rate: bool = False,
    ax: Axes | None = None,
    color: str = INK,
) -> Axes:
    """Raster of the spikes of one sample: one tick per spike; time runs right, one row per neuron.

    Every spike is visible, also where there are more neurons or time steps than pixels: a tick is
    at least 1.5 points wide and high.

    Args:
        spikes: ``[T, neurons]``, or ``[T, N, *]``, whose neurons are numbered in memory order.
            Anything nonzero is a spike; negative ones are drawn in another color.
        sample: Which of the N samples to draw; ``[T, neurons]`` has only one.
        dt: Length of a time step, in ``unit``; None counts steps.
        unit: The unit of ``dt``.
        rate: Whether to draw the share of the neurons that fire in each time step, in a panel
            above, ``ax.child_axes[0]``.
        ax: Where to draw; None for a new figure.
        color: Color of the spikes.

    Raises:
        TypeError: If ``dt`` is not a number.
        ValueError: If ``spikes`` has fewer than two axes or is not finite, there is no such
            sample, or ``dt`` is not above 0.

    Example:
        >>> import jax, jaxspike as js
        >>> spikes = jax.random.bernoulli(jax.random.key(0), 0.1, (100, 4, 50))
        >>> ax = js.plot.raster(spikes, sample=2, dt=0.5, rate=True)
    """
    a = array("`raster(spikes=...)`", spikes, *range(2, 9), layout="[T, neurons] or [T, N, *]")
    samples = a.shape[1] if a.ndim > 2 else 1
    sample = integer("`raster(sample=...)`", sample, low=-samples, high=samples - 1)
    one_of("`raster(rate=...)`", rate, (False, True))
    a, step = a[:, sample].reshape(len(a), -1) if a.ndim > 2 else a, time_step("raster", dt)
    ax = axes(ax, figsize=(7, 3.2))
    steps, neurons = a.shape
    width, height = points(ax)
    row = height / (neurons + 0.4)
    wide = max(1.5, min(0.6 * width / steps, 0.8 * row))  # never wider than high
    # the caps add the width to the height, in points: also where a row is less than a pixel
    half = max(0.4 - 0.5 * wide / row, 1e-3)
    for fired, paint in ((a > 0, color), (a < 0, MARK)):
        when, which = np.nonzero(fired)
        if len(when):
            ticks = {"color": paint, "linewidth": wide, "capstyle": "projecting", "snap": False}
            ax.vlines(when * step, which - half, which + half, **ticks)
    if not a.any():
        middle = {"ha": "center", "va": "center", "transform": ax.transAxes}
        ax.text(0.5, 0.5, "no spikes", color="#52606d", **middle)
    time_axis(ax, steps, dt, unit)
    ax.set(ylabel="neuron", ylim=(-0.7, neurons - 0.3))
    whole_numbers(ax.yaxis)
    if rate:
        _rate_panel(ax, np.arange(steps) * step, 100 * (a != 0).mean(1))
    return ax


def _rate_panel(ax: Axes, times: np.ndarray, percent: np.ndarray) -> None:
    panel = axes(ax.inset_axes((0, 1.04, 1, 0.3), sharex=ax))
    panel.fill_between(times, percent, step="mid", color=QUIET, linewidth=0)
    panel.set(ylabel="% firing", ylim=(0, max(1.0, 1.1 * float(percent.max()))))
    panel.tick_params(labelbottom=False)


def membrane(
    v: ArrayLike,
    *,
    spikes: ArrayLike | None = None,
    v_threshold: float | None = None,
    dt: float | None = None,
    unit: str = "ms",
    ax: Axes | None = None,
) -> Axes:
    """Membrane potential of one or a few neurons, with the threshold, and the spikes above.

    Args:
        v: ``[T]``, or ``[T, neurons]`` with one line per neuron: that before the reset, the field
            ``"h"`` of `jaxspike.debug.record`, which reaches the threshold where there is a spike;
            or the state ``"v"``, which is that after the reset.
        spikes: Their spikes, in the shape of ``v``; one stroke at the top per spike.
        v_threshold: The threshold, drawn as a dashed line.
        dt: Length of a time step, in ``unit``; None counts steps.
        unit: The unit of ``dt``.
        ax: Where to draw; None for a new figure.

    Raises:
        TypeError: If ``v_threshold`` or ``dt`` is not one number.
        ValueError: If ``v`` has another number of axes or is not finite, ``spikes`` has another
            shape, or ``dt`` is not above 0.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> net = js.nn.Sequential(js.LIF())
        >>> x_seq, state = jnp.full((30, 1, 1), 1.3), net.init_state((1, 1))
        >>> lif = js.debug.record(net, state, x_seq, fields=("h", "output"))[2]["0"]
        >>> ax = js.plot.membrane(lif["h"][:, 0], spikes=lif["output"][:, 0], v_threshold=1.0)
    """
    potential = array("`membrane(v=...)`", v, 1, 2, layout="[T] or [T, neurons]")
    fired = np.zeros_like(potential)
    if spikes is not None:
        fired = array("`membrane(spikes=...)`", spikes, 1, 2, layout="[T] or [T, neurons]")
    check_axes("`membrane(spikes=...)`", fired, *potential.shape)
    if v_threshold is not None and np.ndim(v_threshold):
        raise TypeError(f"`membrane(v_threshold=...)` must be one number, got {v_threshold}.")
    steps, step = len(potential), time_step("membrane", dt)
    potential, fired = potential.reshape(steps, -1), fired.reshape(steps, -1)
    ax = axes(ax, figsize=(7, 3))
    if v_threshold is not None:
        ax.axhline(v_threshold, color=QUIET, linestyle="--", linewidth=1.2, label="threshold")
    tops = [potential.max(), *([] if v_threshold is None else [v_threshold])]
    top, tall = max(tops), 0.12 * max(float(max(tops)) - float(potential.min()), 1e-6)
    for n in range(potential.shape[1]):
        color = LINES[n % len(LINES)]
        label = "membrane" if potential.shape[1] == 1 else f"neuron {n}"
        line = {"color": color, "linewidth": 1.4, "label": label, "marker": dots(steps)}
        ax.plot(np.arange(steps) * step, potential[:, n], **line)
        when, low = np.flatnonzero(fired[:, n]), top + tall * (0.5 + 1.2 * n)
        if len(when):
            alone = {"color": MARK, "label": "spikes"} if potential.shape[1] == 1 else {}
            ax.vlines(when * step, low, low + tall, linewidth=1.6, **{"color": color} | alone)
    time_axis(ax, steps, dt, unit)
    ax.set(ylabel="membrane potential")
    legend_on_top(ax)
    return ax


def spike_counts(
    spikes: ArrayLike | Mapping[str, ArrayLike],
    *,
    dt: float | None = None,
    unit: str = "ms",
    ax: Axes | None = None,
) -> Axes:
    """Number of spikes per time step: the sum over all neurons, averaged over the samples.

    Args:
        spikes: ``[T, N, *]``, or a dict from the names of layers to such arrays, with one line per
            layer. Anything nonzero is a spike.
        dt: Length of a time step, in ``unit``; None counts steps.
        unit: The unit of ``dt``.
        ax: Where to draw; None for a new figure.

    Raises:
        TypeError: If a dict is empty, or ``dt`` is not a number.
        ValueError: If an array has fewer than two axes or is not finite, or ``dt`` is not above 0.

    Example:
        >>> import jax, jaxspike as js
        >>> spikes = jax.random.bernoulli(jax.random.key(0), 0.1, (100, 4, 50))
        >>> ax = js.plot.spike_counts({"hidden": spikes})
    """
    layers = spikes if isinstance(spikes, Mapping) else {"": spikes}
    named("`spike_counts(spikes=...)`", layers)
    ax, steps, step = axes(ax, figsize=(7, 3)), 1, time_step("spike_counts", dt)
    for i, (name, values) in enumerate(layers.items()):
        a = array("`spike_counts(spikes=...)`", values, *range(2, 9), layout="[T, N, *]")
        counts = (a != 0).reshape(*a.shape[:2], -1).sum(axis=-1).mean(axis=-1)
        line = {"color": LINES[i % len(LINES)], "linewidth": 1.4, "label": name}
        times = np.arange(len(a)) * step
        ax.plot(
            times, counts, **line, marker=dots(len(a)), clip_on=False
        )  # a line at zero stays visible
        steps = max(steps, len(a))
    time_axis(ax, steps, dt, unit)
    ax.set(ylabel="spikes per time step")
    if isinstance(spikes, Mapping):
        legend_on_top(ax)
    ax.set_ylim(bottom=0)
    return ax
