"""`spiking`: any ANN as a spiking network, by its equations."""

import copy
import functools
import itertools
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from .. import _check
from .._types import Array
from ..engine.program import type_of
from ..neurons import IF, Neuron
from ..nn import Spiking, SpikingModule
from .calibration import EPS, Average, calibrate, checked
from .sites import Site
from .spiking_ann import SpikingANN, batch_axes, populations


def spiking(
    ann: Callable[[Array], Array],
    batches: Iterable[Array] = (),
    *,
    threshold: str | float = "99%",
    per: Literal["channel", "layer"] = "channel",
    v_init: float = 0.5,
    average: Average = "all",
    neuron: Neuron | None = None,
    pool: Literal["before", "refuse"] = "before",
    strict: bool = True,
    progress: bool = False,
) -> SpikingANN:
    r"""A trained ANN as a spiking network, by rate coding.

    The ANN is traced, and every activation in its equations becomes a layer of integrate-and-fire
    neurons with a soft reset, whose firing rate is the activation in units of a threshold. No
    module is rewritten, and batch normalization needs no folding. Activations are

    - a relu: `jax.nn.relu`, ``jnp.maximum(x, 0)``, ``jnp.where(x > 0, x, 0)``, ``x * (x > 0)``,
      and `jnp.fmax`, `jnp.select` and `jnp.piecewise` that choose by one condition;
    - one with a largest value, a number or a parameter: `jax.nn.relu6`, ``jnp.clip(x, 0, high)``;
    - one that is not zero below zero, by positive and negative spikes of two populations:
      `jax.nn.leaky_relu`, `flax.nnx.PReLU`, ``jnp.maximum(x, 0) + a * jnp.minimum(x, 0)``,
      `jnp.abs`, `jax.nn.hard_tanh`, ``jnp.clip(x, low, high)`` with numbers;
    - `jaxspike.nn.QCFS`, whose learned threshold is the neuron's.

    Everything between them must be affine in the activations, which linear layers, convolutions,
    normalization in evaluation mode, average pooling, residual sums and `jax.lax.scan` over layers
    are. Max pooling next to an activation is exact too: the neurons get what the pooled sum of all
    inputs so far gains in a step. What depends on the input alone, such as its layer norm, may be
    anything: it is computed at every step as it is, without spikes, and listed in
    ``preprocessing``.

    For a constant input, T steps, :math:`a` the input of the activations of the first layer and
    ``v_init=0.5``, the number of spikes is exactly
    :math:`\text{clip}(\lfloor T a / \theta + 1/2 \rfloor, 0, T)`, and the mean output approaches
    `SpikingANN.rate_limit` as 1/T. Present the same input at every step and take the mean of the
    outputs.

    Args:
        ann: A Flax module, converted in evaluation mode, or a function of ``[N, *]``. The arrays
            in a `functools.partial` or another pytree stay parameters; those that a plain function
            closes over are constants.
        batches: Inputs ``[N, *]`` on which thresholds are found, at least one batch.
        threshold: The threshold of an activation: ``"max"``, its largest value; ``"99%"``, a
            percentile over all its values; a fraction of the largest value; or ``"balanced"``,
            which starts at 0 and grows with each batch by twice the mean excess over it, for
            hundreds of batches (local threshold balancing).
        per: A threshold for each channel, or one for the layer. Channels are the features of the
            convolution before the activation, in any layout, or else the last axis.
        v_init: The first membrane potential in units of the threshold.
        average: Over batches: ``"all"`` for the maximum of maxima and the mean of percentiles,
            whatever their order; or the weight of a new batch in a moving average, 0.1 in
            SpikingJelly.
        neuron: The neuron to copy, with a ``v_threshold``, a soft reset and no leak;
            ``js.IF(v_reset=None)`` by default.
        pool: ``"before"`` moves max pooling before the neurons; ``"refuse"`` refuses it.
        strict: Refuse what is neither an activation nor affine. If False it stays as it is, acts
            on every step, and is listed in ``islands``.
        progress: Show a bar over the batches.

    Returns:
        A `SpikingANN`, a network ``(state, x) -> (state, y)``.

    Raises:
        TypeError: If ``ann`` is not a function, is spiking already, or does not return an array.
        ValueError: If there is no batch or no activation, if a batch has no samples, another shape
            than the first or a number that is not finite, if an activation is not finite, has
            samples where its channels should be, or is clipped to a largest value below zero, or if
            an equation is neither an activation nor affine.
        ImportError: If ``progress`` needs a package of ``jaxspike[train]`` that is not installed.

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
    potential: Bu et al., "Optimal ANN-SNN conversion", ICLR 2022; balanced thresholds: Bu, Li, Yu,
    "Inference-scale complexity in ANN-SNN conversion", CVPR 2025. SpikingJelly's
    ``RateCodingRecipe`` is ``spiking(ann, batches, threshold="max", per="layer", v_init=0.0,
    average=0.1)``, its ``LocalThresholdBalancingRecipe`` is ``threshold="balanced"``.
    """
    refuse_ann("spiking", ann)
    _check.one_of("`spiking(per=...)`", per, ("channel", "layer"))
    _check.one_of("`spiking(pool=...)`", pool, ("before", "refuse"))
    _check.one_of("`spiking(progress=...)`", progress, (True, False))
    prototype = _prototype(neuron)
    v_init = _check.number("`spiking(v_init=...)`", v_init)
    batches = checked("spiking", batches, None, progress)
    first = next(batches)
    snn = traced("spiking", ann, first, "rate", strict)
    sites = [site for site, _ in populations(snn.program(first))]
    _refuse_pooling(sites, pool)
    found = calibrate(snn, itertools.chain([first], batches), threshold, per, average)
    limits = snn.learned_thresholds(first)
    _refuse_negative(sites, limits)
    thresholds = [
        theta if site.levels is None or learned is None else learned
        for theta, site, learned in zip(found, sites, limits, strict=True)
    ]
    for theta, site in zip(thresholds, sites, strict=True):
        if not _check.all_known(theta, np.isfinite):
            raise ValueError(
                "`spiking(ann)` must have finite activations, got a NaN or an infinity at "
                f"{site.line}. Look for a division by zero before it."
            )
    _refuse_samples_as_channels(snn, first, sites, thresholds)
    snn.thresholds = nnx.List([nnx.Param(theta) for theta in thresholds])
    snn.v_init = nnx.List([nnx.Variable(jnp.asarray(v_init)) for _ in thresholds])
    snn.neurons = nnx.List([Spiking(copy.copy(prototype)) for _ in thresholds])
    pairs = zip(thresholds, sites, strict=True)
    silent = [a.line for theta, a in pairs if not _check.all_known(theta.max(), lambda t: t > EPS)]
    if silent:
        warnings.warn(
            f"`spiking`: the activations at {', '.join(silent)} are zero on all data.", stacklevel=2
        )
    return snn


