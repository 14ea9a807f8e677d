"""MS-ResNet and Max-ResNet: the shortcuts carry membrane potentials past the neurons."""

import functools

from flax import nnx

from .._check import one_of
from .._types import Array, Tree
from ..neurons import LIF
from ..nn import MaxPool, Sequential, SpikingModule
from ..surrogate import Rect
from .building_blocks import NewNeuron, Prototype, check_sizes, conv, copy_of, norm

#: The neurons of the two papers.
MS_LIF = LIF(
    tau=4 / 3,
    v_threshold=0.5,
    decay_input=False,
    detach_reset=True,
    surrogate=Rect(alpha=2.0),
)
MAX_LIF = LIF(tau=2.0, detach_reset=True)


def ms_resnet18(
    classes: int = 1000,
    in_features: int = 3,
    *,
    width: int = 64,
    stem: str = "imagenet",
    neuron: Prototype = MS_LIF,
    rngs: nnx.Rngs,
) -> SpikingModule:
    """MS-ResNet-18: a residual network whose shortcuts carry membrane potentials.

    A block is ``bn2(conv2(neuron(bn1(conv1(neuron(x)))))) + x``, so that no neuron is on the way
    from one sum to the next. Where the shape changes, ``x`` is convolved and normalized. The first
    stage has a stride of 2 too, in the place of a pooling.

    It maps one step ``[N, H, W, in_features]`` to ``[N, classes]``, and a sequence ``[T, N, H, W,
    in_features]`` to ``[T, N, classes]``. SpikingJelly averages over time inside the network: that
    is ``js.readout.rate`` of the output. For images it repeats the image: that is
    ``js.encode.direct(image, T)``.

    Args:
        classes: Number of outputs.
        in_features: Channels of the images.
        width: Channels of the stem and the first stage; they double at each of the other three.
        stem: A convolution of size 7 and stride 2 (``"imagenet"``), or of size 3 and stride 1
            (``"small"``).
        neuron: The neuron of all layers, or a layer of neurons; every place gets a copy.
        rngs: Source of keys for the weights.

    Raises:
        TypeError: If a size is not an integer, or ``neuron`` is not a neuron.
        ValueError: If a size is below 1, or ``stem`` is something else.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> from flax import nnx
        >>> net = js.models.ms_resnet18(10, width=8, stem="small", rngs=nnx.Rngs(0))
        >>> state = net.init_state((2, 32, 32, 3))
        >>> jnp.shape(state["layer1"][0]["spike1"].v), jnp.shape(state["layer1"][0]["spike2"].v)
        ((2, 32, 32, 8), (2, 16, 16, 8))

    Source: Hu et al., "Advancing spiking neural networks towards deep residual learning", 2021;
    SpikingJelly ``model.ms_resnet.ms_resnet18``.
    """
    check_sizes("ms_resnet18", classes=classes, in_features=in_features, width=width)
    stages = [(width * 2**i, depth, 2) for i, depth in enumerate((2, 2, 2, 2))]
    return MSResNet("ms_resnet18", stages, False, classes, in_features, width, stem, neuron, rngs)


def ms_resnet34(
    classes: int = 1000,
    in_features: int = 3,
    *,
    width: int = 64,
    stem: str = "imagenet",
    neuron: Prototype = MS_LIF,
    rngs: nnx.Rngs,
) -> SpikingModule:
    """MS-ResNet-34: `ms_resnet18` with 3, 4, 6 and 3 blocks in its stages."""
    check_sizes("ms_resnet34", classes=classes, in_features=in_features, width=width)
    stages = [(width * 2**i, depth, 2) for i, depth in enumerate((3, 4, 6, 3))]
    return MSResNet("ms_resnet34", stages, False, classes, in_features, width, stem, neuron, rngs)


def max_resnet18(
    classes: int = 10,
    in_features: int = 3,
    *,
    width: int = 64,
    stem: str = "small",
    neuron: Prototype = MAX_LIF,
    rngs: nnx.Rngs,
) -> SpikingModule:
    """Max-ResNet-18: an MS-ResNet of three stages that reduces images by max pooling.

    Between stages, ``bn1(conv1(neuron(x)))`` goes through a max pooling of size 3 and stride 2; the
    convolution itself has no stride. The stages have 3, 3 and 2 blocks, and ``2 * width``, ``4 *
    width`` and ``8 * width`` channels. The rest is as in `ms_resnet18`.

    Args:
        classes: Number of outputs.
        in_features: Channels of the images.
        width: Channels of the stem.
        stem: ``"small"``, a convolution of size 3, or ``"imagenet"``, one of size 7 and stride 2.
        neuron: The neuron of all layers, of which every place gets a copy.
        rngs: Source of keys for the weights.

    Source: Fang et al., "Spiking neural networks need high-frequency information", 2025;
    SpikingJelly ``model.ms_resnet.max_resnet18``.
    """
    check_sizes("max_resnet18", classes=classes, in_features=in_features, width=width)
    stages = [(2 * width, 3, 1), (4 * width, 3, 2), (8 * width, 2, 2)]
    return MSResNet("max_resnet18", stages, True, classes, in_features, width, stem, neuron, rngs)


