"""The arrays of one network into the layers of another: each is used once, or it is an error."""

from collections.abc import Iterator, Mapping, Sequence

import jax.numpy as jnp
import numpy as np
from flax import nnx

from ..nn.paths import dotted
from .matching import AmbiguousError, LayerSignature, Name, match
from .slot import Slot

#: The slots of every layer, by the parts of its dotted path; and the arrays for them.
Layers = dict[Name, dict[str, Slot]]
Groups = dict[Name, dict[str, np.ndarray]]


def modules(net: nnx.Module) -> Iterator[tuple[Name, str, nnx.Module]]:
    """Name, dotted path and module of all modules of a network, positions in order."""
    found = dict(nnx.iter_modules(net))
    for keys in sorted(found, key=lambda keys: [(isinstance(k, str), k) for k in keys]):
        path = dotted(net, keys)
        yield (tuple(path.split(".")) if keys else ()), path, found[keys]


def load(call: str, layers: Layers, groups: Groups, names: Mapping[str, str]) -> None:
    """Load every group of arrays into the layer that it belongs to.

    Args:
        call: The function to name in an error.
        layers: The layers to load into.
        groups: The arrays of each layer, by its name.
        names: From names in ``groups``, of layers or containers, to those in ``layers``.

    Raises:
        ValueError: If an array is missing or left over, or names do not tell layers apart.
    """
    ours = [
        LayerSignature(n, frozenset((k, slot.value.shape) for k, slot in slots.items()), n)
        for n, slots in layers.items()
    ]
    theirs = [
        LayerSignature(n, frozenset((k, a.shape) for k, a in group.items()), n)
        for n, group in groups.items()
    ]
    try:
        pairs = dict(_pairs(call, ours, theirs, names))
    except AmbiguousError as e:
        here, there = (list(map(".".join, side)) for side in (e.ours, e.theirs))
        pairs_ = f"pair {_listed(there)} with {_listed(here)}, which have the same shapes"
        fix = f"Give `names={{{there[0]!r}: {here[0]!r}, ...}}`."
        raise ValueError(f"`{call}(names=...)` must {pairs_}. {fix}") from None
    loads, missing, unused = [], [], []
    for name, slots in layers.items():
        group = groups[pairs[name]] if name in pairs else {}
        for key, slot in slots.items():
            if key in group and group[key].shape == slot.value.shape:
                loads.append((slot, group[key], ".".join((*name, key))))
            else:
                missing.append(f"{'.'.join((*name, key))} {slot.value.shape}")
    used = {theirs: ours for ours, theirs in pairs.items()}
    for name, group in groups.items():
        slots = layers[used[name]] if name in used else {}
        for key, a in group.items():
            if key not in slots or slots[key].value.shape != a.shape:
                unused.append(f"{'.'.join((*name, key))} {a.shape}")
    if missing or unused:
        raise ValueError(
            f"`{call}` must find exactly one array for each of the network. Missing: "
            f"{_listed(missing)}. Left over: {_listed(unused)}. Use the same layers, and `Spiking("
            "neuron, learn=...)` if it learned; if only names differ, give `names={there: here}`."
        )
    for slot, a, key in loads:
        _check_values(call, key, a, slot.value.dtype)
    for slot, a, _ in loads:
        slot.load(a)


def _check_values(call: str, name: str, a: np.ndarray, dtype: np.dtype) -> None:
    """Refuse NaN, and numbers that would be infinite in the network."""
    if jnp.issubdtype(dtype, jnp.floating):
        wide = a if a.dtype == np.float64 else a.astype(np.float32)
        held = np.abs(wide) <= float(jnp.finfo(dtype).max)
        if not held.all():
            got = f"{wide[~held].flat[0]} for `{name}`"
            raise ValueError(f"`{call}` must load numbers that {dtype} holds, got {got}.")


def _listed(parts: Sequence[str], most: int = 8) -> str:
    more = f" and {len(parts) - most} more" if len(parts) > most else ""
    return ", ".join(parts[:most]) + more or "none"


def _pairs(
    call: str, ours: list[LayerSignature], theirs: list[LayerSignature], names: Mapping[str, str]
) -> list[tuple[Name, Name]]:
    """Pairs of layers: those under the names that were given, and the others."""
    pairs = []
    for there, here in names.items():
        sides = []
        for prefix, side in ((here, ours), (there, theirs)):
            parts = tuple(prefix.split("."))
            inside = [i for i in side if i.full[: len(parts)] == parts]
            if not inside:
                what = f"a layer or container on either side, got no array under {prefix!r}"
                raise ValueError(f"`{call}(names={{{there!r}: {here!r}}})` must name {what}.")
            sides.append([i._replace(name=i.full[len(parts) :]) for i in inside])
        pairs += match(*sides)
        ours = [i for i in ours if i.full not in {x.full for x in sides[0]}]
        theirs = [i for i in theirs if i.full not in {x.full for x in sides[1]}]
    return pairs + match(ours, theirs)
