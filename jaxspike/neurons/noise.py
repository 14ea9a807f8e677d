"""Neurons with noise: spikes by chance, and a noisy membrane. The random keys are in the state."""

import functools
from dataclasses import KW_ONLY
from typing import NamedTuple

import jax
import jax.numpy as jnp

from .. import _check
from .._state import check_shape
from .._types import Array, DType, Param, Shape, State, Tree
from ..field import number, positive, static
from ..surrogate import Sigmoid, Surrogate
from .base import Neuron


class NoiseState(NamedTuple):
    """State of the neuron, and the ``keys`` of the next step, uint32 ``[N, *, 2]``: one each."""

    neuron: Tree
    keys: Array


def reseed(state: Tree, key: Array) -> Tree:
    """A state with other random keys, for every neuron with noise in it.

    A state at rest always has the same keys, so that results can be reproduced. Give each batch of
    a training run keys of its own.

    Args:
        state: The state of a neuron or of a network, which may have none with noise.
        key: A `jax.random.key`.

    Raises:
        TypeError: If ``key`` is not a random key.

    Example:
        >>> import jax, jax.numpy as jnp, jaxspike as js
        >>> neuron = js.Stochastic(js.IF(), 0.5)
        >>> state, xs = neuron.init_state((4,)), jnp.ones((5, 4))
        >>> first = js.neurons.reseed(state, jax.random.key(1))
        >>> second = js.neurons.reseed(state, jax.random.key(2))
        >>> bool((js.scan(neuron, first, xs)[1] == js.scan(neuron, second, xs)[1]).all())
        False
    """
    _check.key("`reseed(key=...)`", key)
    leaves, structure = jax.tree.flatten(state, is_leaf=_is_noise)
    for i, leaf in enumerate(leaves):
        if _is_noise(leaf):
            own, inner = jax.random.split(jax.random.fold_in(key, i))
            keys = _keys(own, leaf.keys.shape[:-1])
            leaves[i] = NoiseState(reseed(leaf.neuron, inner), keys)
    return jax.tree.unflatten(structure, leaves)


def _is_noise(value) -> bool:
    return isinstance(value, NoiseState)


def _keys(key: Array, shape: Shape) -> Array:
    key = key if jnp.issubdtype(key.dtype, jax.dtypes.prng_key) else jax.random.wrap_key_data(key)
    return jax.random.key_data(jax.random.split(key, shape))


def _at_rest(neuron: Neuron, seed: int, shape: Shape, dtype: DType) -> NoiseState:
    keys = _keys(jax.random.key(seed), check_shape("neuron", shape))
    return NoiseState(neuron.init_state(shape, dtype), keys)


def _draw(sampler, keys: Array, x: Array) -> tuple[Array, Array]:
    """The keys of the next step, and a sample of the shape and dtype of ``x``."""

    @functools.partial(jnp.vectorize, signature="(n)->(n),()")
    def one(key):
        now, following = jax.random.split(jax.random.wrap_key_data(key))
        return jax.random.key_data(following), sampler(now, (), x.dtype)

    return one(keys)


class _Calls:
    """A number of calls, which a trace counts; equal to itself only."""

    n = 0


class _Escape(Surrogate):
    """Shifts the distance to threshold by noise; its derivative is that of the probability."""

    noise: Array
    width: Param
    calls: _Calls = static()

    def distance(self, x: Array) -> Array:
        self.calls.n += 1
        return x + self.noise

    def __call__(self, x: Array) -> Array:
        return Sigmoid(1 / self.width)(x - self.noise)


