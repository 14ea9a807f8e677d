"""Build the site: `python docs/site/build.py`, then open `docs/site/_build/html/index.html`.

With npm, the runtime of the live page is fetched too; without it, that page says what it lacks.
"""

import pathlib
import shutil
import subprocess
import sys

import reference
import stage
from sphinx.cmd.build import main

BUILD = pathlib.Path(__file__).parent / "_build"
RUNTIME = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")


def live(target):
    """Copy the network of the live page, and what runs it, to the folder ``target``."""
    target.mkdir(parents=True)
    for name in ("live.js", "digits.onnx", "expected.json"):
        shutil.copy(stage.SITE / "live" / name, target)
    packages = BUILD / "npm"
    packages.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(stage.SITE / "live" / name, packages)
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel", "error"]
    try:
        subprocess.run(command, cwd=packages, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"The live page has no runtime: {error}")
        return
    for name in RUNTIME:
        shutil.copy(packages / "node_modules" / "onnxruntime-web" / "dist" / name, target)


def build():
    """Write the source of the site and turn it into HTML, with warnings as errors."""
    source = BUILD / "source"
    shutil.rmtree(BUILD / "html", ignore_errors=True)
    stage.stage(source)
    reference.write(source / "reference")
    options = ["-q", "-E", "-W", "--keep-going", "-b", "html", "-c", str(stage.SITE)]
    failed = main([*options, "-d", str(BUILD / "doctrees"), str(source), str(BUILD / "html")])
    live(BUILD / "html" / "_static" / "live")
    return failed


if __name__ == "__main__":
    sys.exit(build())
