"""What the transformers share: images as tokens, and multilayer perceptrons over them."""

import jax
from flax import nnx

from .._check import integer, number
from .._types import Array, Tree
from ..engine import fold_batch
from ..neurons import LIF
from ..nn import MaxPool, SpikingModule
from .building_blocks import Prototype, copy_of, norm

#: The neurons of the attention in SpikingJelly; elsewhere, its transformers have `LIF()`.
LIF_DETACHED = LIF(tau=2.0, detach_reset=True)
ATTENTION_LIF = LIF(tau=2.0, v_threshold=0.5, detach_reset=True)


def check_multiple(owner: str, dim: int, divisor: int) -> None:
    """Refuse a number of features that the stages of a network cannot halve."""
    integer(f"`{owner}(dim=...)`", dim, low=1)
    if dim % divisor:
        raise ValueError(f"`{owner}(dim=...)` must be a multiple of {divisor}, got {dim}.")


def check_stages(owner: str, **values: tuple[int, int, int]) -> None:
    """Refuse what is not a positive integer for each of three stages."""
    for argument, value in values.items():
        if not isinstance(value, tuple | list) or len(value) != 3:
            where = f"`{owner}({argument}=...)`"
            raise ValueError(f"{where} must be three, one for each stage, got {value!r}.")
        for n in value:
            integer(f"`{owner}({argument}=...)`", n, low=1)


def hidden_size(owner: str, dim: int, mlp_ratio: float) -> int:
    """The hidden features of a perceptron."""
    return max(1, int(dim * number(f"`{owner}(mlp_ratio=...)`", mlp_ratio, above=0)))


def max_pool() -> MaxPool:
    """A max pooling that halves an image, of windows of size 3."""
    return MaxPool((3, 3), (2, 2), ((1, 1), (1, 1)))


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


class PostNeuronMLP(SpikingModule):
    """From spikes to spikes: each of two linear layers before a neuron."""

    conv_bn_pairs = ("fc1", "bn1"), ("fc2", "bn2")

    def __init__(self, owner: str, dim: int, hidden: int, neuron: Prototype, rngs: nnx.Rngs):
        self.fc1, self.bn1 = nnx.Linear(dim, hidden, rngs=rngs), norm(hidden, rngs=rngs)
        self.lif1 = copy_of(owner, neuron)
        self.fc2, self.bn2 = nnx.Linear(hidden, dim, rngs=rngs), norm(dim, rngs=rngs)
        self.lif2 = copy_of(owner, neuron)

    def __call__(self, state: Tree, x: Array) -> tuple[Tree, Array]:
        """One step of tokens ``[N, L, C]``, or a sequence."""
        lif1, y = self.lif1(state["lif1"], self.bn1(fold_batch(self.fc1, x)))
        lif2, y = self.lif2(state["lif2"], self.bn2(fold_batch(self.fc2, y)))
        return {"lif1": lif1, "lif2": lif2}, y


class PreNeuronMLP(SpikingModule):
    """From currents to currents, added to its input: a neuron before each of two linear layers."""

    conv_bn_pairs = ("fc1", "bn1"), ("fc2", "bn2")

    def __init__(self, owner: str, dim: int, hidden: int, neuron: Prototype, rngs: nnx.Rngs):
        self.lif1 = copy_of(owner, neuron)
        self.fc1, self.bn1 = nnx.Linear(dim, hidden, rngs=rngs), norm(hidden, rngs=rngs)
        self.lif2 = copy_of(owner, neuron)
        self.fc2, self.bn2 = nnx.Linear(hidden, dim, rngs=rngs), norm(dim, rngs=rngs)

    def __call__(self, state: Tree, x: Array) -> tuple[Tree, Array]:
        """One step of tokens ``[N, L, C]`` or images ``[N, H, W, C]``, or a sequence."""
        lif1, y = self.lif1(state["lif1"], x)
        y = self.bn1(fold_batch(self.fc1, y))
        if y.shape == x.shape:  # a second shortcut, where nothing is hidden
            x = y = x + y
        lif2, y = self.lif2(state["lif2"], y)
        return {"lif1": lif1, "lif2": lif2}, x + self.bn2(fold_batch(self.fc2, y))
