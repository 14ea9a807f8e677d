"""Tables from the results.

python -m benchmarks.table     # write README.md, results/*/README.md, and docs/benchmarks.md and
                               # docs/learning.md
"""

import json
import pathlib
import re
import statistics

from . import models_table
from .cases import TABLES, TITLES
from .cells import NONE, digits, processors, value
from .environments import HERE, SEGMENTED

README, DOCS = HERE.parent / "README.md", HERE.parent / "docs"
PAGE, LEARNING = DOCS / "benchmarks.md", DOCS / "learning.md"
LEARNED = 96  # time steps in the table of learning rules
RESULTS = HERE / "results"
# name of a column, its row, and a row that stands beside it in parentheses
COLUMNS = [
    ("jaxspike (jax 0.11)", "jaxspike", "jaxspike, jax 0.11"),
    ("`lax.scan` (jax 0.11)", "lax.scan", "lax.scan, jax 0.11"),
    ("sparxml (in `js.scan`)", "sparxml", "sparxml's step in js.scan"),
    ("spyx* (in `js.scan`)", "spyx", "spyx's step in js.scan"),
    ("jaxpike (in `js.scan`)", "jaxpike", "jaxpike's step in js.scan"),
    ("SpikingJelly", "SpikingJelly", None),
    ("snnTorch", "snnTorch", None),
    ("Norse", "Norse", None),
    ("floor", "floor", None),
]
# the README's lines and columns
CHOSEN = [
    ("neuron_layer", "T=16, 64 x 4096", "LIF layer, forward and backward, T=16, 64 x 4096"),
    ("neuron_layer", "T=100, 128 x 512", "LIF layer, forward and backward, T=100, 128 x 512"),
    ("mlp", "T=100, B=128, 784-800-10", "Train step, MLP 784-800-10, T=100"),
    ("images", "T=4, B=16, 28 x 28, conv 128 - conv 128 - 10", "Train step, two convolutions, T=4"),
]
LIBRARIES = ("jaxspike", "lax.scan", "spyx", "sparxml", "jaxpike", "SpikingJelly")
SHOWN = {"memory": "peak_mib", "depth": "compile_s"}  # in the page; else milliseconds
BESIDE = {"memory": {"jaxspike": SEGMENTED}}  # in place of that of the columns
LONG = ("neuron_layer_forward", "neuron_layer_bfloat16", "neuron_layer_forward_bfloat16")
DEVICES = ("cpu", "gpu")  # those of the page, if there are results


def load(folder):
    """The results of a folder, in the order of the tables."""
    paths = [pathlib.Path(folder) / f"{table}.json" for table in TABLES]
    return [json.loads(p.read_text()) for p in paths if p.exists()]