def traced(
    call: str, ann: Callable[[Array], Array], x: Array, code: str, strict: bool
) -> SpikingANN:
    """A network without neurons yet, of an ANN that can be converted."""
    _check.one_of(f"`{call}(strict=...)`", strict, (True, False))
    snn = SpikingANN(ann, x, code)
    program = snn.program(x)
    if snn.ann is not None:
        _refuse_training(call, snn.ann, x)
    if not program.sites:
        kept = program.preprocessing
        got = f"none but {', '.join(kept)}" if kept else "none"
        raise ValueError(
            f"`{call}(ann)` must have an activation, got {got}. Activations are relu, leaky_relu, "
            "relu6, `jnp.clip(x, low, high)`, `jnp.abs` and `jaxspike.nn.QCFS`, and none is looked "
            "for inside `jax.lax.cond` and `jax.lax.while_loop`."
        )
    if program.islands and strict:
        raise ValueError(
            f"`{call}(ann)` must be affine between its activations, got "
            f"{', '.join(program.islands)}. Replace it, write an activation as `jax.nn.relu` or "
            "`jnp.clip`, or keep it with `strict=False`."
        )
    snn.n_populations = len(populations(program))
    snn.islands, snn.preprocessing = tuple(program.islands), tuple(program.preprocessing)
    return snn


