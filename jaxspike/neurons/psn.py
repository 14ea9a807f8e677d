"""Parallel spiking neuron."""

from dataclasses import KW_ONLY

import jax.numpy as jnp

from .._types import Array
from ..field import learned
from ..surrogate import ATan, Surrogate, spike
from .base import SequenceNeuron
from .equations import mix_time, square_weight, uniform_weight


class PSN(SequenceNeuron):
    """Parallel spiking neuron: a learned matrix over time in place of charging and reset.

    Make one with random weights for sequences of T steps by ``js.PSN.init(T, key=...)``.

    ``h = weight @ xs + bias`` over the time axis; spike where ``h >= 0``. All time steps are
    computed at once, and each may depend on every other one, including later ones.

    Args:
        weight: ``[T, T]``, from input step (axis 1) to output step (axis 0).
        bias: ``[T]``, the negative of the thresholds.
        surrogate: Derivative of the spike.

    Raises:
        ValueError: If ``weight`` is not square, or ``bias`` is of another length.

    Example:
        >>> import jax, jax.numpy as jnp, jaxspike as js
        >>> neuron = js.PSN.init(4, key=jax.random.key(0))
        >>> neuron(8 * jnp.ones((4, 2, 3))).shape
        (4, 2, 3)
        >>> net = js.nn.Sequential(neuron)                       # weight and bias are nnx.Params
        >>> state, spikes = net(net.init_state((2, 3)), jnp.ones((4, 2, 3)))

    Source: SpikingJelly ``PSN``; Fang et al., "Parallel spiking neurons with high efficiency and
    ability to learn long-term dependencies", NeurIPS 2023.
    """

    weight: Array = learned()
    bias: Array = learned()
    _: KW_ONLY
    surrogate: Surrogate = ATan()

    @classmethod
    def init(cls, steps: int, *, key: Array, surrogate: Surrogate | None = None) -> "PSN":
        """Random weights for sequences of ``steps`` time steps: PyTorch's for Linear, and bias -1.

        Args:
            steps: The number of time steps T.
            key: A `jax.random.key`, such as ``rngs.params()``.
            surrogate: Derivative of the spike; None is the default.
        """
        weight = uniform_weight((steps, steps), key)
        return cls(weight, jnp.full(steps, -1.0, jnp.float32), surrogate=surrogate or ATan())

    def __post_init__(self) -> None:
        super().__post_init__()
        square_weight(self)

    @property
    def length(self) -> int:
        """The number of time steps T."""
        return len(self.bias)

    def sequence(self, xs: Array) -> Array:
        return spike(mix_time(self.weight, self.bias, xs), self.surrogate)
