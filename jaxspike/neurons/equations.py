"""Building blocks of the equations: resting, charging, firing, resetting, adapting."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from .. import _check
from .._state import check_shape
from .._types import Array, DType, Param, Shape, State
from ..surrogate import Surrogate, spike


def at_rest(v: Param | None, shape: Shape, dtype: DType, field: str = "v_reset") -> Array:
    """A membrane of the given shape at potential ``v``, that of ``field``; None for zero."""
    shape = check_shape("neuron", shape)
    if not jnp.issubdtype(dtype, jnp.floating):
        raise TypeError(
            f"`init_state(dtype=...)` must be floating point, got {jnp.dtype(dtype).name}. "
            "Use jnp.float32."
        )
    rest = jnp.asarray(0.0 if v is None else v, dtype)
    if not _check.fits(rest.shape, shape):
        raise ValueError(
            f"`init_state(shape=...)` must be a shape that `{field}` of shape {rest.shape} "
            f"broadcasts into, got {shape}. Give one value, or one per channel."
        )
    return jnp.zeros(shape, dtype) + rest  # a new buffer: the state may be donated


def uniform_weight(shape: Shape, key: Array) -> Array:
    """Uniform in ``±1 / sqrt(n)``, with n the size of the last axis: PyTorch's for Linear."""
    bound = shape[-1] ** -0.5
    return jax.random.uniform(key, shape, minval=-bound, maxval=bound)


def leaky_charge(v: Array, x: Array, tau: Param, v_rest: Param | None, decay_input: bool) -> Array:
    """Charge a membrane that leaks toward ``v_rest``, or 0 if that is None.

    With ``decay_input``: ``h = v + (x - (v - v_rest)) / tau``, else
    ``h = v - (v - v_rest) / tau + x``.
    """
    leak = v if v_rest is None else v - v_rest
    # divide by tau instead of multiplying by 1 / tau: the last bit decides spikes at threshold
    return v + (x - leak) / tau if decay_input else v - leak / tau + x


def reset(
    h: Array, s: Array, v_threshold: Param, v_reset: Param | None, detach_reset: bool
) -> Array:
    """The membrane after the spikes ``s`` of the charged membrane ``h``.

    ``v = h - s * v_threshold`` (soft) if ``v_reset`` is None, else
    ``v = s * v_reset + (1 - s) * h`` (hard). With ``detach_reset`` no gradient flows through ``s``.
    """
    r = jax.lax.stop_gradient(s) if detach_reset else s
    return h - r * v_threshold if v_reset is None else r * v_reset + (1 - r) * h


def fire(
    h: Array, v_threshold: Param, v_reset: Param | None, surrogate: Surrogate, detach_reset: bool
) -> tuple[Array, Array]:
    """Spike where the charged membrane ``h`` reaches threshold, then `reset`.

    Returns:
        The membrane after reset, and the spikes ``heaviside(h - v_threshold)``.
    """
    s = spike(h - v_threshold, surrogate)
    return reset(h, s, v_threshold, v_reset, detach_reset), s


#: When a membrane that fired is reset: in the same step, in the next, or not at all.
RESET_TIMES = ("immediate", "before_charge", "after_charge", "never")


def charge_fire_reset(
    v: State,
    when: str,
    charge: Callable[[State], State],
    fire: Callable[[State], Array],
    reset: Callable[[State, Array], State],
) -> tuple[State, ...]:
    """Charge the membrane ``v``, fire, and reset at the time ``when``, one of `RESET_TIMES`.

    "immediate_once" is also known: the reset is immediate, but a membrane that is above threshold
    after it is reset before it fires again, and then not again by that spike.

    Returns:
        The new membrane, its spikes, and the spikes of ``v``, or None if the reset is immediate.
    """
    if when == "immediate":
        h = charge(v)
        s = fire(h)
        return reset(h, s), s, None
    last = fire(v)
    if when == "immediate_once":
        last = jax.lax.stop_gradient(last)
        h = reset(charge(v), last)
        s = fire(h)
        return reset(h, s - last), s, None
    h = charge(reset(v, last) if when == "before_charge" else v)
    h = reset(h, last) if when == "after_charge" else h
    return h, fire(h), last


def fire_ternary(
    h: Array, v_threshold: Param, v_reset: Param | None, surrogate: Surrogate, detach_reset: bool
) -> tuple[Array, Array]:
    """Spike 1 from ``v_threshold`` up and -1 from ``-v_threshold`` down, then `reset`.

    A soft reset subtracts ``s * v_threshold`` with the sign of the spike.

    Returns:
        The membrane after reset, and the spikes ``heaviside(h - v_threshold)
        - heaviside(-h - v_threshold)``.
    """
    up, down = spike(h - v_threshold, surrogate), spike(-h - v_threshold, surrogate)
    s = up - down
    event = s if v_reset is None else up + down
    return reset(h, event, v_threshold, v_reset, detach_reset), s


def quadratic(v: Array, a0: Param, v_rest: Param, v_c: Param) -> Array:
    """The current ``a0 * (v - v_rest) * (v - v_c)`` of a quadratic membrane."""
    return a0 * (v - v_rest) * (v - v_c)


def exponential(v: Array, delta_t: Param, theta_rh: Param) -> Array:
    """The current ``delta_t * exp((v - theta_rh) / delta_t)`` of an exponential membrane."""
    return delta_t * jnp.exp((v - theta_rh) / delta_t)


def adapt(w: Array, v: Array, s: Array, v_rest: Param, tau_w: Param, a: Param, b: Param) -> Array:
    """The adaptation current after a step: ``w + (a * (v - v_rest) - w) / tau_w + b * s``."""
    return w + (a * (v - v_rest) - w) / tau_w + b * s


def reset_below_threshold(neuron, of_both_signs: bool = False) -> None:
    """Check that ``v_reset`` of ``neuron`` is not where it would fire again, at every step."""
    v_reset, threshold = neuron.v_reset, neuron.v_threshold
    if v_reset is None or threshold is None or isinstance(threshold, jax.core.Tracer):
        return
    if not _check.all_known(
        v_reset, lambda v: (abs(v) if of_both_signs else v) < np.asarray(threshold)
    ):
        what = f"closer to 0 than {threshold}" if of_both_signs else f"less than {threshold}"
        must = f"must be {what}, its v_threshold, got {v_reset}"
        raise ValueError(f"`{type(neuron).__name__}(v_reset=...)` {must}.")


def square_weight(neuron) -> None:
    """Check that the weight of ``neuron`` is ``[T, T]`` and its bias ``[T]``."""
    name, weight, bias = type(neuron).__name__, np.shape(neuron.weight), np.shape(neuron.bias)
    if len(weight) != 2 or weight != 2 * bias:
        raise ValueError(
            f"`{name}(weight=..., bias=...)` must have shapes [T, T] and [T], "
            f"got {weight} and {bias}. Use `{name}.init`."
        )


def mix_time(weight: Array, bias: Array, xs: Array) -> Array:
    """``weight @ xs + bias`` over the time axis, the first."""
    return jnp.tensordot(weight, xs, 1) + jnp.expand_dims(bias, range(1, xs.ndim))


@jax.custom_jvp
def straight_through(exact: Array, smooth: Array) -> Array:
    """``exact`` forward, to the bit, with the gradient of ``smooth``; a NaN stays one."""
    return jnp.where(jnp.isnan(smooth), smooth, exact)


@straight_through.defjvp
def _straight_through_jvp(primals, tangents):
    return straight_through(*primals), tangents[1]
