"""A network as a graph: runs its ``__call__`` once with symbolic wires instead of arrays."""

import functools
from collections.abc import Callable, Sequence

import numpy as np
from flax import nnx

from ..._types import Shape
from ...neurons import Neuron, SequenceNeuron
from ...nn import Dropout, SpikingModule
from ...nn.module import call_without_state
from ...nn.paths import Key, dotted
from ..layout import channels_first, first
from ..shapes import Array


class Wire:
    """A symbolic array ``[N, *]``: the sum of the outputs of some nodes.

    Args:
        writer: The `NodeWriter`.
        sources: Names of the nodes.
        sample: Shape of one sample, channels last.
        order: For a flattened image, the place of each of its values in NIR's order; None if the
            orders agree.
    """

    dtype = np.dtype(np.float32)

    def __init__(self, writer, sources: tuple[str, ...], sample: Shape, order=None):
        self.writer, self.sources, self.sample, self.order = writer, sources, sample, order

    @property
    def shape(self) -> Shape:
        return (1, *self.sample)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def astype(self, dtype) -> "Wire":
        return self

    def nir_shape(self) -> Shape:
        """The shape in NIR's order of axes."""
        return first(self.sample)

    def to_nir(self, value) -> Array:
        """A parameter that broadcasts against a sample, in full shape and NIR's order."""
        full = np.broadcast_to(np.asarray(value), self.sample)
        if self.order is None:
            return np.ascontiguousarray(channels_first(full))
        placed = np.empty_like(full)
        placed[self.order] = full
        return placed

    def __add__(self, other) -> "Wire":
        if isinstance(other, int | float) and other == 0:  # the start of `sum`
            return self
        if not isinstance(other, Wire):
            return NotImplemented
        if self.sample != other.sample or {*self.sources} & {*other.sources}:
            raise _cannot(f"a sum of {self.sources} and {other.sources}: once each, of one shape")
        if not np.array_equal(self.order, other.order):
            raise _cannot("a sum with a flattened image: sum before flattening")
        return Wire(self.writer, self.sources + other.sources, self.sample, self.order)

    __radd__ = __add__

    def reshape(self, *shape) -> "Wire":
        """Flattening, the only reshape that is a node."""
        if len(shape) == 1 and not isinstance(shape[0], int):
            shape = tuple(shape[0])
        if shape not in ((1, -1), (1, int(np.prod(self.sample)))):
            raise _cannot(f"a reshape of {self.shape} to {shape}")
        return self.writer.flatten(self, "flatten")

    def mean(self, axis=None) -> "Wire":
        """The mean over the pixels of an image, counted from the end; no other is a node."""
        if len(self.sample) != 3 or axis not in ((-3, -2), (-2, -3)):
            raise _cannot("`x.mean` in a `__call__`, but over the axes (-3, -2) of an image")
        return self.writer.mean_of_image(self)

    def __getattr__(self, name: str):
        if name.startswith("__"):
            raise AttributeError(name)
        raise _cannot(f"`x.{name}` in a `__call__`")


Wires = Wire | dict[str, Wire]


def _cannot(what: str) -> ValueError:
    fix = "Use layers of jaxspike and Flax."
    return ValueError(f"`to_nir(net=...)` must be a graph of layers and sums, got {what}. {fix}")


def trace(net, wire: Wires, name: str = ""):
    """The wires that a network returns; its layers are written on the way.

    Args:
        net: A module, a neuron or a function.
        wire: Its input, or several by name.
        name: Its path in the outermost network.
    """
    writer = (next(iter(wire.values())) if isinstance(wire, dict) else wire).writer
    try:
        if isinstance(net, Neuron | SequenceNeuron):
            return writer.node(net, name, wire)
        if isinstance(net, nnx.Module):
            net = nnx.clone(net)
            net.eval()
            net = _Replacement(net, name, writer).of(net, ())
        if isinstance(net, SpikingModule):
            return call_without_state(net, wire)
        return net(wire)
    except TypeError as e:
        raise _cannot(f"an operation that cannot be followed ({e})") from e


class _Layer(nnx.Module):
    """A layer without state that writes itself."""

    def __init__(self, write: Callable[[Wires], Wires]):
        self.write = write

    def __call__(self, x, *_, **__):
        return self.write(x)


class _StatefulLayer(SpikingModule):
    """A layer with a state that writes itself."""

    def __init__(self, write: Callable[[Wires], Wires]):
        self.write = write

    def __call__(self, state, x, *_, **__):
        return state, self.write(x)


class _Replacement:
    """Replaces the layers in ``net`` by those that write themselves."""

    def __init__(self, net: nnx.Module, name: str, writer):
        self.net, self.name, self.writer = net, name, writer
        self.done: dict[int, tuple[object, object]] = {}

    def of(self, value, path: Sequence[Key]):
        """``value``, which is at ``path``, with its layers replaced."""
        if id(value) in self.done:
            return self.done[id(value)][0]
        new = value
        if isinstance(value, nnx.Module) and not _is_composite(value):
            new = self._layer(value, path)
        elif isinstance(value, nnx.Module):
            for key, item in list(vars(value).items()):
                if (other := self.of(item, (*path, key))) is not item:
                    setattr(value, key, other)
        elif isinstance(value, dict):
            new = {k: self.of(v, (*path, k)) for k, v in value.items()}
        elif isinstance(value, nnx.List | list | tuple):
            new = type(value)([self.of(v, (*path, i)) for i, v in enumerate(value)])
        self.done[id(value)] = new, value  # keeping the value keeps its id from being used again
        return new

    def _layer(self, layer: nnx.Module, path: Sequence[Key]) -> nnx.Module:
        name = ".".join(filter(None, (self.name, dotted(self.net, path) if path else "")))

        def write(x):
            dropped = isinstance(layer, Dropout | nnx.Dropout)
            return x if dropped else self.writer.node(layer, name, x)

        return (_StatefulLayer if isinstance(layer, SpikingModule) else _Layer)(write)


def _is_composite(module: nnx.Module) -> bool:
    """Whether its ``__call__`` can run with wires: it is made of layers and is not a layer."""
    if isinstance(module, SpikingModule):
        return type(module).init_state is SpikingModule.init_state
    own = type(module).__module__.split(".")[0] in ("flax", "jaxspike")
    return not own or isinstance(module, nnx.Sequential | nnx.List | nnx.Dict)


@functools.cache
def order_of_flat(sample: Shape) -> Array | None:
    """The place of each value of a flattened ``[*, C]`` in NIR's ``[C, *]``; None if the same."""
    size = int(np.prod(sample))
    order = np.moveaxis(np.arange(size).reshape(first(sample)), 0, -1).ravel()
    return None if np.array_equal(order, np.arange(size)) else order
