"""A network as a graph: its ``__call__`` is run once with wires in the place of arrays."""

import functools
from typing import Any

import numpy as np
from flax import nnx

from ..neurons import Neuron, SequenceNeuron
from ..nn import Dropout, SpikingModule
from ..nn.module import call_without_state
from .layout import channels_first, first
from .shapes import Shape


class Wire:
    """What stands for an array ``[N, *]``: the nodes that it is the sum of, and its shape.

    Args:
        writer: Who writes the nodes; has ``node(layer, name, wire) -> Wire``.
        sources: Names of nodes.
        sample: Shape of one sample, channels last.
        order: Of a flattened image: where each of its values is in NIR's order; None if there.
    """

    def __init__(self, writer: Any, sources: tuple[str, ...], sample: Shape, order: Any = None):
        self.writer, self.sources, self.sample, self.order = writer, sources, sample, order

    @property
    def shape(self) -> Shape:
        return (1, *self.sample)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def dtype(self) -> Any:
        return np.dtype(np.float32)

    def astype(self, dtype: Any) -> "Wire":
        return self

    def nir_shape(self) -> Shape:
        """The shape in NIR's order of axes."""
        return first(self.sample)

    def to_nir(self, value: Any) -> Any:
        """A parameter that broadcasts against a sample, in full shape and NIR's order."""
        full = np.broadcast_to(np.asarray(value), self.sample)
        if self.order is None:
            return np.ascontiguousarray(channels_first(full))
        placed = np.empty_like(full)
        placed[self.order] = full
        return placed

    def __add__(self, other: Any) -> "Wire":
        if isinstance(other, int | float) and other == 0:  # what `sum` starts from
            return self
        if not isinstance(other, Wire):
            return NotImplemented
        if self.sample != other.sample or {*self.sources} & {*other.sources}:
            raise _cannot(f"a sum of {self.sources} and {other.sources}: once each, of one shape")
        if not np.array_equal(self.order, other.order):
            raise _cannot("a sum with a flattened image: sum before flattening")
        return Wire(self.writer, self.sources + other.sources, self.sample, self.order)

    __radd__ = __add__

    def reshape(self, *shape: Any) -> "Wire":
        """Flattening, the only reshape that is a node."""
        if len(shape) == 1 and not isinstance(shape[0], int):
            shape = tuple(shape[0])
        if shape not in ((1, -1), (1, int(np.prod(self.sample)))):
            raise _cannot(f"a reshape of {self.shape} to {shape}")
        return self.writer.flatten(self, "flatten")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise _cannot(f"`x.{name}` in a `__call__`")


def _cannot(what: str) -> ValueError:
    return ValueError(
        f"`to_nir(net=...)` must be a graph of layers and sums, got {what}. "
        "Use layers of jaxspike and Flax."
    )


def trace(net: Any, wire: Wire | dict[str, Wire], path: tuple[str, ...] = ()) -> Any:
    """The wires that a network returns for ``wire``; its layers are written on the way.

    Args:
        net: A module, a neuron or a function.
        wire: What it gets, or several by name.
        path: Where it is.
    """
    writer = (next(iter(wire.values())) if isinstance(wire, dict) else wire).writer
    if isinstance(net, nnx.Module):
        net = nnx.clone(net)
        net.eval()
        net = _replaced(net, path, writer, {})
    try:
        if isinstance(net, Neuron | SequenceNeuron):
            return writer.node(net, ".".join(path), wire)
        if isinstance(net, SpikingModule):
            return call_without_state(net, wire)
        return net(wire)
    except TypeError as e:
        raise _cannot(f"an operation that cannot be followed ({e})") from e


class _Layer:
    """A layer without state that writes itself."""

    def __init__(self, write: Any):
        self.write = write

    def __call__(self, x: Any, *_: Any, **__: Any) -> Any:
        return self.write(x)


class _StatefulLayer(SpikingModule):
    """A layer with a state that writes itself."""

    def __init__(self, write: Any):
        self.write = write

    def __call__(self, state: Any, x: Any, *_: Any, **__: Any) -> Any:
        return state, self.write(x)


def _replaced(value: Any, path: tuple[Any, ...], writer: Any, done: dict[int, Any]) -> Any:
    """``value`` with the layers in it replaced by those that write themselves."""
    if id(value) in done:
        return done[id(value)][0]
    new = value
    if isinstance(value, nnx.Module) and not _is_composite(value):
        name = ".".join(str(k) for k in path if k != "layers")
        stateful = isinstance(value, SpikingModule)

        def write(x, layer=value):
            return x if isinstance(layer, Dropout | nnx.Dropout) else writer.node(layer, name, x)

        new = (_StatefulLayer if stateful else _Layer)(write)
    elif isinstance(value, nnx.List | nnx.Module):
        listed: Any = value if isinstance(value, nnx.List) else None
        items: list[Any] = list(vars(value).items() if listed is None else enumerate(listed))
        for key, item in items:
            if isinstance(item, nnx.Module | nnx.List | list | dict | tuple):
                other = _replaced(item, (*path, key), writer, done)
                if other is not item and listed is not None:
                    listed[key] = other
                elif other is not item:
                    setattr(value, key, other)
    elif isinstance(value, dict):
        new = {k: _replaced(v, (*path, k), writer, done) for k, v in value.items()}
    elif isinstance(value, list | tuple):
        new = type(value)(_replaced(v, (*path, i), writer, done) for i, v in enumerate(value))
    done[id(value)] = new, value  # the value too: its id is taken as long as it lives
    return new


def _is_composite(module: nnx.Module) -> bool:
    """Whether its ``__call__`` can be run with wires: it is made of layers and is no layer."""
    if isinstance(module, SpikingModule):
        return type(module).init_state is SpikingModule.init_state
    own = type(module).__module__.split(".")[0] in ("flax", "jaxspike")
    return not own or isinstance(module, nnx.Sequential | nnx.List | nnx.Dict)


@functools.cache
def order_of_flat(sample: Shape) -> Any:
    """Where each value of a flattened ``[*, C]`` is in NIR's ``[C, *]``; None if in its place."""
    size = int(np.prod(sample))
    order = np.moveaxis(np.arange(size).reshape(first(sample)), 0, -1).ravel()
    return None if np.array_equal(order, np.arange(size)) else order
