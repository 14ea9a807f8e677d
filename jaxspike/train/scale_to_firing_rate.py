"""`scale_to_firing_rate`: scale weights, layer by layer, until every layer fires."""

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from flax import nnx

from .. import _check
from .._types import Array, Tree
from ..debug.record import layers_of, neuron_rates, order_of_layers, refuse_traced, step_shapes
from ..nn import Spiking, SpikingModule
from ..nn.module import Gain

Net = TypeVar("Net", bound=SpikingModule)
OCTAVES, HALVINGS, CLOSE = 24, 16, 0.01  # how far and how finely to search for a scale
SILENT = 0.001  # a rate, as in `jaxspike.debug.firing_rates`


def scale_to_firing_rate(net: Net, x_seq: Tree, *args, rate: float = 0.1) -> Net:
    """A copy of ``net`` whose weights are scaled so that every layer fires at a given rate.

    With standard initialization a deep spiking network is often silent: each layer fires less than
    the one before it, and where nothing fires nothing is learned. This function visits the layers
    in the order in which they run. It multiplies the weights and biases since the last spiking
    layer by one factor, found by bisection, that brings the mean firing rate of the next one as
    close to ``rate`` as possible. If there are normalizations with a scale among them, it
    multiplies their scales and biases instead of the weights, and between the two neurons of a
    `SpikingSelfAttention` the factor of its products.

    It takes no state, unlike the functions of `jaxspike.debug`: each run starts at rest. The
    network is run in the mode that it is in: in training, a BatchNorm uses the statistics of
    ``x_seq``. A layer of neurons without weights in front of it, or with graded outputs (`LI`), is
    not changed. Call it outside of `jax.jit`.

    Args:
        net: The network; it does not change.
        x_seq: Typical input, ``[T, N, *]``, such as one batch of the training data.
        *args: Further arguments of the network.
        rate: The firing rate to reach, in spikes per neuron and time step, between 0 and 1.

    Raises:
        TypeError: If ``net`` is not a module, or is traced by `jax.jit`.
        ValueError: If ``rate`` is not between 0 and 1, no factor makes a layer fire at that rate,
            or there is nothing to scale.

    Example:
        >>> import jax, jax.numpy as jnp, jaxspike as js
        >>> from flax import nnx
        >>> rngs, x_seq = nnx.Rngs(0), jax.random.uniform(jax.random.key(0), (16, 8, 64))
        >>> first, second = nnx.Linear(64, 64, rngs=rngs), nnx.Linear(64, 64, rngs=rngs)
        >>> net = js.nn.Sequential(first, js.LIF(), second, js.LIF())       # the second is silent
        >>> net = js.train.scale_to_firing_rate(net, x_seq, rate=0.2)
        >>> _, y = net(net.init_state((8, 64)), x_seq)
        >>> bool(abs(y.mean() - 0.2) < 0.01)
        True

    Source: Mishkin & Matas, "All you need is a good init", ICLR 2016, for the variance instead of
    the rate; for spiking networks Rossbroich, Gygax, Zenke, "Fluctuation-driven initialization for
    spiking neural network training", 2022.
    """
    rate = _check.number("`scale_to_firing_rate(rate=...)`", rate, above=0, below=1)
    layers_of(net, "scale_to_firing_rate")  # or an error
    refuse_traced("scale_to_firing_rate", "the network that it returned", net, x_seq, args)
    net = nnx.clone(net)
    modules = layers_of(net, "scale_to_firing_rate")
    state = net.init_state(step_shapes(x_seq), jnp.float32, *args)
    graph = nnx.graphdef(net)

    @jax.jit
    def activity(variables):
        found = neuron_rates(nnx.merge(graph, variables, copy=True), state, x_seq, args)
        return {name: (rates.mean(), whole) for name, (rates, whole) in found.items()}

    def now() -> dict[str, tuple[float, bool]]:
        found = activity(nnx.state(net))
        return {name: (float(rate), bool(whole)) for name, (rate, whole) in found.items()}

    group: list[nnx.Module] = []
    scaled = False
    order = order_of_layers(net, state, x_seq, *args)
    for name in order:
        group.append(modules[name])
        if isinstance(modules[name], Spiking) and now()[name][1]:
            params, group = _to_scale(group), []
            if params:
                _scale(params, now, rate, order[: order.index(name) + 1])
                scaled = True
    if not scaled:
        what = f"neurons that spike behind weights, got {_check.kind(net)} without"
        raise ValueError(f"`scale_to_firing_rate(net=...)` must have {what}.")
    return net


def _to_scale(modules: list[nnx.Module]) -> list[nnx.Variable[Array]]:
    """The parameters to scale: those of the normalizations, else the weights."""

    def having(weight: str) -> list[nnx.Variable[Array]]:
        owners = [m for m in modules if isinstance(getattr(m, weight, None), nnx.Param)]
        found = [getattr(m, name, None) for m in owners for name in (weight, "bias")]
        return [p for p in found if isinstance(p, nnx.Param) and p.get_value() is not None]

    of = [getattr(m, "scale", None) for m in modules]
    gains: list[nnx.Variable[Array]] = [v for v in of if isinstance(v, Gain)]
    return gains or having("scale") or having("kernel") + having("embedding")


def _scale(
    params: list[Any],
    now: Callable[[], dict[str, tuple[float, bool]]],
    rate: float,
    order: list[str],
) -> None:
    """Multiply ``params`` by the power of 2 that brings the last of ``order`` close to ``rate``."""
    name = order[-1]
    values = [param.get_value() for param in params]
    seen: dict[float, float] = {}

    def at(exponent: float) -> float:
        for param, value in zip(params, values, strict=True):
            param.set_value((value * 2.0**exponent).astype(value.dtype))
        seen[exponent], _ = now()[name]
        return seen[exponent]

    up = at(0.0) < rate
    near, far = 0.0, 0.0
    while (seen[far] < rate) == up and abs(far) < OCTAVES:
        near, far = far, far + (1 if up else -1)
        at(far)
    if (seen[far] < rate) == up:
        reached = max(seen.values()) if up else min(seen.values())
        fix = f"Ask for {'less' if up else 'more'}, or look at its input in `jaxspike.debug.record`"
        rates = now()
        silent = [n for n in order[:-1] if n in rates and rates[n][0] < SILENT and rates[n][1]]
        if up and silent:
            fix = f"Layer {silent[0]}, before it, does not fire: give that one more input"
        raise ValueError(
            f"`scale_to_firing_rate(rate=...)` must be within reach of layer {name}, got {rate}: "
            f"with weights scaled by 2^0 to 2^{far:.0f} it comes to {reached:.3g}. {fix}."
        )
    for _ in range(HALVINGS):
        if min(abs(r - rate) for r in seen.values()) <= CLOSE * rate:
            break
        middle = (near + far) / 2
        near, far = (middle, far) if (at(middle) < rate) == up else (near, middle)
    at(min(seen, key=lambda exponent: abs(seen[exponent] - rate)))
