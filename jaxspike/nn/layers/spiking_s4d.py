"""`SpikingS4D`: a diagonal state-space layer whose activation is a spike."""

import math
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
from flax import nnx

from ... import _check
from ..._state import output_dtype, placed_with
from ..._types import Array, DType, Param, Shape, Tree
from ...neurons import Neuron
from ...surrogate import Sigmoid, Surrogate, spike
from ..empty_state import EmptyState
from ..module import SpikingModule
from ..whole_sequence import check_features
from .chunked_state_space import chunked_state_space

INITS = ("lin", "inv")


class _Threshold(Neuron):
    """A spike where the input reaches the threshold; nothing is remembered."""

    v_threshold: Param = 1.0
    surrogate: Surrogate = Sigmoid()

    def init_state(self, shape: Shape, dtype: DType = jnp.float32) -> Tree:
        return EmptyState(len(shape))

    def step(self, state: Tree, x: Array) -> tuple[Tree, Array]:
        return state, spike(x - self.v_threshold, self.surrogate)


class SpikingS4D(SpikingModule):
    """A diagonal state-space model per feature, with spikes in place of its activation.

    In continuous time ``x' = A x + u``, ``y = 2 Re(C x) + D u`` for each feature ``u``, with
    ``states`` complex numbers ``x``, of which each stands for a conjugate pair. With a
    step length ``dt`` of the feature and an input held over the step (zero-order hold):

    - ``x_t = exp(dt A) x_{t-1} + (exp(dt A) - 1) / A * u_t``
    - ``y_t = 2 Re(sum_n C_n x_{t,n}) + D u_t``, and a spike where ``y_t >= v_threshold``.

    There is no reset, so a call with a sequence is a convolution. It is computed as matrix products
    over chunks of up to 128 steps, and stores a state for each chunk. `scan` of the layer runs its
    steps: in a loop, or with ``order="parallel"`` without one, and stores the states of all steps,
    ``[T, N, features, states]``. The results are equal but for rounding: a spike may differ where
    ``y`` is at the threshold, and a NaN reaches the steps of its chunk before it. To mix the
    features, put an `flax.nnx.Linear` behind it.

    ``A`` starts as an approximation of the HiPPO matrix. For n = 0, 1, ... it is
    ``A_n = -1/2 + i pi n`` with ``"lin"`` (S4D-Lin), and with ``"inv"`` (S4D-Inv)
    ``A_n = -1/2 + i (N / pi) (N / (2 n + 1) - 1)`` for ``N = 2 * states``. ``C`` is complex normal,
    ``D`` normal and ``dt`` log-uniform. All of them are learned: ``log_a_real`` for ``-Re A``,
    which stays above 0, so the recurrence cannot grow, ``a_imag``, ``log_dt``, ``c_real``,
    ``c_imag``, ``d``. The S4D paper has a smaller learning rate for A and dt, and no weight decay.

    Args:
        features: Size of the last axis of the input and of the output.
        states: Complex numbers that a feature remembers, at least 1.
        init: "lin" or "inv".
        dt_min, dt_max: The range of the step length, in the unit of time of ``1 / A``; above 0. An
            input is remembered for about ``2 / dt`` steps.
        v_threshold: The threshold.
        surrogate: Derivative of the spike; ``Sigmoid()`` if None.
        rngs: Source of keys, from its stream ``params``.

    Raises:
        TypeError: If an argument is not of its kind.
        ValueError: If an argument is out of its range, or the last axis of the input is not
            ``features``.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> from flax import nnx
        >>> layer = js.nn.SpikingS4D(8, 16, rngs=nnx.Rngs(0))
        >>> state, spikes = js.scan(
        ...     layer, layer.init_state((4, 8)), jnp.ones((100, 4, 8)), order="parallel"
        ... )
        >>> spikes.shape, state.shape
        ((100, 4, 8), (4, 8, 16))

    Source: Gu, Gupta, Goel, Re, "On the parameterization and initialization of diagonal state space
    models", NeurIPS 2022 (arXiv 2206.11893); spikes as its activation, Stan, Rhodes,
    "Learning long sequences in spiking neural networks", 2024 (arXiv 2401.00955).
    """

    output: Any
    _calls_with_sequences = True

    def __init__(
        self,
        features: int,
        states: int = 32,
        *,
        init: str = "lin",
        dt_min: float = 1e-3,
        dt_max: float = 0.1,
        v_threshold: float = 1.0,
        surrogate: Surrogate | None = None,
        rngs: nnx.Rngs,
    ):
        self.features = _check.integer("`SpikingS4D(features=...)`", features, low=1)
        self.states = _check.integer("`SpikingS4D(states=...)`", states, low=1)
        _check.one_of("`SpikingS4D(init=...)`", init, INITS)
        _check.number("`SpikingS4D(dt_min=...)`", dt_min, above=0)
        _check.number("`SpikingS4D(dt_max=...)`", dt_max, above=dt_min)
        v_threshold = _check.number("`SpikingS4D(v_threshold=...)`", v_threshold)
        surrogate = Sigmoid() if surrogate is None else surrogate
        fix = "Give one of `jaxspike.surrogate`, such as `ATan()`."
        _check.instance("`SpikingS4D(surrogate=...)`", surrogate, Surrogate, "a Surrogate", fix)
        fix = "Give `rngs=nnx.Rngs(0)`."
        _check.instance("`SpikingS4D(rngs=...)`", rngs, nnx.Rngs, "an nnx.Rngs", fix)
        size, n = (features, states), jnp.arange(float(states))
        pairs = 2.0 * states
        imag = math.pi * n if init == "lin" else pairs / math.pi * (pairs / (2 * n + 1) - 1)
        low, high = math.log(dt_min), math.log(dt_max)
        self.log_dt = nnx.Param(
            jax.random.uniform(rngs.params(), (features,), minval=low, maxval=high)
        )
        self.log_a_real = nnx.Param(jnp.full(size, math.log(0.5)))
        self.a_imag = nnx.Param(jnp.tile(imag, (features, 1)))
        self.c_real = nnx.Param(jax.random.normal(rngs.params(), size) * math.sqrt(0.5))
        self.c_imag = nnx.Param(jax.random.normal(rngs.params(), size) * math.sqrt(0.5))
        self.d = nnx.Param(jax.random.normal(rngs.params(), (features,)))
        self.output = _Threshold(v_threshold, surrogate)

    def init_state(self, shape: Shape, dtype: DType = jnp.float32) -> Array:
        """Zeros, ``[N, features, states]``, for one step of input of ``shape``; complex."""
        wide = jnp.complex128 if dtype == jnp.float64 else jnp.complex64
        return jnp.zeros((*shape, self.states), wide)

    def __call__(self, state: Array, x: Array) -> tuple[Array, Array]:
        """One step ``[N, features]``, or a sequence ``[T, N, features]``."""
        check_features(self, "features", x)
        x = x.astype(output_dtype(x))
        log_decay, b, c, d = self._discrete(state.dtype)
        u = x.astype(d.dtype)
        with jax.numpy_rank_promotion("allow"):  # parameters broadcast against [N, *]
            state = jnp.exp(log_decay) * state + b * u[..., None].astype(state.dtype)
            y = 2 * (c * state).sum(-1).real + d * u
        return state, self._spikes(y, x)

    def sequence(self, state: Array, xs: Array) -> tuple[Array, Array]:
        """A sequence ``[T, N, features]``, as products over chunks of it."""
        if jax.export.is_symbolic_dim(xs.shape[0]) or not xs.shape[0]:
            return super().sequence(state, xs)
        check_features(self, "features", xs)
        xs = xs.astype(output_dtype(xs))
        u = xs.astype(state.real.dtype).reshape(len(xs), -1, self.features)
        before = placed_with(state.reshape(*u.shape[1:], self.states), u[0])
        last, y = chunked_state_space(before, u, *self._discrete(state.dtype))
        return last.reshape(state.shape), self._spikes(y.reshape(xs.shape), xs)

    def _discrete(self, dtype: DType) -> tuple[Array, Array, Array, Array]:
        """The logarithm of the factor of the state in one step, and the factors of u, x, u."""
        a = jax.lax.complex(-jnp.exp(self.log_a_real[...]), self.a_imag[...]).astype(dtype)
        log_decay = jnp.exp(self.log_dt[...])[:, None].astype(dtype) * a
        c = jax.lax.complex(self.c_real[...], self.c_imag[...]).astype(dtype)
        return log_decay, (jnp.exp(log_decay) - 1) / a, c, self.d[...].astype(a.real.dtype)

    def _spikes(self, y: Array, x: Array) -> Array:
        return self.output(self.output.init_state(y.shape), y)[1].astype(x.dtype)
