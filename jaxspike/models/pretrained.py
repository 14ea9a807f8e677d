"""Trained networks that come with the package: a file of weights and a card for each."""

import hashlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax.numpy as jnp
from flax import nnx

from .. import neurons
from .._check import one_of
from ..convert import from_torch, spiking
from ..nn import SpikingModule

WEIGHTS = Path(__file__).parent / "weights"
FORMAT = 1
NEEDED = "model", "arguments", "shape", "sha256"  # by `load`


def list(folder: Path = WEIGHTS) -> tuple[str, ...]:
    """The names of the trained networks.

    Args:
        folder: Where the weights and cards are; those of the package by default.

    Raises:
        ValueError: If there is no such folder.

    Example:
        >>> import jaxspike as js
        >>> "nmnist" in js.models.list()
        True
    """
    if not Path(folder).is_dir():
        raise ValueError(f"`list(folder=...)` must be a folder, got {str(folder)!r}.")
    return tuple(sorted(path.stem for path in Path(folder).glob("*.json")))


def card(name: str, folder: Path = WEIGHTS) -> dict[str, Any]:
    """What is known of a trained network.

    Args:
        name: Its name, one of `list`.
        folder: Where the weights and cards are; those of the package by default.

    Returns:
        A dict with the ``model`` and its ``arguments`` (a neuron among them is ``{name:
        options}``), the ``shape`` of one step of input, the number of ``steps``, the ``readout`` of
        the output, the ``data`` and their ``license``, the ``command`` that trained it, ``seed``
        and ``epochs``, the ``accuracy`` in percent on the whole test set after the last epoch,
        where several seeds were trained the ``accuracies`` of all, of a converted ANN the
        ``ann_accuracy`` and the ``accuracy_by_steps``, ``firing_rates`` by layer, ``operations`` by
        class and ``energy_pj`` of a sample (`jaxspike.cost`, arithmetic alone), the ``sha256`` of
        the weights, the versions of ``jaxspike`` and ``jax``, and of pixels that come in a random
        ``order``, that order.

    Raises:
        ValueError: If there is no such network, or its card is damaged or of another version.

    Example:
        >>> import jaxspike as js
        >>> js.models.card("nmnist")["shape"]
        [1, 34, 34, 2]
    """
    one_of("`card(name=...)`", name, list(folder))
    path = Path(folder) / f"{name}.json"
    try:
        found = json.loads(path.read_text())
        written, version = found["format"], found["jaxspike"]
        missing = [name for name in NEEDED if written == FORMAT and name not in found]
        if missing:
            raise KeyError(*missing)
    except (ValueError, KeyError, TypeError) as e:
        raise ValueError(
            f"`card({name!r})` cannot read {path.name!r}: it is damaged. Install jaxspike "
            "again, or write the file again."
        ) from e
    if written != FORMAT:
        raise ValueError(
            f"`card({name!r})` must be of format {FORMAT}, got {written!r}. Use jaxspike "
            f"{version}, which wrote it."
        )
    return dict(found)


def load(name: str, folder: Path = WEIGHTS) -> SpikingModule:
    """A trained network, in evaluation mode.

    The weights are a ``.safetensors`` file, which holds arrays and no code, with PyTorch's names
    and layouts: the network of the same layers in SpikingJelly loads it too. `card` says how the
    network was trained, and what its input and output mean. A network that was trained as an ANN is
    converted (`jaxspike.convert.spiking`); its ``ann`` is what was trained.

    Args:
        name: Its name, one of `list`.
        folder: Where the weights and cards are; those of the package by default, or a folder that
            ``examples/train_model.py --save`` or ``sequential_images.py --save`` wrote.

    Raises:
        ValueError: If there is no such network, or a file is damaged or of another version.
        ImportError: If ``safetensors`` is missing (``pip install 'jaxspike[convert]'``).

    Example:
        >>> import jaxspike as js
        >>> net = js.models.load("nmnist")
        >>> net[0].kernel.shape
        (3, 3, 2, 16)
    """
    one_of("`load(name=...)`", name, list(folder))
    about = card(name, folder)
    path = Path(folder) / f"{name}.safetensors"
    if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != about["sha256"]:
        raise ValueError(
            f"`load({name!r})` must read the weights that the card describes, got a missing or "
            f"damaged file {path.name!r}. Install jaxspike again, or write the file again."
        )
    make = _constructors().get(about["model"])
    if make is None:
        raise ValueError(
            f"`load({name!r})` must be a network of `jaxspike.models`, got {about['model']!r}. Use "
            f"jaxspike {about['jaxspike']}, which wrote it."
        )
    try:
        arguments = {k: _from_json(v) for k, v in about["arguments"].items()}
        net = make(**arguments, rngs=nnx.Rngs(0))
        net = from_torch(net, path, tuple(about["shape"]))
    except (AttributeError, TypeError, ValueError) as e:
        raise ValueError(
            f"`load({name!r})` must get arguments of `{about['model']}` that fit the weights from "
            f"the card, got {about['arguments']}: {str(e).rstrip('.')}. Use jaxspike "
            f"{about['jaxspike']}, which wrote it."
        ) from e
    net.eval()
    is_ann = not isinstance(net, SpikingModule)  # one that has learned its thresholds
    return spiking(net, [jnp.zeros(about["shape"])]) if is_ann else net


def _from_json(value: object) -> object:
    """A tuple for a list, and a neuron for ``{name: options}``."""
    if isinstance(value, dict):
        ((name, options),) = value.items()
        return getattr(neurons, name)(**options)
    return tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else value


def _constructors() -> dict[str, Any]:
    """The functions of this package that make networks, by their names."""
    package = vars(sys.modules[__package__])  # which imports this module
    others = {"list", "card", "load"}
    return {n: f for n, f in package.items() if callable(f) and n not in others and n[0] != "_"}
