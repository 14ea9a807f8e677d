"""PyTorch state dicts to Flax networks and back."""

import os
from collections import defaultdict
from collections.abc import Mapping
from typing import TypeVar

import numpy as np
from flax import nnx

from .._types import Shape
from . import files, flattened, layers
from .slot import Slot
from .transfer import Groups, Layers, load, modules

Net = TypeVar("Net", bound=nnx.Module)
ORDERS = "PyTorch flattens C, H, W and Flax H, W, C"


def from_torch(
    net: Net,
    source: Mapping[str, object] | str | os.PathLike[str],
    shape: Shape | None = None,
    *,
    names: Mapping[str, str] | None = None,
    channels: Mapping[str, int] | None = None,
) -> Net:
    """A copy of a network with the weights of the same network in PyTorch.

    Supports `flax.nnx.Linear`, ``Conv`` (1, 2 or 3 axes, groups), ``ConvTranspose``, ``BatchNorm``
    (``num_batches_tracked``, a count that Flax does not keep, is dropped), ``LayerNorm``,
    ``GroupNorm``, ``InstanceNorm``, ``RMSNorm`` and ``Embed``; `jaxspike.nn.QCFS`, whose threshold
    is the ``thresh`` of its authors; `jaxspike.nn.SpikingS4D`, with the ``D`` and the ``kernel`` of
    the minimal S4D of its authors; from SpikingJelly, the learned fields of `jaxspike.nn.Spiking`
    (``w`` of ParametricLIFNode and SynapseFilter, ``k`` of KLIFNode, PSN, MaskedPSN, SlidingPSN,
    GatedLIFNode with equal ``conduct``); from snnTorch, ``beta``, ``alpha``, ``threshold`` and the
    reset, which are loaded if they are learned here and must be equal otherwise. Every entry of
    ``source`` must be used exactly once.

    Kernels are converted from channels-first to channels-last. Where a layer gets a flattened
    image, its features are reordered from C, H, W to H, W, C; a trace of the network on an input of
    ``shape`` determines which layers do.

    Layers are matched by name. Where the names in a container differ (neurons, pooling and wrappers
    such as ``SeqToANNContainer`` or ``DataParallel`` change positions), layers whose names are
    positions are matched in order, others by the names and shapes of their arrays.

    Set what a state dict does not hold yourself: ``epsilon`` of normalizations (1e-5 in PyTorch;
    1e-6 by default in Flax, except for BatchNorm), padding, the constants of neurons.

    Args:
        net: The network to copy, a `jaxspike.nn.SpikingModule` or another Flax module.
        source: A state dict, a mapping from names to arrays or tensors; or the path of a
            ``.safetensors`` file, for which the package of that name is needed
            (``pip install 'jaxspike[convert]'``). PyTorch's own ``.pt`` files are not opened:
            unpickling runs code.
        shape: Shape of one step of input ``(N, *)``; not needed for a Sequential of layers none of
            which can flatten an image.
        names: From a layer or container in ``source`` to its path here, where names and shapes do
            not determine it: ``{"fc2": "4"}``.
        channels: From the path of a layer here to the channels of the flattened image that it gets,
            where the trace does not determine them: ``{"5": 16}``; 1 keeps the order of features.

    Returns:
        A new network with the dtypes of ``net``, which is unchanged.

    Raises:
        TypeError: If ``source`` is not a state dict, or a layer has no counterpart in PyTorch.
        ValueError: If entries are missing or left over, a shape or a constant differs, or it is not
            determined which layer is which or how an image was flattened.
        ImportError: If ``safetensors`` is missing.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> from flax import nnx
        >>> net = js.nn.Sequential(nnx.Linear(3, 2, use_bias=False, rngs=nnx.Rngs(0)), js.IF())
        >>> net = js.convert.from_torch(net, {"0.weight": jnp.ones((2, 3))})
        >>> state, spikes = net(net.init_state((1, 3)), jnp.ones((1, 3)))

    Source: the layers of SpikingJelly 2.0.0, snnTorch 1.0.0 and PyTorch; ``models/s4/s4d.py`` of
    state-spaces/s4.
    """
    call = "from_torch"
    groups = _groups(call, files.read(call, source))
    snntorch = any("reset_mechanism_val" in group for group in groups.values())
    net = nnx.clone(net)
    found = _layers(call, net, shape, channels or {}, snntorch)
    found = {name: _over_points(slots) for name, slots in found.items()}
    load(call, found, groups, names or {})
    return net


