"""Spikes and membranes over time."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from .._check import axes as check_axes, integer
from ._axes import (
    INK,
    LINES,
    MARK,
    QUIET,
    Axes,
    array,
    axes,
    dots,
    legend_above,
    named,
    time_axis,
    whole_numbers,
)


def raster(spikes: ArrayLike, *, sample: int = 0, ax: Axes | None = None, color: str = INK) -> Axes:
    """Raster of the spikes of one sample: one tick per spike; time runs right, one row per neuron.

    Args:
        spikes: ``[T, neurons]``, or ``[T, N, *]``, whose neurons are numbered in memory order.
            Anything nonzero is a spike; negative ones are drawn in another color.
        sample: Which of the N samples to draw; ``[T, neurons]`` has only one.
        ax: Where to draw; None for a new figure.
        color: Color of the spikes.

    Raises:
        ValueError: If ``spikes`` has fewer than two axes or is not finite, or there is no such
            sample.

    Example:
        >>> import jax, jaxspike as js
        >>> spikes = jax.random.bernoulli(jax.random.key(0), 0.1, (100, 4, 50))
        >>> ax = js.plot.raster(spikes, sample=2)
    """
    a = array("`raster(spikes=...)`", spikes, *range(2, 9), layout="[T, neurons] or [T, N, *]")
    samples = a.shape[1] if a.ndim > 2 else 1
    sample = integer("`raster(sample=...)`", sample, low=-samples, high=samples - 1)
    a = a[:, sample].reshape(len(a), -1) if a.ndim > 2 else a
    ax = axes(ax, figsize=(7, 3.2))
    steps, neurons = a.shape
    width = ax.get_position().width * ax.figure.get_figwidth() * 72  # in points
    wide = min(max(0.6 * width / steps, 0.8), 20.0)
    for fired, paint in ((a > 0, color), (a < 0, MARK)):
        when, which = np.nonzero(fired)
        if len(when):
            ax.vlines(when, which - 0.4, which + 0.4, color=paint, linewidth=wide)
    if not a.any():
        middle = {"ha": "center", "va": "center", "transform": ax.transAxes}
        ax.text(0.5, 0.5, "no spikes", color="#52606d", **middle)
    time_axis(ax, steps)
    ax.set(ylabel="neuron", ylim=(-0.7, neurons - 0.3))
    whole_numbers(ax.yaxis)
    return ax


def membrane(
    v: ArrayLike,
    *,
    spikes: ArrayLike | None = None,
    v_threshold: float | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Membrane potential of one or a few neurons, with the threshold, and the spikes above.

    Args:
        v: ``[T]``, or ``[T, neurons]`` with one line per neuron; as `jaxspike.debug.record`
            returns it, it is the potential after the reset.
        spikes: Their spikes, in the shape of ``v``; one stroke at the top per spike.
        v_threshold: The threshold, drawn as a dashed line.
        ax: Where to draw; None for a new figure.

    Raises:
        TypeError: If ``v_threshold`` is not one number.
        ValueError: If ``v`` has another number of axes or is not finite, or ``spikes`` has
            another shape.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> net = js.nn.Sequential(js.LIF())
        >>> x_seq, state = jnp.full((30, 1, 1), 1.3), net.init_state((1, 1))
        >>> lif = js.debug.record(net, state, x_seq, fields=("v", "output"))[2]["0"]
        >>> ax = js.plot.membrane(lif["v"][:, 0], spikes=lif["output"][:, 0], v_threshold=1.0)
    """
    potential = array("`membrane(v=...)`", v, 1, 2, layout="[T] or [T, neurons]")
    fired = np.zeros_like(potential)
    if spikes is not None:
        fired = array("`membrane(spikes=...)`", spikes, 1, 2, layout="[T] or [T, neurons]")
    check_axes("`membrane(spikes=...)`", fired, *potential.shape)
    if v_threshold is not None and np.ndim(v_threshold):
        raise TypeError(f"`membrane(v_threshold=...)` must be one number, got {v_threshold}.")
    steps = len(potential)
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
        ax.plot(np.arange(steps), potential[:, n], **line)
        when, low = np.flatnonzero(fired[:, n]), top + tall * (0.5 + 1.2 * n)
        if len(when):
            alone = {"color": MARK, "label": "spikes"} if potential.shape[1] == 1 else {}
            ax.vlines(when, low, low + tall, linewidth=1.6, **{"color": color} | alone)
    time_axis(ax, steps)
    ax.set(ylabel="membrane potential")
    legend_above(ax)
    return ax


def spike_counts(spikes: ArrayLike | Mapping[str, ArrayLike], *, ax: Axes | None = None) -> Axes:
    """Number of spikes per time step: the sum over all neurons, averaged over the samples.

    Args:
        spikes: ``[T, N, *]``, or a dict from the names of layers to such arrays, with one line per
            layer. Anything nonzero is a spike.
        ax: Where to draw; None for a new figure.

    Raises:
        TypeError: If a dict is empty.
        ValueError: If an array has fewer than two axes, or is not finite.

    Example:
        >>> import jax, jaxspike as js
        >>> spikes = jax.random.bernoulli(jax.random.key(0), 0.1, (100, 4, 50))
        >>> ax = js.plot.spike_counts({"hidden": spikes})
    """
    layers = spikes if isinstance(spikes, Mapping) else {"": spikes}
    named("`spike_counts(spikes=...)`", layers)
    ax, steps = axes(ax, figsize=(7, 3)), 1
    for i, (name, values) in enumerate(layers.items()):
        a = array("`spike_counts(spikes=...)`", values, *range(2, 9), layout="[T, N, *]")
        counts = (a != 0).reshape(*a.shape[:2], -1).sum(axis=-1).mean(axis=-1)
        line = {"color": LINES[i % len(LINES)], "linewidth": 1.4, "label": name}
        ax.plot(counts, **line, marker=dots(len(a)), clip_on=False)  # a line at zero stays visible
        steps = max(steps, len(a))
    time_axis(ax, steps)
    ax.set(ylabel="spikes per time step")
    ax.set_ylim(bottom=0)
    if isinstance(spikes, Mapping):
        legend_above(ax)
    return ax
