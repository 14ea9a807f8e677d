"""From numbers to spikes: encoders, pure functions ``[N, *] -> [T, N, *]``, and their inverses.

===================  =====================  ==========================================
here                 inverse                elsewhere
===================  =====================  ==========================================
`direct`             any one step           SpikingJelly: ``x.unsqueeze(0).repeat(T)``
`poisson`            ``readout.rate``       SpikingJelly ``PoissonEncoder``, snnTorch
                     (on average)           ``spikegen.rate``
`latency`            `from_latency`         SpikingJelly ``LatencyEncoder``
`phase`              `from_phase`           SpikingJelly ``WeightedPhaseEncoder``
`delta`              `from_delta`           snnTorch ``spikegen.delta``
`population`         `from_population`      SpikingJelly ``PopEncoder``
===================  =====================  ==========================================

Spikes have the dtype of the input; inverses return at least float32. The values of an array are
unknown while a program is traced, so ranges are documented, not checked: values outside are
clipped.
"""

import math

import jax
import jax.numpy as jnp

from . import _check, surrogate
from ._types import Array, Param

__all__ = (
    "delta",
    "direct",
    "from_delta",
    "from_latency",
    "from_phase",
    "from_population",
    "latency",
    "phase",
    "poisson",
    "population",
)


def __dir__() -> tuple[str, ...]:
    return __all__


def _times(steps: int, like: Array) -> Array:
    """``0, 1, ..., steps - 1`` along a new first axis of ``like``."""
    return jnp.arange(steps, dtype=like.dtype).reshape(steps, *(1,) * like.ndim)


def direct(x: Array, steps: int) -> Array:
    """The same input at every step, for the first layer to turn into spikes.

    Args:
        x: Any array ``[N, *]``, of any dtype.
        steps: Number of time steps T, at least 1.

    Returns:
        ``[T, N, *]``, of the dtype of ``x``.

    Raises:
        TypeError: If ``steps`` is not an integer.
        ValueError: If ``steps`` is below 1.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> js.encode.direct(jnp.ones((4, 8)), steps=16).shape
        (16, 4, 8)

    Source: Rueckauer et al., "Conversion of continuous-valued deep networks to efficient
    event-driven networks for image classification", 2017.
    """
    x, steps = jnp.asarray(x), _check.integer("`direct(steps=...)`", steps, low=1)
    return jnp.broadcast_to(x, (steps, *x.shape))


def poisson(key: Array, x: Array, steps: int) -> Array:
    """Independent spikes at each step, with probability ``x``: rate coding.

    ``s[t] = 1 if u[t] <= x else 0``, with ``u`` uniform in ``(0, 1]``: 0 never fires, 1 always.
    (SpikingJelly draws from ``[0, 1)``, where 0 fires once in several million steps.) The gradient
    treats a spike as its probability, ``ds[t]/dx = 1``.

    For a rate that changes over time, use ``poisson(key, x_seq, 1)[0]``.

    Args:
        key: A random key, ``jax.random.key(seed)``. The same key gives the same spikes.
        x: Firing probabilities per step ``[N, *]`` in ``[0, 1]``, floating point, such as the
            pixels of an image divided by 255.
        steps: Number of time steps T, at least 1.

    Returns:
        Spikes ``[T, N, *]``, of the dtype of ``x``.

    Raises:
        TypeError: If ``key`` is not a random key, ``x`` is not floating point, or ``steps`` is not
            an integer.
        ValueError: If ``steps`` is below 1.

    Example:
        >>> import jax, jax.numpy as jnp, jaxspike as js
        >>> x = jnp.array([0.0, 0.5, 1.0])
        >>> js.encode.poisson(jax.random.key(0), x, steps=1000).mean(0).round(1)
        Array([0. , 0.5, 1. ], dtype=float32)

    Source: SpikingJelly ``PoissonEncoder``; its ``PoissonPass`` for the gradient.
    """
    _check.key("`poisson(key=...)`", key)
    x = _check.floating("`poisson(x=...)`", x)
    steps = _check.integer("`poisson(steps=...)`", steps, low=1)
    p = _check.at_least_float32(x)
    u = 1 - jax.random.uniform(key, (steps, *x.shape), p.dtype)
    return surrogate.spike(p[None] - u, surrogate.StraightThrough()).astype(x.dtype)


