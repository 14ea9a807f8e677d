"""Which layer of one network corresponds to which layer of another."""

import difflib
import re
from typing import NamedTuple

Name = tuple[str, ...]


class LayerSignature(NamedTuple):
    """A layer: its name in its container, and the names and shapes of its arrays.

    ``full`` is its full name, by which the caller knows it.
    """

    name: Name
    shapes: frozenset[tuple[str, tuple[int, ...]]]
    full: Name


class AmbiguousError(ValueError):
    """Some layers look alike, and their names do not determine which is which."""

    def __init__(self, ours: list[LayerSignature], theirs: list[LayerSignature]):
        super().__init__()
        self.ours, self.theirs = [i.full for i in ours], [i.full for i in theirs]


def match(ours: list[LayerSignature], theirs: list[LayerSignature]) -> list[tuple[Name, Name]]:
    """Pair the layers of two networks by their names; some may be left without a partner.

    If the names of one network are among those of the other, as when a layer is missing, layers
    with equal names are partners, whatever they hold. Where the names in a container differ,
    partners hold arrays of the same names and shapes. If the names are positions, partners are in
    the same order; otherwise, if there are several such layers, their names must differ in numbers
    only, and go by these numbers.

    Raises:
        AmbiguousError: If several layers look alike, and their names differ in more than numbers.
    """
    names = {i.name for i in ours}
    named = {i.name: i for i in theirs}
    some = not all(map(_is_position, names)) and (names <= named.keys() or names >= named.keys())
    if names == named.keys() or some:
        return [(i.full, named[i.name].full) for i in ours if i.name in named]
    ours, theirs = _without_prefix(ours), _without_prefix(theirs)
    heads = {i.name[:1] for i in ours}
    if heads == {i.name[:1] for i in theirs} and not all(map(_is_position, heads)):
        pairs = []
        for head in heads:
            inside = [[_shorter(i) for i in s if i.name[:1] == head] for s in (ours, theirs)]
            pairs += match(*inside)
        return pairs
    if all(_is_position(i.name) for i in [*ours, *theirs]):
        return _in_order(sorted(ours, key=_numbers), sorted(theirs, key=_numbers))
    return _by_shapes(ours, theirs)


def _shorter(layer: LayerSignature) -> LayerSignature:
    return layer._replace(name=layer.name[1:])


def _without_prefix(layers: list[LayerSignature]) -> list[LayerSignature]:
    """The layers without the containers that hold all of them."""
    while layers and all(len(i.name) > 1 and i.name[0] == layers[0].name[0] for i in layers):
        layers = [_shorter(i) for i in layers]
    return layers


def _is_position(name: Name) -> bool:
    return all(part.isdigit() for part in name)


def _numbers(layer: LayerSignature) -> list[int]:
    return [int(n) for n in re.findall(r"\d+", ".".join(layer.name))]


def _stem(layer: LayerSignature) -> list[str]:
    return re.findall(r"[^\d.]+", ".".join(layer.name))


def _in_order(ours: list[LayerSignature], theirs: list[LayerSignature]) -> list[tuple[Name, Name]]:
    a, b = [i.shapes for i in ours], [i.shapes for i in theirs]
    pairs = []
    for i, j, n in difflib.SequenceMatcher(None, a, b, autojunk=False).get_matching_blocks():
        pairs += [(ours[i + k].full, theirs[j + k].full) for k in range(n)]
    return pairs


def _by_shapes(ours: list[LayerSignature], theirs: list[LayerSignature]) -> list[tuple[Name, Name]]:
    pairs = []
    for shapes in {i.shapes for i in ours}:
        alike = [[i for i in side if i.shapes == shapes] for side in (ours, theirs)]
        if len(alike[0]) != len(alike[1]):
            continue
        for side in alike:
            if any(_stem(i) != _stem(side[0]) for i in side):
                raise AmbiguousError(*alike)
            side.sort(key=_numbers)
        pairs += [(a.full, b.full) for a, b in zip(*alike, strict=True)]
    return pairs
