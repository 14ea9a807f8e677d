"""The neurons of Norse 1.1.0, whose parameters are rates in 1/s, integrated in Euler steps."""

from .. import _check
from .._types import Param
from ..neurons import DiscreteLIF
from ..surrogate import SuperSpike, Surrogate

__all__ = ["iaf", "li", "li_box", "lif", "lif_box"]


def __dir__() -> list[str]:
    return __all__


# Norse's `method="super"`, which is 1 / (1 + |x|)^2 and ignores its `alpha=100`
_SURROGATE = SuperSpike(alpha=1.0)


def lif(
    tau_syn_inv: Param = 200.0,
    tau_mem_inv: Param = 100.0,
    v_leak: Param = 0.0,
    v_th: Param = 1.0,
    v_reset: Param = 0.0,
    dt: Param = 0.001,
    *,
    surrogate: Surrogate = _SURROGATE,
) -> DiscreteLIF:
    """The ``LIF`` and ``LIFCell`` of Norse: a synaptic current that jumps by the input and decays.

    One Euler step, in which the membrane receives the current before it decays::

        i = i + x
        v = v + dt * tau_mem_inv * (v_leak - v + i)
        i = i - dt * tau_syn_inv * i

    It fires where ``v > v_th``, not at the threshold, and is reset to ``v_reset`` in the same step,
    with a gradient through the reset. The state starts at ``v_leak``. Its ``c`` is the current
    before it decays: Norse's ``i`` is ``c_decay * c``. An input of 1 adds only
    ``dt * tau_mem_inv`` to the membrane of its step, 0.1 by default.

    Args:
        tau_syn_inv: Inverse time constant of the synapse, in 1/s with ``dt`` in s.
        tau_mem_inv: Inverse time constant of the membrane.
        v_leak: Potential that the membrane leaks to.
        v_th: Firing threshold.
        v_reset: Potential after a spike.
        dt: Time step; at most ``2 / tau_mem_inv`` and ``2 / tau_syn_inv``.
        surrogate: Derivative of the spike; Norse's ``method``, with its ``alpha``.

    Raises:
        ValueError: If a rate or ``dt`` is not above zero, or the Euler steps are unstable.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> neuron = js.presets.norse.lif()
        >>> state, spikes = js.scan(neuron, neuron.init_state((1,)), jnp.ones((8, 1)))
        >>> spikes[:, 0]
        Array([0., 0., 0., 0., 0., 1., 0., 0.], dtype=float32)

    Source: Norse 1.1.0 ``norse.torch.LIF``.
    """
    return DiscreteLIF(
        c_decay=1 - _rate("norse.lif", "tau_syn_inv", tau_syn_inv, dt),
        **_membrane("norse.lif", tau_mem_inv, v_leak, dt),
        **_spiking(v_th, v_reset, surrogate),
    )


def lif_box(
    tau_mem_inv: Param = 100.0,
    v_leak: Param = 0.0,
    v_th: Param = 1.0,
    v_reset: Param = 0.0,
    dt: Param = 0.001,
    *,
    reset_method: str = "reset_value",
    surrogate: Surrogate = _SURROGATE,
) -> DiscreteLIF:
    """The ``LIFBoxCell`` of Norse, without a synapse.

    ``v = v + dt * tau_mem_inv * (v_leak - v + x)``, one Euler step.

    It fires where ``v > v_th`` and is reset in the same step, with a gradient through the reset.

    Args:
        tau_mem_inv: Inverse time constant of the membrane, in 1/s with ``dt`` in s.
        v_leak: Potential that the membrane leaks to and starts at.
        v_th: Firing threshold.
        v_reset: Potential after a spike, with "reset_value".
        dt: Time step, at most ``2 / tau_mem_inv``.
        reset_method: "reset_value", or "reset_subtract" for ``v - v_th``; the names of Norse's
            functions.
        surrogate: Derivative of the spike; Norse's ``method``, with its ``alpha``.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> neuron = js.presets.norse.lif_box(tau_mem_inv=500.0)
        >>> state, spikes = js.scan(neuron, neuron.init_state((1,)), 1.5 * jnp.ones((6, 1)))
        >>> spikes[:, 0]
        Array([0., 1., 0., 1., 0., 1.], dtype=float32)

    Source: Norse 1.1.0 ``norse.torch.LIFBoxCell``.
    """
    _check.one_of(
        "`norse.lif_box(reset_method=...)`", reset_method, ("reset_value", "reset_subtract")
    )
    return DiscreteLIF(
        **_membrane("norse.lif_box", tau_mem_inv, v_leak, dt),
        **_spiking(v_th, v_reset if reset_method == "reset_value" else None, surrogate),
    )