def brief(results):
    """The README's handful of cases."""
    cases = {result["table"]: result["cases"] for result in results}
    lines = ["| | " + " | ".join(LIBRARIES).replace("lax.scan", "`lax.scan`") + " |"]
    lines.append("|---|" + "--:|" * len(LIBRARIES))
    for table, case, label in CHOSEN:
        values = [value(cases[table][case].get(row)) for row in LIBRARIES]
        best = min(v for v in values if v is not None)
        cells = [f"**{digits(v)}**" if v == best else digits(v) for v in values]
        lines.append(f"| {label} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def small(results):
    """One line per case, one column per library."""
    lines = ["| milliseconds | " + " | ".join(c[0] for c in COLUMNS) + " |"]
    lines.append("|---|" + "--:|" * len(COLUMNS))
    for result in results:
        if (table := result["table"]) in LONG:
            continue
        lines.append(f"| **{TITLES[table]}** |" + " |" * len(COLUMNS))
        for case, rows in result["cases"].items():
            values = {r: value(a, SHOWN.get(table, "ms")) for r, a in rows.items()}
            found = [values[r] for _, r, _ in COLUMNS if r != "floor" and values.get(r) is not None]
            best = min(found, default=None)
            cells = []
            for _, row, beside in COLUMNS:
                cell = digits(values.get(row))
                if values.get(row) is not None and values[row] == best:
                    cell = f"**{cell}**"
                beside = BESIDE.get(table, {}).get(row, beside)
                if values.get(beside) is not None:
                    cell += f" ({digits(values[beside])})"
                cells.append(cell)
            lines.append(f"| {case} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def about(results):
    """The machine, the dates and the versions."""
    first, m, versions = results[0], results[0]["machine"], {}
    for result in results:
        for what in ("machine", "environment", "realtime"):
            if result[what] != first[what]:
                raise ValueError(
                    f"the results of a folder must be of one {what}; {result['table']!r} is of "
                    f"{result[what]}, {first['table']!r} of {first[what]}: measure it again, or "
                    "both with a --label of their own"
                )
        for row in result["rows"].values():
            for package, version in row["versions"].items():
                versions.setdefault(package, set()).add(version)
    versions = ", ".join(f"{p} {' and '.join(sorted(v))}" for p, v in sorted(versions.items()))
    dates = " and ".join(sorted({r["date"] for r in results}))
    return f"{processors(m)}, {m['cores']} cores, {m['memory_gib']} GiB; {dates}; {versions}.\n"


def full(results):
    """Everything that was measured."""
    text = ["# Results\n", about(results)]
    if results[0]["environment"]:
        extra = ", ".join(f"`{k}={v}`" for k, v in results[0]["environment"].items())
        text.append(f"Every process had {extra}.\n")
    notes = {r: a["note"] for x in results for r, a in x["rows"].items() if a["note"]}
    text.append("".join(f"- {r}: {n}.\n" for r, n in notes.items()))
    text.append(
        "Median time and quartiles of the calls; time to compile, median and range; memory beyond "
        "the inputs; share of neurons that fire in a step; spikes that differ from the first row's "
        "and the relative difference of gradients in the Euclidean norm.\n"
    )
    for result in results:
        for case, rows in result["cases"].items():
            text.append(f"## {TITLES[result['table']]}: {case}\n")
            if remark := result.get("remarks", {}).get(case):
                text.append(f"{remark}\n")
            text.append(
                "| | ms | quartiles | compile, s | memory, MiB | firing | differ | gradient |\n"
                "|---|--:|--:|--:|--:|--:|--:|--:|\n"
                + "".join(_line(r, a) for r, a in rows.items())
            )
    return "\n".join(text)


def _line(row, answer):
    if "reason" in answer:
        return f"| {row} | {answer['reason']} | | | | | | |\n"
    times = answer["ms"] * (1 if len(answer["ms"]) > 1 else 2)
    low, _, high = statistics.quantiles(times, n=4, method="inclusive")
    compiled = answer["compile_s"]
    memory, gradient = answer["peak_mib"], answer.get("gradient_difference")
    cells = [
        digits(value(answer)),
        f"{low:.3g} to {high:.3g}",
        f"{value(answer, 'compile_s'):.2f} ({min(compiled):.2f} to {max(compiled):.2f})"
        if compiled
        else "",
        f"{memory:.0f}" if memory is not None and memory >= 1 else "",
        "" if row == "floor" else f"{answer['firing_rate']:.1%}",
        str(answer.get("different_spikes", "not compared")),
        "" if gradient is None else _relative(gradient),
    ]
    return f"| {row} | " + " | ".join(cells) + " |\n"


def _relative(difference):
    return f"{difference:.0e}" if difference else "0"


def sharded(result):
    """The table of a train step on simulated devices."""
    rows, m = result["devices"], result["machine"]
    first = statistics.median(rows[0]["ms"])
    lines = [
        "## A train step over simulated devices\n",
        f"They share one CPU: {m['cpu']}, {m['cores']} cores; {result['date']}, jax "
        f"{rows[0]['jax']}. Spikes are equal to those of one device; loss and new weights differ "
        "by at most what is shown, relative to the largest.\n",
        "| devices | ms | times the first | compile, s | firing | largest difference |",
        "|--:|--:|--:|--:|--:|--:|",
    ]
    for row in rows:
        ms = statistics.median(row["ms"])
        lines.append(
            f"| {row['devices']} | {ms:.1f} | {ms / first:.2f} | {row['compile_s']:.2f} "
            f"| {row['firing_rate']:.1%} | {_relative(row['difference'])} |"
        )
    return "\n".join(lines) + "\n"


def learned(run):
    """The table of learning rules: times that of BPTT, and memory at ten times as many steps."""
    networks = run["networks"]
    lines = [
        "| gradient | " + " | ".join(networks) + " |",
        "|---|" + "--:|" * len(networks),
    ]
    for row in dict.fromkeys(row for network in networks.values() for row in network["rows"]):
        cells = []
        for network in networks.values():
            rows = network["rows"]
            if row not in rows:
                cells.append(NONE)
                continue
            times = value(rows[row]) / value(rows["BPTT"])
            shown = f"{times:.0f}" if times >= 10 else f"{times:.1f}"
            cells.append(f"{shown}, {digits(rows[row]['mib'][1])} MiB")
        lines.append(f"| {row} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def learned_in_full(result):
    """The page's table of learning rules, and every number of each."""
    m = result["machine"]
    lines = [
        "## Learning rules\n",
        f"{processors(m)}, {m['cores']} cores, shared: load {result['load']:.1f} at the start; "
        f"{result['date']}, jax {result['jax']}. The difference is from the same gradient computed "
        "in reverse, by jaxspike if the row is another library's.\n",
    ]
    for run in result["runs"]:
        steps = run["steps"]
        lines += [
            f"| network | gradient | ms, T={steps} | best | times BPTT | MiB, T={steps} | "
            f"MiB, T={10 * steps} | difference | cosine to BPTT |",
            "|---|---|" + "--:|" * 7,
        ]
        for name, network in run["networks"].items():
            base = value(network["rows"]["BPTT"])
            for row, found in network["rows"].items():
                ms, (short, long) = value(found), found["mib"]
                cells = name, row, digits(ms), digits(min(found["ms"])), f"{ms / base:.2f}"
                cells += digits(short), digits(long), _relative(found["difference"])
                lines.append("| " + " | ".join((*cells, f"{found['cosine']:.3f}")) + " |")
        lines.append("")
    return "\n".join(lines) + "\n"


def folders():
    """The folders of results."""
    return sorted(p for p in RESULTS.iterdir() if p.is_dir())


def page(folder):
    """The page of a folder: everything that it has."""
    parts = [full(found)] if (found := load(folder)) else []
    extra = ("devices", sharded), ("learning", learned_in_full), ("models", models_table.full)
    for name, table in extra:
        if (path := folder / f"{name}.json").exists():
            parts.append(table(json.loads(path.read_text())))
    return "\n".join(parts)


def shown():
    """The tables of the page, of every device that has results."""
    found = [load(RESULTS / device) for device in DEVICES]
    return "\n".join(small(results) + "\n" + about(results) for results in found if results)


def into(page, text, what="benchmarks"):
    """The page with ``text`` between its marks."""
    begin, end = f"<!-- {what}: python -m benchmarks.table -->\n", f"<!-- /{what} -->"
    pattern = re.escape(begin) + ".*?" + re.escape(end)
    if not re.search(pattern, page, re.DOTALL):
        raise ValueError(f"the page must have the lines {begin!r} and {end!r}")
    return re.sub(pattern, lambda _: f"{begin}\n{text}\n{end}", page, flags=re.DOTALL)


def pages():
    """Every page with tables, as it must be."""
    made = {folder / "README.md": page(folder) for folder in folders()}
    made[README] = into(README.read_text(), brief(load(RESULTS / "cpu")))
    made[PAGE] = into(PAGE.read_text(), shown())
    if (path := RESULTS / "cpu" / "models.json").exists():
        made[PAGE] = into(made[PAGE], models_table.small(json.loads(path.read_text())), "models")
    rules = json.loads((RESULTS / "cpu" / "learning.json").read_text())
    (chosen,) = (run for run in rules["runs"] if run["steps"] == LEARNED)
    made[LEARNING] = into(LEARNING.read_text(), learned(chosen))
    return made


def main():
    """Write every table."""
    for path, text in pages().items():
        path.write_text(text)


if __name__ == "__main__":
    main()
