"""The digits to learn: those shipped with the package, or MNIST from its files."""

import math
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import jaxspike as js

from .error import DemoError

Array = np.ndarray[Any, Any]

TEST_PART = 0.2
SPLIT_SEED = 0  # the same held-out digits for every seed of the training

#: The file of each array; also with a dot for the last but one hyphen, also with .gz.
IDX_NAMES = {
    "x_train": "train-images-idx3-ubyte",
    "y_train": "train-labels-idx1-ubyte",
    "x_test": "t10k-images-idx3-ubyte",
    "y_test": "t10k-labels-idx1-ubyte",
}


class Data(NamedTuple):
    """Images in [0, 1], ``[N, H, W]``, and labels 0 to 9, ``[N]``."""

    name: str
    x_train: Array
    y_train: Array
    x_test: Array
    y_test: Array


def digits() -> Data:
    """The UCI digits, 8x8 pixels: 1437 to train with and 360 held out. See ``DIGITS.md``."""
    with (resources.files(__package__) / "digits.npz").open("rb") as file, np.load(file) as npz:
        x, y = npz["images"].astype(np.float32) / 16, npz["labels"].astype(np.int32)
    order = np.random.default_rng(SPLIT_SEED).permutation(len(x))
    test, train = np.split(order, [math.ceil(TEST_PART * len(x))])
    return Data("UCI digits", x[train], y[train], x[test], y[test])


def mnist(path: Path) -> Data:
    """MNIST, or a set of the same form, from the folder of its IDX files or from an ``.npz``.

    Raises:
        DemoError: If the files are not there, are damaged, or hold something else.
    """
    if path.is_dir():
        arrays = {key: _read(_find(path, name)) for key, name in IDX_NAMES.items()}
    elif path.is_file():
        arrays = _read_npz(path)
    else:
        raise DemoError(f"--data must be a folder or an .npz file, but `{path}` is none.")
    _check(path, arrays)
    x_train, y_train, x_test, y_test = (arrays[key] for key in IDX_NAMES)
    return Data(
        path.name or str(path),
        x_train.astype(np.float32) / 255,
        y_train.astype(np.int32),
        x_test.astype(np.float32) / 255,
        y_test.astype(np.int32),
    )


def _find(folder: Path, name: str) -> Path:
    stems = (name, name.replace("-idx", ".idx"))
    for candidate in (folder / (stem + end) for end in ("", ".gz") for stem in stems):
        if candidate.is_file():
            return candidate
    raise DemoError(f"`{folder}` must hold `{name}`, plain or .gz, but lacks it.")


def _read(path: Path) -> Array:
    try:
        return js.data.read_idx(path)
    except OSError as e:
        raise DemoError(f"`{path}` cannot be read: {_reason(e)}.") from e
    except ValueError as e:
        raise DemoError(str(e)) from e


def _read_npz(path: Path) -> dict[str, Array]:
    if path.suffix.lower() != ".npz":
        raise DemoError(
            "--data must be an .npz file, or the folder that holds the four IDX files, "
            f"but `{path}` is neither."
        )
    try:
        with path.open("rb") as file, np.load(file) as npz:
            arrays = {key: npz[key] for key in IDX_NAMES if key in npz}
    except Exception as e:  # for damaged files numpy, zipfile and zlib raise a dozen kinds
        raise DemoError(f"`{path}` cannot be read: {_reason(e)}.") from e
    if missing := [key for key in IDX_NAMES if key not in arrays]:
        raise DemoError(f"`{path}` must hold {', '.join(IDX_NAMES)}, but lacks {missing[0]}.")
    return arrays


def _check(path: Path, arrays: dict[str, Array]) -> None:
    """See that the arrays are digits of 28x28 pixels with their labels."""
    for part in ("train", "test"):
        x, y = arrays[f"x_{part}"], arrays[f"y_{part}"]
        if x.dtype != np.uint8 or x.ndim != 3 or x.shape[1:] != (28, 28) or not len(x):
            raise DemoError(
                f"`{path}` must hold {part} images of type uint8 and shape [N, 28, 28], "
                f"but has {x.dtype} {list(x.shape)}."
            )
        if not np.issubdtype(y.dtype, np.integer) or y.shape != x.shape[:1]:
            raise DemoError(
                f"`{path}` must hold one integer label for each of the {len(x)} {part} images, "
                f"but has {y.dtype} {list(y.shape)}."
            )
        if y.min() < 0 or y.max() > 9:
            raise DemoError(
                f"`{path}` must hold {part} labels from 0 to 9, but has {y.min()} to {y.max()}."
            )
        if x.min() == x.max():
            raise DemoError(f"`{path}` must hold digits, but its {part} images are blank.")


def _reason(e: Exception) -> str:
    """What happened, without the path, which the sentence names already."""
    if isinstance(e, OSError) and e.strerror:
        return e.strerror
    return "it is damaged, cut short or of another kind"
