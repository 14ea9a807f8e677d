"""How the change of a weight depends on the weight itself, and the bounds within which it stays."""

import abc
from dataclasses import KW_ONLY

import jax.numpy as jnp

from .. import _check
from .._pytree import Pytree
from .._types import Array, Param
from ..field import between


class WeightDependence(Pytree, abc.ABC):
    """Base class of the factors by which a plasticity rule scales its changes, and of hard bounds.

    To write your own, subclass it and define ``factors``. After the factors are applied, a change
    that would take a weight out of its bounds is cut so that it only reaches them.

    Args:
        w_min: Smallest weight; None for no bound.
        w_max: Largest weight; None for no bound.

    Raises:
        ValueError: If ``w_max`` is not greater than ``w_min``.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> class Exponential(js.learning.WeightDependence):
        ...     def factors(self, w):
        ...         return jnp.exp(-w), 1.0
        >>> js.learning.STDP(weight_dependence=Exponential(w_min=0.0))
        STDP(weight_dependence=Exponential(w_min=0.0))
    """

    w_min: Param | None = None
    _: KW_ONLY
    w_max: Param | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.w_min, float):
            where = f"`{type(self).__name__}(w_max=...)`"
            _check.in_range(where, self.w_max, above=self.w_min)

    @abc.abstractmethod
    def factors(self, w: Array) -> tuple[Param, Param]:
        """The factors of potentiation and of depression, numbers or of the shape of ``w``."""

    def bound(self, w: Array, dw: Array) -> Array:
        """The part of a change that keeps the weight within its bounds, to rounding."""
        if self.w_min is None and self.w_max is None:
            return dw
        return jnp.clip(w + dw, self.w_min, self.w_max) - w


class Additive(WeightDependence):
    """Changes that do not depend on the weight, within hard bounds if there are any.

    Args:
        w_min, w_max: As for `WeightDependence`.

    Raises:
        ValueError: As for `WeightDependence`.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> bounds = js.learning.Additive(w_min=0.0, w_max=1.0)
        >>> bounds.bound(jnp.array([0.25, 0.75]), jnp.array([0.5, 0.5]))
        Array([0.5 , 0.25], dtype=float32)
    """

    def factors(self, w: Array) -> tuple[Param, Param]:
        return 1.0, 1.0


class Proportional(WeightDependence):
    """Changes proportional to the weight: the weights of a neuron keep their ratios.

    A weight of zero stays zero, and the sign of a change is that of the weight.

    Args:
        w_min, w_max: As for `WeightDependence`.

    Raises:
        ValueError: As for `WeightDependence`.

    Example:
        >>> import jaxspike as js
        >>> js.learning.STDP(weight_dependence=js.learning.Proportional())
        STDP(weight_dependence=Proportional())
    """

    def factors(self, w: Array) -> tuple[Param, Param]:
        return w, w


class PowerLaw(WeightDependence):
    """Changes that shrink as the weight approaches its bounds: soft bounds.

    Potentiation is scaled by ``((w_max - w) / (w_max - w_min)) ** mu_plus``, depression by
    ``((w - w_min) / (w_max - w_min)) ** mu_minus``. Exponents of 1 are multiplicative STDP, 0 and 1
    that of van Rossum, 0 and 0 the additive rule with hard bounds.

    Args:
        w_min: Smallest weight.
        w_max: Largest weight.
        mu_plus: Exponent of potentiation, from 0 to 1.
        mu_minus: Exponent of depression, from 0 to 1.

    Raises:
        ValueError: If ``w_max`` is not greater than ``w_min``, or an exponent is out of range.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> js.learning.PowerLaw(mu_minus=0.5).factors(jnp.array(0.25))
        (Array(0.75, dtype=float32, weak_type=True), Array(0.5, dtype=float32, weak_type=True))

    Source: Gütig, Aharonov, Rotter, Sompolinsky, "Learning input correlations through nonlinear
    temporally asymmetric Hebbian plasticity", Journal of Neuroscience 23 (2003).
    """

    w_min: Param = 0.0
    _: KW_ONLY
    w_max: Param = 1.0
    mu_plus: Param = between(0.0, 1.0, default=1.0)
    mu_minus: Param = between(0.0, 1.0, default=1.0)

    def factors(self, w: Array) -> tuple[Param, Param]:
        share = jnp.clip((w - self.w_min) / (self.w_max - self.w_min), 0.0, 1.0)
        return (1 - share) ** self.mu_plus, share**self.mu_minus
