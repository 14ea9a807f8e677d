"""Names used in signatures: the arrays of this room are NumPy arrays."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
IntArray = NDArray[np.integer[Any]]
