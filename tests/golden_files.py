"""The numbers of other libraries in `golden/`, each file made by a script beside it."""

import json
from pathlib import Path

import numpy as np


def load(name):
    """The arrays of a file, and its `info`."""
    with np.load(Path(__file__).parent / "golden" / name) as file:
        arrays = dict(file)
    return arrays, json.loads(str(arrays["info"]))
