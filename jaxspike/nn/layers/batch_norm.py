"""Batch normalization: with little memory, scaled to the threshold, or per time step."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax

from ..._check import at_least_float32, in_range, integer
from ..._state import output_dtype
from ..._types import Array, DType, Shape, Tree
from ..empty_state import EmptyState
from ..module import SpikingModule
from ..whole_sequence import check_features, check_steps, refuse_training_step

Take = Callable[[Array], Array]


@jax.custom_jvp
def _center(x: Array) -> tuple[Array, Array, Array]:
    """The mean over all axes but the last, ``x - mean``, and the variance."""
    over = tuple(range(x.ndim - 1))
    mean = x.mean(over)
    centered = lax.optimization_barrier(x - mean)  # else XLA keeps x, to compute it again
    return mean, centered, (centered * centered).mean(over)


@_center.defjvp
def _(primals, tangents):
    """``dx - dmean`` twice, as in Flax: its two cotangents are summed apart, and round less."""
    (dx,) = tangents
    mean, centered, var = _center(*primals)
    over = tuple(range(dx.ndim - 1))
    dmean = dx.mean(over)
    dvar = 2 * (centered * (dx - dmean)).mean(over)
    return (mean, centered, var), (dmean, dx - dmean, dvar)


class BatchNorm(nnx.BatchNorm):
    """Batch normalization with an exact variance, whose gradient stores one array instead of two.

    ``y = scale * (x - mean) / sqrt(var + epsilon) + bias``, with mean and variance over all axes
    but the last: given ``[T, N, *]`` in training, over T and N. It is `flax.nnx.BatchNorm` with
    ``use_fast_variance=False``, and has its results. The variance is that of ``x - mean``, as in
    PyTorch: the default of Flax, the mean of the squares minus the square of the mean, loses digits
    where the mean is large. For the gradient of Flax's layer both ``x`` and ``x - mean`` are
    stored, for this one ``x - mean``.

    Args:
        num_features: Size of the last axis.
        rngs: As for `flax.nnx.BatchNorm`.
        **options: Options of `flax.nnx.BatchNorm`, such as ``momentum`` and ``epsilon``. With
            another ``axis``, an ``axis_name``, a ``dtype`` of 16 bits or
            ``use_fast_variance=True``, and in a call with a ``mask``, it falls back to
            `flax.nnx.BatchNorm`.

    Raises:
        ValueError: If the last axis of the input is not ``num_features``.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> from flax import nnx
        >>> norm = js.nn.BatchNorm(8, momentum=0.9, rngs=nnx.Rngs(0))
        >>> norm(jnp.ones((10, 4, 7, 7, 8))).shape
        (10, 4, 7, 7, 8)

    Source: Ioffe, Szegedy, "Batch normalization: accelerating deep network training by reducing
    internal covariate shift", ICML 2015; ``torch.nn.BatchNorm2d``.
    """

    def __init__(self, num_features: int, *, rngs: nnx.Rngs, **options):
        super().__init__(num_features, rngs=rngs, **{"use_fast_variance": False, **options})

    def __call__(
        self, x: Array, use_running_average: bool | None = None, *, mask: Array | None = None
    ) -> Array:
        """Normalize ``[..., num_features]``."""
        average = self.use_running_average if use_running_average is None else use_running_average
        exact = not self.use_fast_variance and not jnp.iscomplexobj(x)
        plain = exact and self.axis == -1 and self.axis_name is None and mask is None
        if average is not False or not plain:
            return super().__call__(x, use_running_average, mask=mask)
        check_features(self, "num_features", x)
        scale, bias = (None if p is None else p[...] for p in (self.scale, self.bias))
        arrays = x, self.mean[...], scale, bias
        wide, _, scale, bias = self.promote_dtype(arrays, dtype=self.dtype)
        if wide.dtype not in (jnp.float32, jnp.float64):
            return super().__call__(x, use_running_average)
        with jax.numpy_rank_promotion("allow"):  # [*, C] and [C]
            mean, centered, var = _center(wide)
            factor = lax.rsqrt(var + self.epsilon)
            y = centered * (factor if scale is None else factor * scale)
            y = y if bias is None else y + bias
        for statistic, new in ((self.mean, mean), (self.var, var)):
            old = self.momentum * statistic[...]
            statistic[...] = lax.stop_gradient(old + (1 - self.momentum) * new)
        return y


class ThresholdDependentBatchNorm(BatchNorm):
    """Batch normalization whose scale starts at ``alpha * v_threshold`` (tdBN).

    Unlike in `flax.nnx.BatchNorm`, the initial scale makes the standard deviation of a neuron's
    input equal to its threshold: ``y = scale * (x - mean) / sqrt(var + epsilon) + bias``. Given
    ``[T, N, *]`` in training, mean and variance are over T and N, as in any `flax.nnx.BatchNorm`.

    Args:
        num_features: Size of the last axis.
        v_threshold: Threshold of the neuron after it, above 0.
        alpha: Factor of the initial scale, above 0: 1, or ``1 / sqrt(2)`` where two such layers are
            added, as at the end of a residual block.
        rngs: As for `flax.nnx.BatchNorm`.
        **options: Options of `flax.nnx.BatchNorm`, such as ``momentum`` and ``epsilon``.

    Raises:
        ValueError: If ``v_threshold`` or ``alpha`` is not above 0.

    Example:
        >>> import jaxspike as js
        >>> from flax import nnx
        >>> norm = js.nn.ThresholdDependentBatchNorm(2, v_threshold=0.5, rngs=nnx.Rngs(0))
        >>> norm.scale[...]
        Array([0.5, 0.5], dtype=float32)

    Source: Zheng, Wu, Deng, Hu, Li, "Going deeper with directly-trained larger spiking neural
    networks", AAAI 2021; SpikingJelly ``layer.ThresholdDependentBatchNorm2d``.
    """

    def __init__(
        self,
        num_features: int,
        v_threshold: float = 1.0,
        alpha: float = 1.0,
        *,
        rngs: nnx.Rngs,
        **options,
    ):
        for argument, value in (("v_threshold", v_threshold), ("alpha", alpha)):
            in_range(f"`ThresholdDependentBatchNorm({argument}=...)`", value, above=0)
        scale = nnx.initializers.constant(alpha * v_threshold)
        super().__init__(num_features, scale_init=scale, rngs=rngs, **options)


class _PerStepNorm(SpikingModule):
    """A normalization with parameters for each of ``steps`` time steps; its state counts them."""

    num_features: int
    steps: int
    use_running_average: bool | None

    def init_state(self, shape: Shape, dtype: DType = jnp.float32) -> Tree:
        """The number of steps done, which is 0, and the number of axes of one step of input."""
        return jnp.zeros((), jnp.int32), EmptyState(len(shape))

    def __call__(self, state: Tree, x: Array) -> tuple[Tree, Array]:
        """One step ``[N, *]`` in evaluation, or a sequence ``[T, N, *]``."""
        if not self.use_running_average:
            refuse_training_step(self, x)
        state, y = self._run(state, x[None])
        return state, y[0]

    def sequence(self, state: Tree, xs: Array) -> tuple[Tree, Array]:
        """Normalize a whole sequence ``[T, N, *]``."""
        check_steps(self, xs)
        return self._run(state, xs)

    def _run(self, state: Tree, xs: Array) -> tuple[Tree, Array]:
        done, rank = state
        check_features(self, "num_features", xs)
        if not isinstance(done, jax.core.Tracer) and done + len(xs) > self.steps:
            raise ValueError(
                f"`{type(self).__name__}(steps={self.steps})` must get that many steps in all, got "
                f"{done + len(xs)}. Start each sequence from `net.init_state(shape)`."
            )
        index = done + jnp.arange(len(xs))

        def take(parameter):  # a traced step that is too late cannot be refused
            return parameter.at[index].get(mode="fill", fill_value=jnp.nan)

        return (done + len(xs), rank), self._normalize(xs, take)

    def _normalize(self, xs: Array, take: Take) -> Array:
        raise NotImplementedError


class TemporalEffectiveBatchNorm(_PerStepNorm, nnx.BatchNorm):  # type: ignore[misc]
    """Batch normalization over T and N, then a learned factor for each time step (TEBN).

    ``y_t = temporal_scale_t * (scale * (x_t - mean) / sqrt(var + epsilon) + bias)``.

    It is made for sequences of ``steps`` time steps. In training it takes whole sequences; in
    evaluation it also takes single steps, which its state counts. An extra step is an error, or NaN
    if that is only known at run time: start each sequence from ``init_state``.

    Args:
        num_features: Size of the last axis.
        steps: The number of time steps T.
        rngs: As for `flax.nnx.BatchNorm`.
        **options: Options of `flax.nnx.BatchNorm`, such as ``momentum`` and ``epsilon``.

    Raises:
        TypeError: If ``steps`` is not an integer.
        ValueError: If ``steps`` is below 1; in a call, if the number of time steps or features is
            wrong, or a single step is given in training.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> from flax import nnx
        >>> norm = js.nn.TemporalEffectiveBatchNorm(8, steps=10, rngs=nnx.Rngs(0))
        >>> state, y = norm(norm.init_state((4, 8)), jnp.ones((10, 4, 8)))

    Source: Duan, Ding, Chen, Yu, Huang, "Temporal effective batch normalization in spiking neural
    networks", NeurIPS 2022; SpikingJelly ``layer.TemporalEffectiveBatchNorm2d``.
    """

    def __init__(self, num_features: int, steps: int, *, rngs: nnx.Rngs, **options):
        self.steps = integer("`TemporalEffectiveBatchNorm(steps=...)`", steps, low=1)
        nnx.BatchNorm.__init__(self, num_features, rngs=rngs, **options)
        self.temporal_scale = nnx.Param(jnp.ones(self.steps, self.param_dtype))

    def _normalize(self, xs: Array, take: Take) -> Array:
        y = nnx.BatchNorm.__call__(self, xs)
        factor = jnp.expand_dims(take(self.temporal_scale[...]), range(1, xs.ndim))
        return y * factor.astype(y.dtype)


class BatchNormThroughTime(_PerStepNorm):
    """Batch normalization with its own statistics and scale at each time step (BNTT).

    ``y_t = scale_t * (x_t - mean_t) / sqrt(var_t + epsilon)``, without a bias. In training the
    statistics are over N (and space); their running averages decay with ``momentum``, and the
    variance is the biased one, as in `flax.nnx.BatchNorm`.

    It is made for sequences of ``steps`` time steps. In training it takes whole sequences; in
    evaluation it also takes single steps, which its state counts. An extra step is an error, or NaN
    if that is only known at run time: start each sequence from ``init_state``.

    Args:
        num_features: Size of the last axis, C.
        steps: The number of time steps T. All parameters are ``[T, C]``.
        momentum: Decay of the running averages; 1 minus the momentum of torch.
        epsilon: Added to the variance.

    Raises:
        TypeError: If ``num_features`` or ``steps`` is not an integer.
        ValueError: If one of them is below 1; in a call, if the number of time steps or features
            is wrong, or a single step is given in training.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> norm = js.nn.BatchNormThroughTime(8, steps=10)
        >>> state, y = norm(norm.init_state((4, 8)), jnp.ones((10, 4, 8)))
        >>> norm.scale.shape
        (10, 8)

    Source: Kim, Panda, "Revisiting batch normalization for training low-latency deep spiking
    neural networks from scratch", 2021; SpikingJelly ``layer.BatchNormThroughTime2d``.
    """

    def __init__(
        self, num_features: int, steps: int, *, momentum: float = 0.99, epsilon: float = 1e-5
    ):
        name = "BatchNormThroughTime"
        self.num_features = integer(f"`{name}(num_features=...)`", num_features, low=1)
        self.steps = integer(f"`{name}(steps=...)`", steps, low=1)
        self.momentum, self.epsilon = momentum, epsilon
        self.use_running_average = False  # what `net.eval()` and `net.train()` set
        shape = self.steps, self.num_features
        self.scale = nnx.Param(jnp.ones(shape))
        self.mean, self.var = nnx.BatchStat(jnp.zeros(shape)), nnx.BatchStat(jnp.ones(shape))

    def _normalize(self, xs: Array, take: Take) -> Array:
        x = at_least_float32(xs)
        mean, var = take(self.mean[...]), take(self.var[...])
        if not self.use_running_average:
            axes = tuple(range(1, x.ndim - 1))
            old, (mean, var) = (mean, var), (x.mean(axes), x.var(axes))
            for stat, was, now in zip((self.mean, self.var), old, (mean, var), strict=True):
                new = self.momentum * was + (1 - self.momentum) * now
                stat[...] = jax.lax.stop_gradient(new.astype(stat.dtype))

        def per_channel(a):
            return jnp.expand_dims(a, range(1, x.ndim - 1))

        factor = take(self.scale[...]) * jax.lax.rsqrt(var + self.epsilon)
        y = (x - per_channel(mean)) * per_channel(factor)
        return y.astype(output_dtype(xs))
