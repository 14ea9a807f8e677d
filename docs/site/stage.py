"""The source of the site: the pages of the repository, in the places they have on the site.

Pages are written to be read on GitHub, so their links are paths in the repository. Here a link to a
page of the site leads to where it is on the site, and a link to anything else in the repository
leads to GitHub.
"""

import base64
import contextlib
import json
import os
import pathlib
import re
import shutil
import subprocess

import jaxspike as js

ROOT = pathlib.Path(__file__).parents[2]
SITE = ROOT / "docs" / "site"
GITHUB = "https://github.com/jaxspike/jaxspike"
MOVED = {  # pages that are not in `docs`, or have another name there
    "docs/index.md": "ideas.md",
    "docs/site/index.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "jaxspike/engine/README.md": "engine.md",
    "benchmarks/engine.md": "engine_measurements.md",
}
THUMBNAILS = {"01": 5, "02": 1, "03": 1, "04": 1, "05": 2}  # which picture, from 0; else the last
LINK = re.compile(r"\]\((?!\w+:)([^)\s#]*)(#[^)\s]*)?\)")
CODE = re.compile(r"(^```.*?^```|`[^`\n]*`)", re.DOTALL | re.MULTILINE)


def revision():
    """The commit that links to GitHub lead to; without Git, the tag of the version."""
    with contextlib.suppress(OSError):
        command = ["git", "rev-parse", "HEAD"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        if not done.returncode:
            return done.stdout.strip()
    return f"v{js.__version__}"


REVISION = revision()


def pages():
    """From the path of each page in the repository to its path on the site."""
    found = {f"docs/{page.name}": page.name for page in (ROOT / "docs").glob("*.md")}
    found |= {f"notebooks/{p.name}": f"notebooks/{p.name}" for p in notebooks()}
    return found | MOVED


def notebooks():
    """The notebooks, in the order of their numbers."""
    return sorted((ROOT / "notebooks").glob("*.ipynb"))


def translate(text, path, places):
    """The text of the page at ``path`` with the links that it has on the site."""

    def link(match):
        target, heading = match[1], match[2] or ""
        if not target:
            return match[0]
        source = os.path.normpath(os.path.join(os.path.dirname(path), target))
        if source in places:
            here = os.path.dirname(places[path])
            return f"]({os.path.relpath(places[source], here or '.')}{heading})"
        if pathlib.PurePath(source).suffix in {".png", ".svg"}:
            return f"]({os.path.relpath(source, 'docs')})"
        kind = "tree" if (ROOT / source).is_dir() else "blob"
        return f"]({GITHUB}/{kind}/{REVISION}/{source}{heading})"

    parts = CODE.split(text)  # prose and code take turns
    return "".join(part if i % 2 else LINK.sub(link, part) for i, part in enumerate(parts))


def notebook(path, places):
    """A notebook as JSON, its Markdown translated, with a link to its file under the title."""
    content = json.loads((ROOT / path).read_text())
    title, *rest = "".join(content["cells"][0]["source"]).splitlines(keepends=True)
    link = f"[The notebook as a file]({GITHUB}/blob/{REVISION}/{path})"
    content["cells"][0]["source"] = [f"{title.rstrip()}\n\n{link}\n", *rest]
    for cell in content["cells"]:
        if cell["cell_type"] == "markdown":
            cell["source"] = translate("".join(cell["source"]), path, places)
    return json.dumps(content)


def pictures(content):
    """The PNG images among the outputs of a notebook."""
    outputs = (o for cell in content["cells"] for o in cell.get("outputs", []))
    return [o["data"]["image/png"] for o in outputs if "image/png" in o.get("data", {})]


def gallery(target):
    """A card for each notebook, and its thumbnail as a file."""
    (target / "thumbnails").mkdir()
    cards = []
    for path in notebooks():
        content = json.loads(path.read_text())
        title = "".join(content["cells"][0]["source"]).splitlines()[0].removeprefix("# ")
        found = pictures(content)
        chosen = min(THUMBNAILS.get(path.name[:2], len(found) - 1), len(found) - 1)
        png = target / "thumbnails" / f"{path.stem}.png"
        png.write_bytes(base64.b64decode(found[chosen]))
        cards.append(card(title, f"thumbnails/{png.name}", f"notebooks/{path.stem}"))
    return cards


def grid(cards):
    """Cards in one to three columns."""
    return "::::{grid} 1 2 2 3\n:gutter: 3\n\n" + "\n".join(cards) + "::::\n"


def card(title, image, page):
    """A card of a grid: a picture and a title that lead to a page."""
    return (
        f":::{{grid-item-card}} {title}\n:link: {page}\n:link-type: doc\n"
        f":img-top: {image}\n:img-alt: {title}\n:::\n"
    )


def stage(target):
    """Write the source of the site to ``target``, a folder that is made anew."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    places = pages()
    for path, place in places.items():
        out = target / place
        out.parent.mkdir(exist_ok=True)
        if path.endswith(".ipynb"):
            out.write_text(notebook(path, places))
        else:
            out.write_text(translate((ROOT / path).read_text(), path, places))
    for picture in (*(ROOT / "docs").glob("*.png"), *(ROOT / "docs").glob("*.svg")):
        shutil.copy(picture, target)
    live = target / "live.md"
    widget = "```{raw} html\n" + (SITE / "live" / "live.html").read_text() + "```\n"
    live.write_text(live.read_text().replace("<!-- live -->\n", widget))
    start, listed = target / "index.md", "\n".join(f"notebooks/{p.stem}" for p in notebooks())
    text = start.read_text().replace("<!-- gallery -->\n", grid(gallery(target)))
    start.write_text(text.replace("<!-- notebooks -->", listed))
