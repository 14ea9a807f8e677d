"""Second-order neuron whose membrane responds with an alpha function."""

from dataclasses import KW_ONLY
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .._types import Array, DType, Param, Shape
from ..field import between, positive, static
from ..surrogate import Sigmoid, Surrogate, spike
from .base import Neuron
from .equations import RESET_TIMES, at_rest, charge_fire_reset, reset


class AlphaState(NamedTuple):
    """Excitatory and inhibitory currents ``exc`` and ``inh``, ``[N, *]``."""

    exc: Array
    inh: Array


class Alpha(Neuron):
    """A membrane that rises and falls smoothly after an input, as the difference of two decays.

    ``exc = exc_decay * exc + x``; ``inh = inh_decay * inh - x``; ``h = scale * (exc + inh)`` with
    ``scale = log(inh_decay) / (log(inh_decay) - log(exc_decay))``; spike where
    ``h >= v_threshold`` (or ``>``); then both currents are reset to 0, in the same step or, as in
    `DiscreteLIF`, in the next.

    An input of 1 has no effect in its own step; then ``h`` rises to a peak and falls.

    Args:
        exc_decay: Fraction of the excitatory current kept after a step, below 1.
        inh_decay: Fraction of the inhibitory current kept after a step, above 0 and
            below ``exc_decay``.
        v_threshold: Firing threshold, above zero, in units of the membrane potential.
        surrogate: Derivative of the spike.
        fires: ">=" or ">", whether a membrane exactly at the threshold fires.
        reset_time: "immediate"; "before_charge" or "after_charge", both in the next step, where the
            latter loses the input of that step; or "never".
        detach_reset: Stop the gradient through the reset.

    Raises:
        ValueError: If the decays are not ``0 < inh_decay < exc_decay < 1``.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> neuron = js.Alpha(exc_decay=0.9, inh_decay=0.8)
        >>> state, spikes = js.scan(neuron, neuron.init_state((1,)), jnp.ones((6, 1)))
        >>> spikes[:, 0]
        Array([0., 0., 0., 0., 1., 0.], dtype=float32)

    Source: snnTorch ``Alpha`` with ``reset_mechanism="zero"``, which is
    ``reset_time="after_charge"``; Rossum, "A novel spike distance", 2001, for the kernel.
    """

    exc_decay: Param = between(0.0, 1.0, default=0.9)
    _: KW_ONLY
    inh_decay: Param = between(0.0, 1.0, default=0.8)
    v_threshold: Param = positive(default=1.0)
    surrogate: Surrogate = Sigmoid()
    fires: str = static(default=">=", choices=(">=", ">"))
    reset_time: str = static(default="immediate", choices=RESET_TIMES)
    detach_reset: bool = static(default=False, choices=(True, False))

    def __post_init__(self) -> None:
        super().__post_init__()
        exc, inh = self.exc_decay, self.inh_decay
        if isinstance(exc, jax.core.Tracer) or isinstance(inh, jax.core.Tracer):
            return
        if not np.all((np.asarray(inh) > 0) & (np.asarray(inh) < exc) & (np.asarray(exc) < 1)):
            raise ValueError(
                f"`Alpha(exc_decay=..., inh_decay=...)` must be 0 < inh_decay < exc_decay < 1, "
                f"got exc_decay={exc} and inh_decay={inh}. Swap or separate them."
            )

    def init_state(self, shape: Shape, dtype: DType = jnp.float32) -> AlphaState:
        return AlphaState(at_rest(None, shape, dtype), at_rest(None, shape, dtype))

    def step(self, state: AlphaState, x: Array) -> tuple[AlphaState, Array]:
        slow, fast = jnp.log(self.exc_decay), jnp.log(self.inh_decay)

        def charge(state):
            return AlphaState(self.exc_decay * state.exc + x, self.inh_decay * state.inh - x)

        def fire(state):
            h = fast / (fast - slow) * (state.exc + state.inh)
            return spike(h - self.v_threshold, self.surrogate, strict=self.fires == ">")

        def clear(state, s):
            return AlphaState(*(reset(i, s, 0.0, 0.0, self.detach_reset) for i in state))

        return charge_fire_reset(state, self.reset_time, charge, fire, clear)[:2]
