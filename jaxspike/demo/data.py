"""The digits to learn: those that come with the package, or MNIST from its files."""

from importlib import resources
from pathlib import Path
from typing import NamedTuple

import numpy as np

import jaxspike as js

#: The IDX file of each array; some copies have a dot where these have their last-but-one hyphen.
FILES = {
    "x_train": "train-images-idx3-ubyte",
    "y_train": "train-labels-idx1-ubyte",
    "x_test": "t10k-images-idx3-ubyte",
    "y_test": "t10k-labels-idx1-ubyte",
}


class Data(NamedTuple):
    """Images in [0, 1], ``[N, H, W]``, and labels from 0 to 9, ``[N]``."""

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray


def digits() -> Data:
    """The UCI digits, 8x8 pixels: 1437 for training and 360 held out. See ``DIGITS.md``."""
    with (resources.files(__package__) / "digits.npz").open("rb") as file, np.load(file) as npz:
        x, y = npz["images"].astype(np.float32) / 16, npz["labels"].astype(np.int32)
    order = np.random.default_rng(0).permutation(len(x))  # the same split whatever the seed
    test, train = order[:360], order[360:]
    return Data(x[train], y[train], x[test], y[test])


def mnist(path: Path) -> Data:
    """MNIST, or a data set of the same form, from a folder of IDX files or from an ``.npz``.

    Args:
        path: A folder with the four IDX files, plain or .gz; or an ``.npz`` file with the arrays
            ``x_train, y_train, x_test, y_test``.

    Raises:
        OSError: If a file is missing or cannot be read.
        ValueError: If a file is damaged or holds something else.
    """
    if path.is_dir():
        patterns = {key: name.replace("-idx", "?idx") + "*" for key, name in FILES.items()}
        paths = {key: next(path.glob(patterns[key]), path / FILES[key]) for key in FILES}
        arrays = {key: js.data.read_idx(file) for key, file in paths.items()}
    else:
        arrays = _read_npz(path)
    for part in ("train", "test"):
        x, y = arrays[f"x_{part}"], arrays[f"y_{part}"]
        images = x.dtype == np.uint8 and x.ndim == 3 and x.shape[1:] == (28, 28) and len(x)
        if not images or y.shape != x.shape[:1] or not np.isin(y, range(10)).all():
            raise ValueError(
                f"`{path}` must hold {part} images, uint8 [N, 28, 28], each with a label from 0 to "
                f"9, got {x.dtype} {list(x.shape)} and {y.dtype} {list(y.shape)}."
            )
    x_train, y_train, x_test, y_test = (arrays[key].astype(np.float32) for key in FILES)
    return Data(x_train / 255, y_train.astype(np.int32), x_test / 255, y_test.astype(np.int32))


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    try:
        with path.open("rb") as file, np.load(file) as npz:
            return {key: npz[key] for key in FILES}
    except OSError:
        raise
    except Exception as e:  # a damaged file makes numpy, zipfile and zlib raise a dozen kinds
        names = ", ".join(FILES)
        raise ValueError(f"`{path}` must be an .npz file with {names}, got {e!r}.") from e
