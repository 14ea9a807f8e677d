"""Spike-driven Transformer: a vision transformer whose only operations on spikes are additions."""

from flax import nnx

from .._types import Array, Tree
from ..nn import Sequential, SpikeDrivenSelfAttention, SpikingModule
from .building_blocks import (
    ATTENTION_LIF,
    Prototype,
    check_images,
    check_sizes,
    conv,
    copy_of,
    max_pool,
    norm,
)
from .preset import preset
from .token_blocks import PreNeuronMLP, check_multiple, hidden_size, neurons_of, tokens


def spike_driven_transformer(
    classes: int = 1000,
    in_features: int = 3,
    *,
    dim: int = 384,
    depth: int = 8,
    mlp_ratio: float = 4.0,
    pools: tuple[bool, bool, bool, bool] = (True, True, True, True),
    neuron: Prototype | None = None,
    attention_neuron: Prototype = ATTENTION_LIF,
    rngs: nnx.Rngs,
) -> "SpikeDrivenTransformer":
    """Spike-driven Transformer: all linear layers and convolutions but the first take spikes.

    Four convolutions make tokens of an image. A block is a `jaxspike.nn.SpikeDrivenSelfAttention`
    and ``x = x + bn(linear(neuron(bn(linear(neuron(x))))))``. The stream is of currents. Heads
    would change nothing in this attention, so there are none.

    It maps one step ``[N, H, W, in_features]`` to ``[N, classes]``, and a sequence ``[T, N, H, W,
    in_features]`` to ``[T, N, classes]``: currents, to be averaged over time
    (`jaxspike.readout.rate`), as SpikingJelly's network does itself. Images may have any size.

    Args:
        classes: Number of outputs.
        in_features: Channels of the images.
        dim: Features of a token, a multiple of 8.
        depth: Number of blocks.
        mlp_ratio: Hidden features of the linear layers of a block, as a multiple of ``dim``. If 1,
            the hidden features have a shortcut too.
        pools: Which of the four convolutions halve the image.
        neuron: The neuron of all layers, or a layer such as ``js.nn.Spiking(js.LIF(),
            learn=("tau",))``. Every place gets a copy with parameters of its own. If None, it is
            ``LIF()``, and ``LIF(detach_reset=True)`` inside the attention, as in SpikingJelly.
        attention_neuron: The neuron after the sum of the attention, likewise.
        rngs: Source of keys for the weights.

    Raises:
        TypeError: If a size is not a number, a neuron is not a neuron, or ``rngs`` no keys.
        ValueError: If a size is below 1, ``dim`` is not a multiple of 8, or ``pools`` are not four.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> from flax import nnx
        >>> net = js.models.spike_driven_transformer(
        ...     10, dim=16, depth=1, pools=(False, False, True, True), rngs=nnx.Rngs(0)
        ... )
        >>> state = net.init_state((2, 32, 32, 3))
        >>> state["blocks"][0]["mlp"]["lif1"].v.shape
        (2, 64, 16)

    Source: Yao et al., "Spike-driven transformer", NeurIPS 2023; SpikingJelly
    ``model.SpikeDrivenTransformer``.
    """
    sizes = classes, in_features, dim, depth, mlp_ratio
    owner = "spike_driven_transformer"
    return SpikeDrivenTransformer(owner, *sizes, pools, neuron, attention_neuron, rngs)


sdt_8_384 = preset(
    spike_driven_transformer,
    "sdt_8_384",
    "`spike_driven_transformer` of 8 blocks of 384 features.",
    dim=384,
    depth=8,
)


class SpikeDrivenTransformer(SpikingModule):
    """The network; ``owner`` is the function that makes it, for errors."""

    def __init__(
        self,
        owner: str,
        classes: int,
        in_features: int,
        dim: int,
        depth: int,
        mlp_ratio: float,
        pools: tuple[bool, bool, bool, bool],
        neuron: Prototype | None,
        attention_neuron: Prototype,
        rngs: nnx.Rngs,
    ):
        check_sizes(owner, classes=classes, in_features=in_features, depth=depth)
        check_multiple(owner, dim, 8)
        if not isinstance(pools, tuple | list) or list(map(type, pools)) != 4 * [bool]:
            raise ValueError(f"`{owner}(pools=...)` must be four of True or False, got {pools!r}.")
        outer, inner = neurons_of(owner, rngs, neuron, attention_neuron)
        self.in_features = in_features
        hidden = hidden_size(owner, dim, mlp_ratio)
        self.patch_embed = PatchEmbed(in_features, dim, pools, outer, rngs)
        blocks = []
        for _ in range(depth):
            attention = SpikeDrivenSelfAttention(
                dim, neuron=inner, attention_neuron=attention_neuron, rngs=rngs
            )
            blocks.append(Block(attention, PreNeuronMLP(dim, hidden, outer, rngs)))
        self.blocks = Sequential(*blocks)
        self.head_lif = copy_of(outer)
        self.head = nnx.Linear(dim, classes, rngs=rngs)

    def __call__(self, state: Tree, x: Array) -> tuple[Tree, Array]:
        """One step of images ``[N, H, W, C]``, or a sequence; a current for each class."""
        check_images(self, x, self.in_features)
        patches, x = self.patch_embed(state["patch_embed"], x)
        blocks, x = self.blocks(state["blocks"], tokens(x))
        head, x = self.head_lif(state["head_lif"], x.mean(-2))
        return {"patch_embed": patches, "blocks": blocks, "head_lif": head}, self.head(x)


class PatchEmbed(SpikingModule):
    """Four convolutions, and a fifth over spikes that adds what the neighbors say."""

    conv_bn_pairs = (("rpe_conv", "rpe_bn"),)

    def __init__(
        self,
        inputs: int,
        dim: int,
        pools: tuple[bool, bool, bool, bool],
        neuron: Prototype,
        rngs: nnx.Rngs,
    ):
        stages = []
        for pool, outputs in zip(pools, (dim // 8, dim // 4, dim // 2, dim), strict=True):
            layers = [conv(inputs, outputs, 3, bias=True, rngs=rngs), norm(outputs, rngs=rngs)]
            neurons = [copy_of(neuron)] if outputs < dim else []  # before the pooling
            stages.append([*layers, *neurons, *([max_pool()] if pool else [])])
            inputs = outputs
        self.stages = Sequential(*(Sequential(*layers) for layers in stages[:3]))
        self.final_stage = nnx.Sequential(*stages[3])
        self.final_lif = copy_of(neuron)
        self.rpe_conv, self.rpe_bn = conv(dim, dim, 3, rngs=rngs), norm(dim, rngs=rngs)

    def __call__(self, state: Tree, x: Array) -> tuple[Tree, Array]:
        """One step of images ``[N, H, W, C]``, or a sequence."""
        stages, x = self.stages(state["stages"], x)
        x = self.final_stage(x)
        lif, y = self.final_lif(state["final_lif"], x)
        return {"stages": stages, "final_lif": lif}, x + self.rpe_bn(self.rpe_conv(y))


class Block(SpikingModule):
    """Attention between tokens, then a perceptron over each; both add to the stream themselves."""

    def __init__(self, attn: SpikeDrivenSelfAttention, mlp: PreNeuronMLP):
        self.attn, self.mlp = attn, mlp

    def __call__(self, state: Tree, x: Array) -> tuple[Tree, Array]:
        """One step of tokens ``[N, L, C]``, or a sequence."""
        attn, x = self.attn(state["attn"], x)
        mlp, x = self.mlp(state["mlp"], x)
        return {"attn": attn, "mlp": mlp}, x