def refuse_ann(call: str, ann: Any) -> None:
    """Refuse what is not a function, and networks that spike."""
    where, fix = f"`{call}(ann)`", "Give a Flax module or a function."
    if isinstance(ann, type):
        got = f"the class {ann.__name__}"
        raise TypeError(f"{where} must be a function of an array, got {got}. Give an instance.")
    _check.function(where, ann, fix, "an array")
    is_spiking = isinstance(ann, SpikingModule | Neuron)
    if is_spiking or (
        isinstance(ann, nnx.Module)
        and any(isinstance(m, SpikingModule) for _, m in nnx.iter_modules(ann))
    ):
        got = type(ann).__name__
        raise TypeError(
            f"{where} must be a network without spikes, got a {got} with spiking layers. "
            "Convert the ANN alone, and put the result beside them in a `jaxspike.nn.Sequential`."
        )


def _refuse_training(call: str, ann: nnx.Module, x: Array) -> None:
    """Refuse layers that gather statistics or draw numbers although they are to evaluate."""
    graph, *parts = nnx.split(ann, nnx.Param, ...)
    before = _by_path(parts[1])

    @jax.jit
    def after(parts: Any, x: Array) -> dict[str, Array]:
        net: Any = nnx.merge(graph, *parts)
        net(x)
        found = _by_path(nnx.state(net))
        return {path: found[path] for path in before}

    now, changed = after(parts, x), []
    for path, a in before.items():
        if not _check.all_known(now[path], functools.partial(np.array_equal, a, equal_nan=True)):
            changed.append(path)
    if changed:
        raise ValueError(
            f"`{call}(ann)` must be in evaluation mode, got a call that changes "
            f"{', '.join(changed)}. Leave out `deterministic=False` and "
            "`use_running_average=False`."
        )


def _by_path(variables: Any) -> dict[str, Array]:
    """The arrays of the variables of a module, except for keys."""
    leaves = jax.tree_util.tree_leaves_with_path(variables)
    return {
        jax.tree_util.keystr(path, simple=True, separator=".").removesuffix(".value"): a
        for path, a in leaves
        if not jnp.issubdtype(a.dtype, jax.dtypes.prng_key)
    }


def _prototype(neuron: Neuron | None) -> Neuron:
    if neuron is None:
        return IF(v_reset=None)
    fix = "Give an instance, such as `jaxspike.IF(v_reset=None)`."
    _check.instance("`spiking(neuron=...)`", neuron, Neuron, "a neuron", fix)
    theta, v_reset = (getattr(neuron, name, 0.0) for name in ("v_threshold", "v_reset"))
    if not hasattr(neuron, "v_threshold") or v_reset is not None or _leaks(neuron, theta):
        raise ValueError(
            "`spiking(neuron=...)` must have a v_threshold, a soft reset and no leak, got "
            f"{neuron}. {fix}"
        )
    return neuron


def _leaks(neuron: Neuron, v_threshold: Array | float) -> bool:
    """Whether a membrane at half of the threshold moves without input."""
    state = neuron.init_state((1,))
    half = state._replace(v=jnp.broadcast_to(v_threshold / 2, state.v.shape))
    return not bool(jnp.array_equal(neuron(half, jnp.zeros((1,)))[0].v, half.v))


def _refuse_negative(sites: Sequence[Site], limits: Sequence[Array | None]) -> None:
    for site, limit in zip(sites, limits, strict=True):
        if limit is not None and not _check.all_known(limit, lambda a: a >= 0):
            raise ValueError(
                "`spiking(ann)` must clip to a largest value of at least 0, got "
                f"{float(limit.min()):.3g} at {site.line}."
            )


def _refuse_samples_as_channels(
    snn: SpikingANN, x: Array, sites: Sequence[Site], thresholds: Sequence[Array]
) -> None:
    if not any(theta.size % len(x) == 0 for theta in thresholds if theta.ndim):
        return  # a threshold for each sample would be a multiple of the batch
    for site, axes, theta in zip(sites, batch_axes(snn, x), thresholds, strict=True):
        ndim = type_of(site.out).ndim
        channel = site.channel if ndim == type_of(site.x).ndim else ndim - 1
        if theta.ndim and channel % ndim in axes:
            raise ValueError(
                "`spiking(ann)` must have the batch before the channels, got it as the axis of "
                f'channels at {site.line}. Transpose the activation, or give `per="layer"`.'
            )


def _refuse_pooling(sites: Sequence[Site], pool: str) -> None:
    pooled = [site.line for site in sites if site.pools]
    if pooled and pool == "refuse":
        raise ValueError(
            f"`spiking(pool='refuse')` must not find max pooling, got it after {pooled[0]}. Use "
            "average pooling, or `pool='before'`."
        )
