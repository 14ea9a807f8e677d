"""Build the site: `python docs/site/build.py`, then open `docs/site/_build/html/index.html`."""

import pathlib
import shutil
import sys

import reference
import stage
from sphinx.cmd.build import main

BUILD = pathlib.Path(__file__).parent / "_build"


def build():
    """Write the source of the site and turn it into HTML, with warnings as errors."""
    source = BUILD / "source"
    shutil.rmtree(BUILD / "html", ignore_errors=True)
    stage.stage(source)
    reference.write(source / "reference")
    options = ["-q", "-E", "-W", "--keep-going", "-b", "html", "-c", str(stage.SITE)]
    return main([*options, "-d", str(BUILD / "doctrees"), str(source), str(BUILD / "html")])


if __name__ == "__main__":
    sys.exit(build())
