"""Spiking Heidelberg Digits and Spiking Speech Commands."""

from pathlib import Path

import numpy as np

from .. import _check, _hdf5
from . import _file
from ._arrays import Array, IntArray
from .events import TIME, Events

CHANNELS = 700


def read_shd(path: str | Path) -> tuple[list[Events], IntArray]:
    """Read an HDF5 file of SHD or SSC: all recordings and their labels.

    The channel, 0 to 699, is x; y and p are 0; seconds are rounded to microseconds. For frames, use
    ``to_frames(events, (700,), polarity=False, ...)``.

    Args:
        path: The file, decompressed.

    Returns:
        ``(recordings, labels)``; SHD has 20 labels, SSC 35.

    Raises:
        ImportError: Without ``pip install 'jaxspike[data]'``.
        OSError: If the file cannot be read.
        ValueError: If it is cut short, or is of another format; or if it has links, or data in
            other files, which are not followed.

    Example:
        >>> import h5py, jaxspike.data, numpy as np, pathlib, tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "shd.h5"
        >>> with h5py.File(path, "w") as file:
        ...     for name, kind, values in (("times", "f4", [0.5]), ("units", "u2", [3])):
        ...         rows = file.create_dataset(f"spikes/{name}", 1, h5py.vlen_dtype(kind))
        ...         rows[0] = np.array(values, kind)
        ...     file["labels"] = [7]
        >>> (events,), labels = jaxspike.data.read_shd(path)
        >>> events.t.tolist(), events.x.tolist(), labels.tolist()
        ([500000], [3], [7])

    Cramer et al., The Heidelberg spiking data sets for the systematic evaluation of spiking neural
    networks, 2020.
    """
    h5py = _check.package("`read_shd`", "h5py", "data")
    if not (content := Path(path)).is_file():
        raise FileNotFoundError(f"`read_shd({str(path)!r})` found no such file.")
    try:
        found = _hdf5.read(h5py, content, "spikes/times", "spikes/units", "labels")
    except _hdf5.HDF5Error as e:
        cut = "truncated file" in str(e)
        raise _file.damaged(path, content.stat().st_size if cut else 0, str(e)) from e
    found |= {f"spikes/{name}": rows for name, rows in found.pop("spikes", {}).items()}
    times, units, labels = (
        _rows(path, name, found.get(name)) for name in ("spikes/times", "spikes/units", "labels")
    )
    why = f"it has {len(times)} times, {len(units)} units and {len(labels)} labels"
    _file.require(path, len(times) == len(units) == len(labels), 0, why)
    _require(path, "labels", labels, 0, 2**31 - 1, "iu")
    pairs = enumerate(zip(times, units, strict=True))
    return [_recording(path, n, t, x) for n, (t, x) in pairs], labels.astype(np.int64)


def _rows(path: str | Path, name: str, value: object) -> Array:
    """A data set with one entry for each recording."""
    there = isinstance(value, np.ndarray) and value.ndim > 0
    _file.require(path, there, 0, f"it has no {name}, or no list of them")
    return np.asarray(value)


def _require(path: str | Path, name: str, a: Array, low: int, high: float, kinds: str) -> None:
    """Refuse what is not a list of numbers from ``low`` to ``high``."""
    what = "integers" if kinds == "iu" else "numbers"
    numbers = a.ndim == 1 and (a.dtype.kind in kinds or not a.size)
    why = f"{name} must be a list of {what}, not {a.dtype}{list(a.shape)}"
    _file.require(path, numbers, 0, why)
    inside = (low <= a.astype(np.float64)) & (a.astype(np.float64) <= high)
    got = "" if np.all(inside) else a[np.argmin(inside)]
    _file.require(path, np.all(inside), 0, f"{name} must be from {low} to {high:g}, not {got}")


def _recording(path: str | Path, n: int, seconds: Array, units: Array) -> Events:
    _require(path, f"spikes/times[{n}]", np.asarray(seconds), 0, TIME // 10**6, "iuf")
    _require(path, f"spikes/units[{n}]", np.asarray(units), 0, CHANNELS - 1, "iu")
    why = f"recording {n} has {len(seconds)} times and {len(units)} units"
    _file.require(path, len(seconds) == len(units), 0, why)
    t, zeros = np.rint(np.asarray(seconds, np.float64) * 1e6), np.zeros(len(units), np.int64)
    return _file.by_time(Events(t.astype(np.int64), np.asarray(units, np.int64), zeros, zeros))
