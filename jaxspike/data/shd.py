"""Spiking Heidelberg Digits and Spiking Speech Commands."""

from pathlib import Path

import numpy as np

from .. import _check
from . import _file
from ._arrays import IntArray
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
        ValueError: If it is cut short, or is of another format.

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
        with h5py.File(content, "r") as file:
            times, units = file["spikes/times"][:], file["spikes/units"][:]
            labels = np.asarray(file["labels"][:])
    except (KeyError, OSError, RuntimeError, TypeError, ValueError) as e:
        why = f"it cannot be read as HDF5 with spikes/times, spikes/units and labels ({e})"
        cut = "truncated file" in str(e)
        raise _file.damaged(path, content.stat().st_size if cut else 0, why) from e
    why = f"its labels are not a list of integers but {labels.dtype} {list(labels.shape)}"
    _file.require(path, labels.ndim == 1 and labels.dtype.kind in "iu", 0, why)
    why = f"it has {len(times)} times, {len(units)} units and {len(labels)} labels"
    _file.require(path, len(times) == len(units) == len(labels), 0, why)
    pairs = enumerate(zip(times, units, strict=True))
    return [_recording(path, n, t, x) for n, (t, x) in pairs], labels.astype(np.int64)


def _recording(path, n, seconds, units) -> Events:
    t, x = np.rint(np.asarray(seconds, np.float64) * 1e6), np.asarray(units)
    on_it = x.dtype.kind in "iu" and np.all((x >= 0) & (x < CHANNELS))
    why = f"recording {n} is not as many finite times as channels from 0 to {CHANNELS - 1}"
    _file.require(path, on_it and len(t) == len(x) and np.all(np.abs(t) < TIME), 0, why)
    zeros = np.zeros(len(t), np.int64)
    return _file.by_time(Events(t.astype(np.int64), x.astype(np.int64), zeros, zeros))
