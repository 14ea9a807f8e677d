"""State dicts in memory and on disk, without PyTorch and without unpickling anything."""

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from .. import _check


def read(call: str, source: Mapping[str, object] | str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """The arrays of a mapping or of a ``.safetensors`` file.

    Raises:
        TypeError: If it is neither, or an entry is not a real array.
        ValueError: If the file has another format.
        ImportError: If the package ``safetensors`` is missing.
    """
    if isinstance(source, str | os.PathLike):
        source = _load(call, Path(source))
    what, fix = "a state dict or the path of a .safetensors file", "Give `net.state_dict()`."
    _check.instance(f"`{call}(source=...)`", source, Mapping, what, fix, _check.kind)
    return {str(name): _array(call, name, value) for name, value in source.items()}


def _load(call: str, path: Path) -> dict[str, np.ndarray]:
    if path.suffix != ".safetensors":
        raise ValueError(
            f"`{call}(source=...)` must be a .safetensors file, got {path.name!r}. A pickle, which "
            "can run arbitrary code, is not opened here. Convert it with PyTorch: "
            "`safetensors.torch.save_file(torch.load(path, weights_only=True), new)`."
        )
    if not path.is_file():
        raise FileNotFoundError(
            f"`{call}(source=...)` must be an existing file, got {str(path)!r}."
        )
    where = f"`{call}({path.name!r})`"
    safetensors = _check.package(where, "safetensors", "convert")
    try:
        return _check.package(where, "safetensors.numpy", "convert").load_file(path)
    except (
        safetensors.SafetensorError,
        AttributeError,
        MemoryError,
        OSError,
        TypeError,
        ValueError,
    ) as e:
        fix = "It is truncated, damaged or of a type that NumPy does not have; write it again."
        raise ValueError(f"`{call}(source=...)` cannot read {str(path)!r} ({e}). {fix}") from e


def _array(call: str, name: object, value) -> np.ndarray:
    if hasattr(value, "detach"):  # a PyTorch tensor, for which PyTorch need not be imported
        value = value.detach().cpu()
        value = value.float() if str(value.dtype) == "torch.bfloat16" else value
    array = np.asarray(value)
    real = np.issubdtype(array.dtype, np.number) and not np.iscomplexobj(array)
    if not real and array.dtype not in (np.bool_, "bfloat16"):
        raise TypeError(
            f"`{call}(source=...)` must hold real arrays, got {_check.kind(value)} as {name!r}. "
            "Give the state dict alone: of a checkpoint that may be `source['state_dict']`."
        )
    return array
