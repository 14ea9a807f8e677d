"""HDF5 files of unknown origin: only what a file itself holds is read, and what can fit into it.

Everything is checked before any data is read:

* No link leads elsewhere, and no group has two names, as in a loop.
* No data is in other files, as external and virtual data sets have it.
* Plain data takes at most the size of the file. Compressed data takes at most 1032 times as much,
  which is what gzip can reach, and 4 GiB.
* Strings take at most 16 MiB, and groups are at most 100 deep.
"""

import functools
import math
import os
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np

Tree = dict[str, Any]  # numbers, strings, arrays, and trees

COMPRESSION, COMPRESSED, STRINGS, DEPTH = 1032, 2**32, 2**24, 100
AT_ONCE = 2**28  # bytes that a read of several rows of any length may take

ERRORS = (KeyError, MemoryError, OSError, OverflowError, RuntimeError, TypeError, ValueError)


class HDF5Error(ValueError):
    """Why a file is not read, as a clause about it: "it has ..."."""


def read(h5py: ModuleType, path: str | os.PathLike[str], *only: str) -> Tree:
    """The data sets of a file as nested dictionaries of numbers, strings and arrays.

    Rows of any length become a list of arrays.

    Args:
        h5py: The package.
        path: The file.
        only: Names of groups and data sets to read; everything by default. Those that are not in
            the file are not in the result.

    Raises:
        HDF5Error: If the file is damaged or not safe to read.
    """
    tree: Tree = {}
    try:
        with h5py.File(path, "r") as file:
            size = os.path.getsize(path)
            found = {n: item for n, item in _members(h5py, file) if _is_wanted(n, only)}
            _check_sizes(h5py, found, size)
            rest = {bytes: STRINGS, np.ndarray: size}
            for name, item in found.items():
                *groups, key = name.split("/")
                here = functools.reduce(lambda tree, name: tree.setdefault(name, {}), groups, tree)
                group = isinstance(item, h5py.Group)
                here[key] = {} if group else _value(h5py, item, size, rest)
    except HDF5Error:
        raise
    except ERRORS as e:
        raise HDF5Error(f"HDF5 cannot read it ({e})") from e
    return tree


def _is_wanted(name: str, only: tuple[str, ...]) -> bool:
    return not only or any(f"{name}/".startswith(f"{group}/") for group in only)


def _members(h5py: ModuleType, file) -> Iterator[tuple[str, Any]]:
    """All groups and data sets by name, none of which leads out of the file."""
    todo, seen = [("", file)], {file.id}
    while todo:
        prefix, group = todo.pop()
        if prefix.count("/") > DEPTH:
            raise HDF5Error(f"it has groups in groups, more than {DEPTH} deep")
        for key in group:
            name, link = prefix + key, group.get(key, getlink=True)
            if not isinstance(link, h5py.HardLink):
                raise HDF5Error(f"it has a link at {name!r} ({type(link).__name__}): copy the data")
            item = group[key]
            if isinstance(item, h5py.Group):
                if item.id in seen:
                    raise HDF5Error(
                        f"it has a group at {name!r} that has another name, as in a loop"
                    )
                seen.add(item.id)
                todo.append((f"{name}/", item))
            elif not isinstance(item, h5py.Dataset):
                raise HDF5Error(f"it has neither a group nor a data set at {name!r}")
            elif item.external or item.is_virtual:
                raise HDF5Error(f"it has the data of {name!r} in another file: copy the data")
            yield name, item


def _check_sizes(h5py: ModuleType, found: dict[str, Any], size: int) -> None:
    """Refuse data sets that together declare more than the file can hold."""
    limits = {"plain": size, "compressed": min(COMPRESSION * size, COMPRESSED), "text": STRINGS}
    declared = dict.fromkeys(limits, 0)
    for name, item in found.items():
        if isinstance(item, h5py.Group):
            continue
        kind = item.dtype
        if kind.kind not in "biufS" and not _has_strings(h5py, kind) and not _has_rows(h5py, kind):
            raise HDF5Error(f"it has neither numbers nor strings at {name!r} but {kind}")
        if item.shape is None:
            raise HDF5Error(f"it has no value at {name!r}")
        chunks = zip(item.shape, item.chunks or item.shape, strict=True)
        count = math.prod(-(-n // c) * c for n, c in chunks) if item.size else 0
        n_bytes = count * item.id.get_type().get_size()
        filtered = item.id.get_create_plist().get_nfilters()
        declared["compressed" if filtered else "plain"] += n_bytes
        declared["text"] += n_bytes if kind.kind == "S" else 0
        for what, limit in limits.items():
            if declared[what] > limit:
                must = f"at most {limit} of a file of {size} bytes are read"
                raise HDF5Error(f"it has {declared[what]} bytes of {what} data at {name!r}: {must}")


def _has_strings(h5py: ModuleType, kind: np.dtype) -> bool:
    """Whether the values are strings of any length, which are elsewhere in the file."""
    text = h5py.check_string_dtype(kind)
    return text is not None and text.length is None


def _has_rows(h5py: ModuleType, kind: np.dtype) -> bool:
    """Whether the values are rows of any length, which are elsewhere in the file."""
    rows = h5py.check_vlen_dtype(kind)
    return isinstance(rows, np.dtype) and rows.kind in "biuf"


def _value(h5py: ModuleType, item, size: int, rest: dict[type, int]):
    """The value of a data set; its strings and rows are subtracted from ``rest``."""
    if not _has_strings(h5py, item.dtype) and not _has_rows(h5py, item.dtype):
        value = item[()]
    elif not item.shape:
        (value,) = _counted([item[()]], rest)
    else:
        # all may be one and the same in the file: read few enough at once to notice in time
        value, step = np.empty(item.shape, object), max(AT_ONCE // size, 1)
        for row in np.ndindex(item.shape[:-1]):
            for i in range(0, item.shape[-1], step):
                where = (*row, slice(i, i + step))
                value[where] = _counted(item[where], rest)
    return value.decode("utf8") if isinstance(value, bytes) else value


def _counted(values, rest: dict[type, int]):
    for value in values:
        kind = type(value)
        rest[kind] -= value.nbytes if kind is np.ndarray else len(value)
        if rest[kind] < 0:
            what = (
                "rows than it has bytes" if kind is np.ndarray else f"than {STRINGS} bytes of text"
            )
            raise HDF5Error(f"it has more {what}")
    return values
