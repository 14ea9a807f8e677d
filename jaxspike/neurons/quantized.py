"""Any neuron whose state has few bits."""

import functools
from dataclasses import KW_ONLY

import jax
import jax.numpy as jnp
import numpy as np

from .. import _check
from .._state import compute_dtype, is_float
from .._types import Array, DType, Shape, State
from ..field import count, static
from .base import Neuron
from .equations import straight_through

# snnTorch's base of the exponential spacing, by the number of bits
_RATIOS = {1: 0.05, 2: 0.1, 3: 0.3, 4: 0.5, 5: 0.7, 6: 0.9, 7: 0.925}
_LIMITS: dict[str, dict[str, float]] = {
    "threshold": {"above": 0},
    "lower_limit": {"low": 0},
    "upper_limit": {"low": 0},
    "ratio": {"above": 0, "below": 1},
}
_MOST_BITS = 12  # each value is compared with every level


class Quantized(Neuron):
    """A neuron whose state is rounded to ``2**bits`` levels after every step.

    The levels lie between ``-(1 + lower_limit) * threshold`` and ``(1 + upper_limit) * threshold``:
    evenly spaced ("uniform"), or ever denser towards the threshold ("threshold") or towards 0
    ("zero"), where the distance of neighbors shrinks by the factor ``ratio`` from level to level.
    Every number of the state becomes the nearest level, the lower one of two as near. Backward the
    rounding is ignored (straight through).

    The spikes are those of the neuron, which computes with all bits within a step. snnTorch rounds
    the membrane before it fires: for its spikes, one step later, give a neuron that sends the
    spikes of its stored membrane, ``js.presets.snntorch.leaky(0.9).replace(spike_delay=True)``.

    The parameters of the neuron are learned under their names with the prefix ``neuron_``.

    Args:
        neuron: The neuron, of any model with a state.
        bits: Bits of each number of the state, from 1 to 12.
        threshold: The potential that the levels are made for, above 0; None for the
            ``v_threshold`` of the neuron, if that is a number.
        spacing: "uniform", "threshold" or "zero".
        lower_limit: How far the levels go below ``-threshold``, as a share of it, at least 0.
        upper_limit: How far they go above ``threshold``, at least 0.
        ratio: Of neighboring distances, between 0 and 1; None for snnTorch's, which depends on
            ``bits``. Only for spacings that are not uniform.

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If it is outside its range.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> neuron = js.Quantized(js.LI(tau=2.0), bits=2, threshold=1.0)
        >>> neuron.levels
        array([-1.        , -0.26666668,  0.46666667,  1.2       ], dtype=float32)
        >>> state, v = js.scan(neuron, neuron.init_state((1,)), jnp.ones((3, 1)))
        >>> state.v
        Array([0.46666667], dtype=float32)

    Source: snnTorch ``functional.quant.state_quant``; Venkatesh, Marinescu, Eshraghian, "SQUAT:
    stateful quantization-aware training in recurrent spiking neural networks", 2024.
    """

    neuron: Neuron
    bits: int = count(default=8)
    _: KW_ONLY
    threshold: float | None = static(default=None)
    spacing: str = static(default="uniform", choices=("uniform", "threshold", "zero"))
    lower_limit: float = static(default=0.0)
    upper_limit: float = static(default=0.2)
    ratio: float | None = static(default=None)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.threshold is None:
            found = getattr(self.neuron, "v_threshold", None)
            if not isinstance(found, float):
                raise ValueError(
                    "`Quantized(threshold=...)` must be a number where the neuron has none as its "
                    f"v_threshold, got {self.neuron}. Give the potential that it should reach."
                )
            object.__setattr__(self, "threshold", found)
        _check.in_range("`Quantized(bits=...)`", self.bits, high=_MOST_BITS)
        for name in ("threshold", "lower_limit", "upper_limit", "ratio"):
            value, where = getattr(self, name), f"`Quantized({name}=...)`"
            if name == "ratio" and value is None:
                continue
            _check.number(where, value)
            _check.in_range(where, value, **_LIMITS[name])  # type: ignore[arg-type]
        if self.ratio is not None and self.spacing == "uniform":
            raise ValueError(
                f"`Quantized(ratio=...)` must be None with uniform levels, got {self.ratio}. "
                "Give `spacing='threshold'` or `'zero'`."
            )

    @functools.cached_property
    def levels(self) -> np.ndarray:
        """The values that a number of the state may have, ascending, in float32."""
        threshold = self.threshold or 0.0
        n, low = 2**self.bits, -threshold * (1 + self.lower_limit)
        high = threshold * (1 + self.upper_limit)
        if self.spacing == "uniform":
            return np.linspace(low, high, n).astype(np.float32)
        center = threshold if self.spacing == "threshold" else 0.0
        ratio = self.ratio or _RATIOS.get(self.bits, 0.95)
        below = int(n * (center - low) / (high - low))
        down, up = (ratio ** np.arange(k) for k in (below, n - below))
        lower = low + (center - low) * (np.cumsum(down) - down) / max(down.sum(), 1)
        upper = center + (high - center) * np.cumsum(up[::-1]) / max(up.sum(), 1)
        return np.concatenate([lower, upper]).astype(np.float32)

    def init_state(self, shape: Shape, dtype: DType = jnp.float32) -> State:
        return self.neuron.init_state(shape, compute_dtype([jnp.dtype(dtype)]))

    def step(self, state: State, x: Array) -> tuple[State, Array]:
        new, y = self.neuron(state, x)
        return jax.tree.map(lambda v: self._rounded(v) if is_float(v) else v, new), y

    def _rounded(self, v: Array) -> Array:
        levels = jnp.asarray(self.levels, v.dtype)
        middles = (levels[1:] + levels[:-1]) / 2
        index = (jax.lax.stop_gradient(v)[..., None] > middles).sum(-1)
        return straight_through(levels[index], v)
