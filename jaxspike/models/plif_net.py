"""The networks of parametric LIF neurons: one for each of six data sets."""

import functools

from flax import nnx

from .._types import Array, Shape, Tree
from ..neurons import LIF
from ..nn import Dropout, Flatten, MaxPool, Sequential, Spiking, SpikingModule, Voting
from ..surrogate import ATan
from .building_blocks import Prototype, check_sizes, conv, copy_of, norm, pooled_size

VOTERS = 10  # neurons of each class


def parametric_lif() -> Spiking:
    """The parametric LIF neuron of the paper, whose time constant is learned."""
    return Spiking(LIF(tau=2.0, detach_reset=True, surrogate=ATan()), learn=("tau",))


def mnist_net(
    classes: int = 10,
    in_features: int = 1,
    *,
    width: int = 128,
    hidden: int = 2048,
    size: Shape = (28, 28),
    neuron: Prototype | None = None,
    rngs: nnx.Rngs,
) -> SpikingModule:
    """The network of the parametric LIF paper for MNIST.

    Twice a convolution, a batch normalization, a neuron and a max pooling of size 2; dropout, a
    linear layer with neurons, dropout, and 10 neurons for each class, whose mean is the output.

    It maps one step ``[N, H, W, in_features]`` to ``[N, classes]``, and a sequence ``[T, N, H, W,
    in_features]`` to ``[T, N, classes]``: the share of a class's neurons that fire.

    Args:
        classes: Number of outputs.
        in_features: Channels of the images.
        width: Channels of every convolution.
        hidden: Neurons of the hidden linear layer.
        size: Height and width of the images.
        neuron: The neuron of all layers, or a layer of neurons; every place gets a copy. None is
            that of the paper, ``js.nn.Spiking(js.LIF(detach_reset=True,
            surrogate=js.surrogate.ATan()), learn=("tau",))``.
        rngs: Source of keys for the weights and for the dropout.

    Raises:
        TypeError: If a size is not an integer, or ``neuron`` is not a neuron.
        ValueError: If a size is below 1, or ``size`` is too small for the poolings.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> from flax import nnx
        >>> net = js.models.mnist_net(width=4, hidden=16, rngs=nnx.Rngs(0))
        >>> state = net.init_state((2, 28, 28, 1))
        >>> jnp.shape(state["conv_fc"][6].v)
        (2, 14, 14, 4)

    Source: Fang et al., "Incorporating learnable membrane time constant to enhance learning of
    spiking neural networks", ICCV 2021; SpikingJelly ``model.parametric_lif_net.MNISTNet``.
    """
    sizes = {"classes": classes, "in_features": in_features, "width": width, "hidden": hidden}
    return PLIFNet("mnist_net", (1, 1), sizes, size, neuron, rngs)


def fashion_mnist_net(
    classes: int = 10,
    in_features: int = 1,
    *,
    width: int = 128,
    hidden: int = 2048,
    size: Shape = (28, 28),
    neuron: Prototype | None = None,
    rngs: nnx.Rngs,
) -> SpikingModule:
    """The network of the parametric LIF paper for Fashion-MNIST: `mnist_net` again."""
    sizes = {"classes": classes, "in_features": in_features, "width": width, "hidden": hidden}
    return PLIFNet("fashion_mnist_net", (1, 1), sizes, size, neuron, rngs)


def nmnist_net(
    classes: int = 10,
    in_features: int = 2,
    *,
    width: int = 128,
    hidden: int = 2048,
    size: Shape = (34, 34),
    neuron: Prototype | None = None,
    rngs: nnx.Rngs,
) -> SpikingModule:
    """The network of the parametric LIF paper for N-MNIST: `mnist_net` for events."""
    sizes = {"classes": classes, "in_features": in_features, "width": width, "hidden": hidden}
    return PLIFNet("nmnist_net", (1, 1), sizes, size, neuron, rngs)


def cifar10_net(
    classes: int = 10,
    in_features: int = 3,
    *,
    width: int = 256,
    hidden: int = 2048,
    size: Shape = (32, 32),
    neuron: Prototype | None = None,
    rngs: nnx.Rngs,
) -> SpikingModule:
    """The network of the parametric LIF paper for CIFAR-10.

    `mnist_net` with three convolutions, each with a normalization and a neuron, before a pooling.
    """
    sizes = {"classes": classes, "in_features": in_features, "width": width, "hidden": hidden}
    return PLIFNet("cifar10_net", (3, 3), sizes, size, neuron, rngs)


def cifar10_dvs_net(
    classes: int = 10,
    in_features: int = 2,
    *,
    width: int = 128,
    hidden: int = 512,
    size: Shape = (128, 128),
    neuron: Prototype | None = None,
    rngs: nnx.Rngs,
) -> SpikingModule:
    """The network of the parametric LIF paper for CIFAR10-DVS: `mnist_net` of four convolutions."""
    sizes = {"classes": classes, "in_features": in_features, "width": width, "hidden": hidden}
    return PLIFNet("cifar10_dvs_net", (1, 1, 1, 1), sizes, size, neuron, rngs)


def dvs_gesture_net(
    classes: int = 11,
    in_features: int = 2,
    *,
    width: int = 128,
    hidden: int = 512,
    size: Shape = (128, 128),
    neuron: Prototype | None = None,
    rngs: nnx.Rngs,
) -> SpikingModule:
    """The network of the parametric LIF paper for DVS128 Gesture: five convolutions."""
    sizes = {"classes": classes, "in_features": in_features, "width": width, "hidden": hidden}
    return PLIFNet("dvs_gesture_net", (1, 1, 1, 1, 1), sizes, size, neuron, rngs)


class PLIFNet(SpikingModule):
    """Stages of convolutions and a max pooling, a hidden layer, and neurons that vote.

    Args:
        owner: The function that makes it, for errors.
        stages: The number of convolutions before each pooling.
        sizes: ``classes``, ``in_features``, ``width`` and ``hidden``.
        size: Height and width of the images.
        neuron: The prototype of the neurons; None for `parametric_lif`.
        rngs: Source of keys.
    """

    def __init__(
        self,
        owner: str,
        stages: tuple[int, ...],
        sizes: dict[str, int],
        size: Shape,
        neuron: Prototype | None,
        rngs: nnx.Rngs,
    ):
        check_sizes(owner, **sizes)
        height, width = pooled_size(owner, size, len(stages))
        prototype = parametric_lif() if neuron is None else neuron
        new_neuron = functools.partial(copy_of, owner, prototype)
        channels, hidden = sizes["width"], sizes["hidden"]
        layers: list[nnx.Module] = []
        inputs = sizes["in_features"]
        for depth in stages:
            for _ in range(depth):
                layers += conv(inputs, channels, 3, rngs=rngs), norm(channels, rngs=rngs)
                layers.append(new_neuron())
                inputs = channels
            layers.append(MaxPool((2, 2)))
        self.conv_fc = Sequential(
            *layers,
            Flatten(),
            Dropout(0.5, rngs=rngs),
            nnx.Linear(height * width * channels, hidden, rngs=rngs),
            new_neuron(),
            Dropout(0.5, rngs=rngs),
            nnx.Linear(hidden, VOTERS * sizes["classes"], rngs=rngs),
            new_neuron(),
            Voting(VOTERS),
        )

    def __call__(self, state: Tree, x: Array) -> tuple[Tree, Array]:
        """One step of images ``[N, H, W, C]``, or a sequence; the votes for each class."""
        conv_fc, x = self.conv_fc(state["conv_fc"], x)
        return {"conv_fc": conv_fc}, x
