"""`signed_spiking`: a quantized ANN as a network of signed spikes, equal to it."""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from flax import nnx

from .. import _check
from .._types import Array, DType, Shape
from ..field import count
from ..neurons import Neuron
from ..nn import QCFS, Spiking
from .spiking import refuse_ann, traced
from .spiking_ann import SpikingANN


def signed_spiking(ann: Callable[[Array], Array], x: Array, *, strict: bool = True) -> SpikingANN:
    r"""An ANN of `jaxspike.nn.QCFS` activations as a network of signed spikes, equal to it.

    Each activation of L levels becomes neurons that fire a spike of +1 or -1 per step until their
    count is the level of the activation for the present input, which is the sum over all spikes so
    far. For a constant input everything is at rest after T = (the sum of the levels of all
    activations along a path) steps at the latest, and usually after about twice the levels; from
    then on the counts, as integers, and the output are those of the ANN, up to rounding in a tie.
    That holds for anything between the activations: with ``strict=False`` softmax or layer norm are
    exact as well, since they see sums over all steps.

    Present the same input at every step and take the last output.

    Args:
        ann: A Flax module or a function of ``[N, *]``, as for `spiking`.
        x: A batch of inputs ``[N, *]``, of which only the shape and the dtype matter.
        strict: Refuse what is neither an activation nor affine; see `spiking`.

    Returns:
        A `SpikingANN`, a network ``(state, x) -> (state, y)``.

    Raises:
        TypeError: If ``ann`` is not a function, is spiking already, or does not return an array, or
            ``x`` is not an array.
        ValueError: If there is no activation, or one that is not QCFS, or if an equation is neither
            an activation nor affine.

    Example:
        >>> import jax, jax.numpy as jnp, jaxspike as js
        >>> from flax import nnx
        >>> rngs = nnx.Rngs(0)
        >>> ann = nnx.Sequential(nnx.Linear(4, 8, rngs=rngs), js.nn.QCFS(4, 2.0))
        >>> x = jax.random.normal(jax.random.key(0), (16, 4))
        >>> snn = js.convert.signed_spiking(ann, x)
        >>> state, y_seq = snn(snn.init_state(x.shape), jnp.broadcast_to(x, (4, *x.shape)))
        >>> bool(jnp.allclose(y_seq[-1], ann(x)))
        True

    Source: You et al., "SpikeZIP-TF: conversion is all you need for transformer-based SNN", ICML
    2024, whose ST-BIF neuron this is.
    """
    call = "signed_spiking"
    refuse_ann(call, ann)
    _check.instance(f"`{call}(x=...)`", getattr(x, "shape", x), tuple, "a batch", "Give `[N, *]`.")
    x = jnp.asarray(x)
    snn = traced(call, ann, x, "signed", strict)
    for site, theta in zip(snn.program(x).sites, snn.learned_thresholds(x), strict=True):
        if site.levels is None or theta is None:
            raise ValueError(
                f"`{call}(ann)` must have `jaxspike.nn.QCFS` activations only, got another one at "
                f"{site.line}. Train with QCFS, or convert it with `spiking`."
            )
        snn.thresholds.append(nnx.Param(theta))
        snn.neurons.append(Spiking(SignedCounter(levels=site.levels)))
    return snn


class SignedState(NamedTuple):
    """The number of spikes so far, ``[N, *]``, negative ones subtracted."""

    level: Array


class SignedCounter(Neuron):
    """A neuron that fires until its level is that of `QCFS` for the present input.

    ``target = clip(floor(x + 1/2), 0, levels)``, ``s = clip(target - level, -1, 1)``, and
    ``level + s`` is the next level. x is the sum of all inputs so far, and ST-BIF's potential
    ``q = x + 1/2 - level``: it fires +1 if ``q >= 1`` and the level is below ``levels``, and -1 if
    ``q < 0`` and the level is above 0.

    Args:
        levels: The largest level.

    Source: You et al., "SpikeZIP-TF: conversion is all you need for transformer-based SNN", ICML
    2024.
    """

    levels: int = count(default=8)

    def init_state(self, shape: Shape, dtype: DType = jnp.float32) -> SignedState:
        return SignedState(jnp.zeros(shape, dtype))

    def step(self, state: SignedState, x: Array) -> tuple[SignedState, Array]:
        levels = float(self.levels)
        s = jnp.clip(QCFS.function(x, jnp.asarray(levels, x.dtype), levels) - state.level, -1, 1)
        return SignedState(state.level + s), s
