"""Spiking ResNet: the residual network of ANNs, with neurons in the place of its activations."""

from flax import nnx

from .._types import Array, Tree
from ..nn import SpikingModule
from .building_blocks import IF_ATAN, Prototype
from .resnet import BasicBlock, Bottleneck, ResNet


def spiking_resnet18(
    classes: int = 1000,
    in_features: int = 3,
    *,
    width: int = 64,
    stem: str = "imagenet",
    neuron: Prototype = IF_ATAN,
    rngs: nnx.Rngs,
) -> SpikingModule:
    """Spiking ResNet-18: the residual network of ANNs with neurons in the place of activations.

    A block is ``neuron(y + x)`` with the currents ``y = bn2(conv2(neuron(bn1(conv1(x)))))`` of the
    branch and the shortcut ``x``, convolved and normalized where the shape changes.

    Shapes, arguments and errors are those of `sew_resnet18`, without ``connect``. Checkpoints of
    torchvision's ``resnet18``, an ANN, have the same names and load too.

    Args:
        classes: Number of outputs.
        in_features: Channels of the images.
        width: Channels of the first stage.
        stem: ``"imagenet"`` or ``"small"``.
        neuron: The neuron of all layers, of which every place gets a copy.
        rngs: Source of keys for the weights.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> from flax import nnx
        >>> net = js.models.spiking_resnet18(10, width=8, stem="small", rngs=nnx.Rngs(0))
        >>> state = net.init_state((2, 32, 32, 3))
        >>> jnp.shape(state["layer4"][0]["sn1"].v)
        (2, 4, 4, 64)

    Source: Hu, Tang, Pan, "Spiking deep residual networks", 2018; SpikingJelly
    ``model.spiking_resnet``.
    """
    return ResNet(
        "spiking_resnet18",
        SpikingBasicBlock,
        (2, 2, 2, 2),
        classes=classes,
        in_features=in_features,
        width=width,
        stem=stem,
        neuron=neuron,
        rngs=rngs,
    )


def spiking_resnet34(
    classes: int = 1000,
    in_features: int = 3,
    *,
    width: int = 64,
    stem: str = "imagenet",
    neuron: Prototype = IF_ATAN,
    rngs: nnx.Rngs,
) -> SpikingModule:
    """Spiking ResNet-34: `spiking_resnet18` with 3, 4, 6 and 3 blocks in its stages."""
    return ResNet(
        "spiking_resnet34",
        SpikingBasicBlock,
        (3, 4, 6, 3),
        classes=classes,
        in_features=in_features,
        width=width,
        stem=stem,
        neuron=neuron,
        rngs=rngs,
    )


def spiking_resnet50(
    classes: int = 1000,
    in_features: int = 3,
    *,
    width: int = 64,
    stem: str = "imagenet",
    neuron: Prototype = IF_ATAN,
    rngs: nnx.Rngs,
) -> SpikingModule:
    """Spiking ResNet-50: blocks of sizes 1, 3 and 1, otherwise as `spiking_resnet34`."""
    return ResNet(
        "spiking_resnet50",
        SpikingBottleneck,
        (3, 4, 6, 3),
        classes=classes,
        in_features=in_features,
        width=width,
        stem=stem,
        neuron=neuron,
        rngs=rngs,
    )


class SpikingBasicBlock(BasicBlock):
    """The neuron comes after the sum."""

    def __call__(self, state: Tree, x: Array) -> tuple[Tree, Array]:
        """One step of images ``[N, H, W, C]``, or a sequence."""
        new = {}
        new["sn1"], y = self.sn1(state["sn1"], self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y)) + self.downsample(x)
        new["sn2"], y = self.sn2(state["sn2"], y)
        return new, y


class SpikingBottleneck(Bottleneck):
    """The neuron comes after the sum."""

    def __call__(self, state: Tree, x: Array) -> tuple[Tree, Array]:
        """One step of images ``[N, H, W, C]``, or a sequence."""
        new = {}
        new["sn1"], y = self.sn1(state["sn1"], self.bn1(self.conv1(x)))
        new["sn2"], y = self.sn2(state["sn2"], self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y)) + self.downsample(x)
        new["sn3"], y = self.sn3(state["sn3"], y)
        return new, y