def latency(x: Array, steps: int, curve: str = "linear") -> Array:
    """One spike per input, earlier for larger values: time-to-first-spike coding.

    The spike falls on step ``round((T - 1) * (1 - x))`` if linear, on step
    ``round(T - 1 - log(alpha * x + 1))`` with ``alpha = exp(T - 1) - 1`` if logarithmic; halves
    round to the even step. So 1 fires at step 0 and 0 at step ``T - 1``. The gradient is zero.

    Args:
        x: Intensities ``[N, *]`` in ``[0, 1]``, floating point; values outside are clipped.
        steps: Number of time steps T, at least 1.
        curve: ``"linear"`` or ``"log"``.

    Returns:
        Spikes ``[T, N, *]``, of the dtype of ``x``: a single 1 along time.

    Raises:
        TypeError: If ``x`` is not floating point or ``steps`` is not an integer.
        ValueError: If ``steps`` is below 1 or ``curve`` is unknown.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> js.encode.latency(jnp.array([1.0, 0.5, 0.0]), steps=3)
        Array([[1., 0., 0.],
               [0., 1., 0.],
               [0., 0., 1.]], dtype=float32)

    Source: SpikingJelly ``LatencyEncoder``, equal to it also in rounding.
    """
    x = _check.floating("`latency(x=...)`", x)
    steps = _check.integer("`latency(steps=...)`", steps, low=1)
    _check.one_of("`latency(curve=...)`", curve, ("linear", "log"))
    y, last = jnp.clip(_check.at_least_float32(x), 0, 1), steps - 1
    if curve == "linear":
        time = last * (1 - y)
    else:  # log(alpha * y + 1) without alpha, which overflows from T = 90 on
        log_alpha = last + math.log1p(-math.exp(-last)) if last else -math.inf
        time = last - jnp.logaddexp(log_alpha + jnp.log(y), jnp.zeros_like(y))
    return (_times(steps, y) == jnp.round(time)[None]).astype(x.dtype)


def from_latency(spikes: Array, curve: str = "linear") -> Array:
    """The intensity behind the first spike: the inverse of `latency`.

    With ``t`` the step of the first spike, ``1 - t / (T - 1)`` if linear,
    ``(exp(T - 1 - t) - 1) / (exp(T - 1) - 1)`` if logarithmic; 0 where there is no spike. For a
    linear code it is within ``1 / (2 * (T - 1))`` of what was encoded.

    Args:
        spikes: ``[T, N, *]``, T at least 2; anything above 0 is a spike.
        curve: ``"linear"`` or ``"log"``, as given to `latency`.

    Returns:
        Intensities ``[N, *]`` in ``[0, 1]``.

    Raises:
        TypeError: If ``spikes`` is not real.
        ValueError: If ``spikes`` has fewer than 2 steps or ``curve`` is unknown.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> js.encode.from_latency(js.encode.latency(jnp.array([0.8, 0.26]), steps=11))
        Array([0.8, 0.3], dtype=float32)
    """
    spikes = _check.sequence("`from_latency(spikes=...)`", spikes, "[T, *]")
    _check.one_of("`from_latency(curve=...)`", curve, ("linear", "log"))
    last = len(spikes) - 1
    if not last:
        where = "`from_latency(spikes=...)`"
        raise ValueError(f"{where} must have at least 2 time steps, got 1, which carries no time.")
    fired = spikes > 0
    time = jnp.argmax(fired, 0).astype(spikes.dtype)
    if curve == "linear":
        x = 1 - time / last
    else:
        x = jnp.exp(-time) * jnp.expm1(time - last) / math.expm1(-last)
    return jnp.where(fired.any(0), x, 0)


def phase(x: Array, steps: int) -> Array:
    """The binary digits of the input, most significant first: weighted phase coding.

    A spike at step ``t`` has the weight ``2^-(t+1)``: ``s[t] = floor(x * 2^(t+1)) mod 2``. The
    gradient is zero.

    Args:
        x: Intensities ``[N, *]`` in ``[0, 1 - 2^-T]``, floating point; values outside are clipped,
            so 1 fires at every step.
        steps: Number of phases T, from 1 to 24, the digits of a float32. For more than one period,
            repeat the result.

    Returns:
        Spikes ``[T, N, *]``, of the dtype of ``x``.

    Raises:
        TypeError: If ``x`` is not floating point or ``steps`` is not an integer.
        ValueError: If ``steps`` is not between 1 and 24.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> js.encode.phase(jnp.array([192 / 256, 1 / 8, 1.0]), steps=3)
        Array([[1., 0., 1.],
               [1., 0., 1.],
               [0., 1., 1.]], dtype=float32)

    Source: Kim et al., "Deep neural networks with weighted spikes", 2018; SpikingJelly
    ``WeightedPhaseEncoder``.
    """
    x = _check.floating("`phase(x=...)`", x)
    steps = _check.integer("`phase(steps=...)`", steps, low=1, high=24)
    y = jnp.clip(_check.at_least_float32(x), 0, 1 - 2.0**-steps)
    return (jnp.floor(y[None] * 2 ** (_times(steps, y) + 1)) % 2).astype(x.dtype)


