"""The path of a layer as users write it: dotted, ``layers`` of a Sequential left out.

It is ``"lif1"``, ``"block.lif2"``, or in a `Sequential` ``"0"``.
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
    inside = net
    for key in path:
        if not (key == "layers" and _is_sequential(inside)):
            names.append(str(key))
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
    """What holds the layer at a dotted path, its key in there, and the layer, None if not there."""
    holder: Any = None
    key: Key = ""
    inside: Any = net
    for step in path.split("."):
        holder, key = inside, step
        if step.isdigit():
            holder = inside.layers if _is_sequential(inside) else inside
            key = int(step)
        inside = _enter(holder, key)
    return holder, key, inside


def _is_sequential(holder) -> bool:
    return isinstance(holder, nnx.Sequential) or getattr(holder, "_is_sequential", False)


def _enter(holder, key: Key):
    """What ``holder`` has under ``key``; None if nothing."""
    try:
        return holder[key] if isinstance(key, int) else getattr(holder, key)
    except (AttributeError, IndexError, KeyError, TypeError):
        return None
