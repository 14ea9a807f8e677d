"""MNIST, Fashion-MNIST, EMNIST, KMNIST."""

import gzip
import io
import math
import zlib
from pathlib import Path

import numpy as np

from . import _file
from ._arrays import Array

UNPACKED = 2**31  # bytes, the limit of what is decompressed
PIECE = 2**20  # bytes to read at once
DTYPES = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}


def read_idx(path: str | Path) -> Array:
    """Read an IDX file, plain or .gz: images ``[N, H, W]`` or labels ``[N]``.

    Two zero bytes, the type, the number of axes; each length in 32 bits; the values; big-endian.
    For .gz files, errors give offsets in the decompressed data, of which 2 GiB are the limit.

    Args:
        path: The file.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is cut short, extends past its end, or is of another format.

    Example:
        >>> import jaxspike.data, pathlib, tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "t10k-labels-idx1-ubyte"
        >>> _ = path.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 2, 1]))
        >>> jaxspike.data.read_idx(path)
        array([7, 2, 1], dtype=uint8)

    The format: LeCun, Cortes, Burges, The MNIST database of handwritten digits.
    """
    size = Path(path).stat().st_size
    with open(path, "rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        if not packed:
            return _read(path, file, size)
        try:
            with gzip.GzipFile(fileobj=file) as stream:
                return _read(path, stream, None)
        except EOFError as e:
            raise _file.damaged(path, size, "the .gz data is cut short") from e
        except (gzip.BadGzipFile, zlib.error) as e:
            raise _file.damaged(path, 0, f"the .gz data cannot be decompressed ({e})") from e


def _read(path: str | Path, file: io.BufferedIOBase, size: int | None) -> Array:
    """The values of a file of ``size`` bytes; None if that is not known before it is read."""
    head = _take(file, 4)
    is_idx = len(head) == 4 and head[:2] == b"\0\0" and head[2] in DTYPES
    _file.require(path, is_idx, 0, "it does not begin as an IDX file does")
    dtype, start = np.dtype(DTYPES[head[2]]), 4 + 4 * head[3]
    lengths = _take(file, 4 * head[3])
    why = f"its {head[3]} lengths are cut short"
    _file.require(path, len(lengths) == 4 * head[3], 4 + len(lengths), why)
    shape = tuple(np.frombuffer(lengths, ">u4").tolist())
    announced = math.prod(shape) * dtype.itemsize
    limit, why = size or UNPACKED, f"its header announces {announced} bytes of values, but"
    _file.require(path, announced <= limit, 4, f"{why} at most {limit} are read")
    content = _take(file, announced + 1)  # one more would be too many
    there = min(len(content), announced)
    more = "more" if len(content) > announced else there
    _file.require(path, len(content) == announced, start + there, f"{why} {more} follow")
    try:
        values = np.frombuffer(content, dtype).reshape(shape)
    except ValueError as e:
        why = f"its {head[3]} lengths are not those of an array ({e})"
        raise _file.damaged(path, 4, why) from e
    return values.astype(dtype.newbyteorder("="))


def _take(file: io.BufferedIOBase, n: int) -> bytes:
    """The next ``n`` bytes, or what there is of them; memory is taken for what there is."""
    content = bytearray()
    while len(content) < n and (piece := file.read(min(n - len(content), PIECE))):
        content += piece
    return bytes(content)
