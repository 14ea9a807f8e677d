"""Three-factor rules: a reward turns the eligibility of a weight into its change."""

import abc
from dataclasses import KW_ONLY
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from .. import _check
from .._pytree import Pytree
from .._types import Array, DType, Param, Shape, Tree
from ..field import positive, static
from .linear_layer import LinearLayer
from .plasticity import PlasticityRule, receive
from .stdp import STDP


class EligibilityTraces(NamedTuple):
    """Traces of the rule, and the eligibility of each weight for each sample, ``[N, *w]``.

    ``dopamine`` is its concentration for each sample, ``[N]``; None where the reward acts at once.
    """

    rule: Tree
    eligibility: Tree
    dopamine: Array | None = None


class ModulatedRule(Pytree, abc.ABC):
    """Base class of rules that change weights according to spikes and a reward.

    ``traces, dw = rule(traces, layer, pre, post, reward)``: the change that a two-factor rule, such
    as `STDP`, would make is only recorded, in the eligibility of each weight for each sample of the
    batch; the reward applies it. This takes the memory of one copy of the weights per sample.

    Args:
        rule: The two-factor rule. Its ``weight_dependence`` and ``reduction`` apply to the change.
    """

    rule: PlasticityRule = STDP(a_plus=1.0, a_minus=1.0)

    @abc.abstractmethod
    def modulate(
        self, traces: EligibilityTraces, mark: Tree, reward: Array
    ) -> tuple[EligibilityTraces, Tree]:
        """One step: the new traces (those of the rule as they were), and the change per sample.

        Args:
            traces: The traces of the previous step.
            mark: The change that the rule would make, per sample, ``[N, *w]``.
            reward: The reward of this step, ``[N]``.
        """

    def init_traces(
        self, layer: Tree, shape: Shape, dtype: DType = jnp.float32
    ) -> EligibilityTraces:
        """Traces at rest.

        Args:
            layer: The layer whose weights the rule changes.
            shape: Shape of one step of its input, ``(N, *)``.
            dtype: Floating dtype of the traces, at least float32.

        Raises:
            TypeError: If the layer is not linear.
        """
        arrays = LinearLayer(type(self).__name__, layer, shape, dtype).arrays
        zeros = jax.tree.map(lambda w: jnp.zeros((shape[0], *w.shape), w.dtype), arrays)
        return EligibilityTraces(self.rule.init_traces(layer, shape, dtype), zeros)

    def __call__(
        self, traces: EligibilityTraces, layer: Tree, pre: Array, post: Array, reward: ArrayLike
    ) -> tuple[EligibilityTraces, Tree]:
        """The change of the weights at one time step.

        Args:
            traces: The traces from ``init_traces`` or from the previous step.
            layer: The layer, a callable pytree, or its weight as an array ``[m, n]``.
            pre: Input of the layer at this step, ``[N, *]``.
            post: Spikes of the neurons that the layer feeds, at this step, in the shape of its
                output.
            reward: The reward of this step: a number, or one per sample, ``[N]``.

        Returns:
            The new traces, and the change ``dw``, in the structure and the dtypes of ``layer``.

        Raises:
            TypeError: If the layer is not linear, or a signal is complex.
            ValueError: If the shapes of the traces, the signals and the reward do not fit together.
        """
        layer, pre, post = receive(type(self).__name__, self.init_traces, traces, layer, pre, post)
        where = f"`{type(self).__name__}(reward=...)`"
        _check.broadcasts(where, reward, pre.shape[:1])
        reward = jnp.broadcast_to(_check.as_real(where, reward).astype(pre.dtype), pre.shape[:1])
        of_rule, *pairs = self.rule.step(traces.rule, pre, post)
        one_by_one = jax.tree.map(lambda signal: signal[:, None], pairs)
        mark = jax.vmap(lambda pairs: self.rule.change(layer, *pairs))(one_by_one)
        traces, change = self.modulate(traces, mark, reward)
        change = jax.tree.map(lambda dw: dw.sum(0), change)
        return traces._replace(rule=of_rule), self.rule.finish(layer, change)


def _decayed(traces: Tree, tau: Param, mark: Tree, gain: Param = 1.0) -> Tree:
    """Eligibility that decays with the time constant ``tau`` and rises by ``gain * mark``."""
    return jax.tree.map(
        lambda trace, m: jnp.exp(-1.0 / jnp.asarray(tau, m.dtype)) * trace + gain * m, traces, mark
    )


def _times(per_sample: Array, changes: Tree) -> Tree:
    """The changes of each sample times a number per sample."""
    return jax.tree.map(lambda dw: per_sample.reshape(-1, *(1,) * (dw.ndim - 1)) * dw, changes)


