"""`fuse_conv_bn`: fold batch normalization into the layer before it."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import jax.numpy as jnp
from flax import nnx

from ..module import SpikingModule
from ..paths import Key, locate, named_layers
from ..sequential import Sequential
from .conv import Conv

Net = TypeVar("Net", bound=nnx.Module)


NAME_PAIRS = 'Name them by their paths: `pairs=[("conv1", "norm1")]`.'


def fuse_conv_bn(net: Net, pairs: Sequence[tuple[str, str]] = ()) -> Net:
    """A copy of a network in evaluation mode, with batch normalizations folded into convolutions.

    ``kernel * g`` and ``(bias - mean) * g + norm.bias`` with ``g = norm.scale / sqrt(var +
    epsilon)`` compute what the two layers did, up to rounding. A pair is found automatically where
    an `nnx.BatchNorm` follows an `nnx.Conv`, `nnx.ConvTranspose` or `nnx.Linear` in a `Sequential`
    or `nnx.Sequential`, at any depth, and where a module names the attributes, as
    ``conv_bn_pairs = ("conv1", "bn1"), ("conv2", "bn2")``, which those of `jaxspike.models` do;
    elsewhere the order of the calls is unknown, so name the pairs. An `nnx.Dropout` with a rate of
    0, which does nothing, takes the place of the normalization: the state of the network and the
    paths of all other layers do not change.

    Args:
        net: The network, after ``net.eval()``.
        pairs: Paths of further pairs to fold, convolution and normalization, such as
            ``("block.conv1", "block.norm1")``.

    Raises:
        ValueError: If the network is in training mode, a path leads nowhere or to another kind of
            layer, a layer of a pair is used in several places, or there is nothing to fold.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> from flax import nnx
        >>> rngs = nnx.Rngs(0)
        >>> net = js.nn.Sequential(
        ...     nnx.Conv(1, 4, (3, 3), rngs=rngs), nnx.BatchNorm(4, rngs=rngs), js.IF()
        ... )
        >>> net.eval()
        >>> fused = js.nn.fuse_conv_bn(net)
        >>> state, y = fused(net.init_state((2, 8, 8, 1)), jnp.ones((5, 2, 8, 8, 1)))

    Source: SpikingJelly ``functional.fuse_conv_bn_eval_modules``.
    """
    net = nnx.clone(net)
    places = Counter(id(child) for _, m in nnx.iter_modules(net) for child in _children(m))
    found = list(_neighbors(net, places))
    for names in (*_declared(net), *pairs):
        found.append(_named(net, names, places))
    if not found:
        raise ValueError(
            "`fuse_conv_bn(net)` must have an nnx.Conv or nnx.Linear before an nnx.BatchNorm in a "
            f"Sequential, got none. {NAME_PAIRS}"
        )
    for layers, i, j in found:
        if not layers[j].use_running_average:
            raise ValueError(
                "`fuse_conv_bn(net)` must be in evaluation mode, got training. Call `net.eval()`."
            )
        _fold(layers[i], layers[j])
        layers[j] = nnx.Dropout(0.0, deterministic=True)
    return net


def _is_conv(layer) -> bool:
    # a subclass may use its kernel differently
    return type(layer) in (Conv, nnx.Conv, nnx.ConvTranspose, nnx.Linear)


def _is_norm(layer) -> bool:
    return isinstance(layer, nnx.BatchNorm) and not isinstance(layer, SpikingModule)


def _children(module: nnx.Module) -> list[Any]:
    return list(module) if isinstance(module, nnx.List) else list(vars(module).values())


def _neighbors(net: nnx.Module, places: Counter[int]) -> Iterator[tuple[Any, int, int]]:
    """The pairs in every Sequential, except layers that are also used elsewhere."""
    for _, module in nnx.iter_modules(net):
        if isinstance(module, Sequential | nnx.Sequential):
            layers = module.layers
            for i in range(len(layers) - 1):
                pair = layers[i], layers[i + 1]
                alone = all(places[id(layer)] == 1 for layer in pair)
                if _is_conv(pair[0]) and _is_norm(pair[1]) and alone:
                    yield layers, i, i + 1


def _declared(net: nnx.Module) -> Iterator[tuple[str, ...]]:
    """The pairs that modules name, by their paths."""
    for path, module in named_layers(net).items():
        for pair in getattr(module, "conv_bn_pairs", ()):
            yield pair if module is net else tuple(f"{path}.{name}" for name in pair)


class _Places:
    """Two layers of a network as if they were items of one list."""

    def __init__(self, *where: tuple[Any, Key]):
        self.where = where

    def __getitem__(self, i: int):
        holder, key = self.where[i]
        return holder[key] if isinstance(key, int) else getattr(holder, key)

    def __setitem__(self, i: int, value: nnx.Module) -> None:
        holder, key = self.where[i]
        if isinstance(key, int):
            holder[key] = value
        else:
            setattr(holder, key, value)


def _named(net: nnx.Module, names, places: Counter[int]) -> tuple[Any, int, int]:
    if not isinstance(names, tuple | list) or len(names) != 2:
        raise ValueError(f"`fuse_conv_bn(pairs=...)` must be pairs, got {names!r}. {NAME_PAIRS}")
    where: list[tuple[Any, Key]] = []
    kinds = (_is_conv, "an nnx.Conv or nnx.Linear"), (_is_norm, "an nnx.BatchNorm")
    for path, (is_kind, kind) in zip(names, kinds, strict=True):
        holder, key, layer = locate(net, path)
        if not is_kind(layer):
            got = "nothing" if layer is None else f"a {type(layer).__name__}"
            raise ValueError(f"`fuse_conv_bn(pairs=...)` must name {kind}, got {got} at {path!r}.")
        if places[id(layer)] > 1:
            raise ValueError(
                f"`fuse_conv_bn(pairs=...)` must be layers used once, got {path!r}. Leave it out."
            )
        where.append((holder, key))
    return _Places(*where), 0, 1


def _fold(conv, norm) -> None:
    """Change ``conv`` so that it includes what ``norm`` does to its output."""
    g = 1 / jnp.sqrt(norm.var[...] + norm.epsilon)
    if norm.scale is not None:
        g = g * norm.scale[...]
    kernel = conv.kernel[...]
    swapped = isinstance(conv, nnx.ConvTranspose) and conv.transpose_kernel
    conv.kernel[...] = (kernel * (g[:, None] if swapped else g)).astype(kernel.dtype)
    bias = -norm.mean[...] * g
    if conv.bias is not None:
        bias = bias + conv.bias[...] * g
    if norm.bias is not None:
        bias = bias + norm.bias[...]
    conv.bias, conv.use_bias = nnx.Param(bias.astype(kernel.dtype)), True