def from_phase(spikes: Array) -> Array:
    """The number whose binary digits the spikes are: the inverse of `phase`.

    ``x = sum(s[t] * 2^-(t+1))``, the encoded value rounded down to a multiple of ``2^-T``.
    Differentiable.

    Args:
        spikes: ``[T, N, *]``.

    Returns:
        Intensities ``[N, *]`` in ``[0, 1 - 2^-T]``.

    Raises:
        TypeError: If ``spikes`` is not real.
        ValueError: If ``spikes`` has no time step.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> js.encode.from_phase(js.encode.phase(jnp.array([0.625, 0.7]), steps=3))
        Array([0.625, 0.625], dtype=float32)
    """
    spikes = _check.sequence("`from_phase(spikes=...)`", spikes, "[T, *]")
    return (spikes * 2.0 ** -(_times(len(spikes), spikes[0]) + 1)).sum(0)


def delta(
    x_seq: Array, threshold: Param = 0.1, *, off_spike: bool = False, padding: bool = False
) -> Array:
    """A spike where a signal has risen by ``threshold`` since the previous step.

    ``s[t] = 1 if x_seq[t] - x_seq[t-1] >= threshold else 0``, and with ``off_spike`` also
    ``s[t] = -1 if x_seq[t] - x_seq[t-1] <= -threshold``. The gradient is zero.

    Args:
        x_seq: A signal ``[T, N, *]``, floating point.
        threshold: The smallest change that fires, above 0, in the units of ``x_seq``; a number or
            an array that broadcasts against one step.
        off_spike: Whether to mark falls too, as -1.
        padding: If True, the first step is compared with itself, so it never fires; otherwise with
            zero.

    Returns:
        Spikes ``[T, N, *]``, of the dtype of ``x_seq``.

    Raises:
        TypeError: If ``x_seq`` is not floating point.
        ValueError: If ``x_seq`` has no time step, or ``threshold`` is not above 0 or does not
            broadcast.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> x = jnp.array([1.0, 2.0, 0.0, 2.0, 2.9])
        >>> js.encode.delta(x, threshold=1.0, off_spike=True)
        Array([ 1.,  1., -1.,  1.,  0.], dtype=float32)

    Source: snnTorch ``spikegen.delta``.
    """
    x_seq = _check.floating("`delta(x_seq=...)`", x_seq)
    y = _check.sequence("`delta(x_seq=...)`", x_seq, "[T, *]")
    _check.in_range("`delta(threshold=...)`", threshold, above=0)
    _check.broadcasts("`delta(threshold=...)`", threshold, y.shape[1:])
    change = jnp.diff(y, axis=0, prepend=y[:1] if padding else jnp.zeros_like(y[:1]))
    spikes = (change >= threshold).astype(x_seq.dtype)
    if off_spike:
        spikes -= (change <= -threshold).astype(x_seq.dtype)
    return spikes


def from_delta(spikes: Array, threshold: Param = 0.1, start: Param = 0.0) -> Array:
    """A signal of steps of ``threshold``: the inverse of `delta` with ``off_spike``.

    ``x[t] = start + threshold * sum(s[0..t])``. Exact for signals that move by 0 or ``threshold``
    at each step; otherwise changes below ``threshold``, and what larger ones exceed it by, are
    lost.

    Args:
        spikes: ``[T, N, *]`` of -1, 0 and 1.
        threshold: As given to `delta`, above 0.
        start: The signal before the first step: 0, or ``x_seq[0]`` if encoded with ``padding``;
            like ``threshold``, a number or an array that broadcasts against one step.

    Returns:
        The signal ``[T, N, *]``.

    Raises:
        TypeError: If ``spikes`` is not real.
        ValueError: If ``spikes`` has no time step, ``threshold`` is not above 0, or an array does
            not broadcast.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> js.encode.from_delta(jnp.array([1, 1, -1, 0]), threshold=0.5)
        Array([0.5, 1. , 0.5, 0.5], dtype=float32)
    """
    spikes = _check.sequence("`from_delta(spikes=...)`", spikes, "[T, *]")
    _check.in_range("`from_delta(threshold=...)`", threshold, above=0)
    _check.broadcasts("`from_delta(threshold=...)`", threshold, spikes.shape[1:])
    _check.broadcasts("`from_delta(start=...)`", start, spikes.shape[1:])
    return start + threshold * jnp.cumsum(spikes, 0)


