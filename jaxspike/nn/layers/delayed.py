"""`Delayed`: a layer with a learnable delay per input, per output or per weight."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax
from jax.typing import ArrayLike

from ... import _check
from ..._delay_line import after, insert, look_back, ring, rows
from ..._state import compute_dtype, output_dtype
from ..._types import Array, DType, Shape
from ..module import Constant, SpikingModule, call_layer

KINDS = ("axonal", "dendritic", "synaptic")
KERNELS = ("linear", "gaussian")
WHOLE = "whole"  # the kernel after `round`


class DelayedState(NamedTuple):
    """The last values in a ring buffer ``[N, *, max_delay + 1]``, and the position of the next one.

    Every neuron has its own position in ``next``, ``[N, *]``: whole numbers in at least float32.
    """

    buffer: Array
    next: Array


class Delayed(SpikingModule):
    """A layer with learnable delays, in the manner of DCLS-Delays.

    With ``delay(x)[t] = sum_k kernel(k - d) * x[t - k]`` over ``k`` from 0 to ``max_delay``, for
    delays ``d`` in time steps that need not be whole:

    ===============  ==================================  ===========================
    ``kind``         output                              delays ``d``
    ===============  ==================================  ===========================
    ``"axonal"``     ``layer(delay(x))``                 one per input feature
    ``"dendritic"``  ``delay(layer(x))``, bias included  one per output feature
    ``"synaptic"``   ``sum_i w_io delay_io(x_i) + b_o``  one per weight of an nnx.Linear
    ===============  ==================================  ===========================

    The kernel ``"linear"`` interpolates between the two neighboring steps,
    ``kernel(k) = max(0, 1 - |k|)``. The kernel ``"gaussian"`` is ``exp(-k**2 / (2 sigma**2))``,
    normalized to a sum of 1, so a delay sees inputs that are ``sigma`` steps away. Start with a
    wide one and reduce it during training: ``layer.sigma[...] = 0.5``. The paper goes from half of
    ``max_delay`` to 0.5, by the same factor each epoch, in the first quarter of the epochs. Then
    `round` gives whole delays, for inference.

    ``layer.delays`` are the delays. They are learned as ``delays_raw``, their logit in the range
    from 0 to ``max_delay``, so they cannot leave it. The paper's learning rate for delays is a
    hundred times that of weights.

    A sequence is delayed at once, without a loop. A step writes into a ring buffer and, unless the
    kernel is Gaussian, takes the same time for any ``max_delay``. For delays in a recurrent
    connection make it the feedback: ``Recurrent(js.LIF(), Delayed(nnx.Linear(n, n, rngs=rngs),
    max_delay=20, rngs=rngs))``.

    Args:
        layer: A layer without a state, such as `flax.nnx.Linear` or `flax.nnx.Conv`. Delays per
            weight are for an `nnx.Linear`.
        kind: "axonal", "dendritic" or "synaptic".
        max_delay: The largest delay in time steps, at least 1.
        kernel: "linear" or "gaussian".
        sigma: Standard deviation of the Gaussian in time steps, above zero; None for half of
            ``max_delay``. For a Gaussian kernel only.
        delays: The delays to start with: numbers above 0 and below ``max_delay`` that broadcast to
            their shape; None to draw them uniformly.
        rngs: Source of the key for the delays, from its stream ``params``.

    Raises:
        TypeError: If an argument is not of its kind, or the layer has no number of features.
        ValueError: If an argument is out of its range.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> from flax import nnx
        >>> rngs = nnx.Rngs(0)
        >>> layer = js.nn.Delayed(
        ...     nnx.Linear(1, 1, kernel_init=nnx.initializers.ones, rngs=rngs),
        ...     max_delay=4, delays=1.75, rngs=rngs,
        ... )
        >>> _, y = layer(layer.init_state((1, 1)), jnp.zeros((5, 1, 1)).at[0].set(1.0))
        >>> (100 * y[:, 0, 0]).round()
        Array([ 0., 25., 75.,  0.,  0.], dtype=float32)
        >>> whole = layer.round()
        >>> whole(whole.init_state((1, 1)), jnp.zeros((5, 1, 1)).at[0].set(1.0))[1][:, 0, 0]
        Array([0., 0., 1., 0., 0.], dtype=float32)

    Source: Hammouamri, Khalfaoui-Hassani, Masquelier, "Learning delays in spiking neural networks
    using dilated convolutions with learnable spacings", ICLR 2024 (arXiv 2306.17670).
    """

    layer: nnx.Linear  # or another, which then has neither kernel nor bias for delays of weights
    sigma: Constant
    delays_raw: nnx.Param[Array]
    whole: Constant

    def __init__(
        self,
        layer: nnx.Module,
        kind: str = "axonal",
        *,
        max_delay: int,
        kernel: str = "linear",
        sigma: float | None = None,
        delays: ArrayLike | None = None,
        rngs: nnx.Rngs,
    ):
        _check.one_of("`Delayed(kind=...)`", kind, KINDS)
        _check.one_of("`Delayed(kernel=...)`", kernel, KERNELS)
        self.max_delay = _check.integer("`Delayed(max_delay=...)`", max_delay, low=1)
        fix = "Give `rngs=nnx.Rngs(0)`."
        _check.instance("`Delayed(rngs=...)`", rngs, nnx.Rngs, "an nnx.Rngs", fix)
        shape = _shape_of_delays(layer, kind)
        self.layer = layer  # type: ignore[assignment]
        self.kind, self.kernel = kind, kernel
        if kernel == "gaussian":
            sigma = _check.number(
                "`Delayed(sigma=...)`", max_delay / 2 if sigma is None else sigma, above=0
            )
            self.sigma = Constant(jnp.asarray(sigma, jnp.float32))
        elif sigma is not None:
            must = "must be None for a linear kernel"
            raise ValueError(f"`Delayed(sigma=...)` {must}, got {_check.shown(sigma)}.")
        if delays is None:
            share = jax.random.uniform(rngs.params(), shape, minval=0.01, maxval=0.99)
        else:
            share = _checked_delays(delays, shape, self.max_delay) / self.max_delay
        self.delays_raw = nnx.Param(jnp.log(share) - jnp.log1p(-share))

    @property
    def delays(self) -> Array:
        """The delays in time steps: ``[in]``, ``[out]`` or, of weights, ``[in, out]``."""
        if self.kernel == WHOLE:
            return lax.stop_gradient(self.whole[...])
        return self.max_delay * jax.nn.sigmoid(self.delays_raw[...])

    def round(self) -> "Delayed":
        """A copy for inference, whose delays are rounded to whole time steps and not learned."""
        copy = nnx.clone(self)
        if self.kernel != WHOLE:
            copy.whole = Constant(jnp.round(self.delays))
            copy.kernel = WHOLE
            del copy.delays_raw
            if self.kernel == "gaussian":
                del copy.sigma
        return copy

    def init_state(self, shape: Shape, dtype: DType = jnp.float32) -> DelayedState:
        """State at rest, for one step of input of ``shape``."""
        if self.kind == "dendritic":
            shape = jax.eval_shape(lambda: call_layer(self.layer, (), jnp.zeros(shape))[1]).shape
        buffer = jnp.zeros((*shape, self.max_delay + 1), dtype)
        return DelayedState(buffer, jnp.zeros(shape, compute_dtype([buffer.dtype])))

    def __call__(self, state: DelayedState, x: Array) -> tuple[DelayedState, Array]:
        """One step ``[N, *]``, or a sequence ``[T, N, *]``."""
        return self._run(state, x, _step)

    def sequence(self, state: DelayedState, xs: Array) -> tuple[DelayedState, Array]:
        """Delay ``[T, N, *]`` at once."""
        return self._run(state, xs, _sequence)

    def _run(self, state: DelayedState, x: Array, run) -> tuple[DelayedState, Array]:
        x = x.astype(output_dtype(x))
        if self.kind == "dendritic":
            x = call_layer(self.layer, (), x)[1]
        with jax.numpy_rank_promotion("allow"):  # delays broadcast against [N, *] by definition
            state, y = run(self, state, x)
        y = y.astype(x.dtype)
        return state, call_layer(self.layer, (), y)[1] if self.kind == "axonal" else y

    def taps(self, dtype: DType) -> Array:
        """The kernel of each delay, ``[max_delay + 1, *]``: the factor of ``x[t - k]``.

        That of a weight includes the weight.
        """
        d = self.delays.astype(dtype)
        k = jnp.arange(self.max_delay + 1, dtype=dtype).reshape(-1, *[1] * d.ndim)
        if self.kernel == "gaussian":
            sigma = lax.stop_gradient(self.sigma[...]).astype(dtype)
            taps = jax.nn.softmax(-0.5 * ((k - d) / sigma) ** 2, axis=0)
        else:
            taps = jnp.maximum(0, 1 - jnp.abs(k - d))
        return taps * self.layer.kernel[...].astype(dtype) if self.kind == "synaptic" else taps

    def _add_bias(self, y: Array) -> Array:
        return y if self.layer.bias is None else y + self.layer.bias[...].astype(y.dtype)


def _shape_of_delays(layer, kind: str) -> Shape:
    if kind == "synaptic":
        fix = 'Give an nnx.Linear, or `kind="axonal"`.'
        if type(layer) is not nnx.Linear:
            raise TypeError(
                '`Delayed(layer=..., kind="synaptic")` must be an nnx.Linear, '
                f"got {_check.shown(layer)}. {fix}"
            )
        return layer.kernel[...].shape
    name = "in_features" if kind == "axonal" else "out_features"
    known = isinstance(getattr(layer, name, None), int) and not isinstance(layer, SpikingModule)
    if not known:
        raise TypeError(
            f"`Delayed(layer=...)` must be a layer without a state that has `{name}`, "
            f"got {_check.shown(layer)}. Give an nnx.Linear."
        )
    return (getattr(layer, name),)


def _checked_delays(delays: ArrayLike, shape: Shape, max_delay: int) -> Array:
    where = "`Delayed(delays=...)`"
    _check.broadcasts(where, delays, shape)
    d = jnp.broadcast_to(jnp.asarray(delays, jnp.float32), shape)
    if not bool(jnp.all((d > 0) & (d < max_delay))):
        got = f"got values from {d.min():g} to {d.max():g}"
        raise ValueError(f"{where} must be above 0 and below max_delay={max_delay}, {got}.")
    return d


def _interpolated(layer: Delayed, late: Callable[[Array], Array], dtype: DType) -> Array:
    """The values of ``delays`` steps ago, from ``late(ages)`` for whole delays."""
    d = layer.delays.astype(dtype)
    if layer.kernel == WHOLE:
        return late(d)
    before = lax.stop_gradient(jnp.clip(jnp.floor(d), 0, layer.max_delay))
    share = d - before
    return (1 - share) * late(before) + share * late(jnp.minimum(before + 1, layer.max_delay))


def _step(layer: Delayed, state: DelayedState, x: Array) -> tuple[DelayedState, Array]:
    wide = compute_dtype([state.buffer.dtype])
    state = DelayedState(*insert(*state, x.astype(state.buffer.dtype)))
    synaptic = layer.kind == "synaptic"
    if layer.kernel == "gaussian":
        past = rows(*state)[::-1].astype(wide)  # the newest first, as taps are
        formula = "kio,k...i->...o" if synaptic else "kc,k...c->...c"
        y = jnp.einsum(formula, layer.taps(wide), past)
        return state, layer._add_bias(y) if synaptic else y

    def late(ages):
        if synaptic:
            return look_back(*state, ages).astype(wide)
        return look_back(*state, ages[:, None])[..., 0].astype(wide)

    y = _interpolated(layer, late, wide)
    if not synaptic:
        return state, y
    weight = layer.layer.kernel[...].astype(wide)
    return state, layer._add_bias(jnp.einsum("io,...io->...o", weight, y))


def _sequence(layer: Delayed, state: DelayedState, xs: Array) -> tuple[DelayedState, Array]:
    length, longest = len(xs), layer.max_delay
    past = rows(*state)  # the oldest first
    wide = compute_dtype([past.dtype])
    full = jnp.concatenate([past, xs.astype(past.dtype)])
    following = after(state.next, length, longest + 1)
    new = DelayedState(ring(full[length:], following), following)
    full = full[1:].astype(wide)
    if layer.kind == "synaptic":
        return new, layer._add_bias(_convolve(full, layer.taps(wide)))
    if layer.kernel == "gaussian":
        return new, _filter(full, layer.taps(wide))

    def late(ages):
        now = jnp.arange(longest, longest + length).reshape(-1, *[1] * (full.ndim - 1))
        return jnp.take_along_axis(full, now - ages.astype(jnp.int32), 0, mode="clip")

    return new, _interpolated(layer, late, wide)


def _convolve(full: Array, taps: Array) -> Array:
    """``y[t, o] = sum_ki taps[k, i, o] * full[t + max_delay - k, i]``."""
    batch = full.shape[1:-1]
    flat = full.reshape(len(full), -1, full.shape[-1])
    axes = ("WNC", "WIO", "WNC")
    y = lax.conv_general_dilated(flat, taps[::-1], (1,), "VALID", dimension_numbers=axes)
    return y.reshape(len(y), *batch, taps.shape[-1])


def _filter(full: Array, taps: Array) -> Array:
    """``y[t, c] = sum_k taps[k, c] * full[t + max_delay - k, c]``.

    A depthwise convolution, as one product of matrices per channel and block of steps: several
    times faster on a CPU than XLA's.
    """
    longest, length = len(taps) - 1, len(full) - len(taps) + 1
    block = min(length, max(32, min(longest, 128)))
    n_blocks = -(-length // block)
    short = n_blocks * block - length
    full = jnp.pad(full, [(0, short), *[(0, 0)] * (full.ndim - 1)])
    places = block * jnp.arange(n_blocks)[:, None] + jnp.arange(block + longest)
    ages = jnp.arange(block)[:, None] + longest - jnp.arange(block + longest)
    used = (ages >= 0) & (ages <= longest)
    band = jnp.where(used[..., None], taps[jnp.clip(ages, 0, longest)], 0)
    y = jnp.einsum("tsc,bs...c->bt...c", band, full[places])
    return y.reshape(n_blocks * block, *y.shape[2:])[:length]
