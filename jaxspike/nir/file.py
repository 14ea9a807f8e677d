"""NIR files: HDF5, read as plain dictionaries, the form that the other parts work on."""

import os
import pathlib
import tempfile
from typing import Any

from .. import _check

Tree = dict[str, Any]
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
        with h5py.File(path, "r") as file:
            if not isinstance(file.get("node"), h5py.Group):
                found = f"which has no group 'node' but {sorted(file)}"
                raise ValueError(f"{must}, {found}. Write it with `nir.write`.")
            return _tree(file["node"])
    except (OSError, RuntimeError, KeyError) as e:
        fix = "It is truncated, damaged or of another format; write it again."
        raise ValueError(f"{must}, which HDF5 cannot read: {e}. {fix}") from e


def _tree(group) -> Tree:
    tree: Tree = {}
    for key, item in group.items():
        value = _tree(item) if hasattr(item, "items") else item[()]
        tree[key] = value.decode("utf8") if isinstance(value, bytes) else value
    return tree


def write(path: Path, graph: object) -> None:
    """Write a ``nir.NIRGraph`` atomically."""
    nir = _check.package("`to_nir`", "nir", "nir")
    path = pathlib.Path(path)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
        part = pathlib.Path(folder) / path.name
        nir.write(part, graph)
        os.replace(part, path)
