"""LSTM and GRU with gates that spike, and two layers run in opposite directions of time."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from ..._check import instance, integer
from ..._state import output_dtype
from ..._types import Array, DType, Shape, Tree
from ...neurons import Neuron
from ...surrogate import Erf, Surrogate, spike
from ..module import SpikingModule
from ..whole_sequence import WholeSequence, check_features


class _Gates(Neuron):
    """The surrogates of the gates, in a neuron so that they are stored as those of neurons are."""

    gate: Surrogate
    candidate: Surrogate

    def init_state(self, shape: Shape, dtype: DType = jnp.float32) -> Tree:
        return ()

    def step(self, state: Tree, x: Array) -> tuple[Tree, Array]:
        return state, spike(x, self.gate)


class _SpikingCell(SpikingModule):
    """Two linear layers, from the input and from the last output, to several gates."""

    gates: int
    surrogates: Any

    def __init__(
        self,
        in_features: int,
        features: int,
        *,
        surrogate: Surrogate | None = None,
        candidate_surrogate: Surrogate | None = None,
        use_bias: bool = True,
        rngs: nnx.Rngs,
    ):
        name = type(self).__name__
        self.in_features = integer(f"`{name}(in_features=...)`", in_features, low=1)
        self.features = integer(f"`{name}(features=...)`", features, low=1)
        surrogate = Erf() if surrogate is None else surrogate
        candidate = surrogate if candidate_surrogate is None else candidate_surrogate
        for argument, value in (("surrogate", surrogate), ("candidate_surrogate", candidate)):
            fix = "Give one of `jaxspike.surrogate`, such as `ATan()`."
            instance(f"`{name}({argument}=...)`", value, Surrogate, "a Surrogate", fix)
        self.surrogates = _Gates(surrogate, candidate)
        bound = self.features**-0.5

        def uniform(key, shape, dtype):
            return jax.random.uniform(key, shape, dtype, -bound, bound)

        def linear(size):
            return nnx.Linear(
                size,
                self.gates * self.features,
                kernel_init=uniform,
                bias_init=uniform,
                use_bias=use_bias,
                rngs=rngs,
            )

        self.linear_ih = linear(self.in_features)
        self.linear_hh = linear(self.features)

    def _inputs(self, h: Array, x: Array) -> tuple[list[Array], list[Array]]:
        """The input of each gate from ``x`` and from the last output ``h``."""
        check_features(self, "in_features", x)
        x = x.astype(output_dtype(x))
        both = self.linear_ih(x), self.linear_hh(h.astype(x.dtype))
        mine, last = (jnp.split(a, self.gates, -1) for a in both)
        return mine, last


class LSTMState(NamedTuple):
    """The output ``h`` and the cell ``c``, both ``[N, features]`` of 0 and 1."""

    h: Array
    c: Array


class SpikingLSTM(_SpikingCell):
    """An LSTM whose gates are spikes.

    ``i, f, g, o = heaviside(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh)``,
    ``c_t = min(f * c_{t-1} + i * g, 1)`` and ``h_t = o * c_t``, which is the output; both start at
    0. The gradient passes the minimum unchanged.

    Stack layers in `Sequential`, with a `Dropout` between them; run both directions of time with
    `Bidirectional`.

    Args:
        in_features: Size of the last axis of the input.
        features: Size of the output.
        surrogate: Derivative of the gates; ``Erf()`` if None.
        candidate_surrogate: Derivative of ``g``; the one of the gates if None.
        use_bias: Whether there are ``b_ih`` and ``b_hh``.
        rngs: Source of keys for the weights, uniform within ``1 / sqrt(features)``.

    Raises:
        TypeError: If a size is not an integer, or a surrogate is not a `Surrogate`.
        ValueError: If a size is below 1, or the last axis of the input is not ``in_features``.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> from flax import nnx
        >>> layer = js.nn.SpikingLSTM(8, 16, rngs=nnx.Rngs(0))
        >>> state, h = layer(layer.init_state((4, 8)), jnp.ones((10, 4, 8)))
        >>> h.shape
        (10, 4, 16)

    Source: Lotfi Rezaabad, Vishwanath, "Long short-term memory spiking networks and their
    applications", ICONS 2020; SpikingJelly ``rnn.SpikingLSTM``.
    """

    gates = 4

    def init_state(self, shape: Shape, dtype: DType = jnp.float32) -> LSTMState:
        """Zeros, for one step of input of ``shape``."""
        size = (*shape[:-1], self.features)
        return LSTMState(jnp.zeros(size, dtype), jnp.zeros(size, dtype))

    def __call__(self, state: LSTMState, x: Array) -> tuple[LSTMState, Array]:
        """One step ``[N, in_features]``, or a sequence ``[T, N, in_features]``."""
        surrogate = self.surrogates.neuron
        i, f, g, o = (a + b for a, b in zip(*self._inputs(state.h, x), strict=True))
        i, f, o = (spike(a, surrogate.gate) for a in (i, f, o))
        c = f * state.c.astype(f.dtype) + i * spike(g, surrogate.candidate)
        c = c + jax.lax.stop_gradient(jnp.minimum(c, 1) - c)
        h = o * c
        return LSTMState(h.astype(state.h.dtype), c.astype(state.c.dtype)), h


class SpikingGRU(_SpikingCell):
    """A GRU whose gates are spikes.

    ``r, z = heaviside(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh)``,
    ``n = heaviside(W_in x_t + b_in + r * (W_hn h_{t-1} + b_hn))`` and
    ``h_t = (1 - z) * n + z * h_{t-1}``, which is the output and, starting at 0, the state,
    ``[N, features]``.

    Args:
        in_features, features, surrogate, use_bias, rngs: As for `SpikingLSTM`.
        candidate_surrogate: Derivative of ``n``; the one of the gates if None.

    Raises:
        TypeError, ValueError: As for `SpikingLSTM`.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> from flax import nnx
        >>> layer = js.nn.SpikingGRU(8, 16, rngs=nnx.Rngs(0))
        >>> state, h = layer(layer.init_state((4, 8)), jnp.ones((10, 4, 8)))
        >>> h.shape
        (10, 4, 16)

    Source: SpikingJelly ``rnn.SpikingGRU``; Cho et al., EMNLP 2014, for the gates.
    """

    gates = 3

    def init_state(self, shape: Shape, dtype: DType = jnp.float32) -> Array:
        """Zeros, for one step of input of ``shape``."""
        return jnp.zeros((*shape[:-1], self.features), dtype)

    def __call__(self, state: Array, x: Array) -> tuple[Array, Array]:
        """One step ``[N, in_features]``, or a sequence ``[T, N, in_features]``."""
        surrogate = self.surrogates.neuron
        mine, last = self._inputs(state, x)
        r, z = (spike(a + b, surrogate.gate) for a, b in zip(mine[:2], last[:2], strict=True))
        n = spike(mine[2] + r * last[2], surrogate.candidate)
        h = (1 - z) * n + z * state.astype(n.dtype)
        return h.astype(state.dtype), h


class Bidirectional(WholeSequence):
    """Two layers, one run forward and one backward in time, with their outputs side by side.

    ``y_t = [forward(x)_t, backward(reversed x)_{T-1-t}]`` on the last axis. The state is the pair
    of their states. There is no single step: the second layer starts at the end.

    Args:
        forward: A neuron or layer with state, such as a `SpikingLSTM`.
        backward: Another one.

    Raises:
        TypeError: If a layer is not a neuron or `SpikingModule`.
        ValueError: If it is called with a single step.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> from flax import nnx
        >>> rngs = nnx.Rngs(0)
        >>> lstm = [js.nn.SpikingLSTM(8, 16, rngs=rngs) for _ in range(2)]
        >>> layer = js.nn.Bidirectional(*lstm)
        >>> state, h = layer(layer.init_state((4, 8)), jnp.ones((10, 4, 8)))
        >>> h.shape
        (10, 4, 32)

    Source: Schuster, Paliwal, "Bidirectional recurrent neural networks", 1997; SpikingJelly
    ``rnn.SpikingLSTM(bidirectional=True)``.
    """

    forward: SpikingModule
    backward: SpikingModule
    _calls_with_sequences = True

    def __init__(self, forward: Neuron | SpikingModule, backward: Neuron | SpikingModule):
        for argument, layer in (("forward", forward), ("backward", backward)):
            where, kinds = f"`Bidirectional({argument}=...)`", Neuron | SpikingModule
            instance(where, layer, kinds, "a layer with state", "Give a neuron or a SpikingModule.")
        self.forward, self.backward = forward, backward  # type: ignore[assignment]

    def init_state(self, shape: Shape, dtype: DType = jnp.float32) -> Tree:
        """The states of both at rest, for one step of input of ``shape``."""
        return self.forward.init_state(shape, dtype), self.backward.init_state(shape, dtype)

    def sequence(self, state: Tree, xs: Array) -> tuple[Tree, Array]:
        """Run ``[T, N, *]`` in both directions."""
        first, y = self.forward(state[0], xs)
        second, z = self.backward(state[1], xs[::-1])
        return (first, second), jnp.concatenate((y, z[::-1]), -1)
