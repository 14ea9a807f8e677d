"""The layers of a network by their dotted paths, and what is at a path."""

from typing import Any

from flax import nnx

from .._paths import Key as Key, dotted as dotted, enter, layer_names


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
        names = layer_names(inside) or ()
        begun = [name for name in names if f"{rest}.".startswith(f"{name}.")]
        step = max(begun, key=len, default=rest.partition(".")[0])
        if begun:
            holder, key = inside.layers, names.index(step)
        else:
            holder, key = inside, int(step) if step.isdigit() else step
        inside, rest = enter(holder, key), rest[len(step) + 1 :]
    return holder, key, inside
