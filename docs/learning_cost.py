"""Draw `learning_cost.png`: memory and time of a gradient against the number of time steps."""

import json
import pathlib
import statistics

from matplotlib.figure import Figure

here = pathlib.Path(__file__)
results = here.parents[1] / "benchmarks" / "results" / "cpu" / "learning.json"
runs = json.loads(results.read_text())["runs"]
NETWORKS = {"leaky": [0.05, 0.1, 0.2, 0.5], "convolutional": [1, 2, 3, 4]}  # ticks of time
ROWS = {  # line and marker of each gradient
    "BPTT": ("tab:gray", "-", "o"),
    'BPTT, segment="sqrt"': ("tab:gray", "-", "s"),
    "none": ("tab:green", "-", "o"),
    "local": ("tab:blue", "-", "o"),
    "local, window=32": ("tab:blue", "-", "s"),
    "sparxml eprop": ("tab:red", "--", "o"),
    "SpikingJelly BPTT": ("tab:orange", "--", "o"),
    "SpikingJelly SLTT": ("tab:orange", "--", "^"),
    "SpikingJelly OTTT": ("tab:orange", "--", "s"),
}

figure = Figure(figsize=(9, 6.5), layout="constrained")
axes = figure.subplots(2, 2, sharex=True)
for column, (network, ticks) in enumerate(NETWORKS.items()):
    memory, times = axes[:, column]
    for row, (color, line, marker) in ROWS.items():
        found = {r["steps"]: r["networks"][network]["rows"].get(row) for r in runs}
        if None in found.values():
            continue
        style = {"color": color, "linestyle": line, "marker": marker, "markersize": 4}
        mib = {10 * t: row["mib"][1] for t, row in found.items()}
        mib |= {t: row["mib"][0] for t, row in found.items()}
        memory.loglog(*zip(*sorted(mib.items()), strict=True), label=row, **style)
        ms = [statistics.median(row["ms"]) / steps for steps, row in found.items()]
        times.loglog(list(found), ms, **style)
    memory.set_title(network)
    times.set_xlabel("time steps T")
    for ax in (memory, times):
        ax.spines[["top", "right"]].set_visible(False)
        ax.yaxis.set_major_formatter("{x:g}")
    times.set_yticks(ticks)
    times.minorticks_off()
axes[0, 0].set_ylabel("memory (MiB)")
axes[1, 0].set_ylabel("CPU time of a step (ms)")
lines = {line.get_label(): line for ax in axes[0] for line in ax.get_lines()}
figure.legend(lines.values(), lines.keys(), loc="outside lower center", ncols=5, frameon=False)
figure.savefig(here.with_suffix(".png"), dpi=100)
