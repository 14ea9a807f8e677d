"""Firing rates of layers."""

import numpy as np

from .._check import instance, kind
from ..debug import FiringReport
from ._axes import MARK, QUIET, Axes, axes

SATURATED = "#9c36b5"


def firing_rates(report: FiringReport, *, ax: Axes | None = None) -> Axes:
    """Firing rate of each layer as a bar, the first on top; silent and saturated ones are marked.

    Args:
        report: The result of `jaxspike.debug.firing_rates`.
        ax: Where to draw; None for a new figure.

    Raises:
        TypeError: If ``report`` is not a report.
        ValueError: If it has no layer.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> net = js.nn.Sequential(js.IF(), js.LIF())
        >>> state, x_seq = net.init_state((2, 8)), jnp.full((10, 2, 8), 0.5)
        >>> ax = js.plot.firing_rates(js.debug.firing_rates(net, state, x_seq))
    """
    fix = "Make one: `jaxspike.debug.firing_rates(net, state, x_seq)`."
    instance("`firing_rates(report=...)`", report, FiringReport, "a report", fix, kind)
    if not report.layers:
        raise ValueError("`firing_rates(report=...)` must have a layer that spikes, got none.")
    ax = axes(ax, figsize=(6, 0.8 + 0.3 * len(report.layers)))
    rows, rates = np.arange(len(report.layers)), [r.rate for r in report.layers.values()]
    colors = dict.fromkeys(report.layers, QUIET)
    colors |= dict.fromkeys(report.silent, MARK)
    colors |= dict.fromkeys(report.saturated, SATURATED)
    notes = dict.fromkeys(report.silent, "  silent")
    notes |= dict.fromkeys(report.saturated, "  saturated")
    bars = ax.barh(rows, [100 * r for r in rates], color=list(colors.values()), height=0.7)
    labels = [f"{r:.1%}{notes.get(n, '')}" for n, r in zip(report.layers, rates, strict=True)]
    for text, color in zip(ax.bar_label(bars, labels, padding=4), colors.values(), strict=True):
        text.set(color="black" if color == QUIET else color, fontsize=9)
    ax.set_yticks(rows, list(report.layers))
    ax.set(xlabel="firing rate, % of the time steps", ylabel="layer")
    ax.set(xlim=(0, max(130 * max(rates), 1)), ylim=(len(rows) - 0.4, -0.6))
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:g}" if value <= 100 else "")
    ax.tick_params(axis="y", length=0)
    return ax
