"""QKFormer: a hierarchy of stages with attention that is linear in tokens, then one with SSA."""

from typing import Any

from flax import nnx

from .._check import one_of
from .._types import Array, Tree
from ..nn import (
    ChannelQKAttention,
    Sequential,
    SpikingModule,
    SpikingSelfAttention,
    TokenQKAttention,
)
from .building_blocks import (
    ATTENTION_LIF,
    Prototype,
    check_images,
    check_sizes,
    check_stages,
    conv,
    copy_of,
    max_pool,
    norm,
)
from .preset import preset
from .token_blocks import (
    PostNeuronMLP,
    SpikeBlock,
    check_multiple,
    hidden_size,
    neurons_of,
    tokens,
)


def qkformer(
    classes: int = 1000,
    in_features: int = 3,
    *,
    dim: int = 384,
    depths: tuple[int, int, int] = (1, 2, 7),
    num_heads: tuple[int, int, int] = (3, 6, 6),
    mlp_ratio: float = 4.0,
    attention: str = "token",
    neuron: Prototype | None = None,
    attention_neuron: Prototype = ATTENTION_LIF,
    rngs: nnx.Rngs,
) -> "QKFormer":
    """QKFormer: three stages of a quarter, a half, and all of the features.

    Before the first stage, an image is halved twice on each side, before the others once. A block
    is ``x = x + attention(x)`` and ``x = x + neuron(bn(linear(neuron(bn(linear(x))))))``, where the
    attention of the last stage is a `jaxspike.nn.SpikingSelfAttention`. The stream counts spikes.

    It maps one step ``[N, H, W, in_features]`` to ``[N, classes]``, and a sequence ``[T, N, H, W,
    in_features]`` to ``[T, N, classes]``: currents, to be averaged over time
    (`jaxspike.readout.rate`), as SpikingJelly's network does itself. Images may have any size.

    Args:
        classes: Number of outputs.
        in_features: Channels of the images.
        dim: Features of the last stage, a multiple of 8.
        depths: Number of blocks of each stage.
        num_heads: Number of heads of the attention of each stage; they divide its features.
        mlp_ratio: Hidden features of the linear layers of a block, as a multiple of its features.
        attention: That of the first two stages: ``"token"``, a `jaxspike.nn.TokenQKAttention`, or
            ``"channel"``, a `jaxspike.nn.ChannelQKAttention`, which has no heads.
        neuron: The neuron of all layers, or a layer such as ``js.nn.Spiking(js.LIF(),
            learn=("tau",))``. Every place gets a copy with parameters of its own. If None, it is
            ``LIF()``, and ``LIF(detach_reset=True)`` inside the attention, as in SpikingJelly.
        attention_neuron: The neuron after the sums and products of the attention, likewise.
        rngs: Source of keys for the weights.

    Raises:
        TypeError: If a size is not a number, a neuron is not a neuron, or ``rngs`` no keys.
        ValueError: If a size is below 1, ``dim`` is not a multiple of 8, a number of heads does not
            divide the features, or there are not three of what each stage has.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> from flax import nnx
        >>> net = js.models.qkformer(
        ...     10, dim=32, depths=(1, 1, 1), num_heads=(1, 2, 2), rngs=nnx.Rngs(0)
        ... )
        >>> state = net.init_state((2, 32, 32, 3))
        >>> state["stage1"][0]["attn"]["attn_lif"].v.shape
        (2, 64, 1)

    Source: Zhou et al., "QKFormer: hierarchical spiking transformer using Q-K attention", NeurIPS
    2024; SpikingJelly ``model.QKFormer``.
    """
    sizes = classes, in_features, dim, depths, num_heads, mlp_ratio
    return QKFormer("qkformer", *sizes, attention, neuron, attention_neuron, rngs)


qkformer_10_384 = preset(
    qkformer,
    "qkformer_10_384",
    "`qkformer` of 10 blocks, at last of 384 features, with 6 heads.",
    dim=384,
    depths=(1, 2, 7),
    num_heads=(6, 6, 6),
)


