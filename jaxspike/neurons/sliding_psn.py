"""Parallel spiking neuron with one filter for all time steps."""

from dataclasses import KW_ONLY

import jax.numpy as jnp
import numpy as np

from .._types import Array, Param
from ..field import learned
from ..surrogate import ATan, Surrogate, spike
from .base import SequenceNeuron
from .equations import uniform_weight


class SlidingPSN(SequenceNeuron):
    """A causal filter over the last ``k`` inputs, the same at every time step.

    Make one by ``js.SlidingPSN.init(k)``, or with a ``key`` for random weights.

    ``h[t] = sum_i weight[k - 1 - i] * xs[t - i] + bias`` for ``i`` from 0 to ``k - 1``, inputs
    before the first being 0; spike where ``h >= 0``. Sequences may have any length.

    Args:
        weight: ``[k]``, the last one for the present input.
        bias: One number, the negative of the threshold.
        surrogate: Derivative of the spike.

    Raises:
        ValueError: If ``weight`` does not have exactly one, nonempty axis.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> neuron = js.SlidingPSN.init(3)
        >>> neuron.weight
        Array([0.25, 0.5 , 1.  ], dtype=float32)
        >>> neuron(0.6 * jnp.ones((4, 1)))[:, 0]
        Array([0., 0., 1., 1.], dtype=float32)

    Source: SpikingJelly ``SlidingPSN``; Fang et al., "Parallel spiking neurons with high efficiency
    and ability to learn long-term dependencies", NeurIPS 2023.
    """

    weight: Array = learned()
    bias: Param = learned()
    _: KW_ONLY
    surrogate: Surrogate = ATan()

    @classmethod
    def init(
        cls, k: int, *, key: Array | None = None, surrogate: Surrogate | None = None
    ) -> "SlidingPSN":
        """Weights that halve with every step into the past, or random ones; and bias -1.

        Args:
            k: Length of the filter in time steps.
            key: A `jax.random.key` for random weights, PyTorch's for Linear; None for halving ones.
            surrogate: Derivative of the spike; None is the default.
        """
        halving = 0.5 ** jnp.arange(k - 1, -1, -1, dtype=jnp.float32)
        weight = halving if key is None else uniform_weight((k,), key)
        return cls(weight, jnp.float32(-1.0), surrogate=surrogate or ATan())

    def __post_init__(self) -> None:
        super().__post_init__()
        if np.ndim(self.weight) != 1 or not np.size(self.weight):
            raise ValueError(
                f"`SlidingPSN(weight=...)` must have shape [k], got {np.shape(self.weight)}. "
                "Use `SlidingPSN.init(k)`."
            )

    def sequence(self, xs: Array) -> Array:
        h = jnp.zeros_like(xs)
        for age, w in enumerate(self.weight[::-1][: len(xs)]):
            h = h + w * jnp.concatenate([jnp.zeros_like(xs[:age]), xs[: len(xs) - age]])
        return spike(h + self.bias, self.surrogate)
