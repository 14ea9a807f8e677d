"""The learners of SpikingJelly 2.0.0, as rules: ``learner.step(on_grad=False)`` is their ``dw``."""

import math
from collections.abc import Callable
from dataclasses import KW_ONLY

from .. import _check
from .._types import Array, Param
from ..field import function
from ..learning import MSTDP, MSTDPET, STDP, WeightDependence

__all__ = ["mstdp", "mstdpet", "stdp"]


def __dir__() -> list[str]:
    return __all__


Factor = Callable[[Array], Param]


def _identity(w: Array) -> Array:
    return w


class _Functions(WeightDependence):
    """Factors as two functions of the weight."""

    _: KW_ONLY
    f_pre: Factor = function()
    f_post: Factor = function()

    def factors(self, w: Array) -> tuple[Param, Param]:
        return self.f_post(w), self.f_pre(w)


def _stdp(tau_pre: float, tau_post: float, f_pre: Factor, f_post: Factor) -> STDP:
    functions = _Functions(f_pre=f_pre, f_post=f_post)
    return STDP(tau_pre, tau_minus=tau_post, a_plus=1.0, a_minus=1.0, weight_dependence=functions)


def stdp(
    tau_pre: float, tau_post: float, *, f_pre: Factor = _identity, f_post: Factor = _identity
) -> STDP:
    """The ``STDPLearner`` of SpikingJelly, whose traces decay by ``1 - 1 / tau``.

    ``dw = f_post(w) * post * trace_pre - f_pre(w) * pre * trace_post``, with traces that include
    the spikes of the step, summed over the batch. With the default functions a weight of zero does
    not learn, and a negative one learns the reverse. ``step(on_grad=True)`` writes ``-dw`` into the
    gradient.

    Args:
        tau_pre: Time constant of the input trace, in time steps, above 1.
        tau_post: Time constant of the output trace, above 1.
        f_pre: Factor of depression, a function of the weight.
        f_post: Factor of potentiation.

    Raises:
        ValueError: If a time constant is not above 1.

    Example:
        >>> import jaxspike as js
        >>> js.presets.spikingjelly.stdp(2.0, 2.0).tau_plus              # exp(-1 / tau) is 1/2
        1.4426950408889634

    Source: SpikingJelly 2.0.0 ``activation_based.learning.STDPLearner``.
    """
    taus = {"tau_pre": tau_pre, "tau_post": tau_post}
    for name, tau in taus.items():
        _check.number(f"`spikingjelly.stdp({name}=...)`", tau, above=1)
    pre, post = (-1 / math.log1p(-1 / tau) for tau in taus.values())
    return _stdp(pre, post, f_pre, f_post)


def mstdp(
    tau_pre: float, tau_post: float, *, f_pre: Factor = _identity, f_post: Factor = _identity
) -> MSTDP:
    """The ``MSTDPLearner`` of SpikingJelly, whose traces decay by ``exp(-1 / tau)``.

    The reward of a step acts on the spikes of the step before.

    Args:
        tau_pre: Time constant of the input trace, in time steps, above zero.
        tau_post: Time constant of the output trace.
        f_pre: Factor of depression, a function of the weight.
        f_post: Factor of potentiation.

    Raises:
        ValueError: If a time constant is not above zero.

    Example:
        >>> import jaxspike as js
        >>> js.presets.spikingjelly.mstdp(20.0, 20.0).lag
        True

    Source: SpikingJelly 2.0.0 ``activation_based.learning.MSTDPLearner``.
    """
    return MSTDP(_stdp(tau_pre, tau_post, f_pre, f_post))


def mstdpet(
    tau_pre: float,
    tau_post: float,
    tau_trace: float,
    *,
    f_pre: Factor = _identity,
    f_post: Factor = _identity,
) -> MSTDPET:
    """The ``MSTDPETLearner`` of SpikingJelly, which has a batch here.

    Args:
        tau_pre: Time constant of the input trace, in time steps, above zero.
        tau_post: Time constant of the output trace.
        tau_trace: Time constant of the eligibility trace.
        f_pre: Factor of depression, a function of the weight.
        f_post: Factor of potentiation.

    Raises:
        ValueError: If a time constant is not above zero.

    Example:
        >>> import jaxspike as js
        >>> js.presets.spikingjelly.mstdpet(20.0, 20.0, 25.0).tau
        25.0

    Source: SpikingJelly 2.0.0 ``activation_based.learning.MSTDPETLearner``.
    """
    return MSTDPET(_stdp(tau_pre, tau_post, f_pre, f_post), tau=tau_trace)
