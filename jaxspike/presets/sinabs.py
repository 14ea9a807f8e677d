"""The neurons of Sinabs 3.1, which may fire several times per step."""

import math

import jax.numpy as jnp

from .. import _check
from .._types import Param
from ..neurons import DiscreteLIF
from ..surrogate import PiecewiseExp, Scaled, Surrogate

__all__ = ["iaf", "lif"]


def __dir__() -> list[str]:
    return __all__


def lif(
    tau_mem: Param,
    tau_syn: Param | None = None,
    spike_threshold: Param = 1.0,
    max_num_spikes_per_bin: int | None = None,
    reset_fn: str = "MembraneSubtract",
    min_v_mem: Param | None = None,
    norm_input: bool = True,
    *,
    surrogate: Surrogate | None = None,
) -> DiscreteLIF:
    """The ``LIF`` of Sinabs, with exact decays: ``v_mem = a * v_mem + (1 - a) * i_syn``.

    ``a = exp(-1 / tau_mem)``, and without ``norm_input`` the current is not scaled by ``1 - a``.
    The current is the input, or with ``tau_syn`` is ``i_syn = b * (i_syn + x)``, ``b = exp(-1 /
    tau_syn)``: the input decays already in its own step. It fires ``floor(v_mem / threshold)``
    times, including exactly at the threshold, and is reset in the same step: "MembraneSubtract"
    subtracts the threshold as many times, with a gradient through the reset; "MembraneReset" sets
    the membrane to 0 without one. Then ``v_mem`` is clipped from below at ``min_v_mem``.

    Args:
        tau_mem: Time constant of the membrane in time steps, above zero.
        tau_syn: Time constant of the synapse in time steps, above zero; None for no synapse.
        spike_threshold: Potential of one spike, above zero.
        max_num_spikes_per_bin: Maximum number of spikes per step: None is ``MultiSpike``, the
            default of Sinabs; 1 is ``SingleSpike``; others are ``MaxSpike``.
        reset_fn: "MembraneSubtract" or "MembraneReset", whose value is 0 (Sinabs adds a nonzero
            value also to membranes that did not fire).
        min_v_mem: Lower bound of the membrane potential; None for no bound.
        norm_input: Whether the input is scaled by ``1 - a``.
        surrogate: Derivative of the spikes, a function of ``v_mem - spike_threshold``. None for
            Sinabs' ``SingleExponential``, ``exp(-|x| / w) / w`` with ``w = spike_threshold / 2``:
            ``Scaled(PiecewiseExp(alpha=1 / w), 2)``.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> neuron = js.presets.sinabs.lif(tau_mem=2.0, norm_input=False)
        >>> state, spikes = js.scan(neuron, neuron.init_state((1,)), 1.5 * jnp.ones((6, 1)))
        >>> spikes[:, 0]
        Array([1., 1., 1., 2., 1., 1.], dtype=float32)

    Source: Sinabs 3.1.3 ``sinabs.layers.LIF``; Weidel & Sheik, "WaveSense", 2021.
    """
    name = "sinabs.lif"
    _check.in_range(f"`{name}(tau_mem=...)`", tau_mem, above=0)
    _check.one_of(f"`{name}(norm_input=...)`", norm_input, (True, False))
    a = _decay(tau_mem)
    membrane = {"v_decay": a, "v_gain": 1 - a if norm_input else 1.0}
    return _neuron(
        name, membrane, tau_syn, spike_threshold, max_num_spikes_per_bin, reset_fn, min_v_mem,
        surrogate,
    )  # fmt: skip


def iaf(
    spike_threshold: Param = 1.0,
    max_num_spikes_per_bin: int | None = None,
    reset_fn: str = "MembraneSubtract",
    tau_syn: Param | None = None,
    min_v_mem: Param | None = None,
    *,
    surrogate: Surrogate | None = None,
) -> DiscreteLIF:
    """The ``IAF`` of Sinabs, `lif` without a leak: ``v_mem = v_mem + x``.

    Args:
        spike_threshold: Potential of one spike, above zero.
        max_num_spikes_per_bin: Maximum number of spikes per step; None for no limit.
        reset_fn: "MembraneSubtract", or "MembraneReset" to 0.
        tau_syn: Time constant of the synapse in time steps, above zero; None for no synapse.
        min_v_mem: Lower bound of the membrane potential; None for no bound.
        surrogate: Derivative of the spikes; None for that of `lif`.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> neuron = js.presets.sinabs.iaf()
        >>> state, spikes = js.scan(neuron, neuron.init_state((1,)), 1.5 * jnp.ones((4, 1)))
        >>> spikes[:, 0]
        Array([1., 2., 1., 2.], dtype=float32)

    Source: Sinabs 3.1.3 ``sinabs.layers.IAF``.
    """
    membrane = {"v_decay": 1.0}
    return _neuron(
        "sinabs.iaf", membrane, tau_syn, spike_threshold, max_num_spikes_per_bin, reset_fn,
        min_v_mem, surrogate,
    )  # fmt: skip


def _neuron(name, membrane, tau_syn, threshold, most, reset_fn, min_v_mem, surrogate):
    _check.in_range(f"`{name}(spike_threshold=...)`", threshold, above=0)
    _check.one_of(f"`{name}(reset_fn=...)`", reset_fn, ("MembraneSubtract", "MembraneReset"))
    if most is not None:
        _check.integer(f"`{name}(max_num_spikes_per_bin=...)`", most, low=1)
    if tau_syn is not None:
        _check.in_range(f"`{name}(tau_syn=...)`", tau_syn, above=0)
        membrane |= {"c_decay": _decay(tau_syn), "c_gain": _decay(tau_syn)}
    subtract = reset_fn == "MembraneSubtract"
    return DiscreteLIF(
        v_threshold=threshold,
        v_reset=None if subtract else 0.0,
        v_min=min_v_mem,
        surrogate=Scaled(PiecewiseExp(alpha=2 / threshold), 2.0)
        if surrogate is None
        else surrogate,
        max_spike_count=most,
        detach_reset=not subtract,
        **membrane,
    )


def _decay(tau):
    return math.exp(-1 / tau) if isinstance(tau, int | float) else jnp.exp(-1 / tau)
