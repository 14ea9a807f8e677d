"""The neurons of snnTorch 1.0.0."""

import math

import jax.numpy as jnp

from .. import _check
from .._types import Param
from ..neurons import Alpha, DiscreteLIF
from ..surrogate import ATan, Surrogate

__all__ = ["alpha", "lapicque", "leaky", "synaptic"]


def __dir__() -> list[str]:
    return __all__


_SURROGATE = ATan(alpha=2.0)  # snnTorch's `atan(alpha=2.0)`, the same function
_RESETS = ("subtract", "zero", "none")


def leaky(
    beta: Param,
    threshold: Param = 1.0,
    reset_mechanism: str = "subtract",
    reset_delay: bool = True,
    *,
    surrogate: Surrogate = _SURROGATE,
) -> DiscreteLIF:
    """The ``Leaky`` of snnTorch: ``mem = beta * mem + x``, reset one step late.

    A neuron fires where ``mem > threshold``, not at the threshold. The state
    holds the membrane before the reset; the next step begins with ``reset = mem > threshold``,
    through which no gradient flows, and is::

        mem = beta * mem + x - reset * threshold      # "subtract"
        mem = beta * (1 - reset) * mem + x            # "zero"
        mem = beta * mem + x                          # "none"

    With ``reset_delay=False`` the membrane is reset in the step of the spike, with a gradient
    through it. A membrane that is still above ``threshold`` after a subtraction fires in the next
    step only above ``2 * threshold``.

    Args:
        beta: Decay of the membrane, from 0 to 1, which snnTorch clips it to.
        threshold: Firing threshold, above zero.
        reset_mechanism: "subtract", "zero" or "none".
        reset_delay: Whether the reset is one step late.
        surrogate: Derivative of the spike; snnTorch's ``spike_grad``.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> neuron = js.presets.snntorch.leaky(beta=0.5)
        >>> state, spikes = js.scan(neuron, neuron.init_state((1,)), 0.9 * jnp.ones((6, 1)))
        >>> spikes[:, 0]
        Array([0., 1., 0., 1., 0., 1.], dtype=float32)

    Source: snnTorch 1.0.0 ``snntorch.Leaky``.
    """
    late = {"subtract": "after_charge", "zero": "before_charge", "none": "never"}
    return _neuron("snntorch.leaky", beta, threshold, reset_mechanism, reset_delay, late, surrogate)


def synaptic(
    alpha: Param,
    beta: Param,
    threshold: Param = 1.0,
    reset_mechanism: str = "subtract",
    reset_delay: bool = True,
    *,
    surrogate: Surrogate = _SURROGATE,
) -> DiscreteLIF:
    """The ``Synaptic`` of snnTorch: ``syn = alpha * syn + x``, ``mem = beta * mem + syn``.

    It fires and resets as `leaky`, but "zero" also clears the input of the step, and the
    current is never reset::

        mem = beta * mem + syn - reset * threshold      # "subtract"
        mem = (1 - reset) * (beta * mem + syn)          # "zero"

    Args:
        alpha: Decay of the synaptic current, from 0 to 1.
        beta: Decay of the membrane, from 0 to 1.
        threshold: Firing threshold, above zero.
        reset_mechanism: "subtract", "zero" or "none".
        reset_delay: Whether the reset is one step late.
        surrogate: Derivative of the spike; snnTorch's ``spike_grad``.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> neuron = js.presets.snntorch.synaptic(alpha=0.5, beta=0.5)
        >>> state, spikes = js.scan(neuron, neuron.init_state((1,)), 0.5 * jnp.ones((6, 1)))
        >>> spikes[:, 0]
        Array([0., 0., 1., 0., 1., 0.], dtype=float32)

    Source: snnTorch 1.0.0 ``snntorch.Synaptic``.
    """
    name = "snntorch.synaptic"
    _check.in_range(f"`{name}(alpha=...)`", alpha, low=0, high=1)
    late = {"subtract": "after_charge", "zero": "after_charge", "none": "never"}
    fields = {"c_decay": alpha}
    return _neuron(name, beta, threshold, reset_mechanism, reset_delay, late, surrogate, fields)