def iaf(
    v_th: Param = 1.0, v_reset: Param = 0.0, *, surrogate: Surrogate = _SURROGATE
) -> DiscreteLIF:
    """The ``IAF`` and ``IAFCell`` of Norse: ``v = v + x``, starting at ``v_reset``.

    It fires where ``v > v_th`` and is reset to ``v_reset`` in the same step, with a gradient
    through the reset.

    Args:
        v_th: Firing threshold.
        v_reset: Potential after a spike and at the start.
        surrogate: Derivative of the spike; Norse's ``method``, with its ``alpha``.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> neuron = js.presets.norse.iaf()
        >>> state, spikes = js.scan(neuron, neuron.init_state((1,)), 0.5 * jnp.ones((6, 1)))
        >>> spikes[:, 0]
        Array([0., 0., 1., 0., 0., 1.], dtype=float32)

    Source: Norse 1.1.0 ``norse.torch.IAF``.
    """
    return DiscreteLIF(v_decay=1.0, v_leak=v_reset, **_spiking(v_th, v_reset, surrogate))


def li(
    tau_syn_inv: Param = 200.0,
    tau_mem_inv: Param = 100.0,
    v_leak: Param = 0.0,
    dt: Param = 0.001,
) -> DiscreteLIF:
    """The ``LI`` and ``LICell`` of Norse, a readout: `lif` without spikes; its output is ``v``.

    Args:
        tau_syn_inv: Inverse time constant of the synapse, in 1/s with ``dt`` in s.
        tau_mem_inv: Inverse time constant of the membrane.
        v_leak: Potential that the membrane leaks to and starts at.
        dt: Time step; at most ``2 / tau_mem_inv`` and ``2 / tau_syn_inv``.

    Raises:
        ValueError: If a rate or ``dt`` is not above zero, or the Euler steps are unstable.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> neuron = js.presets.norse.li(tau_syn_inv=500.0, tau_mem_inv=500.0)
        >>> state, v = js.scan(neuron, neuron.init_state((1,)), jnp.ones((3, 1)))
        >>> v[:, 0]
        Array([0.5  , 1.   , 1.375], dtype=float32)

    Source: Norse 1.1.0 ``norse.torch.LI``.
    """
    return DiscreteLIF(
        c_decay=1 - _rate("norse.li", "tau_syn_inv", tau_syn_inv, dt),
        **_membrane("norse.li", tau_mem_inv, v_leak, dt),
        v_threshold=None,
        v_reset=None,
    )


def li_box(tau_mem_inv: Param = 100.0, v_leak: Param = 0.0, dt: Param = 0.001) -> DiscreteLIF:
    """The ``LIBoxCell`` of Norse, a readout: `lif_box` without spikes; its output is ``v``.

    Args:
        tau_mem_inv: Inverse time constant of the membrane, in 1/s with ``dt`` in s.
        v_leak: Potential that the membrane leaks to and starts at.
        dt: Time step, at most ``2 / tau_mem_inv``.

    Raises:
        ValueError: If a rate or ``dt`` is not above zero, or the Euler steps are unstable.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> neuron = js.presets.norse.li_box(tau_mem_inv=500.0)
        >>> state, v = js.scan(neuron, neuron.init_state((1,)), jnp.ones((3, 1)))
        >>> v[:, 0]
        Array([0.5  , 0.75 , 0.875], dtype=float32)

    Source: Norse 1.1.0 ``norse.torch.LIBoxCell``.
    """
    membrane = _membrane("norse.li_box", tau_mem_inv, v_leak, dt)
    return DiscreteLIF(**membrane, v_threshold=None, v_reset=None)


def _rate(name, field, rate, dt):
    """``dt * rate``, which must be at most 2 for stable Euler steps."""
    _check.in_range(f"`{name}({field}=...)`", rate, above=0)
    _check.in_range(f"`{name}(dt=...)`", dt, above=0)
    step = dt * rate
    if not _check.all_known(step, lambda step: step <= 2):
        raise ValueError(
            f"`{name}({field}=..., dt=...)` must be `{field} * dt <= 2` for stable Euler steps, "
            f"got {rate} and {dt}. Give the rate and the time step in the same unit."
        )
    return step


def _membrane(name, tau_mem_inv, v_leak, dt):
    step = _rate(name, "tau_mem_inv", tau_mem_inv, dt)
    return {"v_decay": 1 - step, "v_gain": step, "v_leak": v_leak}


def _spiking(v_th, v_reset, surrogate):
    return {"v_threshold": v_th, "v_reset": v_reset, "surrogate": surrogate, "fires": ">"}
