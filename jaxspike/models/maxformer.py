"""Max-Former: pools and depthwise convolutions keep what spikes lose, then attention follows."""

from flax import nnx

from .._check import one_of
from .._types import Array, Tree
from ..nn import Conv, Sequential, SpikingModule, SpikingSelfAttention
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
    PreNeuronMLP,
    check_multiple,
    hidden_size,
    neurons_of,
    set_normal_weights,
    tokens,
)


def maxformer(
    classes: int = 1000,
    in_features: int = 3,
    *,
    dim: int = 384,
    depths: tuple[int, int, int] = (1, 2, 7),
    num_heads: int = 6,
    mlp_ratio: float = 4.0,
    small_images: bool = False,
    neuron: Prototype | None = None,
    attention_neuron: Prototype = ATTENTION_LIF,
    rngs: nnx.Rngs,
) -> "MaxFormer":
    """Max-Former: three stages of a quarter, a half, and all of the features.

    The first two stages have depthwise convolutions in the place of attention, of sizes 7 and 5;
    the third has a `jaxspike.nn.SpikingSelfAttention`. Before the first, convolutions halve an
    image twice on each side, before the others a max pooling halves it. Each block ends with
    ``x = x + bn(linear(neuron(bn(linear(neuron(x))))))``. The stream is of currents.

    It maps one step ``[N, H, W, in_features]`` to ``[N, classes]``, and a sequence ``[T, N, H, W,
    in_features]`` to ``[T, N, classes]``: currents, to be averaged over time
    (`jaxspike.readout.rate`), as SpikingJelly's network does itself. Images may have any size.

    Args:
        classes: Number of outputs.
        in_features: Channels of the images.
        dim: Features of the last stage, a multiple of 8.
        depths: Number of blocks of each stage.
        num_heads: Number of heads of the attention; it divides ``dim``.
        mlp_ratio: Hidden features of the linear layers of a block, as a multiple of its features.
        small_images: Whether the network is that for CIFAR: images keep their size before the first
            stage, which has no convolutions then, those of the second are of size 3, and the
            attention takes and adds currents.
        neuron: The neuron of all layers, or a layer such as ``js.nn.Spiking(js.LIF(),
            learn=("tau",))``. Every place gets a copy with parameters of its own. If None, it is
            ``LIF()``, and ``LIF(detach_reset=True)`` inside the attention, as in SpikingJelly;
            with ``small_images``, the second everywhere.
        attention_neuron: The neuron after the products of the attention, likewise.
        rngs: Source of keys for the weights.

    Raises:
        TypeError: If a size is not a number, a neuron is not a neuron, or ``rngs`` no keys.
        ValueError: If a size is below 1, ``dim`` is not a multiple of 8 and of ``num_heads``, or
            ``depths`` are not three.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> from flax import nnx
        >>> net = js.models.maxformer(
        ...     10, dim=32, depths=(1, 1, 1), num_heads=2, small_images=True, rngs=nnx.Rngs(0)
        ... )
        >>> state = net.init_state((2, 32, 32, 3))
        >>> state["stage2"][0]["lif"].v.shape
        (2, 16, 16, 16)

    Source: "Spiking neural networks need high-frequency information", arXiv 2505.18608;
    SpikingJelly ``model.MaxFormer``.
    """
    sizes = classes, in_features, dim, depths, num_heads, mlp_ratio
    return MaxFormer("maxformer", *sizes, small_images, neuron, attention_neuron, rngs)


maxformer_10_384 = preset(
    maxformer,
    "maxformer_10_384",
    "`maxformer` of 10 blocks, at last of 384 features.",
    dim=384,
    depths=(1, 2, 7),
    num_heads=6,
)
maxformer_cifar = preset(
    maxformer,
    "maxformer_cifar",
    "`maxformer` of 4 blocks, at last of 384 features, for images of 32 x 32.",
    classes=100,
    dim=384,
    depths=(1, 1, 2),
    num_heads=8,
    small_images=True,
)


