"""What was computed from a file, kept beside it."""

import functools
import hashlib
import os
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from . import _file

Array = np.ndarray[Any, Any]


def cached(transform: Callable[[str | Path], Array], path: str | Path, folder: str | Path) -> Array:
    """``transform(path)``, computed once: the array is kept in ``folder``.

    The key is the transform, by its name and the arguments that `functools.partial` gave it, and
    the file, by its path, size and time of change. Another argument is another entry; whoever
    rewrites the function itself removes the folder. An entry appears whole or not at all.

    Args:
        transform: A function of a module, or a `functools.partial` of one; not a lambda or one
            made in another function, which have no name to go by.
        path: The recording.
        folder: Where to keep the arrays; made if it is not there.

    Returns:
        The array.

    Raises:
        TypeError: If the transform has no name to go by, or did not return an array.
        ValueError: If an entry is damaged; the error says which file to remove.

    Example:
        >>> import functools, jaxspike.data, numpy as np, pathlib, tempfile
        >>> folder = pathlib.Path(tempfile.mkdtemp())
        >>> (folder / "a.txt").write_text("1 2 3")
        5
        >>> read = functools.partial(np.loadtxt, dtype=int)
        >>> jaxspike.data.cached(read, folder / "a.txt", folder / "cache")
        array([1, 2, 3])
        >>> len(list((folder / "cache").iterdir()))
        1
    """
    path, folder = Path(path), Path(folder)
    stat = path.stat()
    key = f"{_name(transform)} {path.absolute()} {stat.st_size} {stat.st_mtime_ns}"
    entry = folder / f"{path.stem}-{hashlib.sha256(key.encode()).hexdigest()[:24]}.npy"
    if entry.exists():
        try:
            return np.load(entry)
        except (ValueError, EOFError, OSError, zipfile.BadZipFile) as e:
            raise _file.damaged(entry, 0, f"remove this entry of the cache ({e})") from e
    value = transform(path)
    if not isinstance(value, np.ndarray) or value.dtype == object:
        raise TypeError(f"`cached(transform=...)` must return an array, got {type(value)}.")
    folder.mkdir(parents=True, exist_ok=True)
    handle, partial = tempfile.mkstemp(dir=folder, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            np.save(file, value)
        Path(partial).replace(entry)
    except BaseException:
        Path(partial).unlink(missing_ok=True)
        raise
    return value


def _name(value: Any) -> str:
    """A text that is equal for equal transforms, in every process."""
    if isinstance(value, functools.partial):
        parts = [value.func, *value.args, *sorted(value.keywords.items())]
        return f"partial({', '.join(map(_name, parts))})"
    if isinstance(value, tuple | list):
        return f"({', '.join(map(_name, value))})"
    if isinstance(value, str | int | float | bool | bytes | Path | np.dtype | None):
        return repr(value)
    name = getattr(value, "__qualname__", "<lambda>")
    if "<" in name or not callable(value):
        raise TypeError(
            "`cached(transform=...)` must be a function of a module, or functools.partial of one "
            f"with plain arguments, got {value!r}."
        )
    return f"{value.__module__}.{name}"
