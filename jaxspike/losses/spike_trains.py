"""Losses of spike trains themselves: distances and regularizers."""

import jax
import jax.numpy as jnp

from .. import _check
from .._types import Array, Param, Tree
from ._labels import arrays, non_empty


def van_rossum(spikes: Array, targets: Array, tau: Param) -> Array:
    """The squared van Rossum distance of spike trains, mean over samples and neurons.

    ``D^2 = 1/tau * sum_t(a[t]^2)`` with the trace of the difference
    ``a[t] = exp(-1/tau) * a[t-1] + spikes[t] - targets[t]``. For large ``tau`` an extra spike
    costs 1/2, and a spike moved by ``d`` steps costs ``1 - exp(-d / tau)``.

    Args:
        spikes: ``[T, N, *]``.
        targets: Spike trains of the same shape.
        tau: Time constant in steps, above 0: the time scale on which spikes count as close; a
            number or an array that broadcasts against one step.

    Returns:
        A scalar.

    Raises:
        TypeError: If ``spikes`` or ``targets`` is not real.
        ValueError: If the shapes differ or ``tau`` is not above 0.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> a, b = jnp.zeros((200, 1)).at[50].set(1), jnp.zeros((200, 1)).at[60].set(1)
        >>> js.losses.van_rossum(a, b, tau=10.0).round(3)
        Array(0.697, dtype=float32)

    Source: van Rossum, "A novel spike distance", 2001; as a loss Zenke & Ganguli, "SuperSpike",
    2018.
    """
    x = non_empty("`van_rossum(spikes=...)`", spikes)
    y = _check.sequence("`van_rossum(targets=...)`", targets)
    _check.in_range("`van_rossum(tau=...)`", tau, above=0)
    _check.broadcasts("`van_rossum(tau=...)`", tau, x.shape[1:])
    _check.axes("`van_rossum(targets=...)`", y, *x.shape, fix="Give the shape of `spikes`.")
    decay = jnp.exp(-1 / jnp.asarray(tau, x.dtype))

    def step(trace, difference):
        trace = decay * trace + difference
        return trace, trace

    _, traces = jax.lax.scan(step, jnp.zeros_like(x[0]), x - y)
    return ((traces**2).sum(0) / tau).mean()


def rate_band(spikes: Tree, low: Param, high: Param) -> Array:
    """A penalty on neurons that fire too little or too much: a band for firing rates.

    ``mean_i(max(0, low - r_i)^2 + max(0, r_i - high)^2)``, with ``r_i`` the rate of neuron i over
    all steps and samples. With ``low == high`` it pulls every rate to that target.

    Args:
        spikes: ``[T, N, *]``, or a pytree of these, such as the record of all layers; all
            neurons count equally.
        low: Lower edge of the band, in spikes per step.
        high: Upper edge, not below ``low``.

    Returns:
        A scalar.

    Raises:
        TypeError: If ``spikes`` is not real.
        ValueError: If a shape does not fit, there is no array, or ``high`` is below ``low``.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> spikes = jnp.ones((10, 4, 2)).at[..., 1].set(0)
        >>> js.losses.rate_band(spikes, low=0.25, high=0.5)
        Array(0.15625, dtype=float32)

    Source: Bellec et al., "Long short-term memory and learning-to-learn in networks of spiking
    neurons", NeurIPS 2018 (one target); Zenke & Vogels, 2021 (two bounds).
    """
    if not _check.all_known(high - low, lambda width: width >= 0):
        raise ValueError(f"`rate_band(high=...)` must be at least low = {low}, got {high}.")
    layers = arrays("rate_band", spikes)
    rates = jnp.concatenate([x.mean((0, 1)).ravel() for x in layers])
    return (jnp.maximum(0, low - rates) ** 2 + jnp.maximum(0, rates - high) ** 2).mean()


def sparsity(spikes: Tree) -> Array:
    """The mean firing rate: an equal penalty on every spike.

    ``mean(|s|)`` over steps, samples and neurons. A silent step has the same gradient as a spike.

    Args:
        spikes: ``[T, N, *]``, or a pytree of these, such as the record of all layers; all
            neurons count equally.

    Returns:
        A scalar, in spikes per step. Multiplied by the number of entries, it is snnTorch's
        ``l1_rate_sparsity``.

    Raises:
        TypeError: If ``spikes`` is not real.
        ValueError: If a shape does not fit or there is no array.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> js.losses.sparsity({"lif1": jnp.ones((5, 2, 3)), "lif2": jnp.zeros((5, 2, 1))})
        Array(0.75, dtype=float32)

    Source: snnTorch ``l1_rate_sparsity``, as a mean.
    """
    layers = arrays("sparsity", spikes)
    size = sum(x[0, 0].size for x in layers)
    rates = [jnp.where(x < 0, -x, x).mean((0, 1)) for x in layers]
    return jnp.stack([r.sum() for r in rates]).sum() / size
