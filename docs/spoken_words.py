"""Draw `spoken_words.png`: the table of synthetic spoken words in results.md."""

import pathlib
import re

from matplotlib.figure import Figure

page = pathlib.Path(__file__).with_name("results.md").read_text()
NUMBERS = r"[\d.]+ % \(([\d.]+), ([\d.]+), ([\d.]+)\)"
rows = re.findall(rf"\| `(\w+)` \| {NUMBERS} \| {NUMBERS} \|", page)

figure = Figure(figsize=(6, 3), layout="constrained")
axes = figure.subplots()
for i, (_, *numbers) in enumerate(rows):
    for j, (label, color) in enumerate((("no delays", "tab:gray"), ("delays", "tab:blue"))):
        seeds = [float(n) for n in numbers[3 * j : 3 * j + 3]]
        at = i + 0.4 * j - 0.2
        axes.bar(at, sum(seeds) / 3, 0.36, color=color, alpha=0.5, label=None if i else label)
        axes.plot([at] * 3, seeds, "o", color=color, markersize=4)
axes.set_xticks(range(len(rows)), [name for name, *_ in rows])
axes.set(ylabel="test accuracy (%)", ylim=(0, 80))
axes.legend(frameon=False, loc="upper left", ncols=2)
axes.spines[["top", "right"]].set_visible(False)
figure.savefig(pathlib.Path(__file__).with_suffix(".png"), dpi=100)
