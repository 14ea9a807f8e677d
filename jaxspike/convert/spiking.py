"""`spiking`: any ANN as a spiking network, by its equations."""

import copy
import warnings
from collections.abc import Callable, Iterable
from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import nnx

from .. import _check
from .._types import Array
from ..neurons import IF, Neuron
from ..nn import Spiking, SpikingModule
from .calibration import EPS, Average, calibrate
from .sites import Program
from .spiking_ann import SpikingANN, populations


def spiking(
    ann: Callable[[Array], Array],
    batches: Iterable[Array],
    *,
    threshold: str | float = "99%",
    per: Literal["channel", "layer"] = "channel",
    v_init: float = 0.5,
    average: Average = "all",
    neuron: Neuron | None = None,
    pool: Literal["before", "refuse"] = "before",
    strict: bool = True,
) -> SpikingANN:
    r"""A trained ANN as a spiking network, by rate coding.

    The ANN is traced, and every activation in its equations becomes a layer of integrate-and-fire
    neurons with a soft reset, whose firing rate is the activation in units of a threshold. No
    module is rewritten, and batch normalization needs no folding. Activations are

    - a relu, however it is written: `jax.nn.relu`, ``jnp.maximum(x, 0)``,
      ``jnp.where(x > 0, x, 0)``;
    - one with a largest value: `jax.nn.relu6`, ``jnp.clip(x, 0, high)``;
    - one with a slope below zero, `jax.nn.leaky_relu`, or `jnp.abs`, by positive and negative
      spikes of two populations.

    Everything between them must be affine in the activations, which linear layers, convolutions,
    normalization in evaluation mode, average pooling, residual sums and `jax.lax.scan` over layers
    are. Max pooling next to an activation is exact too: the neurons get what the pooled sum of all
    inputs so far gains in a step.

    For a constant input, T steps, :math:`a` the input of the activations of the first layer and
    ``v_init=0.5``, the number of spikes is exactly
    :math:`\text{clip}(\lfloor T a / \theta + 1/2 \rfloor, 0, T)`, and the mean output approaches
    `SpikingANN.rate_limit` as 1/T. Present the same input at every step and take the mean of the
    outputs.

    Args:
        ann: A Flax module, converted in evaluation mode, or a function of ``[N, *]``. The arrays
            in a `functools.partial` or another pytree stay parameters; those that a plain function
            closes over are constants.
        batches: Inputs ``[N, *]`` on which thresholds are found.
        threshold: The threshold of an activation: ``"max"``, its largest value; ``"99%"``, a
            percentile over all its values; a fraction of the largest value.
        per: A threshold for each channel, the last axis, or one for the layer.
        v_init: The first membrane potential in units of the threshold.
        average: Over batches: ``"all"`` for the maximum of maxima and the mean of percentiles,
            whatever their order; or the weight of a new batch in a moving average, 0.1 in
            SpikingJelly.
        neuron: The neuron to copy, with a ``v_threshold`` and a soft reset; ``js.IF(v_reset=None)``
            by default.
        pool: ``"before"`` moves max pooling before the neurons; ``"refuse"`` refuses it.
        strict: Refuse what is neither an activation nor affine. If False it stays as it is, acts
            on every step, and is listed in ``islands``.

    Returns:
        A `SpikingANN`, a network ``(state, x) -> (state, y)``.

    Raises:
        TypeError: If ``ann`` is not a function, is spiking already, or does not return an array.
        ValueError: If there is no batch or no activation, if an input is not finite, or if an
            equation is neither an activation nor affine.

    Warns:
        UserWarning: If an activation is zero on all data.

    Example:
        >>> import jax, jax.numpy as jnp, jaxspike as js
        >>> from flax import nnx
        >>> ann = nnx.Sequential(nnx.Linear(4, 8, rngs=nnx.Rngs(0)), nnx.relu)
        >>> x = jax.random.normal(jax.random.key(0), (16, 4))
        >>> snn = js.convert.spiking(ann, [x], threshold="max")
        >>> x_seq = jnp.broadcast_to(x, (64, *x.shape))
        >>> state, y_seq = snn(snn.init_state(x.shape), x_seq)
        >>> bool(abs(y_seq.mean(0) - ann(x)).max() < 0.05)
        True

    Source: Rueckauer et al., "Conversion of continuous-valued deep networks to efficient
    event-driven networks for image classification", Frontiers in Neuroscience 11, 2017; the first
    potential: Bu et al., "Optimal ANN-SNN conversion", ICLR 2022. SpikingJelly's
    ``RateCodingRecipe`` is ``spiking(ann, batches, threshold="max", per="layer", v_init=0.0,
    average=0.1)``.
    """
    _refuse_arguments(ann, batches, per, pool)
    prototype = _prototype(neuron)
    v_init = _check.number("`spiking(v_init=...)`", v_init)
    first, batches = _first(batches)
    snn = SpikingANN(ann, first.shape, v_init)
    program, _ = snn._program(jax.ShapeDtypeStruct(first.shape, first.dtype))
    _refuse_equations(program, pool, strict)
    snn.islands = tuple(program.islands)
    thresholds = calibrate(snn.activations, batches, threshold, per, average)
    snn.thresholds = nnx.List([nnx.Param(theta) for theta in thresholds])
    snn.neurons = nnx.List([Spiking(copy.copy(prototype)) for _ in thresholds])
    pairs = zip(thresholds, populations(program), strict=True)
    silent = [site.line for theta, (site, _) in pairs if bool((theta <= EPS).all())]
    if silent:
        warnings.warn(
            f"`spiking`: the activations at {', '.join(silent)} are zero on all data.", stacklevel=2
        )
    return snn


