"""The spike, and the surrogate derivatives it is trained with.

A spike is the Heaviside step of the membrane's distance to threshold. Its derivative is zero
almost everywhere, so the backward pass uses another function instead: the *surrogate*, written
here as what it is, a function ``x -> ds/dx``. Each is the derivative of a continuous *primitive*,
given in its docstring; a primitive that is not a step from 0 to 1 is given up to a constant.

A slope is a leaf, so it can be annealed. It cannot be learned by gradient descent: the spikes do
not depend on it, so its gradient is zero.

To add a surrogate, subclass `Surrogate` and write ``__call__``.
"""

import abc
import functools
import math

import jax
import jax.numpy as jnp

from . import _check
from ._pytree import Pytree
from ._types import Array, Param
from .field import greater_than, positive, static

__all__ = [
    "S2NN",
    "ATan",
    "Erf",
    "FakeNumericalGradient",
    "LeakyKReLU",
    "LogTailedReLU",
    "MultiGaussian",
    "NonzeroSignLogAbs",
    "PiecewiseExp",
    "PiecewiseLeakyReLU",
    "PiecewiseQuadratic",
    "QPseudoSpike",
    "Rect",
    "Scaled",
    "Sigmoid",
    "SoftSign",
    "SquarewaveFourierSeries",
    "StraightThrough",
    "SuperSpike",
    "Surrogate",
    "Triangle",
    "Window",
    "spike",
    "spike_count",
]


def __dir__() -> list[str]:
    return __all__


class Surrogate(Pytree, abc.ABC):
    """A pseudo-derivative of the spike: a callable pytree ``x -> ds/dx``.

    Its parameters are leaves, so a slope given as an array can be annealed without recompiling.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> class Parabola(js.surrogate.Surrogate):
        ...     width: js.Param = js.field.positive(default=1.0)
        ...     def __call__(self, x):
        ...         return 0.75 / self.width * jnp.maximum(0, 1 - (x / self.width) ** 2)
        >>> js.LIF(surrogate=Parabola(width=2.0)).surrogate
        Parabola(width=2.0)
    """

    @abc.abstractmethod
    def __call__(self, x: Array) -> Array:
        """The pseudo-derivative at ``x``, the distance to threshold; same shape and dtype."""

    def distance(self, x: Array) -> Array:
        """The distance to threshold that `spike` compares with 0: ``x``, unless there is noise."""
        return x


def spike(x: Array, surrogate: Surrogate, *, strict: bool = False) -> Array:
    """Heaviside step with a surrogate derivative.

    Forward ``s = 1 if x >= 0 else 0``; backward ``dL/dx = dL/ds * surrogate(x)``. The surrogate's
    own parameters get no gradient: the forward pass does not depend on them.

    Args:
        x: Membrane potential minus threshold, any shape, floating point.
        surrogate: The pseudo-derivative.
        strict: Whether a 0 does not spike: ``s = 1 if x > 0 else 0``.

    Returns:
        Zeros and ones, of the shape and dtype of ``x``.

    Raises:
        TypeError: If ``surrogate`` is not a `Surrogate` or ``x`` is not floating point.

    Example:
        >>> import jax, jax.numpy as jnp, jaxspike as js
        >>> x = jnp.array([-1.0, 0.0, 1.0])
        >>> js.surrogate.spike(x, js.surrogate.SuperSpike())
        Array([0., 1., 1.], dtype=float32)
        >>> jax.grad(lambda x: js.surrogate.spike(x, js.surrogate.SuperSpike()).sum())(x)
        Array([0.25, 1.  , 0.25], dtype=float32)

    Source: Neftci, Mostafa, Zenke, "Surrogate gradient learning in spiking neural networks", 2019.
    """
    x = _checked("spike", x, surrogate)
    return _spike(surrogate.distance(x), surrogate, None, strict)


def spike_count(x: Array, most: int, surrogate: Surrogate) -> Array:
    """Several spikes at once: the nearest integer, with a surrogate derivative.

    Forward ``n = round(clip(x, 0, most))``, with ties to even; backward
    ``dL/dx = dL/dn * surrogate(x / most)``: the surrogate sees the whole range as 0 to 1, so
    `Window` works for any ``most``.

    Args:
        x: Membrane potential in units of the threshold, any shape, floating point.
        most: The maximum number of spikes, at least 1.
        surrogate: The pseudo-derivative.

    Returns:
        Integers from 0 to ``most``, of the shape and dtype of ``x``.

    Raises:
        TypeError: If ``surrogate`` is not a `Surrogate`, ``x`` is not floating point, or ``most``
            is not an integer.
        ValueError: If ``most`` is below 1.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> x = jnp.array([-1.0, 0.4, 1.6, 9.0])
        >>> js.surrogate.spike_count(x, 4, js.surrogate.Window())
        Array([0., 0., 2., 4.], dtype=float32)

    Source: Luo et al., "Integer-valued training and spike-driven inference spiking neural network",
    ECCV 2024; SpikingJelly ``surrogate.MultiLevelSpikeCount``.
    """
    _check.integer("`spike_count(most=...)`", most, low=1)
    return _spike(_checked("spike_count", x, surrogate), surrogate, most, False)


