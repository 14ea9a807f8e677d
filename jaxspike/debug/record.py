"""`record`: run a network and also return what its layers did."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from flax.errors import TraceContextError

from .. import _check
from .._state import layout
from .._types import Array, Tree
from ..nn import Spiking, SpikingModule
from ..nn.paths import named_layers
from ._watch import Recording, Trace, collect, keep, watch

Layers = str | type | Sequence[str | type] | None


def record(
    net: SpikingModule,
    state: Tree,
    x: Tree,
    *args,
    layers: Layers = None,
    fields: Sequence[str] = ("output",),
    update: bool = False,
) -> tuple[Tree, Tree, OrderedDict[str, dict[str, Tree]]]:
    """Run ``net(state, x)`` and also return what its layers did.

    It runs a copy of the network whose layers keep their outputs, so ``net`` does not change, not
    even the statistics of a BatchNorm or the counts of its random keys. It is as pure as the
    network: call it in `flax.nnx.jit` or in a scan, or differentiate it. A module may call it in
    its ``__call__``, to return what its layers did, for use in a loss; in training, with
    ``update=True``.

    Args:
        net: The network.
        state: Its state.
        x: One step ``[N, *]`` or a sequence ``[T, N, *]``; the records have a time axis if it does.
        *args: Further arguments of the network.
        layers: Which layers: their paths, such as ``"lif1"``, ``"block.lif2"``, or in a
            `Sequential` ``"1"``; or types, of layers (`flax.nnx.Linear`) or of neurons (`LIF`).
            None for every neuron.
        fields: What to record of each: ``"output"``, ``"input"``, a state variable after the step,
            such as ``"v"``, ``"state"`` for all state variables, or ``"h"`` for the membrane before
            the reset: what ``v`` would be had the neuron not fired in that step. A layer without
            that variable is recorded without it.
        update: Whether the statistics and random keys of ``net`` change as they do in
            ``net(state, x)``.

    Returns:
        The new state and the output, those of ``net(state, x)``, and the records: a dict from the
        path of a layer, in the order in which the layers run, to a dict from field to array,
        ``[T, N, *]``. The second run of a layer in one step is under its path and ``#2``.

    Raises:
        TypeError: If ``net`` is not a module, or calls a layer inside a transformation that its
            outputs cannot escape, such as `jax.lax.scan`.
        ValueError: If there is no such layer, or none of the layers has such a field.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> from flax import nnx
        >>> net = js.nn.Sequential(nnx.Linear(8, 4, rngs=nnx.Rngs(0)), js.LIF())
        >>> state, x_seq = net.init_state((2, 8)), jnp.ones((5, 2, 8))
        >>> state, y, records = js.debug.record(net, state, x_seq, fields=("output", "v"))
        >>> records["1"]["v"].shape
        (5, 2, 4)
    """
    fields = (fields,) if isinstance(fields, str) else tuple(fields)
    names, trace = _choose(layers_of(net, "record"), layers), Trace()
    recorded = _recorded_copy(net, names, fields, trace)
    try:
        new, y = recorded(state, x, *args)
    except TraceContextError as e:
        raise TypeError(
            "`record(net=...)` must call no layer inside a transformation of JAX, got "
            f"{str(e).split(' (')[0]}. Use `flax.nnx.jit` or `flax.nnx.remat` instead, and give a "
            "module that scans its layers an `init_state`."
        ) from e
    found = collect(recorded)
    if update:
        changing = nnx.All(nnx.Not(nnx.Param), nnx.Not(Recording))
        nnx.update(net, nnx.state(recorded, changing))
    keep(net, {key: calls for key, calls in found.items() if key[0] != trace.number})
    records: OrderedDict[str, dict[str, Tree]] = OrderedDict()  # which `jit` leaves in order
    for name, calls in trace.records(found).items():
        for i, call in enumerate(calls):
            records[name if not i else f"{name}#{i + 1}"] = call
    for field in fields:
        if records and not any(field in r for r in records.values()):
            known = ("output", "input", "state", *sorted(trace.variables))
            _check.one_of("`record(fields=...)`", field, known)
    return new, y, records


def order_of_layers(net: SpikingModule, state: Tree, x: Tree, *args) -> list[str]:
    """The paths of all layers of ``net``, in the order in which they first run."""
    trace, modules = Trace(), layers_of(net, "order_of_layers")
    names = [name for name, module in modules.items() if callable(module)]
    jax.eval_shape(lambda s, x: _recorded_copy(net, names, (), trace)(s, x, *args)[1], state, x)
    return list(dict.fromkeys(trace.order))


def require_sequence(name: str, net: SpikingModule, state: Tree, x: Tree, args) -> None:
    """Refuse a single step, or the state of another network."""
    layers_of(net, name)
    shape, step = jax.tree.map(jnp.shape, x), step_shapes(x)
    has_time = all(jnp.ndim(a) >= 2 for a in jax.tree.leaves(x))
    if not has_time or layout(net.init_state(step, jnp.float32, *args)) != layout(state):
        raise ValueError(
            f"`{name}(state=..., x_seq=...)` must be a sequence `[T, N, *]` and the state for one "
            f"of its steps, got the shape {shape}. Give `net.init_state({step})` and a time axis."
        )


def step_shapes(x_seq: Tree) -> Tree:
    """The shapes of one step of a sequence: one shape, or a dictionary of them."""
    return jax.tree.map(lambda a: jnp.shape(a)[1:], x_seq)


def neuron_rates(
    net: SpikingModule, state: Tree, x_seq: Tree, args, layers: Layers = None
) -> OrderedDict[str, tuple[Array, Array]]:
    """The firing rate of every neuron of each layer.

    Returns:
        For each layer, the rate of each of its neurons over time steps and samples, and whether the
        outputs are whole numbers: otherwise they are not spikes.
    """
    _, _, records = record(net, state, x_seq, *args, layers=layers)
    outputs = ((name, r["output"]) for name, r in records.items())
    return OrderedDict(
        (name, ((y != 0).mean((0, 1)), (y == jnp.round(y)).all())) for name, y in outputs
    )


def layers_of(net: SpikingModule, caller: str) -> dict[str, Any]:
    """The modules in ``net``, itself included, by their paths; ``caller`` is named in an error."""
    fix = "For a neuron or a function, scan a step that returns `(state, (spikes, state.v))`."
    where = f"`{caller}(net=...)`"
    _check.instance(where, net, SpikingModule, "a SpikingModule", fix, _check.kind)
    return named_layers(net)


def refuse_traced(name: str, instead: str, net, *values) -> None:
    """Refuse tracers, in the parameters of ``net`` too: reports are printed, errors go by value."""
    variables = nnx.state(net) if isinstance(net, nnx.Module) else None
    if any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves((variables, values))):
        raise TypeError(
            f"`{name}` must be called outside of `jit`: it looks at values. Inside, use {instead}."
        )


def _recorded_copy(net, names: list[str], fields: tuple[str, ...], trace: Trace):
    net = nnx.clone(net)
    modules = layers_of(net, "record")
    watch(net, {name: modules[name] for name in names}, fields, trace)
    return net


def _choose(modules: dict[str, Any], layers: Layers) -> list[str]:
    wanted = Spiking if layers is None else layers
    chosen: list[str] = []
    for one in [wanted] if isinstance(wanted, str | type) else wanted:
        if isinstance(one, type):
            found = [name for name, module in modules.items() if _is_a(module, one)]
        else:
            found = [name for name in modules if name == one]
        if not found:
            neurons = [name for name, module in modules.items() if isinstance(module, Spiking)]
            got = f"{getattr(one, '__name__', repr(one))}. Its neurons are"
            where, listed = "`record(layers=...)`", ", ".join(neurons) or "none"
            raise ValueError(f"{where} must be paths or types of layers, got {got}: {listed}.")
        chosen += [name for name in found if name not in chosen]
    return chosen


def _is_a(module, kind: type) -> bool:
    neuron = isinstance(module, Spiking) and isinstance(module.neuron, kind)
    return neuron or (isinstance(module, kind) and callable(module))
