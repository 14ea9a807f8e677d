"""`firing_rates`: how often the neurons of each layer fire, and which layers never or always do."""

import dataclasses
from collections import OrderedDict
from collections.abc import Mapping

import jax
from flax import nnx

from .._check import in_range
from .._types import Tree
from ..nn import SpikingModule
from .record import Layers, neuron_rates, refuse_traced, require_sequence

_neuron_rates = nnx.jit(neuron_rates, static_argnames=("layers",))


@dataclasses.dataclass(frozen=True)
class LayerRate:
    """How often the neurons of a layer fire.

    Attributes:
        rate: Spikes per neuron and time step, 0 to 1; a spike is an output that is not 0.
        silent: The share of the neurons that fire in less than ``silent`` of the time steps.
        saturated: The share of the neurons that fire in more than ``saturated`` of the time steps.
        neurons: The number of neurons.
    """

    rate: float
    silent: float
    saturated: float
    neurons: int


@dataclasses.dataclass(frozen=True)
class FiringReport:
    """The firing rates of the layers of a network; prints as a table.

    Attributes:
        layers: A `LayerRate` by the path of each layer, in the order in which they run.
        silent: The layers whose rate is below the limit for silence.
        saturated: The layers whose rate is above the limit for saturation.
        graded: The layers left out, because their outputs are not whole numbers and thus not
            spikes.
    """

    layers: Mapping[str, LayerRate]
    silent: tuple[str, ...]
    saturated: tuple[str, ...]
    graded: tuple[str, ...]

    def __str__(self) -> str:
        width = max(map(len, ("layer", *self.layers)))
        lines = [f"{'layer':{width}}  neurons    rate  silent  saturated"]
        for name, layer in self.layers.items():
            mark = "  SILENT" if name in self.silent else ""
            mark = "  SATURATED" if name in self.saturated else mark
            lines.append(
                f"{name:{width}} {layer.neurons:8d} {layer.rate:7.2%} {layer.silent:7.1%} "
                f"{layer.saturated:10.1%}{mark}"
            )
        if self.graded:
            lines.append(f"not spikes but graded outputs: {', '.join(self.graded)}")
        return "\n".join(lines)

    __repr__ = __str__


def firing_rates(
    net: SpikingModule,
    state: Tree,
    x_seq: Tree,
    *args,
    layers: Layers = None,
    silent: float = 0.001,
    saturated: float = 0.95,
) -> FiringReport:
    """Firing rate of each layer of neurons, with silent and saturated layers marked.

    The rate of a neuron is the share of the time steps of all samples in which its output is not 0;
    the rate of a layer is the mean over its neurons. ``net`` does not change.

    Args:
        net: The network.
        state: Its state.
        x_seq: A sequence ``[T, N, *]``.
        *args: Further arguments of the network.
        layers: Which layers, as for `record`; None for every neuron.
        silent: The rate below which a neuron or layer is silent, 0 to 1.
        saturated: The rate above which a neuron or layer is saturated, 0 to 1.

    Raises:
        TypeError: If it is traced by `jax.jit`, where it has no values to report. Use `record`
            there.
        ValueError: If ``x_seq`` has no time axis, or the limits are out of order.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> from flax import nnx
        >>> linear = nnx.Linear(8, 4, kernel_init=nnx.initializers.ones, rngs=nnx.Rngs(0))
        >>> net = js.nn.Sequential(js.IF(), linear, js.IF(v_threshold=16.0), js.LIF())
        >>> js.debug.firing_rates(net, net.init_state((2, 8)), jnp.full((10, 2, 8), 0.5))
        layer  neurons    rate  silent  saturated
        0            8  50.00%    0.0%       0.0%
        2            4  20.00%    0.0%       0.0%
        3            4   0.00%  100.0%       0.0%  SILENT
    """
    in_range("`firing_rates(silent=...)`", silent, low=0, below=saturated, of=", `saturated`")
    in_range("`firing_rates(saturated=...)`", saturated, low=0, high=1)
    refuse_traced("firing_rates", "`record` and take means", net, state, x_seq, args)
    require_sequence("firing_rates", net, state, x_seq, args)
    chosen = layers if layers is None or isinstance(layers, str | type) else tuple(layers)
    result = jax.device_get(_neuron_rates(net, state, x_seq, args, layers=chosen))
    found, graded = OrderedDict[str, LayerRate](), []
    for name, (rates, whole) in result.items():
        if whole:
            found[name] = LayerRate(
                rate=float(rates.mean()),
                silent=float((rates < silent).mean()),
                saturated=float((rates > saturated).mean()),
                neurons=rates.size,
            )
        else:
            graded.append(name)
    return FiringReport(
        found,
        tuple(name for name, layer in found.items() if layer.rate < silent),
        tuple(name for name, layer in found.items() if layer.rate > saturated),
        tuple(graded),
    )
