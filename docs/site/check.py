"""Check the built site: it loads nothing from the network, and every internal link is alive.

`python docs/site/check.py`, after `build.py`. Links to other sites are not followed. Where there is
Chromium, every page is opened in the width of a phone; and where the runtime of the live page was
fetched too, its spikes are compared with those of jaxspike, and a digit is drawn with the pointer.
"""

import html.parser
import json
import pathlib
import re
import sys
import urllib.parse

import browser

HTML = pathlib.Path(__file__).parent / "_build" / "html"
LOADED = {  # attributes that make a browser load something
    ("script", "src"),
    ("img", "src"),
    ("link", "href"),
    ("iframe", "src"),
    ("source", "src"),
}
STATUS = "document.getElementById('live-status').textContent"
INK = """(() => {
  const canvas = document.getElementById('live-draw'), side = canvas.width / 32;
  const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
  const at = (i) => ((i >> 5) + 0.5) * side * canvas.width + ((i & 31) + 0.5) * side;
  return Array.from({ length: 1024 }, (_, i) => Number(data[4 * at(i) + 3] > 0)).join('');
})()"""
RASTER = "document.getElementById('live-raster').toDataURL()"
COUNTS = "[...document.querySelectorAll('#live-counts span:last-child')].map((s) => +s.textContent)"
BOX = """(() => {
  const canvas = document.getElementById('live-draw');
  canvas.scrollIntoView({ block: 'center', behavior: 'instant' });
  const box = canvas.getBoundingClientRect();
  return [box.left, box.top, box.width];
})()"""


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


def seen(tab, address):
    """A line for each page that is wider than a phone, or shows a broken picture."""
    tab.size(390, 844)
    for path in sorted(HTML.rglob("*.html")):
        name = path.relative_to(HTML)
        if "_static" in path.parts:
            continue
        tab.open(f"{address}/{name}")
        wide = tab.js("document.documentElement.scrollWidth")
        if wide > 390:
            yield f"{name} is {wide} pixels wide on a phone of 390"
        broken = "[...document.images].filter((i) => i.loading !== 'lazy' && !i.naturalWidth)"
        for source in tab.js(f"{broken}.map((i) => i.src)"):
            yield f"{name} has a broken picture, {source}"


def search(tab, address):
    """Fail if the search, which runs in the browser, does not find a neuron in the reference."""
    tab.open(f"{address}/search.html?q=SEAdLIF")
    links = "[...document.querySelectorAll('#search-results li a')]"
    tab.wait(f"{links}.some((a) => a.href.includes('reference/neurons.html'))", seconds=30)


def live(tab, address):
    """A line for each thing that the network of the live page does not do as jaxspike does."""
    tab.size(1280, 900)
    tab.open(f"{address}/live.html?test")
    said = tab.wait(f"/drawing|could/.test({STATUS}) && {STATUS}")
    print("live page:", said)
    wanted = r"0 of 35616 spikes differ; 21 of 21 classes equal; \d+ right; drawing equal"
    if not re.fullmatch(wanted, said):
        yield f"the live page says {said!r}"
        return
    expected = json.loads((HTML / "_static" / "live" / "expected.json").read_text())
    output, before = [int(s) for s in expected["output"][0]], tab.js(RASTER)
    draw(tab, expected["strokes"])
    if tab.js(INK) != expected["ink"]:
        yield "the ink on the live page is not what the pointer drew"
    tab.js("document.getElementById('live-steps').focus()")
    for steps in range(9, expected["steps"] + 1):  # from the 8 of the page
        tab.key("ArrowRight")
        tab.wait(f"document.getElementById('live-counts').dataset.steps === '{steps}'")
        got, wanted = tab.js(COUNTS), [sum(output[c : 10 * steps : 10]) for c in range(10)]
        if got != wanted:
            yield f"the live page counts {got} in {steps} steps, not {wanted}"
    if tab.js(RASTER) == before:
        yield "the raster of the live page has not changed"
    print("drawn with the pointer:", tab.js("document.getElementById('live-class').textContent"))


def draw(tab, strokes):
    """Clear the canvas of the live page, and draw with the pointer."""
    tab.js("document.getElementById('live-clear').click()")
    left, top, side = tab.js(BOX)
    for stroke in strokes:
        kind = "mousePressed"
        for x, y in stroke:  # a little inside of the pixel
            place = left + (x + 0.25) * side / 32, top + (y + 0.25) * side / 32
            tab.pointer(kind, *place)
            kind = "mouseMoved"
        tab.pointer("mouseReleased", *place)


def in_browser():
    """A line for everything that a browser finds wrong."""
    found = browser.find()
    if not found:
        print("skipped: the pages in a browser (needs Chromium)")
        return
    with browser.served(HTML) as address, browser.Tab(found) as tab:
        yield from seen(tab, address)
        search(tab, address)
        if (HTML / "_static" / "live" / "ort.wasm.min.mjs").exists():
            yield from live(tab, address)
        else:
            print("skipped: the live page (needs npm when the site is built)")


def _file(path, link):
    target = urllib.parse.unquote(urllib.parse.urlsplit(link).path)
    return (path.parent / target).resolve() if target else path


if __name__ == "__main__":
    found = [*sorted(set(problems())), *in_browser()]
    print("\n".join(found) or "Everything is where it should be.")
    sys.exit(bool(found))
