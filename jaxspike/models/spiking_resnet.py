"""Spiking ResNet: the residual network of ANNs, with neurons in the place of its activations."""

from flax import nnx

from .._types import Array, Tree
from .building_blocks import IF_ATAN, Prototype
from .preset import preset
from .resnet import Block, ResNet


def spiking_resnet(
    classes: int = 1000,
    in_features: int = 3,
    *,
    depths: tuple[int, int, int, int] = (2, 2, 2, 2),
    bottleneck: bool = False,
    width: int = 64,
    stem: str = "imagenet",
    neuron: Prototype = IF_ATAN,
    rngs: nnx.Rngs,
) -> ResNet:
    """Spiking ResNet: the residual network of ANNs with neurons in the place of activations.

    A block is ``neuron(y + x)`` with the currents ``y = bn2(conv2(neuron(bn1(conv1(x)))))`` of the
    branch and the shortcut ``x``, convolved and normalized where the shape changes.

    Shapes, arguments and errors are those of `sew_resnet`, without ``connect``. Checkpoints of
    torchvision's ``resnet18``, an ANN, have the same names and load too.

    Args:
        classes: Number of outputs.
        in_features: Channels of the images.
        depths: Number of blocks of each of the four stages.
        bottleneck: Whether blocks have three convolutions, the last with 4 times the channels.
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
    sizes = classes, in_features, depths, bottleneck, width
    return ResNet("spiking_resnet", SpikingBlock, *sizes, stem, neuron, rngs)


spiking_resnet18 = preset(
    spiking_resnet,
    "spiking_resnet18",
    "Spiking ResNet-18: the `spiking_resnet` of 2 blocks in each stage.",
    depths=(2, 2, 2, 2),
)
spiking_resnet34 = preset(
    spiking_resnet,
    "spiking_resnet34",
    "Spiking ResNet-34: the `spiking_resnet` of 3, 4, 6 and 3 blocks.",
    depths=(3, 4, 6, 3),
)
spiking_resnet50 = preset(
    spiking_resnet,
    "spiking_resnet50",
    "Spiking ResNet-50: the `spiking_resnet` of 3, 4, 6 and 3 bottlenecks.",
    depths=(3, 4, 6, 3),
    bottleneck=True,
)


class SpikingBlock(Block):
    """The last neuron comes after the sum."""

    def __call__(self, state: Tree, x: Array) -> tuple[Tree, Array]:
        """One step of images ``[N, H, W, C]``, or a sequence."""
        new, y = self.branch(state, x)
        return self.fire(state, new, y + self.downsample(x))
