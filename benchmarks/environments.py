"""The rows, and an environment of pinned versions for each library."""

import dataclasses
import pathlib
import re
import subprocess
import sys

from .cases import TABLES

HERE = pathlib.Path(__file__).parent
ENVIRONMENTS = HERE / ".environments"


@dataclasses.dataclass(frozen=True)
class Row:
    """A row of the tables.

    Attributes:
        name: Its name in the tables.
        module: The module of `benchmarks.libraries`.
        environment: The requirements file, without ``.txt``.
        key: Its name in the module's ``ROWS``, if not ``name``.
        tables: The tables it is in; all if empty.
    """

    name: str
    module: str
    environment: str
    key: str = ""
    tables: tuple[str, ...] = ()


FLOORS = tuple(t for t in TABLES if t not in ("recurrent", "memory", "depth", "latency"))
SEGMENTED = 'jaxspike, order="step", segment="sqrt"'
ROWS = [
    Row("lax.scan", "hand_written", "jaxspike"),
    Row("jaxspike", "jaxspike", "jaxspike"),
    Row('jaxspike, order="step"', "jaxspike", "jaxspike"),
    Row(SEGMENTED, "jaxspike", "jaxspike", tables=("memory",)),
    Row("floor", "hand_written", "jaxspike", tables=FLOORS),
    Row("lax.scan, jax 0.11", "hand_written", "sparxml", "lax.scan"),
    Row("jaxspike, jax 0.11", "jaxspike", "sparxml", "jaxspike"),
    Row("spyx", "spyx", "spyx"),
    Row("spyx's step in js.scan", "spyx", "spyx"),
    Row("sparxml", "sparxml", "sparxml"),
    Row("sparxml's step in js.scan", "sparxml", "sparxml"),
    Row("jaxpike", "jaxpike", "jaxpike"),
    Row("jaxpike's step in js.scan", "jaxpike", "jaxpike"),
    Row("SpikingJelly", "spikingjelly", "spikingjelly"),
    Row("snnTorch", "snntorch", "snntorch"),
    Row("Norse", "norse", "norse"),
]


def python(environment, given, device="cpu"):
    """The Python of an environment: the given one, or one created from the requirements."""
    if environment in given:
        return given[environment]
    folder = ENVIRONMENTS / device / environment
    path = folder / "bin" / "python"
    if not (folder / "complete").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        packages = requirements(environment, device)
        subprocess.run([path, "-m", "pip", "install", "-q", *packages], check=True)
        (folder / "complete").touch()
    return str(path)


def requirements(environment, device):
    """The pinned packages of an environment; for a GPU, JAX comes with its plugin."""
    lines = (HERE / "requirements" / f"{environment}.txt").read_text().splitlines()
    packages = [line for line in lines if not line.startswith("#")]
    if device == "gpu":  # PyTorch for Linux comes with CUDA
        packages = [re.sub("^jax==", "jax[cuda13]==", p) for p in packages]
    return packages
