"""`DHLIF`: neurons whose inputs arrive on dendrites with time constants of their own."""

import math
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from ... import _check
from ..._state import output_dtype
from ..._types import Array, Tree
from ...neurons import LI, DiscreteLIF
from ...surrogate import Sigmoid, Surrogate
from ..module import Constant, Spiking, SpikingModule
from ..whole_sequence import check_features
from .sparse import LECUN_NORMAL, Init


class DHLIF(SpikingModule):
    """Leaky integrate and fire neurons with dendrites that remember for different times.

    The inputs of a neuron are divided at random among its ``branches``, in parts of one size, up to
    one. With ``w`` the weights, each input on one branch ``k`` of each neuron:

    - ``d_k = beta_k d_k + (1 - beta_k) (b_k + sum_(i on k) w_i x_i)``, the current of a branch
    - ``h = alpha v + (1 - alpha) sum_k d_k - v_threshold s``, with ``v`` and ``s`` the last ``h``
      and the last spike; a spike where ``h > v_threshold``.

    All time constants are learned: ``dendrites.tau_raw``, ``[features, branches]``, is the logit of
    ``beta``, and ``soma.v_decay_raw`` stands for ``alpha``; ``layer.dendrites.neuron.tau``, with
    ``beta = 1 - 1 / tau``, and ``layer.soma.neuron.v_decay`` are the values. The ``kernel``,
    ``[in_features, features]``, and the number of products are those of a `flax.nnx.Linear`.

    Args:
        in_features: Size of the last axis of the input.
        features: The number of neurons, size of the last axis of the output.
        branches: Dendrites of each neuron, from 1 to ``in_features``.
        dendrite_tau: The range, above 1, from which the time constants of dendrites are drawn, in
            time steps; ``log(tau - 1)`` is uniform. The paper has the default, and for spoken words
            in steps of 1 ms ``(8.4, 404)``.
        soma_tau: The range of the time constants of the membranes, likewise.
        v_threshold: Firing threshold, above zero; the paper has 0.5 or 1.
        surrogate: Derivative of the spike; ``Sigmoid()`` if None. The paper has
            ``Scaled(MultiGaussian(), 0.5)``.
        kernel_init: Initializer of the weights.
        rngs: Source of keys, from its stream ``params``.

    Raises:
        TypeError: If an argument is not of its kind.
        ValueError: If an argument is out of its range, or the last axis of the input is not
            ``in_features``.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> from flax import nnx
        >>> layer = js.nn.DHLIF(40, 8, branches=4, v_threshold=0.5, rngs=nnx.Rngs(0))
        >>> state, spikes = layer(layer.init_state((2, 40)), jnp.ones((100, 2, 40)))
        >>> spikes.shape, state["dendrites"].v.shape
        ((100, 2, 8), (2, 8, 4))

    Source: Zheng et al., "Temporal dendritic heterogeneity incorporated with spiking neural
    networks for learning multi-timescale dynamics", Nature Communications 15, 277, 2024;
    ``spike_dense_test_denri_wotanh_R`` of its code, which starts from random membranes.
    """

    dendrites: Any
    soma: Any

    def __init__(
        self,
        in_features: int,
        features: int,
        branches: int = 4,
        *,
        dendrite_tau: tuple[float, float] = (2.0, 55.0),
        soma_tau: tuple[float, float] = (2.0, 55.0),
        v_threshold: float = 1.0,
        surrogate: Surrogate | None = None,
        kernel_init: Init = LECUN_NORMAL,
        rngs: nnx.Rngs,
    ):
        self.in_features = _check.integer("`DHLIF(in_features=...)`", in_features, low=1)
        self.features = _check.integer("`DHLIF(features=...)`", features, low=1)
        self.branches = _check.integer("`DHLIF(branches=...)`", branches, low=1, high=in_features)
        threshold = _check.number("`DHLIF(v_threshold=...)`", v_threshold, above=0)
        surrogate = Sigmoid() if surrogate is None else surrogate
        fix = "Give one of `jaxspike.surrogate`, such as `ATan()`."
        _check.instance("`DHLIF(surrogate=...)`", surrogate, Surrogate, "a Surrogate", fix)
        _check.instance(
            "`DHLIF(rngs=...)`", rngs, nnx.Rngs, "an nnx.Rngs", "Give `rngs=nnx.Rngs(0)`."
        )
        size = (features, branches)
        tau = _draw("dendrite_tau", dendrite_tau, rngs, size)
        self.dendrites = Spiking(LI(tau), learn=("tau",))
        soma = DiscreteLIF(
            1 - 1 / _draw("soma_tau", soma_tau, rngs, size[:1]),
            v_threshold=threshold,
            v_reset=None,
            surrogate=surrogate,
            fires=">",
            reset_time="after_charge",
        )
        self.soma = Spiking(soma, learn=("v_decay",))
        self.kernel = nnx.Param(kernel_init(rngs.params(), (in_features, features)))
        self.bias = nnx.Param(jnp.zeros(size))
        order = jnp.tile(jnp.arange(in_features)[:, None] * branches // in_features, (1, features))
        self.branch = Constant(
            jax.random.permutation(rngs.params(), order, axis=0, independent=True)
        )

    def __call__(self, state: Tree, x: Array) -> tuple[Tree, Array]:
        """One step ``[N, in_features]``, or a sequence ``[T, N, in_features]``."""
        check_features(self, "in_features", x)
        x = x.astype(output_dtype(x))
        on_branch = jax.nn.one_hot(self.branch[...], self.branches, dtype=x.dtype)
        kernel = (self.kernel[...].astype(x.dtype)[..., None] * on_branch).reshape(
            len(on_branch), -1
        )
        current = (x @ kernel).reshape(*x.shape[:-1], self.features, self.branches)
        with jax.numpy_rank_promotion("allow"):  # parameters broadcast against [N, *]
            current += self.bias[...].astype(x.dtype)
            dendrites, current = self.dendrites(state["dendrites"], current)
            alpha = self.soma.neuron.v_decay.astype(x.dtype)
            soma, spikes = self.soma(state["soma"], (1 - alpha) * current.sum(-1))
        return {"dendrites": dendrites, "soma": soma}, spikes


def _draw(argument: str, span: Any, rngs: nnx.Rngs, size: tuple[int, ...]) -> Array:
    """Time constants from a range, uniform in ``log(tau - 1)``."""
    where = f"`DHLIF({argument}=...)`"
    if not isinstance(span, tuple | list) or len(span) != 2:
        raise TypeError(f"{where} must be a pair, got {_check.shown(span)}. Give `(2.0, 55.0)`.")
    low = _check.number(where, span[0], above=1)
    high = _check.number(where, span[1], above=1)
    if high < low:
        raise ValueError(f"{where} must be a smaller and a larger number, got {span}. Swap them.")
    low, high = math.log(low - 1), math.log(high - 1)
    return 1 + jnp.exp(jax.random.uniform(rngs.params(), size, minval=low, maxval=high))
