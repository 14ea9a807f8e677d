"""Spiking VGG: plain stacks of convolutions, with neurons in the place of the activations."""

import functools

from flax import nnx

from .._check import one_of
from .._types import Array, Tree
from ..nn import AdaptiveAvgPool, Dropout, Flatten, MaxPool, Sequential, SpikingModule
from .building_blocks import (
    IF_ATAN,
    Prototype,
    check_images,
    check_parts,
    check_sizes,
    check_stages,
    conv,
    copy_of,
    norm,
)
from .preset import preset

MULTIPLES = 1, 2, 4, 8, 8  # of the width, in each stage
POOLED = 7


def spiking_vgg(
    classes: int = 1000,
    in_features: int = 3,
    *,
    depths: tuple[int, int, int, int, int] = (1, 1, 2, 2, 2),
    width: int = 64,
    hidden: int = 4096,
    batch_norm: bool = False,
    neuron: Prototype = IF_ATAN,
    rngs: nnx.Rngs,
) -> "SpikingVGG":
    """Spiking VGG: plain convolutions and three linear layers.

    Five times convolutions of size 3, each with a neuron, and a max pooling that halves the image;
    the means over a grid of 7 x 7; two hidden linear layers with neurons and dropout, and a linear
    layer. Images of at least 32 x 32.

    It maps one step ``[N, H, W, in_features]`` to ``[N, classes]``, and a sequence ``[T, N, H, W,
    in_features]`` to ``[T, N, classes]``: currents, to be averaged over time
    (`jaxspike.readout.rate`).

    Args:
        classes: Number of outputs.
        in_features: Channels of the images.
        depths: Number of convolutions before each of the five poolings.
        width: Channels of the first convolution; the others have 2, 4 and 8 times as many.
        hidden: Neurons of each hidden linear layer.
        batch_norm: Whether a batch normalization follows each convolution.
        neuron: The neuron of all layers, or a layer of neurons; every place gets a copy.
        rngs: Source of keys for the weights and for the dropout.

    Raises:
        TypeError: If a size is not an integer, ``neuron`` is not a neuron, or ``rngs`` no keys.
        ValueError: If a size is below 1, there are not five of ``depths``, or ``batch_norm`` is not
            a boolean.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> from flax import nnx
        >>> net = js.models.spiking_vgg11(10, width=2, hidden=8, rngs=nnx.Rngs(0))
        >>> state = net.init_state((2, 32, 32, 3))
        >>> jnp.shape(state["features"][1].v)
        (2, 32, 32, 2)

    Source: Simonyan, Zisserman, "Very deep convolutional networks for large-scale image
    recognition", ICLR 2015; SpikingJelly ``model.spiking_vgg``.
    """
    sizes = classes, in_features, depths, width, hidden
    return SpikingVGG("spiking_vgg", *sizes, batch_norm, neuron, rngs)


spiking_vgg11 = preset(
    spiking_vgg,
    "spiking_vgg11",
    "Spiking VGG-11: the `spiking_vgg` of 8 convolutions.",
    depths=(1, 1, 2, 2, 2),
)
spiking_vgg16 = preset(
    spiking_vgg,
    "spiking_vgg16",
    "Spiking VGG-16: the `spiking_vgg` of 13 convolutions.",
    depths=(2, 2, 3, 3, 3),
)


class SpikingVGG(SpikingModule):
    """Convolutions, a pooling to a grid of 7 x 7, and linear layers."""

    def __init__(
        self,
        owner: str,
        classes: int,
        in_features: int,
        depths: tuple[int, int, int, int, int],
        width: int,
        hidden: int,
        batch_norm: bool,
        neuron: Prototype,
        rngs: nnx.Rngs,
    ):
        check_sizes(owner, classes=classes, in_features=in_features, width=width, hidden=hidden)
        check_stages(owner, 5, depths=depths)
        one_of(f"`{owner}(batch_norm=...)`", batch_norm, (False, True))
        check_parts(owner, rngs, neuron=neuron)
        self.in_features = in_features
        features: list[nnx.Module] = []
        inputs = in_features
        for multiple, depth in zip(MULTIPLES, depths, strict=True):
            for _ in range(depth):
                outputs = multiple * width
                features.append(conv(inputs, outputs, 3, bias=True, rngs=rngs))
                if batch_norm:
                    features.append(norm(outputs, rngs=rngs))
                features.append(copy_of(neuron))
                inputs = outputs
            features.append(MaxPool((2, 2)))
        self.features = Sequential(*features)
        self.avgpool = AdaptiveAvgPool((POOLED, POOLED))
        self.flatten = Flatten()
        linear = functools.partial(nnx.Linear, kernel_init=nnx.initializers.normal(0.01), rngs=rngs)
        self.classifier = Sequential(
            linear(POOLED**2 * inputs, hidden),
            copy_of(neuron),
            Dropout(0.5, rngs=rngs),
            linear(hidden, hidden),
            copy_of(neuron),
            Dropout(0.5, rngs=rngs),
            linear(hidden, classes),
        )

    def __call__(self, state: Tree, x: Array) -> tuple[Tree, Array]:
        """One step of images ``[N, H, W, C]``, or a sequence; a current for each class."""
        check_images(self, x, self.in_features)
        if min(x.shape[-3:-1]) < 2 ** len(MULTIPLES):
            raise ValueError(
                f"`SpikingVGG(x=...)` must be images of at least 32 x 32, got the shape {x.shape}."
            )
        features, x = self.features(state["features"], x)
        x = self.flatten(self.avgpool(x))
        classifier, x = self.classifier(state["classifier"], x)
        return {"features": features, "classifier": classifier}, x