class MaxFormer(SpikingModule):
    """The network; ``owner`` is the function that makes it, for errors."""

    def __init__(
        self,
        owner: str,
        classes: int,
        in_features: int,
        dim: int,
        depths: tuple[int, int, int],
        num_heads: int,
        mlp_ratio: float,
        small_images: bool,
        neuron: Prototype | None,
        attention_neuron: Prototype,
        rngs: nnx.Rngs,
    ):
        check_sizes(owner, classes=classes, in_features=in_features)
        check_multiple(owner, dim, 8)
        check_stages(owner, 3, depths=depths)
        one_of(f"`{owner}(small_images=...)`", small_images, (False, True))
        outer, inner = neurons_of(owner, rngs, neuron, attention_neuron)
        self.in_features = in_features
        outer = inner if small_images else outer
        dims = dim // 4, dim // 2, dim
        first = SmallEmbed if small_images else FirstEmbed
        self.patch_embed1 = first(in_features, dims[0], outer, rngs)
        self.patch_embed2 = Embed(*dims[:2], not small_images, outer, rngs)
        self.patch_embed3 = Embed(*dims[1:], not small_images, outer, rngs)
        sizes = (None, 3) if small_images else (7, 5)
        for i, (features, size) in enumerate(zip(dims[:2], sizes, strict=True)):
            hidden = hidden_size(owner, features, mlp_ratio)
            blocks: list[SpikingModule] = []
            for _ in range(depths[i]):
                mlp = PreNeuronMLP(features, hidden, outer, rngs)
                blocks.append(DepthwiseBlock(features, size, mlp, outer, rngs) if size else mlp)
            setattr(self, STAGES[i], Sequential(*blocks))
        hidden, blocks = hidden_size(owner, dim, mlp_ratio), []
        for _ in range(depths[2]):
            attn = SpikingSelfAttention(
                dim, num_heads, neuron=inner, attention_neuron=attention_neuron, rngs=rngs
            )
            of_currents = CurrentAttention(attn, outer, rngs) if small_images else attn
            blocks.append(AttentionBlock(of_currents, PreNeuronMLP(dim, hidden, outer, rngs)))
        self.stage3 = Sequential(*blocks)
        self.head_lif = copy_of(outer)
        self.head = nnx.Linear(dim, classes, rngs=rngs)
        if small_images:
            set_normal_weights(self.head, 0.02, rngs)

    def __call__(self, state: Tree, x: Array) -> tuple[Tree, Array]:
        """One step of images ``[N, H, W, C]``, or a sequence; a current for each class."""
        check_images(self, x, self.in_features)
        new = {}
        for embed, stage in zip(EMBEDS, STAGES, strict=True):
            new[embed], x = getattr(self, embed)(state[embed], x)
            new[stage], x = getattr(self, stage)(state[stage], x)
        new["head_lif"], x = self.head_lif(state["head_lif"], tokens(x).mean(-2))
        return new, self.head(x)


EMBEDS, STAGES = ("patch_embed1", "patch_embed2", "patch_embed3"), ("stage1", "stage2", "stage3")


class SmallEmbed(SpikingModule):
    """A convolution, then one of size 3 over its spikes beside one of size 1."""

    conv_bn_pairs = (("conv", "bn"),)

    def __init__(self, inputs: int, outputs: int, neuron: Prototype, rngs: nnx.Rngs):
        half = outputs // 2
        self.conv, self.bn = conv(inputs, half, 3, rngs=rngs), norm(half, rngs=rngs)

        def spikes_to_currents(size):
            layer = conv(half, outputs, size, rngs=rngs)
            return Sequential(copy_of(neuron), layer, norm(outputs, rngs=rngs))

        self.branch, self.shortcut = spikes_to_currents(3), spikes_to_currents(1)

    def __call__(self, state: Tree, x: Array) -> tuple[Tree, Array]:
        """One step of images ``[N, H, W, C]``, or a sequence."""
        x = self.bn(self.conv(x))
        branch, y = self.branch(state["branch"], x)
        shortcut, x = self.shortcut(state["shortcut"], x)
        return {"branch": branch, "shortcut": shortcut}, y + x


class FirstEmbed(SpikingModule):
    """Three convolutions, two of stride 2; the spikes of the first also take a shortcut."""

    conv_bn_pairs = ("conv1", "bn1"), ("conv2", "bn2"), ("conv3", "bn3")

    def __init__(self, inputs: int, outputs: int, neuron: Prototype, rngs: nnx.Rngs):
        half = outputs // 2
        self.conv1 = conv(inputs, half, 3, 2, bias=True, rngs=rngs)
        self.bn1, self.lif1 = norm(half, rngs=rngs), copy_of(neuron)
        self.conv2 = conv(half, outputs, 3, 2, bias=True, rngs=rngs)
        self.bn2, self.lif2 = norm(outputs, rngs=rngs), copy_of(neuron)
        self.conv3 = conv(outputs, outputs, 3, bias=True, rngs=rngs)
        self.bn3 = norm(outputs, rngs=rngs)
        layer = conv(half, outputs, 1, 2, bias=True, rngs=rngs)
        self.shortcut = nnx.Sequential(layer, norm(outputs, rngs=rngs))

    def __call__(self, state: Tree, x: Array) -> tuple[Tree, Array]:
        """One step of images ``[N, H, W, C]``, or a sequence."""
        lif1, x = self.lif1(state["lif1"], self.bn1(self.conv1(x)))
        lif2, y = self.lif2(state["lif2"], self.bn2(self.conv2(x)))
        return {"lif1": lif1, "lif2": lif2}, self.bn3(self.conv3(y)) + self.shortcut(x)


