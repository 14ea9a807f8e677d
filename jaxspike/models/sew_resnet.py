"""SEW-ResNet: residual networks that combine the spikes of branch and shortcut."""

from collections.abc import Callable

from flax import nnx

from .._check import one_of
from .._types import Array, Tree
from ..nn import SpikingModule
from .building_blocks import IF_ATAN, NewNeuron, Prototype
from .resnet import BasicBlock, Bottleneck, ResNet

CONNECT: dict[str, Callable[[Array, Array], Array]] = {
    "add": lambda x, y: x + y,
    "and": lambda x, y: x * y,
    "iand": lambda x, y: x * (1 - y),
}


def sew_resnet18(
    classes: int = 1000,
    in_features: int = 3,
    *,
    width: int = 64,
    connect: str = "add",
    stem: str = "imagenet",
    neuron: Prototype = IF_ATAN,
    rngs: nnx.Rngs,
) -> SpikingModule:
    """SEW-ResNet-18: the residual network of two convolutions a block, with spikes everywhere.

    A block is ``connect(x, y)`` with the spikes ``y = neuron(bn2(conv2(neuron(bn1(conv1(x))))))``
    of the branch. Where the shape changes, a neuron after a convolution of size 1 makes the spikes
    of the shortcut ``x``.

    It maps one step ``[N, H, W, in_features]`` to ``[N, classes]``, and a sequence ``[T, N, H, W,
    in_features]`` to ``[T, N, classes]``: currents, to be averaged over time
    (`jaxspike.readout.rate`).

    Args:
        classes: Number of outputs.
        in_features: Channels of the images.
        width: Channels of the first stage; 64 in the paper. They double at each of the other three.
        connect: ``"add"``: ``x + y``, which counts spikes; ``"and"``: ``x * y``; ``"iand"``: ``x *
            (1 - y)``, both of which keep spikes binary.
        stem: ``"imagenet"``, which reduces images by 4 on each side, or ``"small"``, which keeps
            their size, for images of about 32 x 32.
        neuron: The neuron of all layers, or a layer of neurons such as ``js.nn.Spiking(js.LIF(),
            learn=("tau",))``. Every place gets a copy with parameters of its own.
        rngs: Source of keys for the weights.

    Raises:
        TypeError: If a size is not an integer, or ``neuron`` is not a neuron.
        ValueError: If a size is below 1, or ``connect`` or ``stem`` is something else.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> from flax import nnx
        >>> net = js.models.sew_resnet18(10, width=8, stem="small", rngs=nnx.Rngs(0))
        >>> state = net.init_state((2, 32, 32, 3))
        >>> jnp.shape(state["layer2"][0]["sn1"].v)
        (2, 16, 16, 16)

    Source: Fang et al., "Deep residual learning in spiking neural networks", NeurIPS 2021;
    SpikingJelly ``model.sew_resnet.sew_resnet18(cnf="ADD")``.
    """
    one_of("`sew_resnet18(connect=...)`", connect, tuple(CONNECT))
    return ResNet(
        "sew_resnet18",
        SEWBasicBlock,
        (2, 2, 2, 2),
        classes=classes,
        in_features=in_features,
        width=width,
        stem=stem,
        neuron=neuron,
        rngs=rngs,
        connect=connect,
    )


def sew_resnet34(
    classes: int = 1000,
    in_features: int = 3,
    *,
    width: int = 64,
    connect: str = "add",
    stem: str = "imagenet",
    neuron: Prototype = IF_ATAN,
    rngs: nnx.Rngs,
) -> SpikingModule:
    """SEW-ResNet-34: `sew_resnet18` with 3, 4, 6 and 3 blocks in its stages."""
    one_of("`sew_resnet34(connect=...)`", connect, tuple(CONNECT))
    return ResNet(
        "sew_resnet34",
        SEWBasicBlock,
        (3, 4, 6, 3),
        classes=classes,
        in_features=in_features,
        width=width,
        stem=stem,
        neuron=neuron,
        rngs=rngs,
        connect=connect,
    )


def sew_resnet50(
    classes: int = 1000,
    in_features: int = 3,
    *,
    width: int = 64,
    connect: str = "add",
    stem: str = "imagenet",
    neuron: Prototype = IF_ATAN,
    rngs: nnx.Rngs,
) -> SpikingModule:
    """SEW-ResNet-50: blocks of convolutions of sizes 1, 3 and 1, otherwise as `sew_resnet34`.

    As in SpikingJelly, these blocks are ``connect(y, x)``, with the branch first: ``"iand"`` is ``y
    * (1 - x)``.
    """
    one_of("`sew_resnet50(connect=...)`", connect, tuple(CONNECT))
    return ResNet(
        "sew_resnet50",
        SEWBottleneck,
        (3, 4, 6, 3),
        classes=classes,
        in_features=in_features,
        width=width,
        stem=stem,
        neuron=neuron,
        rngs=rngs,
        connect=connect,
    )


class SEWBasicBlock(BasicBlock):
    """``connect(shortcut, branch)``."""

    def __init__(
        self,
        inputs: int,
        width: int,
        stride: int,
        new_neuron: NewNeuron,
        rngs: nnx.Rngs,
        *,
        connect: str,
    ):
        super().__init__(inputs, width, stride, new_neuron, rngs)
        self.downsample_sn = new_neuron() if self.downsample.layers else None
        self.connect = connect

    def __call__(self, state: Tree, x: Array) -> tuple[Tree, Array]:
        """One step of images ``[N, H, W, C]``, or a sequence."""
        new = {}
        new["sn1"], y = self.sn1(state["sn1"], self.bn1(self.conv1(x)))
        new["sn2"], y = self.sn2(state["sn2"], self.bn2(self.conv2(y)))
        if self.downsample_sn is not None:
            new["downsample_sn"], x = self.downsample_sn(state["downsample_sn"], self.downsample(x))
        return new, CONNECT[self.connect](x, y)


class SEWBottleneck(Bottleneck):
    """``connect(branch, shortcut)``, in this order."""

    def __init__(
        self,
        inputs: int,
        width: int,
        stride: int,
        new_neuron: NewNeuron,
        rngs: nnx.Rngs,
        *,
        connect: str,
    ):
        super().__init__(inputs, width, stride, new_neuron, rngs)
        self.downsample_sn = new_neuron() if self.downsample.layers else None
        self.connect = connect

    def __call__(self, state: Tree, x: Array) -> tuple[Tree, Array]:
        """One step of images ``[N, H, W, C]``, or a sequence."""
        new = {}
        new["sn1"], y = self.sn1(state["sn1"], self.bn1(self.conv1(x)))
        new["sn2"], y = self.sn2(state["sn2"], self.bn2(self.conv2(y)))
        new["sn3"], y = self.sn3(state["sn3"], self.bn3(self.conv3(y)))
        if self.downsample_sn is not None:
            new["downsample_sn"], x = self.downsample_sn(state["downsample_sn"], self.downsample(x))
        return new, CONNECT[self.connect](y, x)