def population(x: Array, centers: Array, sigma: Param) -> Array:
    """Each number as the activity of neurons with Gaussian receptive fields: population coding.

    ``a[d, p] = exp(-((x[d] - centers[d, p]) / sigma)^2 / 2)``, flattened to one axis. The
    result has no time axis: follow it with `direct`, `poisson` or `latency`. Differentiable, also
    in ``centers`` and ``sigma``.

    Args:
        x: Numbers ``[N, *, D]``, floating point.
        centers: Preferred values ``[P]`` for all D numbers, such as ``jnp.linspace(low, high, P)``,
            or ``[D, P]``.
        sigma: Width of the fields, above 0, in the units of ``x``; a number or an array that
            broadcasts against ``centers``. About the spacing of the centers works well.

    Returns:
        Activities ``[N, *, D * P]`` in ``[0, 1]``, of the dtype of ``x``.

    Raises:
        TypeError: If ``x`` or ``centers`` is not floating point.
        ValueError: If the shapes do not fit or ``sigma`` is not above 0.

    Example:
        >>> import jax, jax.numpy as jnp, jaxspike as js
        >>> a = js.encode.population(jnp.array([[0.5, 1.0]]), jnp.linspace(0, 1, 3), sigma=0.5)
        >>> a.round(2)
        Array([[0.61, 1.  , 0.61, 0.14, 0.61, 1.  ]], dtype=float32)
        >>> js.encode.poisson(jax.random.key(0), a, steps=10).shape
        (10, 1, 6)

    Source: Bohte, Kok, La Poutre, "Error-backpropagation in temporally encoded networks of spiking
    neurons", 2002; SpikingJelly ``PopEncoder``.
    """
    x = _check.floating("`population(x=...)`", x)
    centers = _centers("population", centers)
    _check.in_range("`population(sigma=...)`", sigma, above=0)
    if x.ndim == 0 or centers.shape[:-1] not in ((), x.shape[-1:]):
        raise ValueError(
            f"`population(centers=...)` must be [P] or [D, P] with D the last axis of `x`, "
            f"got the shape {centers.shape} for `x` of the shape {x.shape}."
        )
    _check.broadcasts("`population(sigma=...)`", sigma, (x.shape[-1], centers.shape[-1]))
    distance = (_check.at_least_float32(x)[..., None] - centers) / sigma
    activity = jnp.exp(-(distance**2) / 2)
    return activity.reshape(*x.shape[:-1], -1).astype(x.dtype)


def from_population(activity: Array, centers: Array) -> Array:
    """The mean of the preferred values, weighted by activity: the inverse of `population`.

    ``x[d] = sum_p(a[d, p] * centers[d, p]) / sum_p(a[d, p])``, the center of mass. Activities may
    be spike counts or rates. With ``sigma`` about the spacing of the centers, it is accurate to
    a thousandth of that spacing for ``x`` at least three spacings inside the outermost centers;
    closer to the edges it is biased inward. Where nothing is active it is the mean of the centers.

    Args:
        activity: ``[N, *, D * P]``, not negative.
        centers: ``[P]`` or ``[D, P]``, as given to `population`.

    Returns:
        Numbers ``[N, *, D]``.

    Raises:
        TypeError: If ``activity`` is not real or ``centers`` is not floating point.
        ValueError: If the shapes do not fit.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> centers = jnp.linspace(-1, 2, 13)
        >>> a = js.encode.population(jnp.array([[0.3, 0.8]]), centers, sigma=0.25)
        >>> js.encode.from_population(a, centers).round(3)
        Array([[0.3, 0.8]], dtype=float32)

    Source: Georgopoulos, Schwartz, Kettner, "Neuronal population coding of movement direction",
    1986.
    """
    activity = _check.as_real("`from_population(activity=...)`", activity)
    centers = _centers("from_population", centers)
    size, number = activity.shape[-1] if activity.ndim else 0, centers.shape[-1]
    numbers = len(centers) if centers.ndim == 2 else size // number
    if not size or size != numbers * number:
        raise ValueError(
            f"`from_population(activity=...)` must have a last axis of D * P, got the shape "
            f"{activity.shape} for `centers` of the shape {centers.shape}."
        )
    a = activity.reshape(*activity.shape[:-1], numbers, number)
    total = a.sum(-1)
    silent = total == 0
    mean = (a * centers).sum(-1) / jnp.where(silent, 1, total)
    return jnp.where(silent, centers.mean(-1), mean)


def _centers(owner: str, centers: Array) -> Array:
    where = f"`{owner}(centers=...)`"
    centers = _check.at_least_float32(_check.floating(where, centers))
    if centers.ndim not in (1, 2) or not centers.shape[-1]:
        raise ValueError(f"{where} must be [P] or [D, P], got the shape {centers.shape}.")
    return centers
