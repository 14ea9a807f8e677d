"""The arrays of one network into the layers of another: each is used once, or it is an error."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from flax import nnx

from ..nn import Sequential
from .entry import Entry
from .matching import AmbiguousError, Item, Name, match

#: Path and arrays of every layer, by its name: the path without the ``layers`` of a Sequential.
Layers = dict[Name, tuple[str, dict[str, Entry]]]
Groups = dict[Name, dict[str, np.ndarray]]


def modules(net: nnx.Module) -> Iterator[tuple[Name, str, nnx.Module]]:
    """Name, path and module of all modules of a network, positions in order."""
    found = dict(nnx.iter_modules(net))
    for path in sorted(found, key=lambda path: [(isinstance(p, str), p) for p in path]):
        yield _name(found, path), ".".join(map(str, path)), found[path]


def _name(found: Mapping[Any, nnx.Module], path: tuple[Any, ...]) -> Name:
    containers = [found.get(path[:i]) for i in range(len(path))]
    return tuple(
        str(part)
        for part, container in zip(path, containers, strict=True)
        if not (part == "layers" and isinstance(container, Sequential | nnx.Sequential))
    )


def load(call: str, layers: Layers, groups: Groups, names: Mapping[str, str]) -> None:
    """Load every group of arrays into the layer that it belongs to.

    Args:
        call: The function to name in an error.
        layers: Where to.
        groups: The arrays of each layer, by its name.
        names: From names in ``groups``, of layers or containers, to paths in ``layers``.

    Raises:
        ValueError: If an array is missing or left over, or names do not tell layers apart.
    """
    ours = [
        Item(n, frozenset((k, e.value.shape) for k, e in entries.items()), n)
        for n, (_, entries) in layers.items()
    ]
    theirs = [
        Item(n, frozenset((k, a.shape) for k, a in group.items()), n) for n, group in groups.items()
    ]
    try:
        pairs = dict(_named(call, layers, ours, theirs, names))
    except AmbiguousError as e:
        paths, owners = [layers[n][0] for n in e.ours], [".".join(n) for n in e.theirs]
        raise ValueError(
            f"`{call}` must be told which of {_say(owners)} is which of {_say(paths)}: they have "
            f"the same shapes. Give `names={{{owners[0]!r}: {paths[0]!r}, ...}}`."
        ) from None
    missing, over = [], []
    used = {pairs[n]: n for n in pairs}
    for name, (path, entries) in layers.items():
        group = groups[pairs[name]] if name in pairs else {}
        missing += [
            f"{_dotted(path, key)} {entry.value.shape}"
            for key, entry in entries.items()
            if key not in group or group[key].shape != entry.value.shape
        ]
    for name, group in groups.items():
        entries = layers[used[name]][1] if name in used else {}
        over += [
            f"{_dotted(*name, key)} {a.shape}"
            for key, a in group.items()
            if key not in entries or entries[key].value.shape != a.shape
        ]
    if missing or over:
        raise ValueError(
            f"`{call}` must find one array for each of the network and no other. "
            f"Missing: {_say(missing)}. Left over: {_say(over)}. "
            "Make the network of the same layers, with `Spiking(neuron, learn=...)` for neurons "
            "that learned; if only names differ, give `names={there: here}`."
        )
    for name, (_, entries) in layers.items():
        for key, entry in entries.items():
            entry.load(groups[pairs[name]][key])


def _dotted(*parts: str) -> str:
    return ".".join(filter(None, parts))


def _say(parts: Iterable[str]) -> str:
    return ", ".join(parts) or "none"


def _named(
    call: str, layers: Layers, ours: list[Item], theirs: list[Item], names: Mapping[str, str]
) -> list[tuple[Name, Name]]:
    """Pairs of layers: those under the names that were given, and the others."""
    pairs = []
    for there, here in names.items():
        sides = []
        for prefix, side, path in (
            (here, ours, lambda n: tuple(layers[n][0].split("."))),
            (there, theirs, lambda n: n),
        ):
            parts = tuple(prefix.split("."))
            inside = [i for i in side if path(i.full)[: len(parts)] == parts]
            if not inside:
                raise ValueError(
                    f"`{call}(names={{{there!r}: {here!r}}})` must name a layer or container on "
                    f"either side, got no array under {prefix!r}."
                )
            sides.append([i._replace(name=path(i.full)[len(parts) :]) for i in inside])
        pairs += match(*sides)
        ours = [i for i in ours if i.full not in {x.full for x in sides[0]}]
        theirs = [i for i in theirs if i.full not in {x.full for x in sides[1]}]
    return pairs + match(ours, theirs)
