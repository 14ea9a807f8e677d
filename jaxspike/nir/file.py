"""NIR files: HDF5 to and from plain dictionaries, the form that the other parts work on."""

import os
import pathlib
import tempfile
from typing import Any

import h5py
import numpy as np

Tree = dict[str, Any]


def read_tree(path: str | os.PathLike[str]) -> Tree:
    """The root node of a NIR file as nested dictionaries of strings, numbers and arrays."""
    name = str(path)
    if not pathlib.Path(path).is_file():
        raise FileNotFoundError(
            f"`from_nir(graph=...)` must be a NIRGraph or a file, got {name!r}, which is not there."
        )
    try:
        with h5py.File(path, "r") as file:
            if not isinstance(file.get("node"), h5py.Group):
                raise ValueError(
                    f"`from_nir(graph=...)` must be a NIR file, got {name!r}, which has no group "
                    f"'node' but {sorted(file)}. Write it with `nir.write`."
                )
            return _tree(file["node"])
    except (OSError, RuntimeError, KeyError) as e:
        raise ValueError(
            f"`from_nir(graph=...)` must be a NIR file, got {name!r}, which HDF5 cannot read: {e}. "
            "It is truncated, damaged or of another format; write it again."
        ) from e


def _tree(group: h5py.Group) -> Tree:
    tree: Tree = {}
    for key, item in group.items():
        value = _tree(item) if isinstance(item, h5py.Group) else item[()]
        tree[key] = value.decode("utf8") if isinstance(value, bytes) else value
    return tree


def write_tree(path: str | os.PathLike[str], tree: Tree, version: str) -> None:
    """Write a NIR file; it appears whole or not at all."""
    path = pathlib.Path(path)
    handle, part = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    os.close(handle)
    try:
        with h5py.File(part, "w") as file:
            file.create_dataset("version", data=version, dtype=h5py.string_dtype())
            _write(file.create_group("node"), tree)
        os.chmod(part, 0o666 & ~_umask())  # that of a temporary file is for its owner only
        os.replace(part, path)
    except BaseException:
        os.unlink(part)
        raise


def _write(group: h5py.Group, tree: Tree) -> None:
    for key, value in tree.items():
        if key == "metadata" and not value:
            continue  # old readers do not expect it at every node
        if isinstance(value, dict):
            _write(group.create_group(str(key)), value)
        elif isinstance(value, str):
            group.create_dataset(key, data=value, dtype=h5py.string_dtype())
        elif isinstance(value, np.ndarray) and value.ndim:  # a scalar cannot be compressed
            group.create_dataset(key, data=value, compression="gzip")
        else:
            group.create_dataset(key, data=value)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