class Stochastic(Neuron):
    """Any neuron, spiking by chance: escape noise.

    Where the neuron would spike if its distance to threshold ``h`` is at least 0, it spikes with
    the probability ``sigmoid(h / width)``. Everything else, such as the reset, is as in the neuron.
    The gradient is straight through: that of the probability, in place of the neuron's surrogate.

    The keys are in the state, one per neuron, so that what a neuron does depends neither on the
    others nor on how a sequence or a batch is cut. A state at rest always has the keys of ``seed``;
    `reseed` gives it others.

    The parameters of the neuron are learned under their names with the prefix ``neuron_``, as in
    ``js.nn.Spiking(js.Stochastic(js.LIF()), learn=("neuron_tau",))``.

    Args:
        neuron: The neuron, with a surrogate, that fires once per step: not one with several spikes
            per step, nor a `DiscreteLIF` with a late reset.
        width: Distance to threshold, above zero, at which the probability is 0.73, in units of the
            membrane potential.
        seed: Seed of the keys of a state at rest, at least 0.

    Raises:
        TypeError: If the neuron has no surrogate; in a call, if it does not fire exactly once.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> neuron = js.Stochastic(js.IF(), 0.5)
        >>> state, spikes = js.scan(neuron, neuron.init_state((1000,)), jnp.ones((1, 1000)))
        >>> bool(abs(spikes.mean() - 0.5) < 0.05)                    # at threshold
        True

    Source: Gerstner et al., "Neuronal Dynamics", 2014, section 9.1; the straight-through estimator
    is that of Bengio, Léonard, Courville, "Estimating or propagating gradients through stochastic
    neurons for conditional computation", 2013.
    """

    neuron: Neuron
    width: Param = positive(default=0.25)
    _: KW_ONLY
    seed: int = static(default=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        _check.integer("`Stochastic(seed=...)`", self.seed, low=0)
        if not hasattr(self.neuron, "surrogate"):
            raise TypeError(
                f"`Stochastic(neuron=...)` must be a neuron with a surrogate, got {self.neuron}. "
                "Give one that spikes, such as `LIF()`."
            )

    def init_state(self, shape: Shape, dtype: DType = jnp.float32) -> NoiseState:
        return _at_rest(self.neuron, self.seed, shape, dtype)

    def step(self, state: NoiseState, x: Array) -> tuple[NoiseState, Array]:
        keys, noise = _draw(jax.random.logistic, state.keys, x)
        escape = _Escape(self.width * noise, self.width, _Calls())
        new, s = self.neuron.replace(surrogate=escape)(state.neuron, x)
        if escape.calls.n != 1:
            raise TypeError(
                "`Stochastic(neuron=...)` must fire once per step, got a neuron that does so "
                f"{escape.calls.n} times, {self.neuron}. Give another, such as `LIF()`."
            )
        return NoiseState(new, keys), s


class MembraneNoise(Neuron):
    """Any neuron with a noisy membrane: ``v + scale * n`` before each step, ``n`` normal.

    For a `LIF` with a time constant ``tau``, far from threshold, the membrane potential is spread
    by ``scale / sqrt(1 - (1 - 1 / tau)**2)``, as a standard deviation. The keys are in the state,
    as in `Stochastic`.

    Args:
        neuron: The neuron, whose state has a membrane ``v``.
        scale: Standard deviation of the noise of a step, in units of the membrane potential.
        seed: Seed of the keys of a state at rest, at least 0.

    Raises:
        TypeError: If the state of the neuron has no ``v``.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> neuron = js.MembraneNoise(js.IF(), 0.5)
        >>> state, spikes = js.scan(neuron, neuron.init_state((1000,)), jnp.full((1, 1000), 0.5))
        >>> bool(abs(spikes.mean() - 0.16) < 0.04)              # one standard deviation below
        True

    Source: Gerstner et al., "Neuronal Dynamics", 2014, section 8.1, in Euler steps.
    """

    neuron: Neuron
    scale: Param = number(default=0.1)
    _: KW_ONLY
    seed: int = static(default=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        _check.integer("`MembraneNoise(seed=...)`", self.seed, low=0)

    def init_state(self, shape: Shape, dtype: DType = jnp.float32) -> NoiseState:
        return _at_rest(self.neuron, self.seed, shape, dtype)

    def step(self, state: NoiseState, x: Array) -> tuple[NoiseState, Array]:
        inner: State = state.neuron
        if not hasattr(inner, "v"):
            raise TypeError(
                "`MembraneNoise(neuron=...)` must be a neuron whose state has a membrane `v`, got "
                f"{self.neuron}. Give one such as `LIF()`."
            )
        keys, noise = _draw(jax.random.normal, state.keys, x)
        new, s = self.neuron(inner._replace(v=inner.v + self.scale * noise), x)
        return NoiseState(new, keys), s
