"""Draw `surrogates.png`: the derivative and the primitive of every surrogate."""

import pathlib

from matplotlib.figure import Figure

import jaxspike as js

KINDS = sorted(
    (
        value
        for value in vars(js.surrogate).values()
        if isinstance(value, type)
        and issubclass(value, js.surrogate.Surrogate)
        and value is not js.surrogate.Surrogate
    ),
    key=lambda value: value.__name__,
)
COLUMNS = 7

rows = -(-len(KINDS) // COLUMNS)
figure = Figure(figsize=(14, 1.9 * rows), layout="constrained")
axes = figure.subplots(rows, COLUMNS, sharex=True, sharey=True).ravel()
for ax, kind in zip(axes, KINDS, strict=False):
    surrogate, title = kind(), kind.__name__
    if kind is js.surrogate.Scaled:
        surrogate, title = kind(js.surrogate.Sigmoid(), 0.5), "Scaled(Sigmoid(), 0.5)"
    js.plot.surrogate(surrogate, ax=ax)
    ax.set_title(title, fontsize=9)
    ax.set(xlabel="", ylabel="", ylim=(-0.6, 1.6))
    ax.tick_params(labelsize=7)
    ax.get_legend().remove()
for ax in axes[len(KINDS) :]:
    ax.set_axis_off()
handles, labels = axes[0].get_legend_handles_labels()
figure.legend(handles, labels, frameon=False, loc="outside upper right", ncols=3, fontsize=9)
figure.supxlabel("membrane potential above threshold", fontsize=9)
figure.savefig(pathlib.Path(__file__).with_suffix(".png"), dpi=85)
