"""The learning rules of BindsNET 0.3.4, with steps of 1 ms and its sum over the batch."""

from .._types import Param
from ..learning import (
    MSTDP,
    MSTDPET,
    STDP,
    Additive,
    PostSpikeSTDP,
    PowerLaw,
    WeightDependence,
)

__all__ = [
    "diehl_and_cook",
    "hebbian",
    "mstdp",
    "mstdpet",
    "post_pre",
    "weight_dependent_post_pre",
]

Rates = tuple[Param, Param]


def __dir__() -> list[str]:
    return __all__


def _pair(nu: Rates, tc_trace: Param, traces_additive: bool, dependence: WeightDependence) -> STDP:
    return STDP(
        tc_trace,
        tau_minus=tc_trace,
        a_plus=nu[1],
        a_minus=nu[0],
        pairing="all" if traces_additive else "nearest",
        weight_dependence=dependence,
    )


def post_pre(
    nu: Rates = (1e-4, 1e-2),
    *,
    tc_trace: Param = 20.0,
    traces_additive: bool = False,
    wmin: Param | None = None,
    wmax: Param | None = None,
) -> STDP:
    """The ``PostPre`` of BindsNET: depression at input spikes, potentiation at output spikes.

    A spike sets its traces to 1, unless ``traces_additive``, and they include the spikes of the
    step.

    Args:
        nu: Learning rates of depression and of potentiation.
        tc_trace: Time constant of the traces, in ms.
        traces_additive: Whether spikes add up in the traces.
        wmin: Smallest weight; None for no bound.
        wmax: Largest weight; None for no bound.

    Raises:
        ValueError: If the time constant is not above zero, or the bounds are not in order.

    Example:
        >>> import jaxspike as js
        >>> js.presets.bindsnet.post_pre(wmin=0.0, wmax=1.0).pairing
        'nearest'

    Source: BindsNET 0.3.4 ``learning.PostPre``.
    """
    return _pair(nu, tc_trace, traces_additive, Additive(wmin, w_max=wmax))


def weight_dependent_post_pre(
    nu: Rates = (1e-4, 1e-2),
    *,
    tc_trace: Param = 20.0,
    traces_additive: bool = False,
    wmin: float = 0.0,
    wmax: float = 1.0,
) -> STDP:
    """The ``WeightDependentPostPre`` of BindsNET: ``PostPre`` with soft bounds.

    Potentiation is scaled by ``wmax - w``, depression by ``w - wmin``.

    Args:
        nu: Learning rates of depression and of potentiation.
        tc_trace: Time constant of the traces, in ms.
        traces_additive: Whether spikes add up in the traces.
        wmin: Smallest weight.
        wmax: Largest weight.

    Raises:
        ValueError: If the time constant is not above zero, or the bounds are not in order.

    Example:
        >>> import jaxspike as js
        >>> js.presets.bindsnet.weight_dependent_post_pre(wmax=2.0).a_plus
        0.02

    Source: BindsNET 0.3.4 ``learning.WeightDependentPostPre``.
    """
    bounds, size = PowerLaw(wmin, w_max=wmax), wmax - wmin
    return _pair((nu[0] * size, nu[1] * size), tc_trace, traces_additive, bounds)


def hebbian(
    nu: Rates = (1e-4, 1e-2),
    *,
    tc_trace: Param = 20.0,
    traces_additive: bool = False,
    wmin: Param | None = None,
    wmax: Param | None = None,
) -> STDP:
    """The ``Hebbian`` of BindsNET: input and output spikes both strengthen a weight.

    Args:
        nu: Learning rates at input spikes and at output spikes.
        tc_trace: Time constant of the traces, in ms.
        traces_additive: Whether spikes add up in the traces.
        wmin: Smallest weight; None for no bound.
        wmax: Largest weight; None for no bound.

    Raises:
        ValueError: If the time constant is not above zero, or the bounds are not in order.

    Example:
        >>> import jaxspike as js
        >>> js.presets.bindsnet.hebbian().a_minus
        -0.0001

    Source: BindsNET 0.3.4 ``learning.Hebbian``.
    """
    return _pair((-nu[0], nu[1]), tc_trace, traces_additive, Additive(wmin, w_max=wmax))