class MSResNet(SpikingModule):
    """Stem, stages of (channels, depth, stride), a neuron, the mean over the image, and the head.

    Args:
        owner: The function that makes it, for errors.
        stages: Channels, number of blocks and stride of each stage.
        pool: Whether a max pooling has the stride, not the convolution; then the scales of the
            normalizations start at 1 and not at the values of MS-ResNet.
        classes: Number of outputs.
        in_features: Channels of the images.
        width: Channels of the stem.
        stem: ``"imagenet"`` or ``"small"``.
        neuron: The prototype of the neurons.
        rngs: Source of keys.
    """

    def __init__(
        self,
        owner: str,
        stages: list[tuple[int, int, int]],
        pool: bool,
        classes: int,
        in_features: int,
        width: int,
        stem: str,
        neuron: Prototype,
        rngs: nnx.Rngs,
    ):
        one_of(f"`{owner}(stem=...)`", stem, ("imagenet", "small"))
        new_neuron = functools.partial(copy_of, owner, neuron)
        size, stride = (7, 2) if stem == "imagenet" else (3, 1)
        scale = 1.0 if pool else 0.5
        self.stem = nnx.Sequential(
            conv(in_features, width, size, stride, rngs=rngs), norm(width, scale=scale, rngs=rngs)
        )
        self.n_stages = len(stages)
        inputs = width
        for i, (channels, depth, stride) in enumerate(stages, 1):
            first = MSBlock(inputs, channels, stride, pool, new_neuron, rngs)
            inputs = channels
            others = [MSBlock(inputs, inputs, 1, pool, new_neuron, rngs) for _ in range(depth - 1)]
            setattr(self, f"layer{i}", Sequential(first, *others))
        self.head_lif = new_neuron()
        self.head = nnx.Linear(inputs, classes, rngs=rngs)

    def __call__(self, state: Tree, x: Array) -> tuple[Tree, Array]:
        """One step of images ``[N, H, W, C]``, or a sequence; a current for each class."""
        new = {}
        x = self.stem(x)
        for i in range(1, self.n_stages + 1):
            name = f"layer{i}"
            new[name], x = getattr(self, name)(state[name], x)
        new["head_lif"], x = self.head_lif(state["head_lif"], x)
        return new, self.head(x.mean((-3, -2)))


class MSBlock(SpikingModule):
    """Neurons before the convolutions, and a shortcut of membrane potentials."""

    conv_bn_pairs = ("conv1", "bn1"), ("conv2", "bn2")

    def __init__(
        self,
        inputs: int,
        outputs: int,
        stride: int,
        pool: bool,
        new_neuron: NewNeuron,
        rngs: nnx.Rngs,
    ):
        scale = 1.0 if pool else 0.5
        self.spike1 = new_neuron()
        self.conv1 = conv(inputs, outputs, 3, 1 if pool else stride, rngs=rngs)
        self.bn1 = norm(outputs, scale=scale, rngs=rngs)
        pooled = MaxPool((3, 3), (stride, stride), ((1, 1), (1, 1)))
        self.max_pool = pooled if pool and stride > 1 else None
        self.spike2 = new_neuron()
        self.conv2 = conv(outputs, outputs, 3, rngs=rngs)
        self.bn2 = norm(outputs, scale=1.0 if pool else 0.0, rngs=rngs)
        self.downsample = nnx.Sequential()
        if stride > 1 or inputs != outputs:
            self.downsample = nnx.Sequential(
                conv(inputs, outputs, 1, stride, rngs=rngs), norm(outputs, scale=scale, rngs=rngs)
            )

    def __call__(self, state: Tree, x: Array) -> tuple[Tree, Array]:
        """One step of potentials ``[N, H, W, C]``, or a sequence."""
        new = {}
        new["spike1"], y = self.spike1(state["spike1"], x)
        y = self.bn1(self.conv1(y))
        if self.max_pool is not None:
            y = self.max_pool(y)
        new["spike2"], y = self.spike2(state["spike2"], y)
        return new, self.bn2(self.conv2(y)) + self.downsample(x)
