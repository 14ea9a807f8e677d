"""Parallel spiking neuron with a band of its matrix fading in."""

from dataclasses import KW_ONLY

import jax.numpy as jnp

from .._types import Array, Param
from ..field import between, count, learned
from ..surrogate import ATan, Surrogate, spike
from .base import SequenceNeuron
from .equations import mix_time, square_weight, uniform_weight


class MaskedPSN(SequenceNeuron):
    """A `PSN` that gradually masks all but the last ``k`` inputs.

    Make one with random weights for sequences of T steps by ``js.MaskedPSN.init(k, T, key=...)``.

    ``h = (mask * weight) @ xs + bias`` over the time axis, with
    ``mask = lambda_ * band + (1 - lambda_)`` and the band 1 for the last ``k`` steps and 0
    elsewhere; spike where ``h >= 0``. ``lambda_`` is raised from 0 (a `PSN`) to 1 in training; at 1
    no output depends on a later input.

    In a layer, ``lambda_`` is a constant that can be set if it was given as an array:
    ``layer.lambda_[...] = 0.5``.

    Args:
        weight: ``[T, T]``, from input step (axis 1) to output step (axis 0).
        bias: ``[T]``, the negative of the thresholds.
        k: Length of the band in time steps, at least 1.
        lambda_: Degree to which the weights outside the band are masked, from 0 to 1.
        surrogate: Derivative of the spike.

    Raises:
        ValueError: If ``weight`` is not square, or ``bias`` is of another length.

    Example:
        >>> import jax, jax.numpy as jnp, jaxspike as js
        >>> neuron = js.MaskedPSN.init(2, 4, key=jax.random.key(0), lambda_=1.0)
        >>> neuron(8 * jnp.ones((4, 2, 3))).shape
        (4, 2, 3)

    Source: SpikingJelly ``MaskedPSN``; Fang et al., "Parallel spiking neurons with high efficiency
    and ability to learn long-term dependencies", NeurIPS 2023.
    """

    weight: Array = learned()
    bias: Array = learned()
    _: KW_ONLY
    k: int = count()
    lambda_: Param = between(0.0, 1.0, default=0.0)
    surrogate: Surrogate = ATan()

    @classmethod
    def init(
        cls,
        k: int,
        steps: int,
        *,
        key: Array,
        lambda_: float = 0.0,
        surrogate: Surrogate | None = None,
    ) -> "MaskedPSN":
        """Random weights for sequences of ``steps`` time steps: PyTorch's for Linear, and bias -1.

        Args:
            k: Length of the band in time steps.
            steps: The number of time steps T.
            key: A `jax.random.key`, such as ``rngs.params()``.
            lambda_: Degree of masking at the start.
            surrogate: Derivative of the spike; None is the default.
        """
        weight, bias = uniform_weight((steps, steps), key), jnp.full(steps, -1.0, jnp.float32)
        return cls(
            weight,
            bias,
            k=k,
            lambda_=jnp.asarray(lambda_, jnp.float32),
            surrogate=surrogate or ATan(),
        )

    def __post_init__(self) -> None:
        super().__post_init__()
        square_weight(self)

    @property
    def length(self) -> int:
        """The number of time steps T."""
        return len(self.bias)

    def sequence(self, xs: Array) -> Array:
        band = jnp.tril(jnp.triu(jnp.ones_like(self.weight), 1 - self.k))
        mask = self.lambda_ * band + (1 - self.lambda_)
        return spike(mix_time(mask * self.weight, self.bias, xs), self.surrogate)
