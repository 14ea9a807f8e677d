"""Names used in signatures: the arrays of this room are NumPy arrays."""

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
IntArray = np.ndarray[Any, np.dtype[np.integer[Any]]]
