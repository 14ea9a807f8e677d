"""Leaky integrate and fire in whole numbers, as digital chips compute it."""

from dataclasses import KW_ONLY
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .. import _check
from .._state import compute_dtype
from .._types import Array, DType, Param, Shape, State
from ..field import static
from .base import Neuron
from .cuba_lif import CubaLIF
from .equations import straight_through
from .if_ import IF
from .lif import LIF

DECAY_BITS = 12
_FAR = 2.0**25  # beyond every state, and a whole number of int32


class _Leaks(NamedTuple):
    """A neuron as decays toward a rest, a threshold, and a reset to, or else by, a potential."""

    c_decay: Param | None
    v_decay: Param | None
    v_rest: Param
    v_threshold: Param
    v_reset: Param | None
    height: Param


class FixedPoint(Neuron):
    """A neuron that computes in whole numbers, in int32, with the gradient of the neuron itself.

    A weight has ``weight_bits`` bits, in steps of ``weight_max * 2**(1 - weight_bits)``; a number
    of the state has ``state_bits`` bits, in units of ``2**-fraction_bits`` of that step. In these
    units, with the integer decay ``D = round(decay * 2**12)``, one step is::

        c = saturate(decayed(c, D_c) + x)                  # with a synaptic current (CubaLIF)
        h = saturate(v_rest + decayed(v - v_rest, D_v) + c)    # else x instead of c
        s = h >= v_threshold
        v = v_reset, or h - (v_threshold - v_rest), where s, else h

    ``decayed(v, D)`` is ``v * D >> 12`` (``decay="multiply"``), or ``v - (v >> k)`` where ``k`` is
    the whole number nearest to ``-log2(1 - decay)`` (``decay="shift"``: what is below ``2**k``
    units stays), both of the absolute value, so that fractions are truncated towards 0. Numbers
    saturate at ``2**(state_bits - 1) - 1`` units above and below 0.

    The state is that of the neuron, in its own units, and every number of it is a whole number of
    steps exactly: nothing is left to rounding, so the same spikes come out of any device and any
    order of execution. Inputs are rounded to the unit: those that are sums of weights on their grid
    (see `round_weights`) already are. Backward the step is that of the neuron in floating point
    (straight through). Its parameters are learned with the prefix ``neuron_``.

    Args:
        neuron: An `IF`, a `CubaLIF`, or a `LIF` with ``decay_input=False``.
        weight_bits: Bits of a weight, from 2 to 16.
        state_bits: Bits of a number of the state, from 4 to 24.
        decay: "multiply" or "shift".
        weight_max: Weights are below it, and at least ``-weight_max``; a power of two.
        fraction_bits: Bits of the state below the step of the weights, from 0 to 12.

    Raises:
        TypeError: If the neuron is of another model, or a number is not an integer.
        ValueError: If an argument is outside its range, or the threshold does not fit the state.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> lif = js.LIF(tau=4.0, decay_input=False)
        >>> neuron = js.FixedPoint(lif, weight_bits=4, state_bits=8)
        >>> neuron.round_weights(jnp.array([0.3, -1.2]))  # in steps of 1/8
        Array([ 0.25, -1.  ], dtype=float32)
        >>> state, spikes = js.scan(neuron, neuron.init_state((1,)), 0.25 * jnp.ones((3, 1)))
        >>> state.v, neuron.integers(state).v  # of 2, 2 + 1 and 2 + 2 units
        (Array([0.5], dtype=float32), Array([4], dtype=int32))

    Source: Davies et al., "Loihi: a neuromorphic manycore processor with on-chip learning", IEEE
    Micro 38(1), 2018, for the decays of 12 bits; Rockpool's ``XyloSim`` for those by shifts.
    """

    neuron: IF | LIF | CubaLIF
    weight_bits: int = static(default=8)
    state_bits: int = static(default=16)
    _: KW_ONLY
    decay: str = static(default="multiply", choices=("multiply", "shift"))
    weight_max: float = static(default=1.0)
    fraction_bits: int = static(default=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        neuron = self.neuron
        if getattr(neuron, "decay_input", False):
            raise ValueError(
                f"`FixedPoint(neuron=...)` must not divide its input, got {neuron}. "
                "Give `jaxspike.LIF(decay_input=False)`."
            )
        for name, low, high in (
            ("weight_bits", 2, 16),
            ("state_bits", 4, 24),
            ("fraction_bits", 0, 12),
        ):
            where = f"`FixedPoint({name}=...)`"
            _check.integer(where, getattr(self, name), low=0)
            _check.in_range(where, getattr(self, name), low=low, high=high)
        where = "`FixedPoint(weight_max=...)`"
        _check.in_range(where, _check.number(where, self.weight_max), above=0)
        if np.frexp(self.weight_max)[0] != 0.5:
            raise ValueError(
                f"{where} must be a power of two, got {self.weight_max}. "
                "Then every number is a whole number of steps exactly."
            )
        units = neuron.v_threshold / self.unit
        if not _check.all_known(units, lambda n: abs(np.round(n)) <= self._largest):
            raise ValueError(
                f"`FixedPoint(state_bits=...)` must hold the threshold of {units} units, got "
                f"{self.state_bits}, which hold {self._largest}. Give more, or fewer of the "
                "weights or the fraction."
            )

    @property
    def weight_step(self) -> float:
        """The distance between neighboring weights."""
        return self.weight_max * 2.0 ** (1 - self.weight_bits)

    @property
    def unit(self) -> float:
        """The distance between neighboring numbers of the state."""
        return self.weight_step * 2.0**-self.fraction_bits

    @property
    def _largest(self) -> int:
        return 2 ** (self.state_bits - 1) - 1

    def round_weights(self, weights: Array) -> Array:
        """The nearest weights of ``weight_bits`` bits; the gradient goes straight through.

        Args:
            weights: Weights, any shape. Those beyond the range become its ends.
        """
        most = 2 ** (self.weight_bits - 1)
        steps = jnp.clip(jnp.round(weights / self.weight_step), -most, most - 1)
        return straight_through(steps * self.weight_step, weights)

    def integers(self, state: State) -> State:
        """The state in units, as int32.

        Args:
            state: A state of this neuron.
        """
        return jax.tree.map(self._in_units, state)

    def init_state(self, shape: Shape, dtype: DType = jnp.float32) -> State:
        state = self.neuron.init_state(shape, compute_dtype([jnp.dtype(dtype)]))
        return jax.tree.map(lambda v: self._in_units(v).astype(v.dtype) * self.unit, state)

    def step(self, state: State, x: Array) -> tuple[State, Array]:
        smooth, spikes = self.neuron(state, x)
        exact, fired = self._step(_leaks(self.neuron), self.integers(state), self._in_units(x))
        new = jax.tree.map(
            lambda n, v: straight_through(n.astype(v.dtype) * self.unit, v), exact, smooth
        )
        fired &= ~jnp.isnan(smooth.v)
        return new, straight_through(fired.astype(spikes.dtype), spikes)

    def _step(self, leaks: _Leaks, state: State, x: Array) -> tuple[State, Array]:
        """One step of integers."""
        if leaks.c_decay is not None:
            x = self._saturated(self._decayed(state.c, leaks.c_decay) + x)
            state = state._replace(c=x)
        rest = self._in_units(leaks.v_rest)
        h = self._saturated(rest + self._decayed(state.v - rest, leaks.v_decay) + x)
        fired = h >= self._in_units(leaks.v_threshold)
        by, to = self._in_units(leaks.height), leaks.v_reset
        after = h - by if to is None else self._in_units(to)
        return state._replace(v=jnp.where(fired, after, h)), fired

    def _decayed(self, v: Array, decay: Param | None) -> Array:
        if decay is None:
            return v
        decay, size = jax.lax.stop_gradient(jnp.asarray(decay)), abs(v)
        if self.decay == "shift":
            shift = jnp.round(-jnp.log2(jnp.maximum(1 - decay, 2.0**-31))).astype(jnp.int32)
            return jnp.sign(v) * (size - (size >> shift))
        kept = jnp.round(decay * 2**DECAY_BITS).astype(jnp.int32)
        high, low = size >> DECAY_BITS, size & (2**DECAY_BITS - 1)  # each product fits int32
        return jnp.sign(v) * (high * kept + (low * kept >> DECAY_BITS))

    def _in_units(self, v: Param) -> Array:
        units = jnp.round(jax.lax.stop_gradient(jnp.asarray(v)) / self.unit)
        return jnp.clip(units, -_FAR, _FAR).astype(jnp.int32)

    def _saturated(self, v: Array) -> Array:
        return jnp.clip(v, -self._largest, self._largest)


def _leaks(neuron: IF | LIF | CubaLIF) -> _Leaks:
    threshold, v_reset = neuron.v_threshold, neuron.v_reset
    if isinstance(neuron, CubaLIF):
        return _Leaks(neuron.c_decay, neuron.v_decay, 0.0, threshold, v_reset, threshold)
    if isinstance(neuron, LIF):
        rest = next((v for v in (neuron.v_rest, v_reset) if v is not None), 0.0)
        height = threshold if neuron.v_rest is None else threshold - neuron.v_rest
        return _Leaks(None, 1 - 1 / neuron.tau, rest, threshold, v_reset, height)
    return _Leaks(None, None, 0.0, threshold, v_reset, threshold)