def _checked(name, x, surrogate):
    if not isinstance(surrogate, Surrogate):
        raise TypeError(
            f"`{name}(surrogate=...)` must be a Surrogate, got {surrogate!r}. "
            "Give one of `jaxspike.surrogate`, such as `ATan()`, or subclass `Surrogate`."
        )
    return _check.floating(f"`{name}(x=...)`", x)


def _forward(x, most, strict):
    """The Heaviside step if ``most`` is None, else the nearest integer from 0 to ``most``."""
    if most is not None:
        return jnp.round(jnp.clip(x, 0, most))
    return (x > 0 if strict else x >= 0).astype(x.dtype)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _spike(x, surrogate, most, strict):
    del surrogate
    return _forward(x, most, strict)


def _spike_fwd(x, surrogate, most, strict):
    return _spike(x, surrogate, most, strict), (x, surrogate)


def _spike_bwd(most, strict, residuals, g):
    x, surrogate = residuals
    return (g * surrogate(x if most is None else x / most)).astype(x.dtype), None


_spike.defvjp(_spike_fwd, _spike_bwd)


class Sigmoid(Surrogate):
    """``alpha * s * (1 - s)`` with ``s = sigmoid(alpha * x)``; primitive ``sigmoid(alpha * x)``.

    Source: SpikingJelly ``surrogate.Sigmoid``, its default.
    """

    alpha: Param = positive(default=4.0)

    def __call__(self, x: Array) -> Array:
        s = jax.nn.sigmoid(self.alpha * x)
        return self.alpha * s * (1 - s)


class ATan(Surrogate):
    """``(alpha/2) / (1 + (pi/2 * alpha * x)^2)``; primitive ``atan(pi/2 * alpha * x) / pi + 1/2``.

    Source: Fang et al., "Incorporating learnable membrane time constant ...", ICCV 2021.
    """

    alpha: Param = positive(default=2.0)

    def __call__(self, x: Array) -> Array:
        return self.alpha / 2 / (1 + (math.pi / 2 * self.alpha * x) ** 2)


class PiecewiseQuadratic(Surrogate):
    """``max(0, alpha - alpha^2 |x|)``, a triangle of width ``2 / alpha``.

    Primitive: 0 for ``x < -1/alpha``, 1 for ``x > 1/alpha``, between them
    ``-alpha^2/2 * |x| * x + alpha * x + 1/2``.

    Source: Esser et al., "Convolutional networks for fast, energy-efficient neuromorphic
    computing", 2016; SpikingJelly ``surrogate.PiecewiseQuadratic``.
    """

    alpha: Param = positive(default=1.0)

    def __call__(self, x: Array) -> Array:
        return jnp.maximum(0, self.alpha - self.alpha**2 * jnp.abs(x))


class PiecewiseExp(Surrogate):
    """``(alpha/2) * exp(-alpha |x|)``.

    Primitive: ``exp(alpha * x) / 2`` for ``x < 0``, ``1 - exp(-alpha * x) / 2`` for ``x >= 0``.

    Source: Shrestha & Orchard, "SLAYER: spike layer error reassignment in time", NeurIPS 2018.
    """

    alpha: Param = positive(default=1.0)

    def __call__(self, x: Array) -> Array:
        return self.alpha / 2 * jnp.exp(-self.alpha * jnp.abs(x))


class SoftSign(Surrogate):
    """``1 / (2 * alpha * (1/alpha + |x|)^2)``.

    Primitive: ``(alpha * x / (1 + |alpha * x|) + 1) / 2``.

    Source: SpikingJelly ``surrogate.SoftSign``.
    """

    alpha: Param = positive(default=2.0)

    def __call__(self, x: Array) -> Array:
        return 1 / (2 * self.alpha * (1 / self.alpha + jnp.abs(x)) ** 2)


class SuperSpike(Surrogate):
    """``alpha / (1 + |x|)^2``; primitive ``alpha * x / (1 + |x|)`` up to a constant.

    Here ``alpha`` is a height, as in SpikingJelly, not the slope of ``1 / (1 + alpha |x|)^2``.

    Source: Zenke & Ganguli, "SuperSpike", 2018; SpikingJelly ``surrogate.SuperSpike``.
    """

    alpha: Param = positive(default=1.0)

    def __call__(self, x: Array) -> Array:
        return self.alpha / (1 + jnp.abs(x)) ** 2


