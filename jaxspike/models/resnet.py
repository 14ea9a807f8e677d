"""What residual networks share: stem, stages of blocks and head, and the layers of a block."""

import functools
from typing import ClassVar

from flax import nnx

from .._check import one_of
from .._types import Array, Tree
from ..nn import MaxPool, Sequential, SpikingModule
from .building_blocks import NewNeuron, Prototype, check_sizes, conv, copy_of, norm

STAGES = "layer1", "layer2", "layer3", "layer4"


class ResNet(SpikingModule):
    """A residual network of one kind of block.

    Args:
        owner: The function that makes it, for errors.
        block: The class of the blocks.
        depths: The number of blocks of each stage.
        classes: Number of outputs.
        in_features: Channels of the images.
        width: Channels of the stem and width of the first stage; it doubles at each further one.
        stem: ``"imagenet"``, a convolution of size 7 and stride 2 and a max pooling of stride 2; or
            ``"small"``, a convolution of size 3 alone, for images of about 32 x 32.
        neuron: The prototype of the neurons.
        rngs: Source of keys.
        **options: Further arguments of ``block``.
    """

    conv_bn_pairs = (("conv1", "bn1"),)

    def __init__(
        self,
        owner: str,
        block: "type[BasicBlock | Bottleneck]",
        depths: tuple[int, int, int, int],
        *,
        classes: int,
        in_features: int,
        width: int,
        stem: str,
        neuron: Prototype,
        rngs: nnx.Rngs,
        **options: str,
    ):
        check_sizes(owner, classes=classes, in_features=in_features, width=width)
        one_of(f"`{owner}(stem=...)`", stem, ("imagenet", "small"))
        new_neuron = functools.partial(copy_of, owner, neuron)
        size, stride = (7, 2) if stem == "imagenet" else (3, 1)
        self.conv1 = conv(in_features, width, size, stride, rngs=rngs)
        self.bn1, self.sn1 = norm(width, rngs=rngs), new_neuron()
        pool = MaxPool((3, 3), (2, 2), ((1, 1), (1, 1)))
        self.maxpool = pool if stem == "imagenet" else None
        inputs = width
        for i, (name, depth) in enumerate(zip(STAGES, depths, strict=True)):
            blocks = []
            for j in range(depth):
                stride = 2 if i > 0 and j == 0 else 1
                blocks.append(block(inputs, width * 2**i, stride, new_neuron, rngs, **options))
                inputs = width * 2**i * block.expansion
            setattr(self, name, Sequential(*blocks))
        self.fc = nnx.Linear(inputs, classes, rngs=rngs)

    def __call__(self, state: Tree, x: Array) -> tuple[Tree, Array]:
        """One step of images ``[N, H, W, C]``, or a sequence; a current for each class."""
        new = {}
        new["sn1"], x = self.sn1(state["sn1"], self.bn1(self.conv1(x)))
        if self.maxpool is not None:
            x = self.maxpool(x)
        for name in STAGES:
            new[name], x = getattr(self, name)(state[name], x)
        return new, self.fc(x.mean((-3, -2)))


class BasicBlock(SpikingModule):
    """The layers of a block of two convolutions of size 3; each family has its own ``__call__``."""

    expansion: ClassVar[int] = 1
    conv_bn_pairs = ("conv1", "bn1"), ("conv2", "bn2")

    def __init__(self, inputs: int, width: int, stride: int, new_neuron: NewNeuron, rngs: nnx.Rngs):
        self.conv1 = conv(inputs, width, 3, stride, rngs=rngs)
        self.bn1, self.sn1 = norm(width, rngs=rngs), new_neuron()
        self.conv2 = conv(width, width, 3, rngs=rngs)
        self.bn2, self.sn2 = norm(width, rngs=rngs), new_neuron()
        self.downsample = _downsample(inputs, width, stride, rngs)


class Bottleneck(SpikingModule):
    """The layers of a block of convolutions of sizes 1, 3 and 1; the last one has 4 times more."""

    expansion: ClassVar[int] = 4
    conv_bn_pairs = ("conv1", "bn1"), ("conv2", "bn2"), ("conv3", "bn3")

    def __init__(self, inputs: int, width: int, stride: int, new_neuron: NewNeuron, rngs: nnx.Rngs):
        outputs = width * self.expansion
        self.conv1 = conv(inputs, width, 1, rngs=rngs)
        self.bn1, self.sn1 = norm(width, rngs=rngs), new_neuron()
        self.conv2 = conv(width, width, 3, stride, rngs=rngs)
        self.bn2, self.sn2 = norm(width, rngs=rngs), new_neuron()
        self.conv3 = conv(width, outputs, 1, rngs=rngs)
        self.bn3, self.sn3 = norm(outputs, rngs=rngs), new_neuron()
        self.downsample = _downsample(inputs, outputs, stride, rngs)


def _downsample(inputs: int, outputs: int, stride: int, rngs: nnx.Rngs):
    """A convolution of size 1, normalized, where a block changes the shape; else the identity."""
    if stride == 1 and inputs == outputs:
        return nnx.Sequential()
    return nnx.Sequential(conv(inputs, outputs, 1, stride, rngs=rngs), norm(outputs, rngs=rngs))
