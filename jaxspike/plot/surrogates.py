"""Plots of surrogates."""

import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from .._check import instance
from ..surrogate import Surrogate
from ._axes import INK, MARK, QUIET, Axes, axes


def surrogate(surrogate: Surrogate, *, x: ArrayLike | None = None, ax: Axes | None = None) -> Axes:
    """The derivative of a surrogate and its primitive, the smooth step whose gradient it is.

    The primitive is the integral of the derivative, shifted to 1/2 at the threshold.

    Args:
        surrogate: The surrogate.
        x: Distances to threshold, increasing; None for -3 to 3. The integral between them is
            computed by the trapezoidal rule.
        ax: Where to draw; None for a new figure.

    Raises:
        TypeError: If ``surrogate`` is not a surrogate.
        ValueError: If ``x`` does not increase from below 0 to above 0, or is not finite.

    Example:
        >>> import jaxspike as js
        >>> ax = js.plot.surrogate(js.surrogate.ATan(alpha=2.0))
    """
    fix = "Give one of `jaxspike.surrogate`, such as `ATan()`."
    instance("`surrogate(surrogate=...)`", surrogate, Surrogate, "a Surrogate", fix)
    at = np.linspace(-3.0, 3.0, 1201) if x is None else np.asarray(x, np.float64)
    rises = at.ndim == 1 and at.size > 0 and np.isfinite(at).all() and (np.diff(at) > 0).all()
    if not (rises and at[0] < 0 < at[-1]):
        raise ValueError("`surrogate(x=...)` must increase from below 0 to above 0 on one axis.")
    slope = np.asarray(surrogate(jnp.asarray(at, jnp.float32)), np.float64)
    area = np.concatenate([[0.0], np.cumsum(np.diff(at) * (slope[1:] + slope[:-1]) / 2)])
    primitive = area - np.interp(0.0, at, area) + 0.5
    ax = axes(ax, figsize=(4.5, 3))
    ax.plot(at, at >= 0, color=QUIET, linewidth=1, label="spike")
    ax.plot(at, primitive, color=INK, linewidth=1.4, linestyle="--", label="primitive")
    ax.plot(at, slope, color=MARK, linewidth=1.8, label="derivative")
    ax.set(xlabel="membrane potential above threshold", xlim=(at[0], at[-1]))
    ax.set_title(type(surrogate).__name__)
    ax.legend(frameon=False)
    return ax
