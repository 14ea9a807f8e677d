"""The networks of parametric LIF neurons: one for each of six data sets."""

from flax import nnx

from .._types import Array, Shape, Tree
from ..neurons import LIF
from ..nn import Dropout, Flatten, MaxPool, Sequential, Spiking, SpikingModule, Voting
from ..surrogate import ATan
from .building_blocks import (
    Prototype,
    check_images,
    check_parts,
    check_sizes,
    check_stages,
    conv,
    copy_of,
    norm,
    pooled_size,
)
from .preset import preset

VOTERS = 10  # neurons of each class


def parametric_lif() -> Spiking:
    """The parametric LIF neuron of the paper, whose time constant is learned."""
    return Spiking(LIF(tau=2.0, detach_reset=True, surrogate=ATan()), learn=("tau",))


def plif_net(
    classes: int = 10,
    in_features: int = 1,
    *,
    stages: tuple[int, ...] = (1, 1),
    width: int = 128,
    hidden: int = 2048,
    size: Shape = (28, 28),
    neuron: Prototype | None = None,
    rngs: nnx.Rngs,
) -> "PLIFNet":
    """A network of the parametric LIF paper: convolutions, a hidden layer, neurons that vote.

    Each stage is convolutions, each with a batch normalization and neurons, and a max pooling of
    size 2. Then follow dropout, a linear layer with neurons, dropout, and 10 neurons for each
    class, whose mean is the output.

    It maps one step ``[N, H, W, in_features]`` to ``[N, classes]``, and a sequence ``[T, N, H, W,
    in_features]`` to ``[T, N, classes]``: the share of a class's neurons that fire.

    Args:
        classes: Number of outputs.
        in_features: Channels of the images.
        stages: The number of convolutions before each pooling.
        width: Channels of every convolution.
        hidden: Neurons of the hidden linear layer.
        size: Height and width of the images.
        neuron: The neuron of all layers, or a layer of neurons; every place gets a copy. None is
            that of the paper, ``js.nn.Spiking(js.LIF(detach_reset=True,
            surrogate=js.surrogate.ATan()), learn=("tau",))``.
        rngs: Source of keys for the weights and for the dropout.

    Raises:
        TypeError: If a size is not an integer, ``neuron`` is not a neuron, or ``rngs`` no keys.
        ValueError: If a size is below 1, or ``size`` is too small for the poolings.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> from flax import nnx
        >>> net = js.models.mnist_net(width=4, hidden=16, rngs=nnx.Rngs(0))
        >>> state = net.init_state((2, 28, 28, 1))
        >>> jnp.shape(state["conv_fc"][6].v)
        (2, 14, 14, 4)

    Source: Fang et al., "Incorporating learnable membrane time constant to enhance learning of
    spiking neural networks", ICCV 2021; SpikingJelly ``model.parametric_lif_net``.
    """
    sizes = classes, in_features, stages, width, hidden
    return PLIFNet("plif_net", *sizes, size, neuron, rngs)


mnist_net = preset(
    plif_net,
    "mnist_net",
    "The network of the parametric LIF paper for MNIST: two convolutions.",
)
fashion_mnist_net = preset(
    plif_net,
    "fashion_mnist_net",
    "The network of the parametric LIF paper for Fashion-MNIST: `mnist_net` again.",
)
nmnist_net = preset(
    plif_net,
    "nmnist_net",
    "The network of the parametric LIF paper for N-MNIST: `mnist_net` for events.",
    in_features=2,
    size=(34, 34),
)
cifar10_net = preset(
    plif_net,
    "cifar10_net",
    "The network of the parametric LIF paper for CIFAR-10: three convolutions before a pooling.",
    in_features=3,
    stages=(3, 3),
    width=256,
    size=(32, 32),
)
cifar10_dvs_net = preset(
    plif_net,
    "cifar10_dvs_net",
    "The network of the parametric LIF paper for CIFAR10-DVS: four convolutions.",
    in_features=2,
    stages=(1, 1, 1, 1),
    hidden=512,
    size=(128, 128),
)
dvs_gesture_net = preset(
    plif_net,
    "dvs_gesture_net",
    "The network of the parametric LIF paper for DVS128 Gesture: five convolutions.",
    classes=11,
    in_features=2,
    stages=(1, 1, 1, 1, 1),
    hidden=512,
    size=(128, 128),
)


class PLIFNet(SpikingModule):
    """The network; ``owner`` is the function that makes it, for errors."""

    def __init__(
        self,
        owner: str,
        classes: int,
        in_features: int,
        stages: tuple[int, ...],
        width: int,
        hidden: int,
        size: Shape,
        neuron: Prototype | None,
        rngs: nnx.Rngs,
    ):
        check_sizes(owner, classes=classes, in_features=in_features, width=width, hidden=hidden)
        check_stages(owner, stages=stages)
        height, across = pooled_size(owner, size, len(stages))
        neuron = parametric_lif() if neuron is None else neuron
        check_parts(owner, rngs, neuron=neuron)
        self.size = (*size, in_features)
        layers: list[nnx.Module] = []
        inputs = in_features
        for depth in stages:
            for _ in range(depth):
                layers += conv(inputs, width, 3, rngs=rngs), norm(width, rngs=rngs)
                layers.append(copy_of(neuron))
                inputs = width
            layers.append(MaxPool((2, 2)))
        self.conv_fc = Sequential(
            *layers,
            Flatten(),
            Dropout(0.5, rngs=rngs),
            nnx.Linear(height * across * width, hidden, rngs=rngs),
            copy_of(neuron),
            Dropout(0.5, rngs=rngs),
            nnx.Linear(hidden, VOTERS * classes, rngs=rngs),
            copy_of(neuron),
            Voting(VOTERS),
        )

    def __call__(self, state: Tree, x: Array) -> tuple[Tree, Array]:
        """One step of images ``[N, H, W, C]``, or a sequence; the votes for each class."""
        check_images(self, x, *self.size)
        conv_fc, x = self.conv_fc(state["conv_fc"], x)
        return {"conv_fc": conv_fc}, x
