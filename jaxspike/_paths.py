"""The path of a layer as users write it: dotted, ``layers`` of a Sequential left out.

It is ``"lif1"``, ``"block.lif2"``, in a `Sequential` ``"0"``, or the name of a node of a NIR graph.
"""

from collections.abc import Sequence
from typing import Any

Key = Any  # the name of an attribute, a position in a list, or a key of a dictionary


def dotted(net: object, path: Sequence[Key]) -> str:
    """The path in ``net`` of a layer or a variable, from its keys, such as ``("layers", 0)``.

    That of ``net`` itself is the name of its class.
    """
    names: list[str] = []
    inside, of_layers = net, None
    for key in path:
        if key == "layers" and of_layers is None and layer_names(inside) is not None:
            of_layers = layer_names(inside)
        else:
            names.append(str(key) if of_layers is None else of_layers[int(key)])
            of_layers = None
        inside = enter(inside, key)
    return ".".join(names) or type(net).__name__


def layer_names(holder: Any) -> Sequence[str] | None:
    """The names of the ``layers`` of a holder, if they take the place of that word in a path."""
    if any((c.__module__[:5], c.__name__) == ("flax.", "Sequential") for c in type(holder).__mro__):
        return [str(i) for i in range(len(holder.layers))]
    return getattr(holder, "_layer_names", None)


def enter(holder: Any, key: Key) -> Any:
    """The entry of ``holder`` under ``key``; None if there is none."""
    try:
        return holder[key] if isinstance(key, int) else getattr(holder, key)
    except (AttributeError, IndexError, KeyError, TypeError):
        return None