class QKFormer(SpikingModule):
    """The network; ``owner`` is the function that makes it, for errors."""

    def __init__(
        self,
        owner: str,
        classes: int,
        in_features: int,
        dim: int,
        depths: tuple[int, int, int],
        num_heads: tuple[int, int, int],
        mlp_ratio: float,
        attention: str,
        neuron: Prototype | None,
        attention_neuron: Prototype,
        rngs: nnx.Rngs,
    ):
        check_sizes(owner, classes=classes, in_features=in_features)
        check_multiple(owner, dim, 8)
        check_stages(owner, 3, depths=depths, num_heads=num_heads)
        one_of(f"`{owner}(attention=...)`", attention, ("token", "channel"))
        outer, inner = neurons_of(owner, rngs, neuron, attention_neuron)
        self.in_features = in_features
        neurons: dict[str, Any] = {"neuron": inner, "attention_neuron": attention_neuron}
        inputs = in_features
        for i, features in enumerate((dim // 4, dim // 2, dim)):
            embed = Embed if i else FirstEmbed
            setattr(self, EMBEDS[i], embed(inputs, features, outer, rngs))
            blocks, hidden = [], hidden_size(owner, features, mlp_ratio)
            for _ in range(depths[i]):
                attn: SpikingModule
                if i == 2:
                    attn = SpikingSelfAttention(features, num_heads[i], **neurons, rngs=rngs)
                elif attention == "token":
                    attn = TokenQKAttention(features, num_heads[i], **neurons, rngs=rngs)
                else:
                    attn = ChannelQKAttention(features, **neurons, rngs=rngs)
                blocks.append(SpikeBlock(attn, PostNeuronMLP(features, hidden, outer, rngs)))
            setattr(self, STAGES[i], Sequential(*blocks))
            inputs = features
        self.head = nnx.Linear(dim, classes, rngs=rngs)

    def __call__(self, state: Tree, x: Array) -> tuple[Tree, Array]:
        """One step of images ``[N, H, W, C]``, or a sequence; a current for each class."""
        check_images(self, x, self.in_features)
        new = {}
        for embed, stage in zip(EMBEDS, STAGES, strict=True):
            new[embed], x = getattr(self, embed)(state[embed], x)
            new[stage], y = getattr(self, stage)(state[stage], tokens(x))
            x = y.reshape(x.shape)
        return new, self.head(tokens(x).mean(-2))


EMBEDS, STAGES = ("patch_embed1", "patch_embed2", "patch_embed3"), ("stage1", "stage2", "stage3")


class FirstEmbed(SpikingModule):
    """Three convolutions, the first two pooled; the spikes of the first also take a shortcut."""

    conv_bn_pairs = ("conv1", "bn1"), ("conv2", "bn2"), ("conv3", "bn3")

    def __init__(self, inputs: int, outputs: int, neuron: Prototype, rngs: nnx.Rngs):
        half = outputs // 2
        self.conv1 = conv(inputs, half, 3, bias=True, rngs=rngs)
        self.bn1, self.lif1 = norm(half, rngs=rngs), copy_of(neuron)
        self.conv2 = conv(half, outputs, 3, bias=True, rngs=rngs)
        self.bn2, self.lif2 = norm(outputs, rngs=rngs), copy_of(neuron)
        self.conv3 = conv(outputs, outputs, 3, bias=True, rngs=rngs)
        self.bn3, self.lif3 = norm(outputs, rngs=rngs), copy_of(neuron)
        self.pool = max_pool()
        self.shortcut = shortcut(half, outputs, neuron, rngs)

    def __call__(self, state: Tree, x: Array) -> tuple[Tree, Array]:
        """One step of images ``[N, H, W, C]``, or a sequence."""
        new = {}
        new["lif1"], x = self.lif1(state["lif1"], self.pool(self.bn1(self.conv1(x))))
        new["lif2"], y = self.lif2(state["lif2"], self.pool(self.bn2(self.conv2(x))))
        new["lif3"], y = self.lif3(state["lif3"], self.bn3(self.conv3(y)))
        new["shortcut"], x = self.shortcut(state["shortcut"], x)
        return new, y + x


class Embed(SpikingModule):
    """Two convolutions, the first pooled, and a shortcut."""

    conv_bn_pairs = ("conv1", "bn1"), ("conv2", "bn2")

    def __init__(self, inputs: int, outputs: int, neuron: Prototype, rngs: nnx.Rngs):
        self.conv1 = conv(inputs, outputs, 3, bias=True, rngs=rngs)
        self.bn1, self.lif1 = norm(outputs, rngs=rngs), copy_of(neuron)
        self.conv2 = conv(outputs, outputs, 3, bias=True, rngs=rngs)
        self.bn2, self.lif2 = norm(outputs, rngs=rngs), copy_of(neuron)
        self.pool = max_pool()
        self.shortcut = shortcut(inputs, outputs, neuron, rngs)

    def __call__(self, state: Tree, x: Array) -> tuple[Tree, Array]:
        """One step of images ``[N, H, W, C]``, or a sequence."""
        new = {}
        new["lif1"], y = self.lif1(state["lif1"], self.pool(self.bn1(self.conv1(x))))
        new["lif2"], y = self.lif2(state["lif2"], self.bn2(self.conv2(y)))
        new["shortcut"], x = self.shortcut(state["shortcut"], x)
        return new, y + x


def shortcut(inputs: int, outputs: int, neuron: Prototype, rngs: nnx.Rngs):
    """A convolution of size 1 and stride 2, before a neuron."""
    layer = conv(inputs, outputs, 1, 2, bias=True, rngs=rngs)
    return Sequential(layer, norm(outputs, rngs=rngs), copy_of(neuron))
