"""NIR files: HDF5, read as plain dictionaries, the form that the other parts work on."""

import os
import pathlib
import tempfile

from .. import _check, _hdf5
from .._hdf5 import Tree as Tree

Path = str | os.PathLike[str]


def read_tree(path: Path) -> Tree:
    """The root node of a NIR file as nested dictionaries of strings, numbers and arrays."""
    h5py = _check.package("`from_nir`", "h5py", "nir")
    if not pathlib.Path(path).is_file():
        raise FileNotFoundError(
            f"`from_nir(graph=...)` must be a NIRGraph or an existing file, got {str(path)!r}."
        )
    must = f"`from_nir(graph=...)` must be a NIR file, got {str(path)!r}"
    try:
        found = _hdf5.read(h5py, path)
    except _hdf5.HDF5Error as e:
        raise ValueError(f"{must}: {e}. Write it again, with `nir.write`.") from e
    if not isinstance(found.get("node"), dict):
        what = f"which has no group 'node' but {sorted(found)}"
        raise ValueError(f"{must}, {what}. Write it with `nir.write`.")
    return found["node"]


def write(path: Path, graph: object) -> None:
    """Write a ``nir.NIRGraph`` atomically."""
    nir = _check.package("`to_nir`", "nir", "nir")
    path = pathlib.Path(path)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
        part = pathlib.Path(folder) / path.name
        nir.write(part, graph)
        os.replace(part, path)
