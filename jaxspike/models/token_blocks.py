"""What the transformers share: images as tokens, blocks, and multilayer perceptrons over tokens."""

import jax
from flax import nnx

from .._check import integer, number
from .._types import Array, Tree
from ..engine import fold_batch
from ..neurons import LIF
from ..nn import SpikingModule
from .building_blocks import LIF_DETACHED, Prototype, check_parts, copy_of, norm


def neurons_of(
    owner: str, rngs: nnx.Rngs, neuron: Prototype | None, attention_neuron: Prototype
) -> tuple[Prototype, Prototype]:
    """The neurons outside and inside the attention; None for those of SpikingJelly."""
    outer, inner = (LIF(), LIF_DETACHED) if neuron is None else (neuron, neuron)
    check_parts(owner, rngs, neuron=outer, attention_neuron=attention_neuron)
    return outer, inner


def check_multiple(owner: str, dim: int, divisor: int) -> None:
    """Refuse a number of features that the stages of a network cannot halve."""
    integer(f"`{owner}(dim=...)`", dim, low=1)
    if dim % divisor:
        raise ValueError(f"`{owner}(dim=...)` must be a multiple of {divisor}, got {dim}.")


def hidden_size(owner: str, dim: int, mlp_ratio: float) -> int:
    """The hidden features of a perceptron."""
    return max(1, int(dim * number(f"`{owner}(mlp_ratio=...)`", mlp_ratio, above=0)))


def tokens(x: Array) -> Array:
    """Images ``[..., H, W, C]`` as tokens ``[..., H * W, C]``."""
    *batch, height, width, features = x.shape
    return x.reshape(*batch, height * width, features)


def set_normal_weights(net: nnx.Module, stddev: float, rngs: nnx.Rngs) -> None:
    """Draw all kernels of ``net`` again, normal of the deviation ``stddev``."""
    for _, module in nnx.iter_modules(net):
        if isinstance(module, nnx.Linear | nnx.Conv):
            kernel = module.kernel[...]
            module.kernel[...] = stddev * jax.random.normal(rngs.params(), kernel.shape)


class SpikeBlock(SpikingModule):
    """Attention between tokens, then a perceptron over each; both add spikes to the stream."""

    def __init__(self, attn: SpikingModule, mlp: SpikingModule):
        self.attn, self.mlp = attn, mlp

    def __call__(self, state: Tree, x: Array) -> tuple[Tree, Array]:
        """One step of tokens ``[N, L, C]``, or a sequence."""
        attn, y = self.attn(state["attn"], x)
        x = x + y
        mlp, y = self.mlp(state["mlp"], x)
        return {"attn": attn, "mlp": mlp}, x + y


class PostNeuronMLP(SpikingModule):
    """From spikes to spikes: each of two linear layers before a neuron."""

    conv_bn_pairs = ("fc1", "bn1"), ("fc2", "bn2")

    def __init__(self, dim: int, hidden: int, neuron: Prototype, rngs: nnx.Rngs):
        self.fc1, self.bn1 = nnx.Linear(dim, hidden, rngs=rngs), norm(hidden, rngs=rngs)
        self.lif1 = copy_of(neuron)
        self.fc2, self.bn2 = nnx.Linear(hidden, dim, rngs=rngs), norm(dim, rngs=rngs)
        self.lif2 = copy_of(neuron)

    def __call__(self, state: Tree, x: Array) -> tuple[Tree, Array]:
        """One step of tokens ``[N, L, C]``, or a sequence."""
        lif1, y = self.lif1(state["lif1"], self.bn1(fold_batch(self.fc1, x)))
        lif2, y = self.lif2(state["lif2"], self.bn2(fold_batch(self.fc2, y)))
        return {"lif1": lif1, "lif2": lif2}, y


class PreNeuronMLP(SpikingModule):
    """From currents to currents, added to its input: a neuron before each of two linear layers."""

    conv_bn_pairs = ("fc1", "bn1"), ("fc2", "bn2")

    def __init__(self, dim: int, hidden: int, neuron: Prototype, rngs: nnx.Rngs):
        self.lif1 = copy_of(neuron)
        self.fc1, self.bn1 = nnx.Linear(dim, hidden, rngs=rngs), norm(hidden, rngs=rngs)
        self.lif2 = copy_of(neuron)
        self.fc2, self.bn2 = nnx.Linear(hidden, dim, rngs=rngs), norm(dim, rngs=rngs)

    def __call__(self, state: Tree, x: Array) -> tuple[Tree, Array]:
        """One step of tokens ``[N, L, C]`` or images ``[N, H, W, C]``, or a sequence."""
        lif1, y = self.lif1(state["lif1"], x)
        y = self.bn1(fold_batch(self.fc1, y))
        if y.shape == x.shape:  # a second shortcut, where nothing is hidden
            x = y = x + y
        lif2, y = self.lif2(state["lif2"], y)
        return {"lif1": lif1, "lif2": lif2}, x + self.bn2(fold_batch(self.fc2, y))
