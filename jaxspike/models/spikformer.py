"""Spikformer: a vision transformer whose queries, keys and values are spikes."""

from flax import nnx

from .._check import one_of
from .._types import Array, Tree
from ..nn import Sequential, SpikingModule, SpikingSelfAttention
from .building_blocks import (
    ATTENTION_LIF,
    LIF_DETACHED,
    Prototype,
    check_images,
    check_parts,
    check_sizes,
    conv,
    copy_of,
    max_pool,
    norm,
)
from .preset import preset
from .token_blocks import (
    SpikeBlock,
    check_multiple,
    hidden_size,
    set_normal_weights,
    tokens,
)


def spikformer(
    classes: int = 1000,
    in_features: int = 3,
    *,
    dim: int = 256,
    depth: int = 4,
    num_heads: int = 8,
    mlp_ratio: float = 4.0,
    patch_size: int = 16,
    neuron: Prototype = LIF_DETACHED,
    attention_neuron: Prototype = ATTENTION_LIF,
    rngs: nnx.Rngs,
) -> "Spikformer":
    """Spikformer: four convolutions make tokens of an image, then blocks of attention follow.

    A block is ``x = x + attention(x)``, a `jaxspike.nn.SpikingSelfAttention`, and
    ``x = x + neuron(bn(linear(neuron(bn(linear(x))))))``. The stream counts spikes.

    It maps one step ``[N, H, W, in_features]`` to ``[N, classes]``, and a sequence ``[T, N, H, W,
    in_features]`` to ``[T, N, classes]``: currents, to be averaged over time
    (`jaxspike.readout.rate`). Images may have any size.

    Args:
        classes: Number of outputs.
        in_features: Channels of the images.
        dim: Features of a token, a multiple of 8.
        depth: Number of blocks.
        num_heads: Number of heads of the attention; it divides ``dim``.
        mlp_ratio: Hidden features of the linear layers of a block, as a multiple of ``dim``.
        patch_size: 16 or 4: the factor by which an image has fewer tokens than pixels on each side.
        neuron: The neuron of all layers, or a layer such as ``js.nn.Spiking(js.LIF(),
            learn=("tau",))``. Every place gets a copy with parameters of its own.
        attention_neuron: The neuron after the products of the attention, likewise.
        rngs: Source of keys for the weights, normal of deviation 0.02.

    Raises:
        TypeError: If a size is not a number, a neuron is not a neuron, or ``rngs`` no keys.
        ValueError: If a size is below 1, ``dim`` is not a multiple of 8 and of ``num_heads``, or
            ``patch_size`` is something else.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> from flax import nnx
        >>> net = js.models.spikformer(
        ...     10, dim=16, depth=1, num_heads=2, patch_size=4, rngs=nnx.Rngs(0)
        ... )
        >>> state = net.init_state((2, 32, 32, 3))
        >>> state["blocks"][0]["attn"]["attn_lif"].v.shape
        (2, 64, 16)

    Source: Zhou et al., "Spikformer: when spiking neural network meets transformer", ICLR 2023;
    SpikingJelly ``model.Spikformer``.
    """
    sizes = classes, in_features, dim, depth, num_heads, mlp_ratio, patch_size
    return Spikformer("spikformer", *sizes, neuron, attention_neuron, rngs)


spikformer_ti = preset(
    spikformer,
    "spikformer_ti",
    "`spikformer` of 4 blocks of 256 features in 8 heads, with patches of 16 x 16.",
    dim=256,
    depth=4,
    num_heads=8,
    patch_size=16,
)
spikformer_s = preset(
    spikformer,
    "spikformer_s",
    "`spikformer` of 6 blocks of 384 features in 12 heads, with patches of 16 x 16.",
    dim=384,
    depth=6,
    num_heads=12,
    patch_size=16,
)
spikformer_cifar10 = preset(
    spikformer,
    "spikformer_cifar10",
    "`spikformer` of 4 blocks of 384 features in 12 heads, with patches of 4 x 4.",
    classes=10,
    dim=384,
    depth=4,
    num_heads=12,
    patch_size=4,
)


