"""Leaky integrate and fire in discrete form, with a field for every convention."""

import functools
from dataclasses import KW_ONLY
from typing import NamedTuple

import jax
import jax.numpy as jnp

from .. import _check
from .._types import Array, DType, Param, Shape
from ..field import between, static
from ..surrogate import Sigmoid, Surrogate, spike
from .base import Neuron
from .equations import RESET_TIMES, at_rest, charge_fire_reset, reset, reset_below_threshold


class DiscreteLIFState(NamedTuple):
    """Membrane potential ``v`` and synaptic current ``c``, None without a synapse, ``[N, *]``."""

    v: Array
    c: Array | None = None


class DiscreteLIF(Neuron):
    """Leaky integrate and fire, with a field for every convention on which libraries differ.

    The charge of a step from the membrane ``v`` and the synaptic current ``c``::

        c = c_decay * c + c_gain * x
        h = v_leak + v_decay * (v - v_leak) + v_gain * c + x_gain * x

    Without a synapse (``c_decay=None``) ``c = c_gain * x`` and the state holds no ``c``.
    A membrane ``u`` fires ``s(u)`` where ``u >= v_threshold`` or ``u > v_threshold``, and is reset
    to ``R(u) = v_reset`` there, or to ``u - s(u) * v_threshold`` if ``v_reset`` is None. The reset
    is in the same step or in the next, before or after the charge:

    ================= ============================================ ==============================
    ``reset_time``    new ``v``                                    spikes; with ``spike_delay``
    ================= ============================================ ==============================
    "immediate"       ``R(h)``                                     ``s(h)``
    "immediate_once"  ``h - (s(h) - s(v)) * v_threshold``          ``s(h)`` of the reset ``h``
    "before_charge"   ``h`` of ``R(v)``                            ``s(h)``; ``s(v)``
    "after_charge"    ``h``, or ``h`` after the reset of ``v``     ``s`` of it; ``s(v)``
    "never"           ``h``                                        ``s(h)``; ``s(v)``
    ================= ============================================ ==============================

    After the charge, the reset of a ``v`` that fired is ``h - s(v) * v_threshold``, or ``v_reset``
    instead of ``h``. So is ``h`` reset with "immediate_once", as in snnTorch: a membrane that is
    still above threshold after its reset fires in the next step only above twice the threshold. No
    gradient flows through that ``s(v)``. A time constant ``tau`` is the decay ``exp(-dt / tau)`` if
    exact, or ``1 - dt / tau`` in Euler steps. Some libraries call ``c_decay * c`` the current.

    Args:
        v_decay: Fraction of ``v - v_leak`` kept after a step, from -1 to 1.
        c_decay: Fraction of the synaptic current kept after a step, from -1 to 1 (negative in Euler
            steps with a time constant below ``dt``); None for no synapse.
        c_gain: Factor of the input in the current.
        v_gain: Factor of the current in the membrane.
        x_gain: Factor of the input in the membrane, bypassing the synapse.
        v_leak: Potential that the membrane leaks to and starts at.
        v_threshold: Firing threshold, above ``v_reset``; None for a leaky integrator, which outputs
            the membrane ``h`` and is never reset.
        v_reset: Potential after a spike; None for a soft reset.
        v_min: Lower bound of the membrane after a step; None for no bound.
        surrogate: Derivative of the spike, a function of ``u - v_threshold``.
        fires: ">=" or ">", whether a membrane exactly at the threshold fires.
        reset_time: When the membrane is reset; see the table.
        spike_delay: Whether the spikes are those of the membrane before the step.
        max_spike_count: Maximum number of spikes per step; None for no limit. Unless it is 1, a
            membrane fires ``clip(floor(u / v_threshold), 0, max_spike_count)`` times (with ">" the
            integer below ``u / v_threshold``), the soft reset subtracts ``v_threshold`` as many
            times, and the derivative is still the surrogate's at ``u - v_threshold``. The threshold
            must then be above zero.
        detach_reset: Stop the gradient through the reset.

    Raises:
        TypeError: If ``max_spike_count`` is not an integer or None.
        ValueError: If ``spike_delay`` is given with an immediate reset or without a threshold,
            "immediate_once" with a ``v_reset``, ``max_spike_count`` is below 1, the threshold is
            not above ``v_reset``, or not above zero although spikes are counted.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> neuron = js.DiscreteLIF(v_decay=1.0, v_reset=None, fires=">", reset_time="after_charge")
        >>> state, spikes = js.scan(neuron, neuron.init_state((1,)), 0.5 * jnp.ones((6, 1)))
        >>> spikes[:, 0]
        Array([0., 0., 1., 0., 1., 0.], dtype=float32)

    `jaxspike.presets` has the neurons of snnTorch, Norse, Sinabs and spyx in this form.

    Source: Eshraghian et al., "Training spiking neural networks using lessons from deep learning",
    2023, for the delayed reset; Sinabs ``MultiSpike`` for several spikes in a step.
    """

    v_decay: Param = between(-1.0, 1.0, default=0.9)
    _: KW_ONLY
    c_decay: Param | None = between(-1.0, 1.0, default=None)
    c_gain: Param = 1.0
    v_gain: Param = 1.0
    x_gain: Param = 0.0
    v_leak: Param = 0.0
    v_threshold: Param | None = 1.0
    v_reset: Param | None = 0.0
    v_min: Param | None = None
    surrogate: Surrogate = Sigmoid()
    fires: str = static(default=">=", choices=(">=", ">"))
    reset_time: str = static(default="immediate", choices=(*RESET_TIMES, "immediate_once"))
    spike_delay: bool = static(default=False, choices=(True, False))
    max_spike_count: int | None = static(default=1)
    detach_reset: bool = static(default=False, choices=(True, False))

    def __post_init__(self) -> None:
        super().__post_init__()
        most, threshold = self.max_spike_count, self.v_threshold
        if most is not None:
            _check.integer("`DiscreteLIF(max_spike_count=...)`", most, low=1)
        if self.reset_time != "never":
            reset_below_threshold(self)
        counts = most != 1 and threshold is not None
        if counts and not _check.all_known(threshold, lambda v: v > 0):
            raise ValueError(
                "`DiscreteLIF(v_threshold=...)` must be greater than 0 to count spikes, "
                f"got {threshold}. Use `max_spike_count=1`."
            )
        if self.reset_time == "immediate_once" and self.v_reset is not None:
            where = "`DiscreteLIF(v_reset=...)` must be None with reset_time='immediate_once'"
            raise ValueError(f"{where}, got {self.v_reset}. Use 'immediate'.")
        if self.spike_delay and (threshold is None or self.reset_time.startswith("immediate")):
            raise ValueError(
                "`DiscreteLIF(spike_delay=...)` must be False where there is no threshold or the "
                f"reset is immediate, got v_threshold={threshold} and "
                f"reset_time={self.reset_time!r}. "
                "Give a threshold and `reset_time='before_charge'` or `'after_charge'`."
            )

    def init_state(self, shape: Shape, dtype: DType = jnp.float32) -> DiscreteLIFState:
        v = at_rest(self.v_leak, shape, dtype, "v_leak")
        return DiscreteLIFState(v, None if self.c_decay is None else at_rest(None, shape, dtype))

    def step(self, state: DiscreteLIFState, x: Array) -> tuple[DiscreteLIFState, Array]:
        c, current = state.c, self.c_gain * x
        if self.c_decay is not None and c is not None:
            c = current = self.c_decay * c + current

        def charge(v):
            leaked = self.v_leak + self.v_decay * (v - self.v_leak)
            return leaked + self.v_gain * current + self.x_gain * x

        if self.v_threshold is None:
            h = self._bounded(charge(state.v))
            return DiscreteLIFState(h, c), h
        fire = functools.partial(self._fire, v_threshold=self.v_threshold)
        reset = functools.partial(self._reset, v_threshold=self.v_threshold)
        v, s, last = charge_fire_reset(state.v, self.reset_time, charge, fire, reset)
        return DiscreteLIFState(self._bounded(v), c), last if self.spike_delay else s

    def _fire(self, u: Array, v_threshold: Param) -> Array:
        strict = self.fires == ">"
        s = spike(u - v_threshold, self.surrogate, strict=strict)
        if self.max_spike_count == 1:
            return s
        ratio = u / v_threshold
        count = jnp.ceil(ratio) - 1 if strict else jnp.floor(ratio)
        return _with_derivative(jnp.clip(count, 0, self.max_spike_count), s)

    def _reset(self, u: Array, s: Array, v_threshold: Param) -> Array:
        if self.v_reset is not None and self.max_spike_count != 1:
            s = _with_derivative(jnp.minimum(s, 1), s)
        return reset(u, s, v_threshold, self.v_reset, self.detach_reset)

    def _bounded(self, v: Array) -> Array:
        return v if self.v_min is None else self.v_min + jax.nn.relu(v - self.v_min)


def _with_derivative(value: Array, of: Array) -> Array:
    return of + jax.lax.stop_gradient(value - of)
