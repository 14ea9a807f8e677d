"""What was computed from a file, kept beside it."""

import hashlib
import os
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from . import _code, _file

Array = np.ndarray[Any, Any]


def cached(transform: Callable[[str | Path], Array], path: str | Path, folder: str | Path) -> Array:
    """``transform(path)``, computed once: the array is kept in ``folder``.

    The key is the transform, its code and the arguments that `functools.partial` gave it, and the
    file, by its path, size and time of change. The code is that of the function, and the functions
    and constants of modules that it uses; what is installed counts by its name and the version of
    its package. So another argument or another line is another entry; another version of Python
    may be. Classes and other objects that the function uses count by the names of their types:
    whoever changes them removes the folder. An entry appears whole or not at all.

    Args:
        transform: A function of a module, or a `functools.partial` of one; not a lambda, a method,
            or one made in another function, which hold more than their name and code tell.
        path: The recording, a file.
        folder: Where to keep the arrays; made if it is not there.

    Returns:
        The array.

    Raises:
        OSError: If there is no such file.
        TypeError: If the transform is of another kind, or did not return a NumPy array of a type
            that ``.npy`` files have.
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
    if path.is_dir():
        raise IsADirectoryError(f"`cached(path=...)` must be a file, got the folder `{path}`.")
    try:
        code = _code.text(transform, set())
    except TypeError as e:
        raise TypeError(
            "`cached(transform=...)` must be a function of a module, or functools.partial of one "
            f"with plain arguments, got {e}."
        ) from e
    key = f"{code} {path.absolute()} {stat.st_size} {stat.st_mtime_ns}"
    entry = folder / f"{path.stem}-{hashlib.sha256(key.encode()).hexdigest()[:24]}.npy"
    if entry.exists():
        try:
            return np.load(entry)
        except (ValueError, EOFError, OSError, zipfile.BadZipFile) as e:
            raise _file.damaged(entry, 0, f"remove this entry of the cache ({e})") from e
    value = transform(path)
    if type(value) is not np.ndarray or not _kept(value.dtype):
        got = getattr(value, "dtype", "no type of values")
        raise TypeError(
            "`cached(transform=...)` must return a NumPy array of a type that .npy files have, "
            f"got a {type(value).__name__} of {got}."
        )
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


def _kept(dtype: np.dtype[Any]) -> bool:
    """Whether a file gives back values of this type; bfloat16 would come back as raw bytes."""
    written = np.lib.format.descr_to_dtype(np.lib.format.dtype_to_descr(dtype))
    return not dtype.hasobject and written == dtype