def _refuse_arguments(ann: Any, batches: Any, per: str, pool: str) -> None:
    _check.function("`spiking(ann)`", ann, "Give a Flax module or a function.", "an array")
    is_spiking = isinstance(ann, SpikingModule | Neuron)
    if is_spiking or (
        isinstance(ann, nnx.Module)
        and any(isinstance(m, SpikingModule) for _, m in nnx.iter_modules(ann))
    ):
        got = type(ann).__name__
        raise TypeError(
            f"`spiking(ann)` must be a network without spikes, got a {got} with spiking layers. "
            "Give the ANN that it was made from."
        )
    if hasattr(batches, "ndim"):
        got = f"an array of shape {batches.shape}"
        raise TypeError(f"`spiking(batches=...)` must be batches, got {got}. Give `[x]`.")
    _check.one_of("`spiking(per=...)`", per, ("channel", "layer"))
    _check.one_of("`spiking(pool=...)`", pool, ("before", "refuse"))


def _prototype(neuron: Neuron | None) -> Neuron:
    if neuron is None:
        return IF(v_reset=None)
    fix = "Give an instance, such as `jaxspike.IF(v_reset=None)`."
    _check.instance("`spiking(neuron=...)`", neuron, Neuron, "a neuron", fix)
    if not hasattr(neuron, "v_threshold") or getattr(neuron, "v_reset", 0.0) is not None:
        raise ValueError(
            f"`spiking(neuron=...)` must have a v_threshold and a soft reset, got {neuron}. {fix}"
        )
    return neuron


def _first(batches: Iterable[Array]) -> tuple[Array, Iterable[Array]]:
    """The first batch, and all of them."""
    iterator = iter(batches)
    try:
        first = next(iterator)
    except StopIteration:
        raise ValueError("`spiking(batches=...)` must have at least one batch, got none.") from None
    if not hasattr(first, "shape"):
        got = _check.kind(first)
        raise TypeError(f"`spiking(batches=...)` must be arrays of inputs, got {got}.")

    def again():
        yield first
        yield from iterator

    return jnp.asarray(first), again()


def _refuse_equations(program: Program, pool: str, strict: bool) -> None:
    if not program.sites:
        raise ValueError(
            "`spiking(ann)` must have an activation, got none. Activations are relu, relu6, "
            "`jnp.clip(x, 0, high)`, leaky_relu and `jnp.abs`."
        )
    pooled = [site.line for site in program.sites if site.pools]
    if pooled and pool == "refuse":
        raise ValueError(
            f"`spiking(pool='refuse')` must not find max pooling, got it after {pooled[0]}. Use "
            "average pooling, or `pool='before'`."
        )
    if program.islands and strict:
        raise ValueError(
            "`spiking(ann)` must be affine between its activations, got "
            f"{', '.join(program.islands)}. Replace it, or keep it with `strict=False`."
        )