class Embed(SpikingModule):
    """Two convolutions, the first pooled, beside one of size 1, pooled; all of spikes."""

    conv_bn_pairs = ("conv1", "bn1"), ("conv2", "bn2")

    def __init__(self, inputs: int, outputs: int, bias: bool, neuron: Prototype, rngs: nnx.Rngs):
        self.lif1, self.lif2 = copy_of(neuron), copy_of(neuron)
        self.conv1 = conv(inputs, outputs, 3, bias=bias, rngs=rngs)
        self.conv2 = conv(outputs, outputs, 3, bias=bias, rngs=rngs)
        self.bn1, self.bn2 = norm(outputs, rngs=rngs), norm(outputs, rngs=rngs)
        self.pool = max_pool()
        layer = conv(inputs, outputs, 1, bias=bias, rngs=rngs)
        self.shortcut = nnx.Sequential(layer, norm(outputs, rngs=rngs), max_pool())

    def __call__(self, state: Tree, x: Array) -> tuple[Tree, Array]:
        """One step of images ``[N, H, W, C]``, or a sequence."""
        lif1, x = self.lif1(state["lif1"], x)
        lif2, y = self.lif2(state["lif2"], self.pool(self.bn1(self.conv1(x))))
        return {"lif1": lif1, "lif2": lif2}, self.bn2(self.conv2(y)) + self.shortcut(x)


class DepthwiseBlock(SpikingModule):
    """A depthwise convolution of spikes, then a perceptron; both add to the stream."""

    conv_bn_pairs = (("dwconv", "bn"),)

    def __init__(
        self,
        features: int,
        size: int,
        mlp: PreNeuronMLP,
        neuron: Prototype,
        rngs: nnx.Rngs,
    ):
        self.lif = copy_of(neuron)
        window = (size, size)
        self.dwconv = Conv(features, features, window, feature_group_count=features, rngs=rngs)
        self.bn = norm(features, rngs=rngs)
        self.mlp = mlp

    def __call__(self, state: Tree, x: Array) -> tuple[Tree, Array]:
        """One step of images ``[N, H, W, C]``, or a sequence."""
        lif, y = self.lif(state["lif"], x)
        mlp, x = self.mlp(state["mlp"], x + self.bn(self.dwconv(y)))
        return {"lif": lif, "mlp": mlp}, x


class CurrentAttention(SpikingModule):
    """A `SpikingSelfAttention` whose input and output are currents: its last neuron comes first."""

    def __init__(self, attn: SpikingSelfAttention, neuron: Prototype, rngs: nnx.Rngs):
        size = attn.features
        self.input_lif = copy_of(neuron)
        self.qkv, self.qkv_lif = attn.qkv_conv_bn, attn.qkv_lif
        self.product, self.attn_lif = attn.product, attn.attn_lif
        self.proj = Sequential(nnx.Linear(size, size, rngs=rngs), norm(size, rngs=rngs))

    def __call__(self, state: Tree, x: Array) -> tuple[Tree, Array]:
        """One step of tokens ``[N, L, C]``, or a sequence."""
        new = {}
        new["input_lif"], y = self.input_lif(state["input_lif"], x)
        new["qkv_lif"], y = self.qkv_lif(state["qkv_lif"], self.qkv(y))
        new["attn_lif"], y = self.attn_lif(state["attn_lif"], self.product(y))
        new["proj"], y = self.proj(state["proj"], y)
        return new, y


class AttentionBlock(SpikingModule):
    """Attention between tokens, then a perceptron over each; both add to the stream."""

    def __init__(self, attn: SpikingModule, mlp: PreNeuronMLP):
        self.attn, self.mlp = attn, mlp

    def __call__(self, state: Tree, x: Array) -> tuple[Tree, Array]:
        """One step of images ``[N, H, W, C]``, or a sequence."""
        attn, y = self.attn(state["attn"], tokens(x))
        mlp, x = self.mlp(state["mlp"], x + y.reshape(x.shape))
        return {"attn": attn, "mlp": mlp}, x
