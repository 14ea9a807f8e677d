"""Check the built site: it loads nothing from the network, and every internal link is alive.

`python docs/site/check.py`, after `build.py`. Links to other sites are not followed.
"""

import html.parser
import pathlib
import re
import sys
import urllib.parse

HTML = pathlib.Path(__file__).parent / "_build" / "html"
LOADED = {  # attributes that make a browser load something
    ("script", "src"),
    ("img", "src"),
    ("link", "href"),
    ("iframe", "src"),
    ("source", "src"),
}


class Page(html.parser.HTMLParser):
    """The identifiers of a page, its links, and what it loads."""

    def __init__(self, path):
        super().__init__()
        self.ids, self.links, self.loads = set(), [], []
        self.feed(path.read_text())

    def handle_starttag(self, tag, attributes):
        """Note what one tag contributes."""
        found = dict(attributes)
        self.ids |= {found[key] for key in ("id", "name") if found.get(key)}
        if tag == "a" and found.get("href"):
            self.links.append(found["href"])
        harmless = {"canonical", "author"} & set((found.get("rel") or "").split())
        self.loads += [found[a] for t, a in LOADED if t == tag and found.get(a) and not harmless]


def problems():
    """A line for everything that is wrong."""
    files = (path.resolve() for path in HTML.rglob("*.html"))
    pages = {path: Page(path) for path in files if "_static" not in path.parts}
    for path, page in pages.items():
        name = path.relative_to(HTML.resolve())
        for target in page.loads:
            if re.match(r"(\w+:)?//", target):
                yield f"{name} loads {target}"
            elif not target.startswith("data:") and not _file(path, target).exists():
                yield f"{name} has no file {target}"
        for link in page.links:
            if re.match(r"\w+:", link) or link == "#":
                continue
            heading = urllib.parse.unquote(urllib.parse.urlsplit(link).fragment)
            there = _file(path, link)
            if not there.exists():
                yield f"{name} links to {link}, which is not there"
            elif heading and there in pages and heading not in pages[there].ids:
                yield f"{name} links to {link}, a heading that is not there"
    for path in HTML.rglob("*.css"):
        for target in re.findall(r"url\(['\"]?((?:https?:)?//[^)'\"]+)", path.read_text()):
            yield f"{path.name} loads {target}"


def _file(path, link):
    target = urllib.parse.unquote(urllib.parse.urlsplit(link).path)
    return (path.parent / target).resolve() if target else path


if __name__ == "__main__":
    found = sorted(set(problems()))
    print("\n".join(found) or "Everything is where it should be.")
    sys.exit(bool(found))
