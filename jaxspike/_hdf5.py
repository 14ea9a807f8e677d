"""Untrusted HDF5 files: only what the file itself holds is read, and no more than can fit into it.

Everything is checked before any data is read:

* No link leads elsewhere, and no group has two names, as in a loop.
* No data is in other files, as in external and virtual data sets.
* Plain data takes at most the size of the file. Compressed data takes at most 1032 times as much,
  which is what gzip can reach, and 4 GiB.
* Strings take at most 16 MiB, and groups are at most 100 deep.
* No heap, which holds strings and variable-length rows, is damaged.
"""

import functools
import math
import mmap
import os
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np

Tree = dict[str, Any]  # numbers, strings, arrays, and trees

COMPRESSION, COMPRESSED, STRINGS, DEPTH = 1032, 2**32, 2**24, 100
HEAP = b"GCOL\1\0\0\0"
AT_ONCE = 2**28  # bytes that a read of several variable-length rows may take

ERRORS = (KeyError, MemoryError, OSError, OverflowError, RuntimeError, TypeError, ValueError)


class HDF5Error(ValueError):
    """Why a file is not read, as a clause about it: "it has ..."."""


def read(h5py: ModuleType, path: str | os.PathLike[str], *only: str) -> Tree:
    """The data sets of a file as nested dictionaries of numbers, strings and arrays.

    Variable-length rows become a list of arrays.

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
        with h5py.File(path, "r") as file, _content(path) as data:
            found = {n: item for n, item in _members(h5py, file) if _is_wanted(n, only)}
            _check_sizes(h5py, found, data)
            _check_heaps(data, file.id.get_create_plist().get_sizes()[1])
            rest = {bytes: STRINGS, np.ndarray: len(data)}
            for name, item in found.items():
                *groups, key = name.split("/")
                here = functools.reduce(lambda tree, name: tree.setdefault(name, {}), groups, tree)
                group = isinstance(item, h5py.Group)
                here[key] = {} if group else _value(h5py, item, len(data), rest)
    except HDF5Error:
        raise
    except ERRORS as e:
        raise HDF5Error(f"HDF5 cannot read it ({e})") from e
    return tree


def _content(path: str | os.PathLike[str]) -> mmap.mmap:
    with open(path, "rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


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
            if not isinstance(key, str):
                raise HDF5Error(f"it has a name that is not UTF-8: {key!r}")
            name, link = prefix + key, group.get(key, getlink=True)
            if link is None:
                raise HDF5Error(f"it is damaged: there is nothing at {name!r}")
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


def _check_sizes(h5py: ModuleType, found: dict[str, Any], data: mmap.mmap) -> None:
    """Refuse data sets that together declare more than the file can hold."""
    size = len(data)
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
        if kind.kind == "O" and item.size:
            _check_references(data, item, name)
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


def _check_heaps(data: mmap.mmap, width: int) -> None:
    """Refuse damaged heaps of strings and rows, on which HDF5 2.0 loops forever.

    A heap is a chain of objects, with a header of 16 bytes each: their number is the first two,
    and their size the last ``width``. Number 0 is the space that is left, header included.
    """
    heap = data.find(HEAP)
    while heap >= 0:
        at, end = heap + 16, heap + int.from_bytes(data[heap + 8 : heap + 8 + width], "little")
        while at + 16 <= end:
            taken = int.from_bytes(data[at + 8 : at + 8 + width], "little")
            if data[at : at + 2] != b"\0\0":
                taken = 16 + -(-taken // 8) * 8
            if taken < 16 or at + taken > end:
                raise HDF5Error(f"it is damaged at byte {at}, in a heap of strings or rows")
            at += taken
        heap = data.find(HEAP, heap + 1)


def _check_references(data: mmap.mmap, item, name: str) -> None:
    """Refuse rows longer than the file, which HDF5 allocates, and a type on which it crashes.

    A reference begins with the number of its values. Those in compressed chunks are not seen.
    """
    where, kind = item.id, item.id.get_type()
    parts = [(where.get_offset(), where.get_storage_size())]
    if item.chunks:
        filtered = where.get_create_plist().get_nfilters()
        chunks = map(where.get_chunk_info, range(0 if filtered else where.get_num_chunks()))
        parts = [(chunk.byte_offset, chunk.size) for chunk in chunks]
    ok = kind.encode()[3] & 15 <= 1
    for start, n_bytes in parts:
        width = kind.get_size()
        content = np.frombuffer(data[start : (start or 0) + n_bytes // width * width], np.uint8)
        lengths = content.reshape(-1, width)[:, :4].copy().view("<u4")
        longest = int(lengths.max(initial=0)) * kind.get_super().get_size()
        ok &= start is not None and len(content) == n_bytes and longest <= len(data)
    if not ok:
        raise HDF5Error(f"it is damaged at {name!r}: it has no strings or rows there")


def _has_strings(h5py: ModuleType, kind: np.dtype) -> bool:
    """Whether the values are variable-length strings, which are elsewhere in the file."""
    text = h5py.check_string_dtype(kind)
    return text is not None and text.length is None


def _has_rows(h5py: ModuleType, kind: np.dtype) -> bool:
    """Whether the values are variable-length rows, which are elsewhere in the file."""
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
