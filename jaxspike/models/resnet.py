"""What residual networks share: stem, stages of blocks and head, and the layers of a block."""

from collections.abc import Callable

from flax import nnx

from .._check import one_of
from .._types import Array, Tree
from ..nn import Sequential, SpikingModule
from .building_blocks import (
    Prototype,
    check_images,
    check_parts,
    check_sizes,
    check_stages,
    conv,
    copy_of,
    max_pool,
    norm,
)

STAGES = "layer1", "layer2", "layer3", "layer4"
EXPANSION = 4  # of the channels of a bottleneck
STEMS = {"imagenet": (7, 2), "small": (3, 1)}  # size and stride of the first convolution


class Block(SpikingModule):
    """The layers of a block, of which each family makes something in its ``__call__``.

    Two convolutions of size 3, or, as a bottleneck, three of sizes 1, 3 and 1, the last with 4
    times the channels. Each has a normalization and a neuron: ``conv1``, ``bn1``, ``sn1``, and so
    on. ``downsample`` convolves and normalizes the shortcut where the shape changes.
    """

    def __init__(
        self,
        inputs: int,
        width: int,
        stride: int,
        bottleneck: bool,
        neuron: Prototype,
        rngs: nnx.Rngs,
    ):
        basic = (3, width, stride), (3, width, 1)  # size, channels and stride
        deep = (1, width, 1), (3, width, stride), (1, EXPANSION * width, 1)
        convolutions = deep if bottleneck else basic
        self.depth = len(convolutions)
        self.conv_bn_pairs = tuple((f"conv{i + 1}", f"bn{i + 1}") for i in range(self.depth))
        features = inputs
        for i, (size, outputs, step) in enumerate(convolutions, 1):
            setattr(self, f"conv{i}", conv(features, outputs, size, step, rngs=rngs))
            setattr(self, f"bn{i}", norm(outputs, rngs=rngs))
            setattr(self, f"sn{i}", copy_of(neuron))
            features = outputs
        self.downsample = shortcut(inputs, features, stride, rngs)

    def current(self, i: int, x: Array) -> Array:
        """The normalized currents of convolution ``i``."""
        return getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(x))

    def branch(self, state: Tree, x: Array) -> tuple[Tree, Array]:
        """The new states of all neurons but the last, and the currents of the last convolution."""
        new = {}
        for i in range(1, self.depth):
            name = f"sn{i}"
            new[name], x = getattr(self, name)(state[name], self.current(i, x))
        return new, self.current(self.depth, x)

    def fire(self, state: Tree, new: Tree, current: Array) -> tuple[Tree, Array]:
        """The spikes of the last neurons, and ``new`` with their states."""
        name = f"sn{self.depth}"
        new[name], y = getattr(self, name)(state[name], current)
        return new, y


def shortcut(inputs: int, outputs: int, stride: int, rngs: nnx.Rngs, *, scale: float = 1.0):
    """A convolution of size 1, normalized, where a block changes the shape; else the identity."""
    if stride == 1 and inputs == outputs:
        return nnx.Sequential()
    layer = conv(inputs, outputs, 1, stride, rngs=rngs)
    return nnx.Sequential(layer, norm(outputs, scale=scale, rngs=rngs))


class ResNet(SpikingModule):
    """A residual network of one kind of block.

    Args:
        owner: The function that makes it, for errors.
        block: The class of the blocks.
        classes: Number of outputs.
        in_features: Channels of the images.
        depths: The number of blocks of each stage.
        bottleneck: Whether blocks have three convolutions.
        width: Channels of the stem and width of the first stage; it doubles at each further one.
        stem: ``"imagenet"``, a convolution of size 7 and stride 2 and a max pooling of stride 2; or
            ``"small"``, a convolution of size 3 alone, for images of about 32 x 32.
        neuron: The prototype of the neurons.
        rngs: Source of keys.
    """

    conv_bn_pairs = (("conv1", "bn1"),)

    def __init__(
        self,
        owner: str,
        block: Callable[..., Block],
        classes: int,
        in_features: int,
        depths: tuple[int, int, int, int],
        bottleneck: bool,
        width: int,
        stem: str,
        neuron: Prototype,
        rngs: nnx.Rngs,
    ):
        check_sizes(owner, classes=classes, in_features=in_features, width=width)
        check_stages(owner, 4, depths=depths)
        one_of(f"`{owner}(bottleneck=...)`", bottleneck, (False, True))
        check_parts(owner, rngs, neuron=neuron)
        self.in_features = in_features
        self.conv1 = stem_conv(owner, stem, in_features, width, rngs)
        self.bn1, self.sn1 = norm(width, rngs=rngs), copy_of(neuron)
        self.maxpool = max_pool() if stem == "imagenet" else None
        inputs = width
        for i, (name, depth) in enumerate(zip(STAGES, depths, strict=True)):
            blocks, channels = [], width * 2**i
            for j in range(depth):
                stride = 2 if i > 0 and j == 0 else 1
                blocks.append(block(inputs, channels, stride, bottleneck, neuron, rngs))
                inputs = channels * (EXPANSION if bottleneck else 1)
            setattr(self, name, Sequential(*blocks))
        self.fc = nnx.Linear(inputs, classes, rngs=rngs)

    def __call__(self, state: Tree, x: Array) -> tuple[Tree, Array]:
        """One step of images ``[N, H, W, C]``, or a sequence; a current for each class."""
        check_images(self, x, self.in_features)
        new = {}
        new["sn1"], x = self.sn1(state["sn1"], self.bn1(self.conv1(x)))
        if self.maxpool is not None:
            x = self.maxpool(x)
        for name in STAGES:
            new[name], x = getattr(self, name)(state[name], x)
        return new, self.fc(x.mean((-3, -2)))


def stem_conv(owner: str, stem: str, inputs: int, outputs: int, rngs: nnx.Rngs) -> nnx.Conv:
    """The first convolution of a network."""
    one_of(f"`{owner}(stem=...)`", stem, tuple(STEMS))
    return conv(inputs, outputs, *STEMS[stem], rngs=rngs)