class Spikformer(SpikingModule):
    """The network; ``owner`` is the function that makes it, for errors."""

    def __init__(
        self,
        owner: str,
        classes: int,
        in_features: int,
        dim: int,
        depth: int,
        num_heads: int,
        mlp_ratio: float,
        patch_size: int,
        neuron: Prototype,
        attention_neuron: Prototype,
        rngs: nnx.Rngs,
    ):
        check_sizes(owner, classes=classes, in_features=in_features, depth=depth)
        check_multiple(owner, dim, 8)
        one_of(f"`{owner}(patch_size=...)`", patch_size, (4, 16))
        hidden = hidden_size(owner, dim, mlp_ratio)
        check_parts(owner, rngs, neuron=neuron, attention_neuron=attention_neuron)
        self.in_features = in_features
        self.patch_embed = PatchEmbed(in_features, dim, patch_size, neuron, rngs)
        blocks = []
        for _ in range(depth):
            attn = SpikingSelfAttention(
                dim, num_heads, neuron=neuron, attention_neuron=attention_neuron, rngs=rngs
            )
            blocks.append(SpikeBlock(attn, MLP(dim, hidden, neuron, rngs)))
        self.blocks = Sequential(*blocks)
        self.head = nnx.Linear(dim, classes, rngs=rngs)
        set_normal_weights(self, 0.02, rngs)

    def __call__(self, state: Tree, x: Array) -> tuple[Tree, Array]:
        """One step of images ``[N, H, W, C]``, or a sequence; a current for each class."""
        check_images(self, x, self.in_features)
        patches, x = self.patch_embed(state["patch_embed"], x)
        blocks, x = self.blocks(state["blocks"], tokens(x))
        return {"patch_embed": patches, "blocks": blocks}, self.head(x.mean(-2))


class ConvNormNeuron(SpikingModule):
    """A convolution, normalized and pooled, before a neuron."""

    def __init__(self, inputs: int, outputs: int, pool: bool, neuron: Prototype, rngs: nnx.Rngs):
        pools = [max_pool()] if pool else []
        self.conv_bn = nnx.Sequential(
            conv(inputs, outputs, 3, rngs=rngs), norm(outputs, rngs=rngs), *pools
        )
        self.neuron = copy_of(neuron)

    def __call__(self, state: Tree, x: Array) -> tuple[Tree, Array]:
        """One step of images ``[N, H, W, C]``, or a sequence."""
        new, y = self.neuron(state["neuron"], self.conv_bn(x))
        return {"neuron": new}, y


class PatchEmbed(SpikingModule):
    """Four convolutions, and a fifth that adds what the neighbors say about the position."""

    def __init__(
        self,
        inputs: int,
        dim: int,
        patch_size: int,
        neuron: Prototype,
        rngs: nnx.Rngs,
    ):
        stages = []
        for i, outputs in enumerate((dim // 8, dim // 4, dim // 2, dim)):
            pool = patch_size == 16 or i >= 2
            stages.append(ConvNormNeuron(inputs, outputs, pool, neuron, rngs))
            inputs = outputs
        self.stages = Sequential(*stages)
        self.positional_encoding = ConvNormNeuron(dim, dim, False, neuron, rngs)

    def __call__(self, state: Tree, x: Array) -> tuple[Tree, Array]:
        """One step of images ``[N, H, W, C]``, or a sequence."""
        stages, x = self.stages(state["stages"], x)
        position, y = self.positional_encoding(state["positional_encoding"], x)
        return {"stages": stages, "positional_encoding": position}, x + y


class MLP(SpikingModule):
    """Two linear layers without biases, each normalized and before a neuron."""

    def __init__(self, dim: int, hidden: int, neuron: Prototype, rngs: nnx.Rngs):
        def linear(inputs, outputs):
            layer = nnx.Linear(inputs, outputs, use_bias=False, rngs=rngs)
            return Sequential(layer, norm(outputs, rngs=rngs))

        self.fc1, self.neuron1 = linear(dim, hidden), copy_of(neuron)
        self.fc2, self.neuron2 = linear(hidden, dim), copy_of(neuron)

    def __call__(self, state: Tree, x: Array) -> tuple[Tree, Array]:
        """One step of tokens ``[N, L, C]``, or a sequence."""
        new = {}
        new["fc1"], y = self.fc1(state["fc1"], x)
        new["neuron1"], y = self.neuron1(state["neuron1"], y)
        new["fc2"], y = self.fc2(state["fc2"], y)
        new["neuron2"], y = self.neuron2(state["neuron2"], y)
        return new, y
