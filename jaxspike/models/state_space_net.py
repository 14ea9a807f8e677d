"""A network of state-space models with spikes, for long sequences."""

from typing import Any

from flax import nnx

from .._check import drop_rate
from .._types import Array, Tree
from ..nn import Dropout, Sequential, SpikingModule, SpikingS4D
from ..surrogate import ATan
from .building_blocks import check_parts, check_sizes, norm


class _Block(SpikingModule):
    """State-space models with spikes, a linear layer that mixes them, and a way around both."""

    activation: Any

    def __init__(self, width: int, states: int, glu: bool, dropout: float, rngs: nnx.Rngs):
        self.s4d = SpikingS4D(width, states, surrogate=ATan(), rngs=rngs)
        self.dropout = Dropout(dropout, rngs=rngs)
        self.mix = nnx.Linear(width, 2 * width if glu else width, rngs=rngs)
        self.activation = nnx.glu if glu else nnx.identity
        self.norm = norm(width, rngs=rngs)

    def __call__(self, state: Tree, x: Array) -> tuple[Tree, Array]:
        s4d, y = self.s4d(state["s4d"], self.norm(x))
        dropout, y = self.dropout(state["dropout"], y)
        return {"s4d": s4d, "dropout": dropout}, x + self.activation(self.mix(y))


def state_space_net(
    classes: int = 10,
    in_features: int = 1,
    *,
    width: int = 64,
    states: int = 32,
    layers: int = 2,
    glu: bool = False,
    dropout: float = 0.0,
    rngs: nnx.Rngs,
) -> Sequential:
    """Residual blocks of diagonal state-space models with spikes, between two linear layers.

    A block is a batch normalization, a `jaxspike.nn.SpikingS4D` for each feature, and a linear
    layer that mixes their spikes; its input is added to its output. There is no reset, so a
    sequence is computed without a loop over its steps.

    It maps one step ``[N, in_features]`` to ``[N, classes]``, and a sequence ``[T, N,
    in_features]`` to ``[T, N, classes]``, to be averaged over time (`jaxspike.readout.rate`).

    Args:
        classes: Number of outputs.
        in_features: Size of the last axis of the input.
        width: Features of a block.
        states: Complex numbers that each feature of a block remembers.
        layers: Number of blocks.
        glu: Whether a gated linear unit follows each linear layer of a block (`flax.nnx.glu`).
        dropout: Probability to drop the spikes of a feature in training, before they are mixed.
        rngs: Source of keys for the weights and for the dropout.

    Raises:
        TypeError: If a size is not an integer, ``dropout`` not a number, or ``rngs`` no keys.
        ValueError: If a size is below 1, or ``dropout`` is not in [0, 1).

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> from flax import nnx
        >>> net = js.models.state_space_net(10, 1, width=16, states=4, rngs=nnx.Rngs(0))
        >>> state, y = net(net.init_state((2, 1)), jnp.ones((784, 2, 1)))
        >>> y.shape
        (784, 2, 10)

    Source: Gu, Gupta, Goel, Re, "On the parameterization and initialization of diagonal state space
    models", NeurIPS 2022; spikes as its activation, Stan, Rhodes, "Learning long sequences in
    spiking neural networks", 2024.
    """
    owner = "state_space_net"
    sizes = {"classes": classes, "in_features": in_features}
    check_sizes(owner, **sizes, width=width, states=states, layers=layers)
    drop_rate(f"`{owner}(dropout=...)`", dropout)
    check_parts(owner, rngs)
    return Sequential(
        nnx.Linear(in_features, width, rngs=rngs),
        *(_Block(width, states, glu, dropout, rngs) for _ in range(layers)),
        norm(width, rngs=rngs),
        nnx.Linear(width, classes, rngs=rngs),
    )