class MSTDP(ModulatedRule):
    """Reward-modulated STDP: ``dw = reward * e`` where STDP would change the weight by ``e``.

    Args:
        rule: The rule that is modulated.
        lag: Whether the reward of a step acts on the spikes of the step before, as in the paper; if
            not, on those of the same step.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> rule, w, one = js.learning.MSTDP(), jnp.ones((1, 1)), jnp.ones((1, 1))
        >>> traces = rule.init_traces(w, (1, 1))
        >>> traces, dw = rule(traces, w, one, 0 * one, reward=0.0)       # the input spikes,
        >>> traces, dw = rule(traces, w, 0 * one, one, reward=0.0)       # then the neuron;
        >>> traces, dw = rule(traces, w, 0 * one, 0 * one, reward=-1.0)  # that was wrong
        >>> dw
        Array([[-0.95122945]], dtype=float32)

    Source: Florian, "Reinforcement learning through modulation of spike-timing-dependent synaptic
    plasticity", Neural Computation 19 (2007).
    """

    _: KW_ONLY
    lag: bool = static(default=True, choices=(True, False))

    def modulate(self, traces, mark, reward):
        acts_on = traces.eligibility if self.lag else mark
        return traces._replace(eligibility=mark), _times(reward, acts_on)


class MSTDPET(ModulatedRule):
    """Reward-modulated STDP with an eligibility trace, for rewards that come later.

    With the change ``e`` that STDP would have made, ``z = exp(-1 / tau) * z + e / tau`` and
    ``dw = reward * z``.

    Args:
        rule: The rule that is modulated.
        tau: Time constant of the eligibility trace, in time steps, above zero.
        lag: Whether the reward of a step acts on the trace of the step before, as in the paper; if
            not, on that of the same step.

    Raises:
        ValueError: If the time constant is not above zero.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> rule, w = js.learning.MSTDPET(tau=10.0), jnp.ones((784, 10))
        >>> rule.init_traces(w, (2, 784)).eligibility.shape
        (2, 784, 10)

    Source: Florian, "Reinforcement learning through modulation of spike-timing-dependent synaptic
    plasticity", Neural Computation 19 (2007).
    """

    _: KW_ONLY
    tau: Param = positive(default=25.0)
    lag: bool = static(default=True, choices=(True, False))

    def modulate(self, traces, mark, reward):
        new = _decayed(traces.eligibility, self.tau, mark, 1.0 / self.tau)
        acts_on = traces.eligibility if self.lag else new
        return traces._replace(eligibility=new), _times(reward, acts_on)


class DopamineSTDP(ModulatedRule):
    """STDP in which dopamine turns an eligibility into changes, both decaying slowly.

    Between spikes and rewards the eligibility ``c`` of a weight, the dopamine ``d`` and the weight
    follow ``c' = -c / tau``, ``d' = -d / tau_dopamine``, ``w' = c * (d - baseline)``; STDP adds its
    change to ``c``, a reward adds its value to ``d``. A time step integrates this exactly, after
    its spikes and its reward.

    Args:
        rule: The rule that is modulated.
        tau: Time constant of the eligibility, in time steps, above zero.
        tau_dopamine: Time constant of the dopamine, in time steps, above zero.
        baseline: Level of dopamine at which weights do not change.

    Raises:
        ValueError: If a time constant is not above zero.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> rule, w, one = js.learning.DopamineSTDP(), jnp.ones((1, 1)), jnp.ones((1, 1))
        >>> traces = rule.init_traces(w, (1, 1))
        >>> traces, dw = rule(traces, w, one, 0 * one, reward=0.0)
        >>> traces, dw = rule(traces, w, 0 * one, one, reward=0.0)       # no dopamine, no change
        >>> for _ in range(100):
        ...     traces, dw = rule(traces, w, 0 * one, 0 * one, reward=0.0)
        >>> traces, dw = rule(traces, w, 0 * one, 0 * one, reward=0.5)   # a reward 101 steps later
        >>> bool(dw > 0.4)
        True

    Source: Izhikevich, "Solving the distal reward problem through linkage of STDP and dopamine
    signaling", Cerebral Cortex 17 (2007), with steps of 1 ms; the baseline is that of Potjans,
    Morrison, Diesmann, "Enabling functional neural circuit simulations with distributed computing
    of neuromodulated plasticity", Frontiers in Computational Neuroscience 4 (2010).
    """

    rule: PlasticityRule = STDP(a_plus=1.0, a_minus=1.5)
    _: KW_ONLY
    tau: Param = positive(default=1000.0)
    tau_dopamine: Param = positive(default=200.0)
    baseline: Param = 0.0

    def init_traces(
        self, layer: Tree, shape: Shape, dtype: DType = jnp.float32
    ) -> EligibilityTraces:
        traces = super().init_traces(layer, shape, dtype)
        like = jax.tree.leaves(traces.eligibility)[0]
        return traces._replace(dopamine=jnp.zeros(shape[:1], like.dtype))

    def modulate(self, traces, mark, reward):
        c = _decayed(traces.eligibility, self.tau, mark)
        d = _decayed(traces.dopamine, self.tau_dopamine, reward)
        both, alone = 1.0 / self.tau + 1.0 / self.tau_dopamine, 1.0 / self.tau
        factor = d * (-jnp.expm1(-both) / both) - self.baseline * (-jnp.expm1(-alone) / alone)
        return EligibilityTraces(traces.rule, c, d), _times(factor, c)
