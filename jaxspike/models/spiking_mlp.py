"""A multilayer perceptron of spiking neurons."""

import itertools
from collections.abc import Sequence

from flax import nnx

from .._check import instance
from ..neurons import IF
from ..nn import Sequential
from .building_blocks import Prototype, check_parts, check_sizes, copy_of

PLAIN = IF()


def spiking_mlp(
    classes: int = 10,
    in_features: int = 784,
    *,
    hidden: Sequence[int] = (800,),
    neuron: Prototype = PLAIN,
    rngs: nnx.Rngs,
) -> Sequential:
    """Linear layers, each with neurons, the last one with a neuron for each class.

    It maps one step ``[N, in_features]`` to the spikes ``[N, classes]``, and a sequence ``[T, N,
    in_features]`` to ``[T, N, classes]``: to be counted (`jaxspike.readout.count`). Put a
    `jaxspike.nn.Flatten` before it for images.

    Args:
        classes: Number of outputs.
        in_features: Size of the last axis of the input.
        hidden: Neurons of each hidden layer.
        neuron: The neuron of all layers, or a layer of neurons; every place gets a copy.
        rngs: Source of keys for the weights.

    Raises:
        TypeError: If a size is not an integer, ``neuron`` is not a neuron, or ``rngs`` no keys.
        ValueError: If a size is below 1.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> from flax import nnx
        >>> net = js.models.spiking_mlp(10, 64, hidden=(32, 32), rngs=nnx.Rngs(0))
        >>> state, spikes = net(net.init_state((2, 64)), jnp.ones((4, 2, 64)))
        >>> spikes.shape
        (4, 2, 10)
    """
    instance("`spiking_mlp(hidden=...)`", hidden, Sequence, "the sizes of layers", "Give (800,).")
    sizes = [in_features, *hidden, classes]
    check_sizes("spiking_mlp", in_features=in_features, classes=classes)
    check_parts("spiking_mlp", rngs, neuron=neuron)
    for size in hidden:
        check_sizes("spiking_mlp", hidden=size)
    layers: list[nnx.Module] = []
    for inputs, outputs in itertools.pairwise(sizes):
        layers += nnx.Linear(inputs, outputs, rngs=rngs), copy_of(neuron)
    return Sequential(*layers)
