"""Balanced resonate and fire."""

from dataclasses import KW_ONLY
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .. import _check
from .._types import Array, DType, Param, Shape
from ..field import Others, Range, between, depending, positive
from ..surrogate import Sigmoid, Surrogate, spike
from .base import Neuron
from .equations import at_rest


def _up_to_one_over_dt(others: Others) -> Range:
    """Learned as a logit; at ``1 / dt`` itself the damping would have no derivative."""
    limit = (1 - 1e-6) / others("dt")  # type: ignore[operator]  # dt is never None

    def to_raw(omega):
        share = jnp.minimum(omega / limit, 1)
        return jnp.log(share) - jnp.log1p(-share)

    return Range("greater than 0", lambda v: v > 0, to_raw, lambda raw: limit * jax.nn.sigmoid(raw))


class BRFState(NamedTuple):
    """Membrane potential ``v``, its imaginary part ``u``, refractory variable ``q``, ``[N, *]``."""

    v: Array
    u: Array
    q: Array


class BRF(Neuron):
    """A resonator without reset, kept from diverging and quiet after a spike by its damping.

    With the damping ``b = (sqrt(1 - (dt * omega)**2) - 1) / dt - b_offset - q``:
    ``v, u = v + dt * (b * v - omega * u + x), u + dt * (omega * v + b * u)``; spike ``s`` where
    ``v >= v_threshold + q``; then ``q = q_decay * q + s``.

    The first term of ``b`` is the least damping at which forward Euler steps do not diverge. It is
    a number for angular frequencies up to ``1 / dt``, 100 by default. Inputs count ``dt`` times
    their value, so they are large or many.

    In the paper the neurons of a layer start with values drawn uniformly: on sequences of digits
    ``omega`` from 15 to 85 and ``b_offset`` from 0.1 to 1, on spoken digits from 5 to 10 and from 2
    to 3.

    Args:
        omega: Angular frequency in radians per unit of time, above zero and at most ``1 / dt``;
            learned as the logit of ``dt * omega``, so it stays there.
        b_offset: Damping beyond the least, above zero, per unit of time.
        dt: Length of a step in units of time, above zero.
        q_decay: Fraction of the refractory variable kept after a step, from 0 to 1.
        v_threshold: Firing threshold at rest, above zero, in units of the membrane potential.
        surrogate: Derivative of the spike.

    Raises:
        ValueError: If ``omega`` is greater than ``1 / dt``.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> neuron = js.BRF(omega=40.0)
        >>> state, spikes = js.scan(neuron, neuron.init_state((1,)), 60 * jnp.ones((9, 1)))
        >>> spikes[:, 0]
        Array([0., 1., 0., 0., 0., 0., 0., 0., 0.], dtype=float32)

    Source: Higuchi, Kairat, Bohte, Otte, "Balanced resonate-and-fire neurons", ICML 2024;
    ``BRFCell`` of its code.
    """

    omega: Param = depending(_up_to_one_over_dt, default=10.0)
    _: KW_ONLY
    b_offset: Param = positive(default=1.0)
    dt: Param = positive(default=0.01)
    q_decay: Param = between(0.0, 1.0, default=0.9)
    v_threshold: Param = positive(default=1.0)
    surrogate: Surrogate = Sigmoid()

    def __post_init__(self) -> None:
        super().__post_init__()
        if not _check.all_known(self.omega, self._is_stable):
            must = f"must be at most 1 / dt, with dt={self.dt}, got {self.omega}"
            raise ValueError(f"`BRF(omega=...)` {must}. Give a smaller dt.")

    def _is_stable(self, omega: np.ndarray) -> bool:
        return _check.all_known(self.dt, lambda dt: omega * dt <= 1)

    def init_state(self, shape: Shape, dtype: DType = jnp.float32) -> BRFState:
        return BRFState(*[at_rest(None, shape, dtype) for _ in range(3)])

    def step(self, state: BRFState, x: Array) -> tuple[BRFState, Array]:
        v, u, q = state
        least = (jnp.sqrt(1 - jnp.square(self.dt * self.omega)) - 1) / self.dt
        b = least - self.b_offset - q
        v, u = (
            v + self.dt * (b * v - self.omega * u + x),
            u + self.dt * (self.omega * v + b * u),
        )
        s = spike(v - self.v_threshold - q, self.surrogate)
        return BRFState(v, u, self.q_decay * q + s), s
