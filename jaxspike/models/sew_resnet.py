"""SEW-ResNet: residual networks that combine the spikes of branch and shortcut."""

import functools
from collections.abc import Callable

from flax import nnx

from .._check import one_of
from .._types import Array, Tree
from .building_blocks import IF_ATAN, Prototype, copy_of
from .preset import preset
from .resnet import Block, ResNet

CONNECT: dict[str, Callable[[Array, Array], Array]] = {
    "add": lambda x, y: x + y,
    "and": lambda x, y: x * y,
    "iand": lambda x, y: x * (1 - y),
}


def sew_resnet(
    classes: int = 1000,
    in_features: int = 3,
    *,
    depths: tuple[int, int, int, int] = (2, 2, 2, 2),
    bottleneck: bool = False,
    width: int = 64,
    connect: str = "add",
    stem: str = "imagenet",
    neuron: Prototype = IF_ATAN,
    rngs: nnx.Rngs,
) -> ResNet:
    """SEW-ResNet: a residual network with spikes everywhere.

    A block is ``connect(x, y)`` with the spikes ``y = neuron(bn2(conv2(neuron(bn1(conv1(x))))))``
    of the branch. Where the shape changes, a neuron after a convolution of size 1 makes the spikes
    of the shortcut ``x``. A bottleneck has convolutions of sizes 1, 3 and 1 and is, as in
    SpikingJelly, ``connect(y, x)``, with the branch first.

    It maps one step ``[N, H, W, in_features]`` to ``[N, classes]``, and a sequence ``[T, N, H, W,
    in_features]`` to ``[T, N, classes]``: currents, to be averaged over time
    (`jaxspike.readout.rate`).

    Args:
        classes: Number of outputs.
        in_features: Channels of the images.
        depths: Number of blocks of each of the four stages.
        bottleneck: Whether blocks have three convolutions, the last with 4 times the channels.
        width: Channels of the first stage; 64 in the paper. They double at each of the other three.
        connect: ``"add"``: ``x + y``, which counts spikes; ``"and"``: ``x * y``; ``"iand"``: ``x *
            (1 - y)``, both of which keep spikes binary.
        stem: ``"imagenet"``, which reduces images by 4 on each side, or ``"small"``, which keeps
            their size, for images of about 32 x 32.
        neuron: The neuron of all layers, or a layer of neurons such as ``js.nn.Spiking(js.LIF(),
            learn=("tau",))``. Every place gets a copy with parameters of its own.
        rngs: Source of keys for the weights.

    Raises:
        TypeError: If a size is not an integer, ``neuron`` is not a neuron, or ``rngs`` no keys.
        ValueError: If a size is below 1, there are not four of ``depths``, or ``connect``, ``stem``
            or ``bottleneck`` is something else.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> from flax import nnx
        >>> net = js.models.sew_resnet18(10, width=8, stem="small", rngs=nnx.Rngs(0))
        >>> state = net.init_state((2, 32, 32, 3))
        >>> jnp.shape(state["layer2"][0]["sn1"].v)
        (2, 16, 16, 16)

    Source: Fang et al., "Deep residual learning in spiking neural networks", NeurIPS 2021;
    SpikingJelly ``model.sew_resnet``.
    """
    one_of("`sew_resnet(connect=...)`", connect, tuple(CONNECT))
    block = functools.partial(SEWBlock, connect=connect)
    sizes = classes, in_features, depths, bottleneck, width
    return ResNet("sew_resnet", block, *sizes, stem, neuron, rngs)


sew_resnet18 = preset(
    sew_resnet,
    "sew_resnet18",
    "SEW-ResNet-18: the `sew_resnet` of 2 blocks in each stage.",
    depths=(2, 2, 2, 2),
)
sew_resnet34 = preset(
    sew_resnet,
    "sew_resnet34",
    "SEW-ResNet-34: the `sew_resnet` of 3, 4, 6 and 3 blocks.",
    depths=(3, 4, 6, 3),
)
sew_resnet50 = preset(
    sew_resnet,
    "sew_resnet50",
    "SEW-ResNet-50: the `sew_resnet` of 3, 4, 6 and 3 bottlenecks.",
    depths=(3, 4, 6, 3),
    bottleneck=True,
)


class SEWBlock(Block):
    """``connect(shortcut, branch)``; of a bottleneck ``connect(branch, shortcut)``."""

    def __init__(
        self,
        inputs: int,
        width: int,
        stride: int,
        bottleneck: bool,
        neuron: Prototype,
        rngs: nnx.Rngs,
        *,
        connect: str,
    ):
        super().__init__(inputs, width, stride, bottleneck, neuron, rngs)
        self.downsample_sn = copy_of(neuron) if self.downsample.layers else None
        self.connect = connect
        self.branch_first = bottleneck

    def __call__(self, state: Tree, x: Array) -> tuple[Tree, Array]:
        """One step of images ``[N, H, W, C]``, or a sequence."""
        new, y = self.fire(state, *self.branch(state, x))
        if self.downsample_sn is not None:
            new["downsample_sn"], x = self.downsample_sn(state["downsample_sn"], self.downsample(x))
        first, second = (y, x) if self.branch_first else (x, y)
        return new, CONNECT[self.connect](first, second)
