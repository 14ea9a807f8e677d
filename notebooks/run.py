"""Run the notebooks and keep what they print and draw: ``python notebooks/run.py [NUMBER ...]``."""

import base64
import contextlib
import io
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from PIL import Image

HERE = Path(__file__).parent
NOTEBOOKS = sorted(HERE.glob("*.ipynb"))
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def read(path: Path) -> nbformat.NotebookNode:
    """The notebook as it is kept."""
    return nbformat.read(path, as_version=4)


def execute(path: Path) -> nbformat.NotebookNode:
    """Run a notebook from its first cell to its last, in this Python, in a folder of its own."""
    notebook = read(path)
    with tempfile.TemporaryDirectory() as folder, _kernel_of_this_python(folder):
        (Path(folder) / "data").symlink_to(HERE / "data")
        options = {"timeout": 600, "record_timing": False, "coalesce_streams": True}
        NotebookClient(notebook, kernel_name="python3", **options).execute(cwd=folder)
    notebook.metadata = nbformat.from_dict(METADATA)  # not the version of Python
    for output in outputs(notebook):
        if "image/png" in output.get("data", {}):
            output.data["image/png"] = _smaller(output.data["image/png"])
    return notebook


def outputs(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    """The text and the pictures that all cells made."""
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]


def _smaller(png: str) -> str:
    """The same picture in 256 colors, half the size."""
    picture, file = Image.open(io.BytesIO(base64.b64decode(png))), io.BytesIO()
    few_colors = picture.convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE)
    few_colors.save(file, "png", optimize=True)
    return base64.b64encode(file.getvalue()).decode()


@contextlib.contextmanager
def _kernel_of_this_python(folder: str) -> Iterator[None]:
    """Let the kernel called python3 be the running Python, whatever else is installed."""
    spec = Path(folder) / "kernels" / "python3" / "kernel.json"
    spec.parent.mkdir(parents=True)
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec.write_text(json.dumps({"argv": argv, "display_name": "Python 3", "language": "python"}))
    before = dict(os.environ)
    paths = filter(None, (str(HERE.parent), before.get("PYTHONPATH")))
    os.environ |= {"JUPYTER_PATH": folder, "IPYTHONDIR": f"{folder}/ipython"}
    os.environ |= {"PYTHONPATH": os.pathsep.join(paths)}
    try:
        yield
    finally:
        os.environ.clear()
        os.environ |= before


if __name__ == "__main__":
    for path in NOTEBOOKS:
        if not sys.argv[1:] or any(path.stem.startswith(name) for name in sys.argv[1:]):
            print(path.name, flush=True)
            nbformat.write(execute(path), path)