class Erf(Surrogate):
    """``alpha / sqrt(pi) * exp(-(alpha * x)^2)``, a Gaussian.

    Primitive: ``(1 + erf(alpha * x)) / 2``.

    Source: SpikingJelly ``surrogate.Erf``.
    """

    alpha: Param = positive(default=2.0)

    def __call__(self, x: Array) -> Array:
        return self.alpha / math.sqrt(math.pi) * jnp.exp(-((self.alpha * x) ** 2))


class Rect(Surrogate):
    """``alpha`` where ``|x| < 1 / (2 alpha)``, else 0: a boxcar of area 1.

    Primitive: ``clip(alpha * x + 1/2, 0, 1)``.

    Source: Wu et al., "Spatio-temporal backpropagation for training high-performance spiking neural
    networks", 2018.
    """

    alpha: Param = positive(default=1.0)

    def __call__(self, x: Array) -> Array:
        return self.alpha * (jnp.abs(x) < 0.5 / self.alpha).astype(x.dtype)


class Triangle(Surrogate):
    """``alpha * max(0, 1 - |x| / width)``, a triangle whose height is not tied to its width.

    Primitive: ``alpha * (y - y * |y| / (2 * width))`` with ``y = clip(x, -width, width)``. With
    ``width = 1 / alpha`` it is `PiecewiseQuadratic`, with ``width = v_threshold`` that of the LSNN.

    Source: Bellec et al., "Long short-term memory and learning-to-learn in networks of spiking
    neurons", NeurIPS 2018; Norse ``triangle_fn``. (snnTorch's ``triangular`` is another function,
    a constant of the sign of ``-x``.)
    """

    alpha: Param = positive(default=0.3)
    width: Param = positive(default=1.0)

    def __call__(self, x: Array) -> Array:
        return self.alpha * jnp.maximum(0, 1 - jnp.abs(x) / self.width)


class MultiGaussian(Surrogate):
    """``(1 + h) * N(x; 0, sigma) - h * N(x; sigma, s * sigma) - h * N(x; -sigma, s * sigma)``.

    ``N(x; m, d)`` is the normal density of mean ``m`` and standard deviation ``d``, so far from the
    threshold the derivative is negative. Primitive: the same sum of normal distribution functions.

    Source: Yin, Corradi, Bohte, "Accurate and efficient time-domain classification with adaptive
    spiking recurrent neural networks", 2021, without its factor of 0.5; Sinabs ``MultiGaussian``.
    """

    sigma: Param = positive(default=0.5)
    h: Param = 0.15
    s: Param = positive(default=6.0)

    def __call__(self, x: Array) -> Array:
        def normal(mean, deviation):
            z = (x - mean) / deviation
            return jnp.exp(-(z**2) / 2) / (math.sqrt(2 * math.pi) * deviation)

        sigma, wide = self.sigma, self.s * self.sigma
        sides = normal(sigma, wide) + normal(-sigma, wide)
        return (1 + self.h) * normal(0, sigma) - self.h * sides


class PiecewiseLeakyReLU(Surrogate):
    """``1 / (2 * w)`` where ``|x| < w``, else ``c``.

    Primitive: ``x / (2 * w) + 1/2`` for ``|x| < w``, ``c * (x + w)`` below, ``c * (x - w) + 1``
    above.

    Source: SpikingJelly ``surrogate.PiecewiseLeakyReLU``.
    """

    w: Param = positive(default=1.0)
    c: Param = 0.01

    def __call__(self, x: Array) -> Array:
        return jnp.where(jnp.abs(x) < self.w, 0.5 / self.w, self.c).astype(x.dtype)


class LeakyKReLU(Surrogate):
    """``k`` where ``x >= 0``, else ``leak``; primitive ``k * x`` and ``leak * x``.

    Source: SpikingJelly ``surrogate.LeakyKReLU``.
    """

    leak: Param = 0.0
    k: Param = 1.0

    def __call__(self, x: Array) -> Array:
        return jnp.where(x >= 0, self.k, self.leak).astype(x.dtype)


class LogTailedReLU(Surrogate):
    """``alpha`` for ``x <= 0``, 1 up to ``x = 1``, ``1 / x`` above.

    Primitive: ``alpha * x``, then ``x``, then ``log(x) + 1``.

    Source: Cai et al., "Deep learning with low precision by half-wave Gaussian quantization", 2017;
    SpikingJelly ``surrogate.LogTailedReLU``.
    """

    alpha: Param = 0.0

    def __call__(self, x: Array) -> Array:
        return jnp.where(x > 0, 1 / jnp.maximum(x, 1), self.alpha)


