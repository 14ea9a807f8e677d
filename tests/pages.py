"""Pages of documentation: their programs, which run in one namespace, and their links."""

import contextlib
import io
import json
import pathlib
import re

import jax

import jaxspike as js

ROOT = pathlib.Path(__file__).parents[1]
README = ROOT / "README.md"
DOCS = sorted((ROOT / "docs").glob("*.md"))
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def text(page):
    """A page, or the cells of a notebook."""
    if page.suffix != ".ipynb":
        return page.read_text()
    cells = json.loads(page.read_text())["cells"]
    fences = [("```\n", "\n```") if cell["cell_type"] == "code" else ("", "") for cell in cells]
    sources = ["".join(cell["source"]) for cell in cells]
    return "\n\n".join(a + s + b for (a, b), s in zip(fences, sources, strict=True))


def programs(page):
    """The Python blocks of a page."""
    return re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)


def run(page):
    """The output of a page, and the layers' firing rates of every network it made, in percent."""
    space, rates, out = {"__name__": page.stem}, [], io.StringIO()
    with contextlib.redirect_stdout(out), jax.numpy_dtype_promotion("standard"):  # as users have it
        for block in programs(page):
            exec(compile(block, page.name, "exec"), space)
            if "net = " in block:
                is_still = "images = " in block and "x_seq = " not in block
                net, x = space["net"], space["images" if is_still else "x_seq"]
                report = js.debug.firing_rates(net, net.init_state(x.shape[1:]), x)
                rates += [100 * layer.rate for layer in report.layers.values()]
    return out.getvalue(), rates


def shown_rates(printed):
    """The firing rates that a page printed, in percent."""
    return [float(rate) for rate in re.findall(r"firing rate ([-\d.]+)%", printed)]


def links(page):
    """The links of a page that lead into the repository: paths and the headings in them."""
    prose = re.sub(r"```.*?```|`[^`]*`", "", text(page), flags=re.DOTALL)
    for target in re.findall(r"\]\((?!\w+:)([^)\s]+)\)", prose):
        path, _, heading = target.partition("#")
        yield (page.parent / path if path else page).resolve(), heading


def headings(page):
    """The headings of a page as GitHub names them in links."""
    titles = re.findall(r"^#+ (.*)$", text(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def names(page):
    """The names of the package on a page: as ``js.NAME``, or in a column headed ``js.ROOM.``."""
    current = text(page).split("## Old names")[0]
    found = set(re.findall(r"\bjs\.(\w+(?:\.[A-Za-z]\w*)*)", current))
    tables = re.findall(r"^\| `js\.([\w.]*)` \|.*\n\|[-|:]+\n((?:\|.*\n)+)", current, re.MULTILINE)
    for room, rows in tables:
        cells = [row.split("|")[1] for row in rows.splitlines()]
        found |= {room + name for name in re.findall(r"`([A-Za-z][\w.]*)", " ".join(cells))}
    return sorted(found)


def names_in(row):
    """The names that are all of some code in a row, without arguments."""
    return re.findall(r"`js\.([\w.]+)`", row)
