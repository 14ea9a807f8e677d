"""State dicts of PyTorch into Flax networks and back."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np
from flax import nnx

from .._types import Shape
from . import files, flattened, layers
from .transfer import Groups, Layers, load, modules

Net = TypeVar("Net", bound=nnx.Module)


def from_torch(
    net: Net,
    source: Any,
    shape: Shape | None = None,
    *,
    names: Mapping[str, str] | None = None,
    channels: Mapping[str, int] | None = None,
) -> Net:
    """A copy of a network with the weights of the same network in PyTorch.

    Knows `flax.nnx.Linear`, ``Conv`` (1, 2 or 3 axes, groups), ``ConvTranspose``, ``BatchNorm``
    (``num_batches_tracked``, a count that Flax does not keep, is dropped), ``LayerNorm``,
    ``GroupNorm``, ``InstanceNorm``, ``RMSNorm``, ``Embed``; of SpikingJelly the learned fields of
    `jaxspike.nn.Spiking` (``w`` of ParametricLIFNode and SynapseFilter, ``k`` of KLIFNode, PSN,
    MaskedPSN, SlidingPSN, GatedLIFNode with equal ``conduct``); of snnTorch ``beta``, ``alpha``,
    ``threshold`` and the reset, which load if they are learned here, else must be the same.
    Every entry of ``source`` is used once or it is an error.

    Kernels go from channels-first to channels-last. Where a layer gets a flattened image, its
    features go from the order C, H, W to H, W, C; this is found by tracing the network.

    Layers go by their names. Where the names of a container differ (neurons, pooling and wrappers
    such as ``SeqToANNContainer`` or ``DataParallel`` change positions), layers whose names are
    positions go in order, others by the names and shapes of their arrays.

    What a state dict does not hold is for you to set: ``epsilon`` of normalisations (1e-5 in
    PyTorch; 1e-6 is the default of Flax but for BatchNorm), padding, the constants of neurons.

    Args:
        net: The network to copy, a `jaxspike.nn.SpikingModule` or another Flax module.
        source: A state dict, a mapping from names to arrays or tensors; or the path of a
            ``.safetensors`` file, for which the package of that name is needed
            (``pip install 'jaxspike[convert]'``). PyTorch's own ``.pt`` files are not opened: to
            unpickle is to run code.
        shape: Shape of one step of input ``(N, *)``; needed where an image is flattened and no
            convolution says how many channels the input has.
        names: From a layer or container in ``source`` to its path here, where they cannot be told
            by names and shapes: ``{"fc2": "layers.4"}``.
        channels: From the path of a layer here to the channels of the flattened image that it gets,
            where the trace cannot tell: ``{"layers.5": 16}``; 1 keeps the order of features.

    Returns:
        A new network; dtypes are those of ``net``, which is unchanged.

    Raises:
        TypeError: If ``source`` is no state dict, or a layer has no counterpart in PyTorch.
        ValueError: If entries are missing or left over, a shape or a constant differs, or it cannot
            be told which layer is which or how an image was flattened.
        ImportError: If ``safetensors`` is missing.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> from flax import nnx
        >>> net = js.nn.Sequential(nnx.Linear(3, 2, use_bias=False, rngs=nnx.Rngs(0)), js.IF())
        >>> net = js.convert.from_torch(net, {"0.weight": jnp.ones((2, 3))})
        >>> state, spikes = net(net.init_state((1, 3)), jnp.ones((1, 3)))

    Source: the layers of SpikingJelly 2.0.0, snnTorch 1.0.0 and PyTorch.
    """
    call = "from_torch"
    groups = _groups(call, files.read(call, source))
    snntorch = any("reset_mechanism_val" in group for group in groups.values())
    net = nnx.clone(net)
    load(call, _layers(call, net, shape, channels or {}, snntorch), groups, names or {})
    return net


def to_torch(
    net: nnx.Module,
    shape: Shape | None = None,
    *,
    channels: Mapping[str, int] | None = None,
) -> dict[str, np.ndarray]:
    """The weights of a network as a state dict of PyTorch: the inverse of `from_torch`.

    Names are the paths of the layers (positions in a `jaxspike.nn.Sequential`) with the names that
    PyTorch and SpikingJelly use: ``load_state_dict({k: torch.tensor(v) for k, v in d.items()})``.

    Args:
        net: The network.
        shape: As in `from_torch`.
        channels: As in `from_torch`.

    Raises:
        TypeError: If a layer has no counterpart in PyTorch.
        ValueError: If it cannot be told how an image was flattened.

    Example:
        >>> import jaxspike as js
        >>> from flax import nnx
        >>> net = js.nn.Sequential(nnx.Linear(3, 2, rngs=nnx.Rngs(0)), js.IF())
        >>> {name: a.shape for name, a in js.convert.to_torch(net).items()}
        {'0.weight': (2, 3), '0.bias': (2,)}
    """
    out: dict[str, np.ndarray] = {}
    for name, (_, entries) in _layers("to_torch", net, shape, channels or {}, False).items():
        out |= {".".join((*name, key)): entry.value for key, entry in entries.items()}
        if "running_mean" in entries:
            out[".".join((*name, "num_batches_tracked"))] = np.zeros((), np.int64)
    return out


def _groups(call: str, arrays: dict[str, np.ndarray]) -> Groups:
    """The arrays of each layer, without those that hold nothing to load."""
    groups: Groups = defaultdict(dict)
    for key, value in arrays.items():
        *owner, leaf = key.split(".")
        groups[tuple(owner)][leaf] = value
    for name, group in groups.items():
        if "running_mean" in group:
            group.pop("num_batches_tracked", None)
        rows = group.get("conduct")
        if rows is not None and rows.ndim > group.get("linear_decay", rows).ndim:
            if not len(rows) or (rows != rows[0]).any():
                raise ValueError(
                    f"`{call}(source=...)` must have one `conduct` for all time steps, got a "
                    f"`{'.'.join(name)}.conduct` that changes: a step does not know its time here."
                )
            group["conduct"] = rows[0]
    return dict(groups)


def _layers(
    call: str,
    net: nnx.Module,
    shape: Shape | None,
    given: Mapping[str, int],
    snntorch: bool,
) -> Layers:
    """Path and arrays of every layer that has any, by its name."""
    found = list(modules(net))
    for path in given.keys() - {path for _, path, _ in found}:
        raise ValueError(f"`{call}(channels=...)` must name layers by their path, got {path!r}.")
    orders = flattened.channels(net, shape)
    out: Layers = {}
    for name, path, module in found:
        flat = given.get(path)
        if flat is None:
            flat = _channels(call, path, module, orders.get(path))
        entries = layers.entries(call, path or "net", module, flat, snntorch)
        if entries:
            out[name] = path, entries
    return out


def _channels(call: str, path: str, module: nnx.Module, order: set[int] | None) -> int | None:
    """The channels of the flat image that a layer gets; None if it gets another thing."""
    if order is None:  # not reached by the trace
        order = {flattened.UNKNOWN} if isinstance(module, nnx.Linear) else set()
    if order <= {flattened.PLAIN}:
        return None
    channels, *others = order
    size = module.in_features if isinstance(module, nnx.Linear) else channels
    if others or channels == flattened.UNKNOWN or size % channels:
        raise ValueError(
            f"`{call}(net=...)` must show whether `{path}` gets a flattened image, and of how many "
            "channels: PyTorch flattens C, H, W and Flax H, W, C. Give `shape=`, that of one step "
            f"of input (N, *), or `channels={{{path!r}: C}}`; 1 keeps the order."
        )
    return channels
