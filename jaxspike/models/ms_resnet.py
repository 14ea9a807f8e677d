"""MS-ResNet and Max-ResNet: the shortcuts carry membrane potentials past the neurons."""

from flax import nnx

from .._types import Array, Tree
from ..neurons import LIF
from ..nn import Sequential, SpikingModule
from ..surrogate import Rect
from .building_blocks import (
    LIF_DETACHED,
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
from .preset import preset
from .resnet import shortcut, stem_conv

#: The neuron of the paper on MS-ResNet.
MS_LIF = LIF(
    tau=4 / 3,
    v_threshold=0.5,
    decay_input=False,
    detach_reset=True,
    surrogate=Rect(alpha=2.0),
)


def ms_resnet(
    classes: int = 1000,
    in_features: int = 3,
    *,
    depths: tuple[int, int, int, int] = (2, 2, 2, 2),
    width: int = 64,
    stem: str = "imagenet",
    neuron: Prototype = MS_LIF,
    rngs: nnx.Rngs,
) -> "MSResNet":
    """MS-ResNet: a residual network whose shortcuts carry membrane potentials.

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
        depths: Number of blocks of each of the four stages.
        width: Channels of the stem and the first stage; they double at each of the other three.
        stem: A convolution of size 7 and stride 2 (``"imagenet"``), or of size 3 and stride 1
            (``"small"``).
        neuron: The neuron of all layers, or a layer of neurons; every place gets a copy.
        rngs: Source of keys for the weights.

    Raises:
        TypeError: If a size is not an integer, ``neuron`` is not a neuron, or ``rngs`` no keys.
        ValueError: If a size is below 1, there are not four of ``depths``, or ``stem`` is something
            else.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> from flax import nnx
        >>> net = js.models.ms_resnet18(10, width=8, stem="small", rngs=nnx.Rngs(0))
        >>> state = net.init_state((2, 32, 32, 3))
        >>> jnp.shape(state["layer1"][0]["spike1"].v), jnp.shape(state["layer1"][0]["spike2"].v)
        ((2, 32, 32, 8), (2, 16, 16, 8))

    Source: Hu et al., "Advancing spiking neural networks towards deep residual learning", 2021;
    SpikingJelly ``model.ms_resnet``.
    """
    check_stages("ms_resnet", 4, depths=depths)
    stages = [(2**i, depth, 2) for i, depth in enumerate(depths)]
    return MSResNet("ms_resnet", stages, False, classes, in_features, width, stem, neuron, rngs)


ms_resnet18 = preset(
    ms_resnet,
    "ms_resnet18",
    "MS-ResNet-18: the `ms_resnet` of 2 blocks in each stage.",
    depths=(2, 2, 2, 2),
)
ms_resnet34 = preset(
    ms_resnet,
    "ms_resnet34",
    "MS-ResNet-34: the `ms_resnet` of 3, 4, 6 and 3 blocks.",
    depths=(3, 4, 6, 3),
)


def max_resnet18(
    classes: int = 10,
    in_features: int = 3,
    *,
    width: int = 64,
    stem: str = "small",
    neuron: Prototype = LIF_DETACHED,
    rngs: nnx.Rngs,
) -> "MSResNet":
    """Max-ResNet-18: an MS-ResNet of three stages that reduces images by max pooling.

    Between stages, ``bn1(conv1(neuron(x)))`` goes through a max pooling of size 3 and stride 2; the
    convolution itself has no stride. The stages have 3, 3 and 2 blocks, and ``2 * width``, ``4 *
    width`` and ``8 * width`` channels. The rest is as in `ms_resnet`.

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
    stages = [(2, 3, 1), (4, 3, 2), (8, 2, 2)]
    return MSResNet("max_resnet18", stages, True, classes, in_features, width, stem, neuron, rngs)


class MSResNet(SpikingModule):
    """Stem, stages of blocks, a neuron, the mean over the image, and the head.

    Args:
        owner: The function that makes it, for errors.
        stages: Channels as a multiple of ``width``, number of blocks and stride of each stage.
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
        check_sizes(owner, classes=classes, in_features=in_features, width=width)
        check_parts(owner, rngs, neuron=neuron)
        self.in_features = in_features
        stem_norm = norm(width, scale=1.0 if pool else 0.5, rngs=rngs)
        self.stem = nnx.Sequential(stem_conv(owner, stem, in_features, width, rngs), stem_norm)
        self.n_stages = len(stages)
        inputs = width
        for i, (multiple, depth, stride) in enumerate(stages, 1):
            first = MSBlock(inputs, multiple * width, stride, pool, neuron, rngs)
            inputs = multiple * width
            others = [MSBlock(inputs, inputs, 1, pool, neuron, rngs) for _ in range(depth - 1)]
            setattr(self, f"layer{i}", Sequential(first, *others))
        self.head_lif = copy_of(neuron)
        self.head = nnx.Linear(inputs, classes, rngs=rngs)

    def __call__(self, state: Tree, x: Array) -> tuple[Tree, Array]:
        """One step of images ``[N, H, W, C]``, or a sequence; a current for each class."""
        check_images(self, x, self.in_features)
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
        neuron: Prototype,
        rngs: nnx.Rngs,
    ):
        scale = 1.0 if pool else 0.5
        self.spike1 = copy_of(neuron)
        self.conv1 = conv(inputs, outputs, 3, 1 if pool else stride, rngs=rngs)
        self.bn1 = norm(outputs, scale=scale, rngs=rngs)
        self.max_pool = max_pool() if pool and stride > 1 else None
        self.spike2 = copy_of(neuron)
        self.conv2 = conv(outputs, outputs, 3, rngs=rngs)
        self.bn2 = norm(outputs, scale=1.0 if pool else 0.0, rngs=rngs)
        self.downsample = shortcut(inputs, outputs, stride, rngs, scale=scale)

    def __call__(self, state: Tree, x: Array) -> tuple[Tree, Array]:
        """One step of potentials ``[N, H, W, C]``, or a sequence."""
        new = {}
        new["spike1"], y = self.spike1(state["spike1"], x)
        y = self.bn1(self.conv1(y))
        if self.max_pool is not None:
            y = self.max_pool(y)
        new["spike2"], y = self.spike2(state["spike2"], y)
        return new, self.bn2(self.conv2(y)) + self.downsample(x)