def diehl_and_cook(
    nu: Param = 1e-2,
    *,
    x_tar: Param = 0.0,
    mu: float = 1.0,
    tc_trace: Param = 20.0,
    traces_additive: bool = True,
    wmin: float = 0.0,
    wmax: float = 1.0,
) -> PostSpikeSTDP:
    """The ``DiehlAndCook`` of BindsNET, which changes weights at output spikes alone.

    ``dw = nu * (x_pre - x_tar) * (wmax - w) ** mu``.

    Args:
        nu: Learning rate, the second of its pair.
        x_tar: Value of the trace at which a weight does not change.
        mu: Exponent of the weight dependence, from 0 to 1.
        tc_trace: Time constant of the trace, in ms.
        traces_additive: Whether spikes add up in the trace, as in the paper.
        wmin: Smallest weight.
        wmax: Largest weight.

    Raises:
        ValueError: If the time constant is not above zero, or the bounds are not in order.

    Example:
        >>> import jaxspike as js
        >>> js.presets.bindsnet.diehl_and_cook(x_tar=0.4).x_target
        0.4

    Source: BindsNET 0.3.4 ``learning.DiehlAndCook``.
    """
    return PostSpikeSTDP(
        tc_trace,
        rate=nu * (wmax - wmin) ** mu,
        x_target=x_tar,
        pairing="all" if traces_additive else "nearest",
        weight_dependence=PowerLaw(wmin, w_max=wmax, mu_plus=mu),
    )


def mstdp(
    nu: float = 1e-2,
    *,
    a_plus: float = 1.0,
    a_minus: float = -1.0,
    tc_plus: Param = 20.0,
    tc_minus: Param = 20.0,
    zero_lag: bool = False,
    wmin: Param | None = None,
    wmax: Param | None = None,
) -> MSTDP:
    """The ``MSTDP`` of BindsNET, with the amplitudes that it takes in ``network.run``.

    Args:
        nu: Learning rate, the first of its pair.
        a_plus: Amplitude of potentiation.
        a_minus: Amplitude of depression, negative to depress.
        tc_plus: Time constant of the input trace, in ms.
        tc_minus: Time constant of the output trace.
        zero_lag: Whether the reward acts on the spikes of the same step, not of the step before.
        wmin: Smallest weight; None for no bound.
        wmax: Largest weight; None for no bound.

    Raises:
        ValueError: If a time constant is not above zero, or the bounds are not in order.

    Example:
        >>> import jaxspike as js
        >>> js.presets.bindsnet.mstdp(0.5).rule.a_minus
        0.5

    Source: BindsNET 0.3.4 ``learning.MSTDP``.
    """
    rule = _modulated(nu, a_plus, a_minus, tc_plus, tc_minus, Additive(wmin, w_max=wmax))
    return MSTDP(rule, lag=not zero_lag)


def mstdpet(
    nu: float = 1e-2,
    *,
    a_plus: float = 1.0,
    a_minus: float = -1.0,
    tc_plus: Param = 20.0,
    tc_minus: Param = 20.0,
    tc_e_trace: Param = 25.0,
    zero_lag: bool = False,
    wmin: Param | None = None,
    wmax: Param | None = None,
) -> MSTDPET:
    """The ``MSTDPET`` of BindsNET, with the amplitudes that it takes in ``network.run``.

    Args:
        nu: Learning rate, the first of its pair.
        a_plus: Amplitude of potentiation.
        a_minus: Amplitude of depression, negative to depress.
        tc_plus: Time constant of the input trace, in ms.
        tc_minus: Time constant of the output trace.
        tc_e_trace: Time constant of the eligibility trace.
        zero_lag: Whether the reward acts on the trace of the same step, not of the step before.
        wmin: Smallest weight; None for no bound.
        wmax: Largest weight; None for no bound.

    Raises:
        ValueError: If a time constant is not above zero, or the bounds are not in order.

    Example:
        >>> import jaxspike as js
        >>> js.presets.bindsnet.mstdpet(tc_e_trace=10.0).tau
        10.0

    Source: BindsNET 0.3.4 ``learning.MSTDPET``.
    """
    rule = _modulated(nu, a_plus, a_minus, tc_plus, tc_minus, Additive(wmin, w_max=wmax))
    return MSTDPET(rule, tau=tc_e_trace, lag=not zero_lag)


def _modulated(
    nu: float,
    a_plus: float,
    a_minus: float,
    tc_plus: Param,
    tc_minus: Param,
    bounds: WeightDependence,
) -> STDP:
    return STDP(
        tc_plus,
        tau_minus=tc_minus,
        a_plus=nu * a_plus,
        a_minus=-nu * a_minus,
        weight_dependence=bounds,
    )
