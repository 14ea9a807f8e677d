"""Every notebook runs from its first cell to its last, and its stored outputs are still true."""

import base64
import io
import math
import re

import numpy as np
import pytest
from PIL import Image

from notebooks.run import METADATA, NOTEBOOKS, execute, outputs, read

NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[-+]?\d+)?%?")
MEASURED = re.compile(r"[\d.]+ (?:s|ms|us)\b")  # depends on the machine


def test_there_are_notebooks():
    assert len(NOTEBOOKS) == 12


def text(output):
    return output.text if output.output_type == "stream" else output.data.get("text/plain", "")


def kinds(output):
    return output.name if output.output_type == "stream" else sorted(output.data)


def picture(output):
    png = base64.b64decode(output.data["image/png"])
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def near(a, b):
    """Numbers within 20 %, or percentages within 3 points: training depends on the last bit."""
    x, y = (float(number.strip("%")) for number in (a, b))
    return math.isclose(x, y, rel_tol=0.2, abs_tol=3 if "%" in a else 0.02)


def same_text(a, b):
    """The same words, and numbers near each other; a cell tagged "varies" is not compared."""
    a, b = (MEASURED.sub("TIME", text(output)) for output in (a, b))
    assert NUMBER.sub("#", a).split() == NUMBER.sub("#", b).split()
    pairs = zip(NUMBER.findall(a), NUMBER.findall(b), strict=True)
    assert not [pair for pair in pairs if not near(*pair)], b


def same_picture(a, b):
    """About the same size, which labels of axes may change, and something in it."""
    a, b = picture(a), picture(b)
    np.testing.assert_allclose(a.shape, b.shape, rtol=0.05)
    assert b.std() > 1
    assert 0.5 < a.std() / b.std() < 2


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_it_runs_and_gives_what_is_stored(path):
    stored, now = read(path), execute(path)
    assert not [o for o in outputs(now) if o.get("name") == "stderr"]  # no warnings for the reader
    for old, new in zip(stored.cells, now.cells, strict=True):
        pairs = list(zip(old.get("outputs", []), new.get("outputs", []), strict=True))
        for a, b in pairs:
            assert kinds(a) == kinds(b)
            if "image/png" in b.get("data", {}):
                same_picture(a, b)
            if "varies" not in old.metadata.get("tags", []):
                same_text(a, b)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_it_is_kept_with_its_pictures(path):
    notebook = read(path)
    assert notebook.metadata == METADATA
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert any("image/png" in output.get("data", {}) for output in outputs(notebook))
    assert path.stat().st_size < 400_000


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_it_is_a_lesson(path):
    notebook = read(path)
    assert notebook.cells[0].source.startswith("# ")
    assert "ou will learn" in notebook.cells[0].source
    assert re.search(r"^## Next$", notebook.cells[-1].source, re.MULTILINE)
