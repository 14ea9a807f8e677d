"""Draw `execution_orders.svg`: the grid of a network over time, and the orders to traverse it."""

import pathlib

from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

LAYERS = ["Linear", "LIF", "Linear", "LIF"]
STEPS = 5
TREE = [(0, 1), (2, 3), (1, 3), (3, 4)]  # compositions of steps, which do not wait in a row
INK, QUIET, GROUP = "#1f2933", "#b8c4ce", "#d9480f"


def nodes(axes, *, tree=False):
    """Draw the grid: up through the layers, and where there is a state along time or in a tree."""
    for row, layer in enumerate(LAYERS):
        for t in range(STEPS):
            if row + 1 < len(LAYERS):
                arrow(axes, (t, row + 0.27), (t, row + 0.73), QUIET)
            if layer == "LIF" and t + 1 < STEPS and not tree:
                arrow(axes, (t + 0.27, row), (t + 0.73, row), QUIET)
            face = "#fff4e6" if layer == "LIF" else "white"
            axes.add_patch(
                FancyBboxPatch(
                    (t - 0.17, row - 0.17), 0.34, 0.34, "round,pad=0.06", fc=face, ec=INK, lw=1
                )
            )
        if layer == "LIF" and tree:
            for start, stop in TREE:
                arrow(axes, (start + 0.2, row + 0.2), (stop - 0.2, row + 0.2), INK, curve=-0.12)
    axes.set(xlim=(-0.6, STEPS + 1.6), ylim=(-0.65, len(LAYERS) - 0.2), aspect="equal")
    axes.set_xticks(range(STEPS), [f"t = {t + 1}" for t in range(STEPS)])
    axes.set_yticks(range(len(LAYERS)), LAYERS)
    axes.tick_params(length=0, colors=INK)
    axes.spines[:].set_visible(False)


def arrow(axes, start, end, color, *, curve=0.0):
    """Draw one edge of the grid."""
    style = {"arrowstyle": "-|>", "mutation_scale": 8, "connectionstyle": f"arc3,rad={curve}"}
    axes.add_patch(FancyArrowPatch(start, end, color=color, **style))


def frame(axes, x, y, width, height, label):
    """Frame what is computed together, with its position in the order."""
    style = "round,pad=0.02,rounding_size=0.2"
    axes.add_patch(FancyBboxPatch((x, y), width, height, style, fc="none", ec=GROUP, lw=2))
    axes.text(x + width / 2, y + height + 0.06, label, color=GROUP, fontsize=9, ha="center")


def rows(axes, recurrence):
    """Frame every layer over all time steps."""
    for row in range(len(LAYERS)):
        frame(axes, -0.42, row - 0.38, STEPS - 0.16, 0.7, "")
        what = recurrence if LAYERS[row] == "LIF" else "one matmul, T x N rows"
        axes.text(STEPS - 0.42, row, f"{row + 1}: {what}", color=GROUP, fontsize=9, va="center")


figure = Figure(figsize=(15, 4.4), layout="constrained")
step, layer, parallel = figure.subplots(1, 3, width_ratios=[0.8, 1, 1])
nodes(step)
for t in range(STEPS):
    frame(step, t - 0.38, -0.42, 0.76, len(LAYERS) - 0.2, f"{t + 1}")
step.set_title('order="step": one time step after another', color=INK)
step.set_xlabel("one loop over time with the whole network in it", color=INK)
nodes(layer)
rows(layer, "one loop over time")
layer.set_title('order="layer": one layer after another', color=INK)
layer.set_xlabel("no matmul is left inside a loop", color=INK)
nodes(parallel, tree=True)
rows(parallel, "about 2 log T passes")
parallel.set_title('order="parallel": and no loop where none is needed', color=INK)
parallel.set_xlabel("affine recurrences in a tree; resets by guesses of all spikes", color=INK)
step.set_xlim(-0.9, STEPS - 0.1)
figure.savefig(pathlib.Path(__file__).with_suffix(".svg"), metadata={"Date": None})
