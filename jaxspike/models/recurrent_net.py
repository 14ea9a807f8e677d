"""A network of two layers for sounds and other sequences, the second one recurrent."""

import functools

from flax import nnx

from .._check import drop_rate
from ..neurons import ALIF, Neuron
from ..nn import Dropout, Recurrent, Sequential, SpikingModule
from .building_blocks import check_parts, check_sizes, copy_of, norm

ADAPTIVE = ALIF()


def recurrent_net(
    classes: int = 20,
    in_features: int = 700,
    *,
    width: int = 256,
    dropout: float = 0.2,
    neuron: Neuron | SpikingModule = ADAPTIVE,
    rngs: nnx.Rngs,
) -> Sequential:
    """Two layers of adaptive neurons, the second one recurrent: a baseline for SHD.

    A linear layer, batch normalization, neurons and dropout, twice; the neurons of the second layer
    get their last spikes through another linear layer. A linear layer reads out currents.

    It maps one step ``[N, in_features]`` to ``[N, classes]``, and a sequence ``[T, N,
    in_features]`` to ``[T, N, classes]``, to be averaged over time (`jaxspike.readout.rate`).

    Args:
        classes: Number of outputs.
        in_features: Size of the last axis of the input; SHD has 700 channels.
        width: Neurons of each layer.
        dropout: Probability to drop a neuron's spikes in training.
        neuron: The neuron of both layers, or a layer of neurons; every place gets a copy.
        rngs: Source of keys for the weights and for the dropout.

    Raises:
        TypeError: If a size is not an integer, ``dropout`` not a number, ``neuron`` not a neuron,
            or ``rngs`` no keys.
        ValueError: If a size is below 1, or ``dropout`` is not in [0, 1).

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> from flax import nnx
        >>> net = js.models.recurrent_net(20, 70, width=16, rngs=nnx.Rngs(0))
        >>> state, y = net(net.init_state((2, 70)), jnp.ones((10, 2, 70)))
        >>> y.shape
        (10, 2, 20)

    Source: after Yin, Corradi, Bohté, "Accurate and efficient time-domain classification with
    adaptive spiking recurrent neural networks", 2021.
    """
    owner = "recurrent_net"
    check_sizes(owner, classes=classes, in_features=in_features, width=width)
    drop_rate(f"`{owner}(dropout=...)`", dropout)
    check_parts(owner, rngs, neuron=neuron)
    linear = functools.partial(nnx.Linear, use_bias=False, rngs=rngs)
    recurrent = Recurrent(copy_of(neuron), linear(width, width))
    return Sequential(
        linear(in_features, width),
        norm(width, rngs=rngs),
        copy_of(neuron),
        Dropout(dropout, rngs=rngs),
        linear(width, width),
        norm(width, rngs=rngs),
        recurrent,
        Dropout(dropout, rngs=rngs),
        nnx.Linear(width, classes, rngs=rngs),
    )
