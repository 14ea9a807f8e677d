"""Results computed from a file, stored on disk."""

import contextlib
import functools
import hashlib
import time
import types
import uuid
from collections.abc import Callable
from pathlib import Path

import numpy as np

from . import _file
from ._arrays import Array

PART = ".part"  # of a file that is being written
PLAIN = (str, int, float, complex, bool, bytes, Path, np.dtype, type(None), type(...))


def cached(
    transform: Callable[[str | Path], Array],
    path: str | Path,
    folder: str | Path,
    version: str = "1",
) -> Array:
    """``transform(path)``, computed once: the array is stored in ``folder``.

    The key is the name of the transform, the arguments that `functools.partial` gave it, the file
    (its path, size and modification time) and ``version``. Changing any of these gives a new entry.
    The code is not part of the key: give another ``version`` when the transform, or anything it
    calls, changes. An entry is written atomically, so an interrupted call leaves nothing behind;
    the ``.part`` file of a killed one is removed after an hour, by a later call.

    Args:
        transform: A function or class of a module, or a `functools.partial` of one with plain
            arguments; not a lambda, a method or a local function, whose names do not identify them.
        path: The recording, a file.
        folder: Where to store the arrays; created if it does not exist.
        version: The version of the transform, part of the key.

    Returns:
        The array.

    Raises:
        OSError: If there is no such file, or an entry may not be read.
        TypeError: If the transform is of another kind, or does not return a NumPy array of a type
            that ``.npy`` files support.
        ValueError: If an entry is damaged; the error names the file to delete.

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
    key = f"{_text(transform)} {path.absolute()} {stat.st_size} {stat.st_mtime_ns} {version!r}"
    entry = folder / f"{path.stem}-{hashlib.sha256(key.encode()).hexdigest()[:24]}.npy"
    if entry.exists():
        return _load(entry)
    value = transform(path)
    if type(value) is not np.ndarray or not _is_supported(value.dtype):
        got = getattr(value, "dtype", "no dtype")
        raise TypeError(
            "`cached(transform=...)` must return a NumPy array of a type that .npy files support, "
            f"got a {type(value).__name__} of {got}."
        )
    folder.mkdir(parents=True, exist_ok=True)
    _remove_killed_writes(folder)
    partial = entry.with_suffix(f".{uuid.uuid4().hex}{PART}")
    try:
        with partial.open("xb") as file:  # not `tempfile`, whose files no other user may read
            np.save(file, value)
        partial.replace(entry)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    return value


def _load(entry: Path) -> Array:
    with entry.open("rb") as file:
        try:
            value = np.lib.format.read_array(file)
            if file.read(1):
                raise ValueError("it continues after the array")
        except Exception as e:  # damage makes NumPy raise a dozen kinds
            raise _file.damaged(entry, 0, f"delete this entry of the cache ({e})") from e
    return value


@functools.cache  # once per process: large folders take long to list
def _remove_killed_writes(folder: Path) -> None:
    """Remove what nobody has written to for an hour."""
    for file in folder.glob(f"*{PART}"):
        with contextlib.suppress(OSError):  # another process was faster, or it is not ours
            if time.time() - file.stat().st_mtime > 3600:
                file.unlink()


def _text(value: object) -> str:
    """Functions and classes by name, plain values, and partials of those: equal in any process."""
    if isinstance(value, PLAIN):
        return repr(value)
    if isinstance(value, tuple | list):
        return f"{type(value).__name__}({', '.join(map(_text, value))})"
    if isinstance(value, dict):
        return f"dict({_text(list(value.items()))})"
    if isinstance(value, functools.partial):
        return f"partial({_text([value.func, value.args, sorted(value.keywords.items())])})"
    name, owner = getattr(value, "__qualname__", "<>"), getattr(value, "__self__", None)
    if "<" in name or not isinstance(owner, types.ModuleType | None):
        raise TypeError(
            "`cached(transform=...)` must be a function of a module, or functools.partial of one "
            f"with plain arguments, got {value!r}."
        )
    return f"{getattr(value, '__module__', None)}.{name}"


def _is_supported(dtype: np.dtype) -> bool:
    """Whether a file returns values of this type; bfloat16 would come back as raw bytes."""
    written = np.lib.format.descr_to_dtype(np.lib.format.dtype_to_descr(dtype))
    return not dtype.hasobject and written == dtype
