"""Neurons with noise: spikes by chance, and a noisy membrane. The random keys are in the state."""

import functools
from collections.abc import Iterator
from dataclasses import KW_ONLY
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .. import _check
from .._state import check_shape
from .._types import Array, DType, Param, Shape, State, Tree
from ..field import number, positive, static
from ..surrogate import Sigmoid, Surrogate
from .base import Neuron
from .equations import at_rest


class NoiseState(NamedTuple):
    """State of the neuron, and the ``keys`` of the next step, uint32 ``[N, *, 2]``: one each.

    With ``gradient="score"`` also the ``log_prob`` of all spikes so far, ``[N, *]``.
    """

    neuron: Tree
    keys: Array
    log_prob: Tree = ()


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
            leaves[i] = leaf._replace(neuron=reseed(leaf.neuron, inner), keys=keys)
    return jax.tree.unflatten(structure, leaves)


def log_prob(state: Tree) -> Array:
    """Log-probability of all that the neurons with ``gradient="score"`` have drawn.

    Each adds ``log p`` of what it did in a step, a spike or none, given its own past and that of
    the neurons before it; the sum is that of one sample, over steps, neurons and layers.

    Args:
        state: The last state of a neuron or of a network, with `Stochastic` neurons whose gradient
            is ``"score"``.

    Returns:
        One number per sample, ``[N]``. It counts from the state at rest.

    Raises:
        ValueError: If no neuron in the state has it, or the first axes differ.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> neuron = js.Stochastic(js.IF(), gradient="score")
        >>> state, spikes = js.scan(neuron, neuron.init_state((2, 3)), jnp.ones((1, 2, 3)))
        >>> js.neurons.log_prob(state)                             # 3 log(1 / 2), at threshold
        Array([-2.0794415, -2.0794415], dtype=float32)
    """
    found = list(_log_probs(state))
    if not found:
        raise ValueError(
            "`log_prob(state=...)` must be a state with the log-probabilities of spikes, got "
            f'{_check.kind(state)}. Give `Stochastic(neuron, gradient="score")` to the network.'
        )
    shapes = [np.shape(a) for a in found]
    if len({shape[:1] for shape in shapes}) != 1 or not shapes[0]:
        raise ValueError(
            f"`log_prob(state=...)` must have one batch axis, first, got shapes {shapes}. "
            "Map over the others."
        )
    return sum(a.sum(range(1, a.ndim)) for a in found)  # type: ignore[return-value]


def _log_probs(state: Tree) -> Iterator[Array]:
    for leaf in jax.tree.leaves(state, is_leaf=_is_noise):
        if _is_noise(leaf):
            yield from jax.tree.leaves(leaf.log_prob)
            yield from _log_probs(leaf.neuron)


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
    """The distances to threshold of each call, in a trace; equal to itself only."""

    def __init__(self):
        self.distances = []


class _Escape(Surrogate):
    """Shifts the distance to threshold by noise; its derivative is that of the probability."""

    noise: Array
    width: Param
    calls: _Calls = static()

    def distance(self, x: Array) -> Array:
        self.calls.distances.append(x)
        return x + self.noise

    def __call__(self, x: Array) -> Array:
        return Sigmoid(1 / self.width)(x - self.noise)


class _Drawn(_Escape):
    """The same without a derivative: what was drawn is a constant."""

    def __call__(self, x: Array) -> Array:
        return jnp.zeros_like(x)


GRADIENTS = {"straight_through": _Escape, "score": _Drawn}


class Stochastic(Neuron):
    """Any neuron, spiking by chance: escape noise.

    Where the neuron would spike if its distance to threshold ``h`` is at least 0, it spikes with
    the probability ``sigmoid(h / width)``. Everything else, such as the reset, is as in the neuron.

    The gradient is straight through: that of the probability, in place of the neuron's surrogate.
    It is biased, and as cheap as a surrogate gradient. With ``gradient="score"`` spikes have no
    gradient; instead the state has the log-probability of what was drawn, `log_prob`, whose
    gradient is that of the score function. `jaxspike.losses.score_function` makes of it a loss
    with an unbiased gradient of the expected loss, of large variance.

    The keys are in the state, one per neuron, so that what a neuron does depends neither on the
    others nor on how a sequence or a batch is cut. A state at rest always has the keys of ``seed``,
    so that layers of one shape and seed draw the same; `reseed` gives a state others, of its own
    for each layer.

    The parameters of the neuron are learned under their names with the prefix ``neuron_``, as in
    ``js.nn.Spiking(js.Stochastic(js.LIF()), learn=("neuron_tau",))``.

    Args:
        neuron: The neuron, with a surrogate, that fires once per step: not one with several spikes
            per step, nor a `DiscreteLIF` with a late reset.
        width: Distance to threshold, above zero, at which the probability is 0.73, in units of the
            membrane potential.
        seed: Seed of the keys of a state at rest, at least 0.
        gradient: "straight_through" or "score".

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
    neurons for conditional computation", 2013. The score function of spikes is that of Pfister et
    al., "Optimal spike-timing-dependent plasticity for precise action potential firing in
    supervised learning", 2006.
    """

    neuron: Neuron
    width: Param = positive(default=0.25)
    _: KW_ONLY
    seed: int = static(default=0)
    gradient: str = static(default="straight_through", choices=tuple(GRADIENTS))

    def __post_init__(self) -> None:
        super().__post_init__()
        _check.integer("`Stochastic(seed=...)`", self.seed, low=0)
        if not hasattr(self.neuron, "surrogate"):
            raise TypeError(
                f"`Stochastic(neuron=...)` must be a neuron with a surrogate, got {self.neuron}. "
                "Give one that spikes, such as `LIF()`."
            )

    def init_state(self, shape: Shape, dtype: DType = jnp.float32) -> NoiseState:
        state = _at_rest(self.neuron, self.seed, shape, dtype)
        if self.gradient == "score":
            return state._replace(log_prob=at_rest(None, shape, dtype))
        return state

    def step(self, state: NoiseState, x: Array) -> tuple[NoiseState, Array]:
        keys, noise = _draw(jax.random.logistic, state.keys, x)
        noise, calls = self.width * noise, _Calls()
        escape = GRADIENTS[self.gradient](noise, self.width, calls)
        new, s = self.neuron.replace(surrogate=escape)(state.neuron, x)
        if len(calls.distances) != 1:
            raise TypeError(
                "`Stochastic(neuron=...)` must fire once per step, got a neuron that does so "
                f"{len(calls.distances)} times, {self.neuron}. Give another, such as `LIF()`."
            )
        if self.gradient != "score":
            return NoiseState(new, keys), s
        (h,) = calls.distances
        log_p = jax.nn.log_sigmoid(jnp.where(h + noise >= 0, h, -h) / self.width)
        return NoiseState(new, keys, state.log_prob + log_p), s


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
