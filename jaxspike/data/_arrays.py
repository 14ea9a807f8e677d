"""NumPy arrays: their names in signatures, and their size in memory."""

import math
import os
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

Array = NDArray[Any]
IntArray = NDArray[np.integer[Any]]


def memory() -> float:
    """The bytes of memory that this machine has, as far as the system reports them."""
    known = hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if known else math.inf


def zeros(where: str, shape: tuple[int, ...], dtype: DTypeLike, fix: str) -> Array:
    """An array of zeros, which must fit into memory."""
    n_bytes = math.prod(shape) * np.dtype(dtype).itemsize
    try:
        if n_bytes > memory():
            raise MemoryError
        return np.zeros(shape, dtype)
    except (MemoryError, ValueError) as e:  # ValueError beyond what an index can count
        size = f"the shape {shape}, {n_bytes / 2**30:.3g} GiB"
        raise ValueError(f"{where} must fit into memory, got {size}. {fix}") from e
