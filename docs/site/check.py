"""Check the built site: it loads nothing from the network, and every internal link is alive.

`python docs/site/check.py`, after `build.py`. Links to other sites are not followed. Where there
are Chromium and the runtime of the live page, its spikes are compared with those of jaxspike.
"""

import functools
import html.parser
import http.server
import pathlib
import re
import shutil
import subprocess
import sys
import threading
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


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves the site without a log."""

    def log_message(self, *args):
        """Say nothing."""


def live():
    """A line if the network of the live page does not compute what jaxspike does."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if not browser or not (HTML / "_static" / "live" / "ort.wasm.min.mjs").exists():
        print("skipped: the live page (needs npm when the site is built, and Chromium)")
        return
    handler = functools.partial(Quiet, directory=HTML)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_address[1]}/live.html?test"
        flags = ["--headless=new", "--no-sandbox", "--virtual-time-budget=100000", "--dump-dom"]
        done = subprocess.run([browser, *flags, address], capture_output=True, timeout=200)
        server.shutdown()
    said = re.search(r'id="live-status">([^<]*)', done.stdout.decode())
    print("live page:", said and said[1])
    wanted = r"0 of 35616 spikes differ; 21 of 21 classes equal; \d+ right; drawing equal"
    if not said or not re.fullmatch(wanted, said[1]):
        yield f"the live page says {said and said[1]!r}"


def _file(path, link):
    target = urllib.parse.unquote(urllib.parse.urlsplit(link).path)
    return (path.parent / target).resolve() if target else path


if __name__ == "__main__":
    found = [*sorted(set(problems())), *live()]
    print("\n".join(found) or "Everything is where it should be.")
    sys.exit(bool(found))
