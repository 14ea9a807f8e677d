"""A small convolutional network for images of 28 x 28 pixels or so, spiking or to be converted."""

import functools
from collections.abc import Callable

from flax import nnx

from .._check import drop_rate, one_of
from .._types import Shape
from ..neurons import LIF
from ..nn import QCFS, AvgPool, Conv, Dropout, Flatten, MaxPool, Sequential
from .building_blocks import Prototype, check_parts, check_sizes, copy_of, norm, pooled_size

CONV_LIF = LIF(tau=2.0, decay_input=False)


def conv_net(
    classes: int = 10,
    in_features: int = 1,
    *,
    width: int = 16,
    size: Shape = (28, 28),
    pool: str = "max",
    dropout: float = 0.0,
    neuron: Prototype = CONV_LIF,
    rngs: nnx.Rngs,
) -> Sequential:
    """Three convolutions, each with a batch normalization and neurons, and a linear layer.

    A pooling of size 2 follows the first two convolutions, or all three of them if ``pool`` is
    ``"avg"``, as for events, whose images are larger.

    It maps one step ``[N, H, W, in_features]`` to ``[N, classes]``, and a sequence ``[T, N, H, W,
    in_features]`` to ``[T, N, classes]``: currents, to be averaged over time
    (`jaxspike.readout.rate`).

    Args:
        classes: Number of outputs.
        in_features: Channels of the images.
        width: Channels of the first convolution; the others have twice as many.
        size: Height and width of the images.
        pool: ``"max"`` or ``"avg"``.
        dropout: Probability to drop an input of the linear layer in training.
        neuron: The neuron of all layers, or a layer of neurons; every place gets a copy.
        rngs: Source of keys for the weights and for the dropout.

    Raises:
        TypeError: If a size is not an integer, ``dropout`` not a number, ``neuron`` not a neuron,
            or ``rngs`` no keys.
        ValueError: If a size is below 1, ``size`` is too small for the poolings, ``pool`` is
            something else, or ``dropout`` is not in [0, 1).

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> from flax import nnx
        >>> net = js.models.conv_net(10, width=4, rngs=nnx.Rngs(0))
        >>> state, y = net(net.init_state((2, 28, 28, 1)), jnp.ones((4, 2, 28, 28, 1)))
        >>> y.shape
        (4, 2, 10)
    """
    owner = "conv_net"
    check_sizes(owner, classes=classes, in_features=in_features, width=width)
    drop_rate(f"`{owner}(dropout=...)`", dropout)
    check_parts(owner, rngs, neuron=neuron)
    one_of(f"`{owner}(pool=...)`", pool, ("max", "avg"))
    height, across = pooled_size(owner, size, 2 if pool == "max" else 3)
    pooling = MaxPool((2, 2)) if pool == "max" else AvgPool((2, 2))
    first, second, third = blocks(in_features, width, lambda: copy_of(neuron), rngs)
    return Sequential(
        *first,
        pooling,
        *second,
        pooling,
        *third,
        *([pooling] if pool == "avg" else []),
        Flatten(),
        *([Dropout(dropout, rngs=rngs)] if dropout else []),
        nnx.Linear(height * across * 2 * width, classes, rngs=rngs),
    )


def conv_ann(
    classes: int = 10,
    in_features: int = 1,
    *,
    width: int = 16,
    size: Shape = (28, 28),
    levels: int = 8,
    rngs: nnx.Rngs,
) -> nnx.Module:
    """The ANN of `conv_net`, with max pooling and a `jaxspike.nn.QCFS` in the place of neurons.

    `jaxspike.convert.spiking` makes a spiking network of it, whose thresholds it has learned:
    calibration takes nothing from the data.

    It maps ``[N, H, W, in_features]`` to ``[N, classes]``.

    Args:
        classes: Number of outputs.
        in_features: Channels of the images.
        width: Channels of the first convolution; the others have twice as many.
        size: Height and width of the images.
        levels: The number of levels above zero of an activation.
        rngs: Source of keys for the weights.

    Raises:
        TypeError: If a size is not an integer, or ``rngs`` no keys.
        ValueError: If a size is below 1, or ``size`` is too small for the poolings.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> from flax import nnx
        >>> ann = js.models.conv_ann(10, width=4, rngs=nnx.Rngs(0))
        >>> ann(jnp.ones((2, 28, 28, 1))).shape
        (2, 10)
    """
    owner = "conv_ann"
    check_sizes(owner, classes=classes, in_features=in_features, width=width, levels=levels)
    check_parts(owner, rngs)
    height, across = pooled_size(owner, size, 2)
    first, second, third = blocks(in_features, width, lambda: QCFS(levels, threshold=4.0), rngs)
    linear = nnx.Linear(height * across * 2 * width, classes, rngs=rngs)
    pooling = functools.partial(nnx.max_pool, window_shape=(2, 2), strides=(2, 2))
    return nnx.Sequential(*first, pooling, *second, pooling, *third, Flatten(), linear)


def blocks(
    inputs: int, width: int, activation: Callable[[], nnx.Module], rngs: nnx.Rngs
) -> list[list[nnx.Module]]:
    """Three times a convolution, a batch normalization and an activation."""
    found: list[list[nnx.Module]] = []
    for outputs in (width, 2 * width, 2 * width):
        layer = Conv(
            inputs,
            outputs,
            (3, 3),
            use_bias=False,
            rngs=rngs,
        )
        found.append([layer, norm(outputs, rngs=rngs), activation()])
        inputs = outputs
    return found
