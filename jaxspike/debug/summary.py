"""`summary`: a table of the layers of a network, with their shapes, parameters and states."""

import contextlib
import dataclasses
import html
from collections.abc import Iterator, Mapping

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from .._check import kind
from .._state import layout
from .._types import Array, Tree
from ..nn import Spiking, SpikingModule
from ..nn.module import call_without_state, eval_copy, states_by_layer
from ..nn.paths import dotted
from ._watch import Trace, collect, watch
from .record import layers_of, record, refuse_traced

HEADER = "layer", "type", "output", "parameters", "state", "rate"
LEFT = 3  # columns of text


@dataclasses.dataclass(frozen=True)
class LayerSummary:
    """One row of a `Summary`.

    Attributes:
        type: The class of the layer, or of its neuron.
        output: The shape of one step of its output, or a tree of them; None if it is not called.
        parameters: The number of its own parameters, without those of the layers inside it.
        state_size: The number of elements of its state.
        state_bytes: Their size.
        rate: Spikes per neuron, time step and call; None if unknown, or the output is not spikes.
    """

    type: str
    output: Tree
    parameters: int = 0
    state_size: int = 0
    state_bytes: int = 0
    rate: float | None = None


@dataclasses.dataclass(frozen=True)
class Summary:
    """The layers of a network; prints as a table, and is one in a notebook.

    Attributes:
        layers: A `LayerSummary` by the path of each layer, in the order in which they run.
        parameters: The number of parameters of the network.
        state_size: The number of elements of its state.
        state_bytes: Their size.
    """

    layers: Mapping[str, LayerSummary]
    parameters: int
    state_size: int
    state_bytes: int

    def _rows(self) -> Iterator[tuple[str, ...]]:
        """The header, a row per layer, and the totals; without rates if there are none."""
        rated = any(layer.rate is not None for layer in self.layers.values())
        yield HEADER[: None if rated else -1]
        for name, layer in self.layers.items():
            output = "not called" if layer.output is None else str(layer.output)
            rate = ("" if layer.rate is None else f"{layer.rate:.2%}",) if rated else ()
            state = _size(layer.state_size, layer.state_bytes)
            parameters = f"{layer.parameters:,}" if layer.parameters else ""
            yield name, layer.type, output, parameters, state, *rate
        state = _size(self.state_size, self.state_bytes)
        yield "total", "", "", f"{self.parameters:,}", state or "0", *([""] if rated else [])

    def __str__(self) -> str:
        rows = list(self._rows())
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return "\n".join(
            "  ".join(
                f"{cell:{'<' if i < LEFT else '>'}{width}}"
                for i, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in rows
        )

    __repr__ = __str__

    def _repr_html_(self) -> str:
        def row(cells: tuple[str, ...], tag: str) -> str:
            inside = "".join(
                f'<{tag} style="text-align:{"left" if i < LEFT else "right"}">'
                f"{html.escape(cell)}</{tag}>"
                for i, cell in enumerate(cells)
            )
            return f"<tr>{inside}</tr>"

        header, *rows, total = self._rows()
        body = [row(header, "th"), *(row(cells, "td") for cells in rows), row(total, "th")]
        return f"<table>{''.join(body)}</table>"


def summary(net: SpikingModule, state_or_shape: Tree, x=None, *args) -> Summary:
    """A table of the layers of a network: output shapes, parameters, states, and firing rates.

    The network is traced, not run, unless ``x`` is given; it is left unchanged either way. A state
    is counted once, at the outermost layer that owns it.

    Unlike `flax.nnx.tabulate`, it knows about states. That function calls every public method
    inside a `jax.jit`, including ``init_state``, cannot print a NamedTuple, and leaves the classes
    of Flax patched if it fails.

    Args:
        net: The network.
        state_or_shape: The shape of one step of input, ``(N, *)``, or a dictionary of shapes; or a
            state, if ``x`` is given.
        x: One step ``[N, *]`` or a sequence ``[T, N, *]``, to run the network and add the firing
            rate of each layer of neurons, in the mode, training or evaluation, that it is in.
        *args: Further arguments of the network.

    Raises:
        TypeError: If ``net`` is not a `SpikingModule`, or ``x`` is traced by `jax.jit`.
        ValueError: If a state is given without the input that it was built for.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> from flax import nnx
        >>> linear = nnx.Linear(8, 4, kernel_init=nnx.initializers.ones, rngs=nnx.Rngs(0))
        >>> net = js.nn.Sequential(js.IF(), linear, js.LIF(v_threshold=2.0))
        >>> js.summary(net, (2, 8))
        layer  type    output  parameters      state
        0      IF      (2, 8)              16 (64 B)
        1      Linear  (2, 4)          36
        2      LIF     (2, 4)               8 (32 B)
        total                          36  24 (96 B)
        >>> js.summary(net, (2, 8), jnp.full((10, 2, 8), 0.5)).layers["2"].rate
        0.5
    """
    modules = layers_of(net, "summary")
    rates: dict[str, float | None] = {}
    if _is_shape(state_or_shape):
        shape = state_or_shape
        state = jax.eval_shape(lambda: net.init_state(shape, jnp.float32, *args))
    else:
        state, shape = state_or_shape, _shape_of_step(net, state_or_shape, x, args)
    if x is not None:
        start = net.init_state(shape, jnp.float32, *args) if _is_shape(state_or_shape) else state
        refuse_traced("summary", "`record`", net, start, x, args)
        rates = _rates(net, modules, start, x, args)
    outputs = _outputs(net, modules, shape, args)
    parameters = _parameters(net, modules)
    states: dict[str, tuple[int, int]] = {}
    for name, entry in states_by_layer(net, shape, state, *args):
        states[name] = tuple(np.add(states.get(name, (0, 0)), _sizes(entry)).tolist())
    names = [*outputs, *(name for name in modules if name not in outputs)]
    layers = {
        name: LayerSummary(
            _kind(modules[name]),
            outputs.get(name),
            parameters.get(name, 0),
            *states.get(name, (0, 0)),
            rates.get(name),
        )
        for name in names
        if name in states or name in parameters or _is_layer(modules[name])
    }
    return Summary(layers, sum(parameters.values()), *_sizes(state))


def _is_shape(value) -> bool:
    if isinstance(value, dict):
        return bool(value) and all(map(_is_shape, value.values()))
    sizes = isinstance(value, tuple | list) and len(value) > 0
    return sizes and all(isinstance(n, int | np.integer) for n in value)


def _shape_of_step(net: SpikingModule, state: Tree, x, args):
    """The shape of the steps that ``state`` was built for: ``x`` is one, or a sequence of them."""
    shape = jax.tree.map(jnp.shape, x)
    one = jax.tree.map(lambda a: jnp.shape(a)[1:], x)
    for tried in (shape, one) if x is not None else ():
        with contextlib.suppress(ValueError, TypeError):  # not a step of this network
            at_rest = jax.eval_shape(lambda s=tried: net.init_state(s, jnp.float32, *args))
            if layout(at_rest) == layout(state):
                return tried
    got = f"{kind(state)} and {'no x' if x is None else f'x of {shape}'}"
    raise ValueError(
        "`summary(state_or_shape=...)` must be the shape of one step, or a state and the input x "
        f"that it was built for, got {got}. Give the shape: `summary(net, (N, ...))`."
    )


def _outputs(net, modules, shape, args) -> dict[str, Tree]:
    """The shapes of the outputs, by the path of the layer, in the order in which they run."""
    names = [name for name, module in modules.items() if callable(module)]
    graph, variables = nnx.split(net)
    trace = Trace()

    def outputs(x):
        copy = eval_copy(graph, variables)
        layers = layers_of(copy, "summary")
        watch(copy, {name: layers[name] for name in names}, ("output",), trace)
        call_without_state(copy, x, *args)
        records = trace.records(collect(copy))
        return {name: calls[0]["output"] for name, calls in records.items()}

    x = jax.tree.map(
        lambda s: jax.ShapeDtypeStruct(s, jnp.float32),
        shape,
        is_leaf=lambda s: isinstance(s, tuple | list),
    )
    found = jax.eval_shape(outputs, x)
    return {name: jax.tree.map(jnp.shape, found[name]) for name in trace.order if name in found}


def _parameters(net, modules) -> dict[str, int]:
    """The number of parameters of each layer, without those of the layers inside it."""
    found: dict[str, int] = {}
    for path, param in nnx.to_flat_state(nnx.state(net, nnx.Param)):
        paths = (dotted(net, path[:n]) for n in range(len(path) - 1, -1, -1))
        name = next(name for name in paths if name in modules)
        found[name] = found.get(name, 0) + _sizes(param.get_value())[0]
    return found


@nnx.jit
def _activity(net, state, x, args):
    _, _, records = record(net, state, x, *args)
    outputs: dict[str, list[Array]] = {}
    for name, r in records.items():  # those of a layer that is called twice together
        outputs.setdefault(name.partition("#")[0], []).append(r["output"].ravel())
    flat = {name: jnp.concatenate(calls) for name, calls in outputs.items()}
    return {name: ((y != 0).mean(), (y == jnp.round(y)).all()) for name, y in flat.items()}


def _rates(net, modules, state: Tree, x: Tree, args) -> dict[str, float | None]:
    if not any(isinstance(module, Spiking) for module in modules.values()):
        return {}
    found = jax.device_get(_activity(net, state, x, args))
    return {name: float(rate) if spikes else None for name, (rate, spikes) in found.items()}


def _is_layer(module) -> bool:
    """Whether there are no layers inside it that would have rows of their own."""
    inside = [m for _, m in nnx.iter_modules(module) if m is not module]
    return callable(module) and all(isinstance(m, nnx.List | nnx.Dict) for m in inside)


def _kind(module) -> str:
    return type(module.neuron if isinstance(module, Spiking) else module).__name__


def _sizes(tree: Tree) -> tuple[int, int]:
    """Elements and bytes of all arrays of a tree."""
    leaves = [leaf for leaf in jax.tree.leaves(tree) if hasattr(leaf, "dtype")]
    sizes = [np.array((leaf.size, leaf.size * leaf.dtype.itemsize)) for leaf in leaves]
    size, n_bytes = np.sum(sizes, 0).tolist() if sizes else (0, 0)
    return size, n_bytes


def _size(elements: int, n_bytes: int) -> str:
    if not elements:
        return ""
    size, units = float(n_bytes), ["B", "kB", "MB", "GB"]
    while size >= 1000 and len(units) > 1:
        size, units = size / 1000, units[1:]
    return f"{elements:,} ({size:,.3g} {units[0]})"
