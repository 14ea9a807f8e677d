"""MNIST, Fashion-MNIST, EMNIST, KMNIST."""

import gzip
import math
import zlib
from pathlib import Path

import numpy as np

from . import _file
from ._arrays import Array

DTYPES = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}


def read_idx(path: str | Path) -> Array:
    """Read an IDX file, plain or .gz: images ``[N, H, W]`` or labels ``[N]``.

    Two zero bytes, the type, the number of axes; each length in 32 bits; the values; big-endian.
    For .gz files, errors give offsets in the decompressed data.

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
    content = Path(path).read_bytes()
    if content[:2] == b"\x1f\x8b":
        try:
            content = gzip.decompress(content)
        except EOFError as e:
            raise _file.damaged(path, len(content), "the .gz data is cut short") from e
        except (OSError, zlib.error) as e:
            raise _file.damaged(path, 0, f"the .gz data cannot be decompressed ({e})") from e
    is_idx = len(content) >= 4 and content[:2] == b"\0\0" and content[2] in DTYPES
    _file.require(path, is_idx, 0, "it does not begin as an IDX file does")
    dtype, start = np.dtype(DTYPES[content[2]]), 4 + 4 * content[3]
    why = f"its {content[3]} lengths are cut short"
    _file.require(path, len(content) >= start, len(content), why)
    shape = tuple(np.frombuffer(content[4:start], ">u4").tolist())
    announced, there = math.prod(shape) * dtype.itemsize, len(content) - start
    why = f"its header announces {announced} bytes of values, but {there} follow"
    _file.require(path, there == announced, start + min(there, announced), why)
    try:
        values = np.frombuffer(content, dtype, offset=start).reshape(shape)
    except ValueError as e:
        why = f"its {content[3]} lengths are not those of an array ({e})"
        raise _file.damaged(path, 4, why) from e
    return values.astype(dtype.newbyteorder("="))
