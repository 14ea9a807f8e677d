"""The path of a layer as users write it: dotted, ``layers`` of a Sequential left out.

It is ``"lif1"``, ``"block.lif2"``, in a `Sequential` ``"0"``, or the name of a node of a NIR graph.
"""

from collections.abc import Sequence
from typing import Any

from flax import nnx

Key = Any  # of a path of Flax: the name of an attribute, or a position in a list


def dotted(net: nnx.Module, path: Sequence[Key]) -> str:
    """The path in ``net`` of a layer or a variable, from its keys, such as ``("layers", 0)``.

    That of ``net`` itself is the name of its class.
    """
    names: list[str] = []
    inside, of_layers = net, None
    for key in path:
        if key == "layers" and of_layers is None and _layer_names(inside) is not None:
            of_layers = _layer_names(inside)
        else:
            names.append(str(key) if of_layers is None else of_layers[int(key)])
            of_layers = None
        inside = _enter(inside, key)
    return ".".join(names) or type(net).__name__


def named_layers(net: nnx.Module) -> dict[str, Any]:
    """The modules in ``net``, and last ``net`` itself, by their dotted paths."""
    return {
        dotted(net, path): module
        for path, module in nnx.iter_modules(net)
        if not isinstance(module, nnx.List | nnx.Dict)
    }


def locate(net: nnx.Module, path: str) -> tuple[Any, Key, Any]:
    """The holder of the layer at a dotted path, its key in it, and the layer, None if missing."""
    holder: Any = None
    key: Key = ""
    inside: Any = net if path else None
    rest = path
    while rest:
        names = _layer_names(inside) or ()
        begun = [name for name in names if f"{rest}.".startswith(f"{name}.")]
        step = max(begun, key=len, default=rest.partition(".")[0])
        if begun:
            holder, key = inside.layers, names.index(step)
        else:
            holder, key = inside, int(step) if step.isdigit() else step
        inside, rest = _enter(holder, key), rest[len(step) + 1 :]
    return holder, key, inside


def _layer_names(holder) -> Sequence[str] | None:
    """The names of the ``layers`` of a holder, if they take the place of that word in a path."""
    if isinstance(holder, nnx.Sequential):
        return [str(i) for i in range(len(holder.layers))]
    return getattr(holder, "_layer_names", None)


def _enter(holder, key: Key):
    """The entry of ``holder`` under ``key``; None if there is none."""
    try:
        return holder[key] if isinstance(key, int) else getattr(holder, key)
    except (AttributeError, IndexError, KeyError, TypeError):
        return None