def to_torch(
    net: nnx.Module,
    shape: Shape | None = None,
    *,
    channels: Mapping[str, int] | None = None,
) -> dict[str, np.ndarray]:
    """The weights of a network as a state dict of PyTorch: the inverse of `from_torch`.

    The keys are the paths of the layers (positions in a `jaxspike.nn.Sequential`) with the names
    that PyTorch and SpikingJelly use:
    ``load_state_dict({k: torch.tensor(v) for k, v in d.items()})``.

    Args:
        net: The network.
        shape: As in `from_torch`.
        channels: As in `from_torch`.

    Raises:
        TypeError: If a layer has no counterpart in PyTorch.
        ValueError: If it is not determined how an image was flattened.

    Example:
        >>> import jaxspike as js
        >>> from flax import nnx
        >>> net = js.nn.Sequential(nnx.Linear(3, 2, rngs=nnx.Rngs(0)), js.IF())
        >>> {name: a.shape for name, a in js.convert.to_torch(net).items()}
        {'0.weight': (2, 3), '0.bias': (2,)}
    """
    out: dict[str, np.ndarray] = {}
    for name, slots in _layers("to_torch", net, shape, channels or {}, False).items():
        # safetensors writes the memory of an array, whatever its strides
        arrays = {key: np.asarray(slot.value, order="C") for key, slot in slots.items()}
        out |= {".".join((*name, key)): array for key, array in arrays.items()}
        if "running_mean" in slots:
            out[".".join((*name, "num_batches_tracked"))] = np.zeros((), np.int64)
    return out


def _of_points(weight: np.ndarray) -> np.ndarray:
    """A kernel of size 1, ``[O, I, 1]``, as that of the linear layer it is; others unchanged."""
    size_1 = weight.ndim > 2 and set(weight.shape[2:]) == {1}
    return weight.reshape(weight.shape[:2]) if size_1 else weight


def _over_points(slots: dict[str, Slot]) -> dict[str, Slot]:
    """The slots of a layer, whose kernel of size 1 is that of a linear layer."""
    weight = slots.get("weight")
    if weight is None:
        return slots
    shape = weight.value.shape
    of_points = Slot(_of_points(weight.value), lambda a: weight.load(a.reshape(shape)))
    return slots | {"weight": of_points}


def _groups(call: str, arrays: dict[str, np.ndarray]) -> Groups:
    """The arrays of each layer, without those that there is nothing to load into."""
    groups: Groups = defaultdict(dict)
    for key, value in arrays.items():
        *owner, leaf = key.split(".")
        groups[tuple(owner)][leaf] = _of_points(value) if leaf == "weight" else value
    for name, group in groups.items():
        if "running_mean" in group:
            group.pop("num_batches_tracked", None)
        rows = group.get("conduct")
        if rows is not None and rows.ndim > group.get("linear_decay", rows).ndim:
            if not len(rows) or (rows != rows[0]).any():
                got = f"a `{'.'.join(name)}.conduct` that changes"
                raise ValueError(
                    f"`{call}(source=...)` must have one value for all steps, got {got}."
                )
            group["conduct"] = np.asarray(rows[0])
    return dict(groups)


def _layers(
    call: str,
    net: nnx.Module,
    shape: Shape | None,
    given: Mapping[str, int],
    snntorch: bool,
) -> Layers:
    """The slots of every layer that has any, by its name."""
    found = list(modules(net))
    for path in given.keys() - {path for _, path, _ in found}:
        raise ValueError(f"`{call}(channels=...)` must name layers by their path, got {path!r}.")
    flat = _flat(call, net, shape, given)
    out: Layers = defaultdict(dict)
    for name, path, module in found:
        for key, slot in layers.slots(call, path, module, flat.get(path, 0), snntorch).items():
            *inside, leaf = key.split(".")
            out[*name, *inside][leaf] = slot
    return dict(out)


def _flat(
    call: str, net: nnx.Module, shape: Shape | None, given: Mapping[str, int]
) -> dict[str, int]:
    """The channels of the flattened images that layers get, by path."""
    ordered = {path: m for _, path, m in modules(net) if layers.has_order(m)}
    if shape is None:
        convolutions = [p for p, m in ordered.items() if isinstance(m, layers.CONVOLUTIONS)]
        missing = [path for path in ordered if path not in (*given, *convolutions)]
        if missing and flattened.may_flatten(net):
            raise ValueError(
                f"`{call}(shape=...)` must be the shape that `init_state` gets, got None, and "
                f"`{missing[0]}` may get a flattened image: {ORDERS}."
            )
        found = {}
    else:
        traced = flattened.channels(net, shape)
        found = {path: traced.get(path, flattened.UNKNOWN) for path in ordered}
    flat = found | dict(given)
    for path, channels in flat.items():
        size = getattr(ordered.get(path), "in_features", channels)
        size = 1 if isinstance(ordered.get(path), layers.CONVOLUTIONS) else size
        if channels == flattened.UNKNOWN or (channels and size % channels):
            raise ValueError(
                f"`{call}(channels=...)` must name `{path}`, whose order of features is unknown: "
                f"{ORDERS}. Give `channels={{{path!r}: C}}`; 1 keeps the order."
            )
    return flat
