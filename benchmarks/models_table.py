"""Tables from the results of `benchmarks.models`."""

import statistics

from .cells import NONE, digits, processors, value

PROGRAMS = {"train": "Train step", "inference": "Inference"}
CLOCKS = {"cpu": "cpu_s", "gpu": "wall_s"}  # what is compared on each device


def small(result):
    """The table of whole networks: seconds and memory, and the gain over the first row."""
    networks, m = result["networks"].values(), result["machine"]
    clock, seconds = (CLOCKS["gpu"], "Seconds") if "gpu" in m else (CLOCKS["cpu"], "CPU seconds")
    rows = list(dict.fromkeys(row for network in networks for row in network["rows"]))
    lines = [
        f"| {seconds}, MiB | " + " | ".join(rows) + f" | {rows[0]} / {rows[1]} |",
        "|---|" + "--:|" * (len(rows) + 1),
    ]
    for program in ("train", "inference"):
        lines.append(f"| **{PROGRAMS[program]}** |" + " |" * (len(rows) + 1))
        for network in networks:
            found = {r: a[program] for r, a in network["rows"].items() if "reason" not in a}
            cells = [
                f"{digits(value(found[r], clock))}, {digits(found[r]['peak_mib'])}"
                if r in found
                else NONE
                for r in rows
            ]
            gain = NONE
            if rows[0] in found and rows[1] in found:
                gain = f"{ratio(found[rows[0]][clock], found[rows[1]][clock]):.2f}"
            lines.append(f"| {network['title']} | " + " | ".join([*cells, gain]) + " |")
    reasons = {(r, a["reason"]) for n in networks for r, a in n["rows"].items() if "reason" in a}
    dates = " and ".join(sorted({n["date"] for n in networks}))
    cores = result["cores_used"]
    lines += ["", f"{processors(m)}, {cores} of {m['cores']} cores; {dates}; {versions(networks)}."]
    lines += ["", *(f"- {row} {reason}." for row, reason in sorted(reasons))] if reasons else []
    return "\n".join(lines) + "\n"


def ratio(first, second):
    """The median ratio of two lists of times, round by round."""
    return statistics.median(a / b for a, b in zip(first, second, strict=True))


def versions(networks):
    """The versions of all packages in the table of whole networks."""
    found = {}
    for network in networks:
        for row in network["rows"].values():
            for package, version in row.get("versions", {}).items():
                found.setdefault(package, set()).add(version)
    return ", ".join(f"{p} {' and '.join(sorted(v))}" for p, v in sorted(found.items()))


def full(result):
    """The page's table of whole networks, and every number of each."""
    lines = [
        "## Whole models\n",
        small(result),
        "Medians of the runs; CPU seconds to compile; memory beyond what the process had; spikes "
        "that differ from the first row's, and the first layer in which some do; loss and norm of "
        "the gradient in the first step.\n",
        "| network | program | row | CPU, s | clock, s | compile, s | MiB | spikes | differ "
        "| first | loss | gradient |",
        "|---|---|---|" + "--:|" * 5 + "--:|---|--:|--:|",
    ]
    for network in result["networks"].values():
        for row, found in network["rows"].items():
            if "reason" not in found:
                lines += [_line(network, program, row, found) for program in PROGRAMS]
    return "\n".join(lines) + "\n"


def _line(network, program, row, found):
    times, spikes = found[program], found["spikes"][program]
    first, compiled = spikes.get("first"), found["compile_s"].get(program)
    cells = [
        network["title"],
        program,
        row,
        digits(value(times, "cpu_s")),
        digits(value(times, "wall_s")),
        NONE if compiled is None else f"{compiled:.1f}",
        digits(times["peak_mib"]),
        f"{spikes['spikes']}",
        f"{spikes['different']}",
        f"{first['layer']}, {first['different']} of {first['spikes']}" if first else "",
        f"{found['loss']:.6f}" if program == "train" else "",
        f"{found['gradient']:.6f}" if program == "train" else "",
    ]
    return "| " + " | ".join(cells) + " |"