def lapicque(
    beta: Param | None = None,
    R: Param | None = None,  # noqa: N803
    C: Param | None = None,  # noqa: N803
    time_step: Param = 1.0,
    threshold: Param = 1.0,
    reset_mechanism: str = "subtract",
    *,
    surrogate: Surrogate = _SURROGATE,
) -> DiscreteLIF:
    """The ``Lapicque`` of snnTorch, an RC circuit in Euler steps.

    ``mem = (1 - dt / (R * C)) * mem + dt / C * x``.

    ``dt`` is ``time_step``. ``beta`` gives ``R * C = dt / log(1 / beta)``, with ``R = 1`` unless
    one of them is given: the membrane then decays by ``1 + log(beta)``, not by ``beta``, and
    the input is scaled. It fires where ``mem > threshold``, and is reset in the next step, by a
    reset without a gradient::

        mem = (1 - dt / (R * C)) * mem + dt / C * x - reset * threshold      # "subtract"
        mem = (1 - reset) * ((1 - dt / (R * C)) * mem + dt / C * x)          # "zero"

    Args:
        beta: Determines ``R * C``, between 0 and 1.
        R: Resistance, above zero.
        C: Capacitance, above zero.
        time_step: ``dt``, at most ``2 * R * C``.
        threshold: Firing threshold, above zero.
        reset_mechanism: "subtract", "zero" or "none".
        surrogate: Derivative of the spike; snnTorch's ``spike_grad``.

    Raises:
        ValueError: If ``beta``, or ``R`` and ``C``, are missing or all three are given, or an
            argument is out of its range.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> neuron = js.presets.snntorch.lapicque(R=2.0, C=2.0)
        >>> neuron.v_decay, neuron.v_gain
        (0.75, 0.5)

    Source: snnTorch 1.0.0 ``snntorch.Lapicque``.
    """
    name = "snntorch.lapicque"
    if (beta is None and (R is None or C is None)) or all(
        value is not None for value in (beta, R, C)
    ):
        raise ValueError(
            f"`{name}(beta=..., R=..., C=...)` must be beta, beta and one of the others, or R and "
            f"C, got beta={beta}, R={R} and C={C}. snnTorch ignores any others."
        )
    for field, value in (("beta", beta), ("R", R), ("C", C), ("time_step", time_step)):
        if value is not None:
            _check.in_range(f"`{name}({field}=...)`", value, above=0)
    if beta is not None and not _check.all_known(beta, lambda beta: beta < 1):
        raise ValueError(f"`{name}(beta=...)` must be less than 1, got {beta}.")
    rc = R * C if beta is None else time_step / -_log(beta)  # type: ignore[operator]
    if not _check.all_known(time_step / rc, lambda ratio: ratio <= 2):
        raise ValueError(
            f"`{name}(time_step=...)` must be at most 2 * R * C = {2 * rc}, got {time_step}. "
            "Use smaller steps."
        )
    capacitance = C if C is not None else rc / (1.0 if R is None else R)
    late = {"subtract": "after_charge", "zero": "after_charge", "none": "never"}
    fields = {"v_decay": 1 - time_step / rc, "v_gain": time_step / capacitance}
    return _neuron(name, None, threshold, reset_mechanism, True, late, surrogate, fields)


def alpha(
    alpha: Param,
    beta: Param,
    threshold: Param = 1.0,
    reset_mechanism: str = "zero",
    *,
    surrogate: Surrogate = _SURROGATE,
) -> Alpha:
    """The ``Alpha`` of snnTorch: a membrane that is the difference of two decaying currents.

    ``syn_exc = alpha * syn_exc + x``, ``syn_inh = beta * syn_inh - x``, ``mem = tau * (syn_exc +
    syn_inh)`` with ``tau = log(alpha) / (log(beta) - log(alpha)) + 1``. It fires where ``mem >
    threshold``. With "zero" everything is 0 after the next step, whose input is lost, and no
    gradient flows through the reset.

    The membrane is not in the state: it is ``tau * (exc + inh)``. There is no "subtract": in
    snnTorch it makes a membrane that for one step does not belong to its currents.

    Args:
        alpha: Decay of the excitatory current, below 1 and above ``beta``.
        beta: Decay of the inhibitory current, above 0.
        threshold: Firing threshold, above zero.
        reset_mechanism: "zero" or "none".
        surrogate: Derivative of the spike; snnTorch's ``spike_grad``.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> neuron = js.presets.snntorch.alpha(alpha=0.9, beta=0.8)
        >>> state, spikes = js.scan(neuron, neuron.init_state((1,)), jnp.ones((8, 1)))
        >>> spikes[:, 0]
        Array([0., 0., 0., 0., 1., 0., 0., 0.], dtype=float32)

    Source: snnTorch 1.0.0 ``snntorch.Alpha``.
    """
    name = "snntorch.alpha"
    _check.one_of(f"`{name}(reset_mechanism=...)`", reset_mechanism, ("zero", "none"))
    _check.in_range(f"`{name}(threshold=...)`", threshold, above=0)
    return Alpha(
        exc_decay=alpha,
        inh_decay=beta,
        v_threshold=threshold,
        surrogate=surrogate,
        fires=">",
        reset_time="after_charge" if reset_mechanism == "zero" else "never",
        detach_reset=True,
    )


def _neuron(name, beta, threshold, mechanism, delay, late, surrogate, fields=None):
    """A `DiscreteLIF` that fires above its threshold, with the reset times ``late`` if delayed."""
    _check.one_of(f"`{name}(reset_mechanism=...)`", mechanism, _RESETS)
    _check.one_of(f"`{name}(reset_delay=...)`", delay, (True, False))
    _check.in_range(f"`{name}(threshold=...)`", threshold, above=0)
    fields = dict(fields or {})
    if beta is not None:
        _check.in_range(f"`{name}(beta=...)`", beta, low=0, high=1)
        fields["v_decay"] = beta
    immediate = "immediate_once" if mechanism == "subtract" else "immediate"
    return DiscreteLIF(
        v_threshold=threshold,
        v_reset=0.0 if mechanism == "zero" else None,
        surrogate=surrogate,
        fires=">",
        reset_time=late[mechanism] if delay or mechanism == "none" else immediate,
        detach_reset=delay,
        **fields,
    )


def _log(x):
    return math.log(x) if isinstance(x, int | float) else jnp.log(x)