class S2NN(Surrogate):
    """`Sigmoid`'s derivative for ``x < 0``, ``beta / (x + 1)`` for ``x >= 0``.

    Primitive: ``sigmoid(alpha * x)`` for ``x < 0``, ``beta * log(x + 1) + 1/2`` for ``x >= 0``.

    Source: Suetake et al., "S2NN: time step reduction of spiking surrogate gradients for training
    energy efficient single-step neural networks", 2022; SpikingJelly ``surrogate.S2NN``.
    """

    alpha: Param = positive(default=4.0)
    beta: Param = positive(default=1.0)

    def __call__(self, x: Array) -> Array:
        return jnp.where(x < 0, Sigmoid(self.alpha)(x), self.beta / (jnp.maximum(x, 0) + 1))


class QPseudoSpike(Surrogate):
    """``(1 + 2 * |x| / (alpha - 1)) ^ -alpha``, whose tail ``alpha`` sets.

    Primitive: ``q / 2`` for ``x < 0``, ``1 - q / 2`` for ``x >= 0``, with
    ``q = (1 + 2 * |x| / (alpha - 1)) ^ (1 - alpha)``.

    Source: Herranz-Celotti & Rouat, "Surrogate gradients design", 2022; SpikingJelly
    ``surrogate.QPseudoSpike``.
    """

    alpha: Param = greater_than(1.0, default=2.0)

    def __call__(self, x: Array) -> Array:
        return (1 + 2 / (self.alpha - 1) * jnp.abs(x)) ** -self.alpha


class NonzeroSignLogAbs(Surrogate):
    """``1 / (1/alpha + |x|)``; primitive ``sign(x) * log(alpha * |x| + 1)``.

    Source: SpikingJelly ``surrogate.NonzeroSignLogAbs``.
    """

    alpha: Param = positive(default=1.0)

    def __call__(self, x: Array) -> Array:
        return 1 / (1 / self.alpha + jnp.abs(x))


class FakeNumericalGradient(Surrogate):
    """``min(1 / |x|, alpha)``, the slope of the line from the origin to the step's value.

    Primitive: ``alpha * x`` for ``|x| < 1/alpha``, ``sign(x) * (1 + log(alpha * |x|))`` beyond.

    Source: SpikingJelly ``surrogate.FakeNumericalGradient``.
    """

    alpha: Param = positive(default=0.3)

    def __call__(self, x: Array) -> Array:
        return 1 / jnp.maximum(jnp.abs(x), 1 / self.alpha)


class SquarewaveFourierSeries(Surrogate):
    """``4 / T_period * sum(cos((2 * i - 1) * w * x) for i in 1..n-1)``, ``w = 2 * pi / T_period``.

    The first ``n - 1`` terms of a square wave's Fourier series: the default ``n = 2`` is one term.
    Primitive: ``1/2 + 2/pi * sum(sin((2 * i - 1) * w * x) / (2 * i - 1))``.

    Source: SpikingJelly ``surrogate.SquarewaveFourierSeries``.
    """

    n: int = static(default=2)
    T_period: Param = positive(default=8.0)

    def __post_init__(self) -> None:
        _check.integer("`SquarewaveFourierSeries(n=...)`", self.n, low=2)
        super().__post_init__()

    def __call__(self, x: Array) -> Array:
        angle = 2 * math.pi / self.T_period * x
        terms = [jnp.cos((2 * i - 1) * angle) for i in range(1, self.n)]
        return 4 / self.T_period * sum(terms[1:], terms[0])


class StraightThrough(Surrogate):
    """1 everywhere: the gradient passes as if the spike were its input; primitive ``x``.

    Source: Bengio et al., "Estimating or propagating gradients through stochastic neurons", 2013;
    SpikingJelly ``surrogate.DeterministicPass``.
    """

    def __call__(self, x: Array) -> Array:
        return jnp.ones_like(x)


class Window(Surrogate):
    """1 where ``low <= x <= high``, else 0: straight through inside the window.

    Primitive: ``clip(x, low, high)``.

    Source: Bengio, Léonard, Courville, "Estimating or propagating gradients through stochastic
    neurons for conditional computation", 2013; SpikingJelly ``surrogate.MultiLevelSpikeCount``.
    """

    low: Param = 0.0
    high: Param = 1.0

    def __call__(self, x: Array) -> Array:
        return ((x >= self.low) & (x <= self.high)).astype(x.dtype)


class Scaled(Surrogate):
    """``scale * surrogate(x)``: another height; the primitive times ``scale``.

    Libraries differ in it: ``1 / (1 + k |x|)^2``, snnTorch's ``fast_sigmoid`` and spyx's
    ``superspike``, is ``Scaled(SoftSign(alpha=k), 2 / k)``; the ``SingleExponential`` of Sinabs is
    twice `PiecewiseExp`.
    """

    surrogate: Surrogate = Sigmoid()
    scale: Param = 1.0

    def __call__(self, x: Array) -> Array:
        return self.scale * self.surrogate(x)
