"""The numbers of other libraries in `golden/`, each file made by the script next to it."""

import json
from pathlib import Path

import numpy as np


def load(name):
    """The arrays of a file, and its `info`."""
    with np.load(Path(__file__).parent / "golden" / name) as file:
        arrays = dict(file)
    return arrays, json.loads(str(arrays["info"]))


def assert_close(got, want):
    """Every number within 1e-6 absolute or 1e-5 relative."""
    got, want = np.asarray(got), np.asarray(want)
    assert got.shape == want.shape
    excess = np.abs(got - want) / np.maximum(1e-6, 1e-5 * np.abs(want))
    assert excess.max() <= 1, f"{excess.max():.3g} times the tolerance at {excess.argmax()}"
