"""The neuron of Intel's Loihi, in its integers."""

from .. import _check
from ..neurons import CubaLIF, FixedPoint
from ..surrogate import Sigmoid, Surrogate

__all__ = ["cuba_lif"]


def __dir__() -> list[str]:
    return __all__


_UNITY = 2**12  # of decays
_SURROGATE = Sigmoid(alpha=0.1)
_SHIFT = 6  # bits that weights and thresholds are shifted by


def cuba_lif(du: int, dv: int, vth: int, *, surrogate: Surrogate = _SURROGATE) -> FixedPoint:
    """The current-based neuron of Loihi, with integer weights of 8 bits, from -128 to 127.

    In integers of 24 bits, with fractions truncated towards 0::

        u = u * (4096 - du - 1) / 4096 + 64 * x
        v = v * (4096 - dv) / 4096 + u
        s = v > 64 * vth;  v = 0 where s

    The state of the neuron is in units of a weight: its ``v`` is that of the chip divided by 64,
    exactly, and ``neuron.integers(state)`` is that of the chip. A current that leaves 24 bits
    saturates, where that of the chip wraps around.

    Args:
        du: Decay of the current, an integer from 0 to 4095.
        dv: Decay of the membrane, an integer from 0 to 4096.
        vth: Firing threshold in units of a weight, an integer from 0 to 131071.
        surrogate: Derivative of the spike, in units of a weight.

    Raises:
        TypeError: If an argument is not an integer.
        ValueError: If it is outside its range.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> neuron = js.presets.loihi.cuba_lif(du=2047, dv=128, vth=100)
        >>> state, spikes = js.scan(neuron, neuron.init_state((1,)), 30.0 * jnp.ones((3, 1)))
        >>> spikes[:, 0], neuron.integers(state).v
        (Array([0., 0., 1.], dtype=float32), Array([0], dtype=int32))

    Source: Davies et al., "Loihi: a neuromorphic manycore processor with on-chip learning", IEEE
    Micro 38(1), 2018; the bit-accurate ``LIF`` of lava-nc 0.10.
    """
    for name, value, high in (("du", du, 4095), ("dv", dv, 4096), ("vth", vth, 2**17 - 1)):
        where = f"`loihi.cuba_lif({name}=...)`"
        _check.integer(where, value, low=0)
        _check.in_range(where, value, low=0, high=high)
    neuron = CubaLIF(
        1 - (du + 1) / _UNITY,
        v_decay=1 - dv / _UNITY,
        v_threshold=vth + 2.0**-_SHIFT,  # above vth is at the next unit
        surrogate=surrogate,
    )
    return FixedPoint(neuron, weight_bits=8, weight_max=128.0, state_bits=24, fraction_bits=_SHIFT)
