"""`check_finite`: find the layers and the time steps where NaNs or infinities appear."""

from collections import OrderedDict

import jax
import jax.numpy as jnp
from flax import nnx

from .._types import Array, Tree
from ..nn import SpikingModule
from .record import Layers, record, refuse_traced, require_sequence


def first_nonfinite(
    net: SpikingModule, state: Tree, x_seq: Tree, *args, layers: Layers = None
) -> OrderedDict[str, dict[str, Array]]:
    """The first time step at which the input, state or output of a layer is not finite.

    Spikes hide a NaN: a membrane that is NaN never reaches its threshold, so the layer falls
    silent, the layers after it are finite, and so is the loss. This function looks inside. It is
    pure and runs in `flax.nnx.jit`; `check_finite` raises.

    Args:
        net: The network.
        state: Its state.
        x_seq: A sequence ``[T, N, *]``.
        *args: Further arguments of the network.
        layers: Which layers, as for `record`; None for every neuron.

    Returns:
        For each layer, by path and in the order in which they run, the first such time step of its
        ``"input"``, of each state variable, such as ``"v"``, and of its ``"output"``: integers of
        shape [], -1 where everything is finite.

    Raises:
        ValueError: If ``x_seq`` has no time axis.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> net = js.nn.Sequential(js.LIF(), js.LIF())
        >>> x_seq = jnp.ones((5, 2, 8)).at[3, 0, 0].set(jnp.nan)
        >>> found = js.debug.first_nonfinite(net, net.init_state((2, 8)), x_seq)
        >>> {layer: int(steps["v"]) for layer, steps in found.items()}
        {'0': 3, '1': -1}
    """
    require_sequence("first_nonfinite", net, state, x_seq, args)
    fields = ("input", "state", "output")
    _, _, records = record(net, state, x_seq, *args, layers=layers, fields=fields)
    found: OrderedDict[str, dict[str, Array]] = OrderedDict()
    for layer, values in records.items():
        variables = {
            jax.tree_util.keystr(path, simple=True, separator=".") or "state": leaf
            for path, leaf in jax.tree_util.tree_leaves_with_path(values.get("state"))
        }
        arrays = {"input": values["input"], **variables, "output": values["output"]}
        found[layer] = {name: _first(a) for name, a in arrays.items()}
    return found


def _first(a: Array) -> Array:
    bad = ~jnp.isfinite(a).all(range(1, a.ndim))
    return jnp.where(bad.any(), bad.argmax(), -1)


@nnx.jit
def _found(net, state, x_seq, args):
    return first_nonfinite(net, state, x_seq, *args)


def check_finite(net: SpikingModule, state: Tree, x_seq: Tree, *args) -> None:
    """Raise if anything in a layer of neurons is NaN or infinite, naming layers and time steps.

    Call it when a loss or gradient is NaN, or now and then during training; it runs the network
    once.

    Args:
        net: The network; it does not change.
        state: Its state.
        x_seq: A sequence ``[T, N, *]``.
        *args: Further arguments of the network.

    Raises:
        FloatingPointError: If something is not finite; the layer to look at first comes first.
        TypeError: If it is traced by `jax.jit`; use `first_nonfinite` there.
        ValueError: If ``x_seq`` has no time axis.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> net = js.nn.Sequential(js.LIF(), js.LIF())
        >>> x_seq = jnp.ones((5, 2, 8)).at[3, 0, 0].set(jnp.nan)
        >>> js.debug.check_finite(net, net.init_state((2, 8)), x_seq)
        Traceback (most recent call last):
        FloatingPointError: `check_finite` found numbers that are not finite:
          layer 0: input from time step 3, v from time step 3.
        Look at what comes before that layer first.
    """
    refuse_traced("check_finite", "`first_nonfinite`", net, state, x_seq, args)
    require_sequence("check_finite", net, state, x_seq, args)
    lines: list[tuple[int, str]] = []
    for layer, steps in jax.device_get(_found(net, state, x_seq, args)).items():
        bad = {name: int(step) for name, step in steps.items() if step >= 0}
        if bad:
            what = ", ".join(f"{name} from time step {step}" for name, step in bad.items())
            lines.append((min(bad.values()), f"  layer {layer}: {what}."))
    if lines:
        listed = [line for _, line in sorted(lines, key=lambda pair: pair[0])]
        found = "`check_finite` found numbers that are not finite:"
        fix = "Look at what comes before that layer first."
        raise FloatingPointError("\n".join((found, *listed, fix)))
