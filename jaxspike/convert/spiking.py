"""`spiking`: any ANN as a spiking network, by its equations."""

import copy
import functools
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from .. import _check
from .._types import Array, DType, Tree
from ..engine.program import trace_context_error
from ..neurons import IF, Neuron
from ..nn import Spiking, SpikingModule
from .calibration import EPS, Average, calibrate
from .scaled import Scaled, plain, scaled
from .sites import Program, Site, read

_TO_EVALUATION = "Call `net.eval()`: statistics and random numbers of training cannot be converted."


class SiteState(NamedTuple):
    """The state of the neurons of one activation.

    Attributes:
        neuron: Their state.
        total: The sum of their inputs before max pooling; None without pooling.
    """

    neuron: Any
    total: Array | None


class SpikingANN(SpikingModule):
    r"""An ANN whose activations fire: what `spiking` returns.

    With the input :math:`a_t` of an activation at step t, its threshold :math:`\theta` and a
    neuron of unit threshold, :math:`z_t` its spikes, the output of the activation is

    .. math:: y_t = \theta z_t, \quad z_t = \text{neuron}(a_t / \theta).

    Attributes:
        ann: The Flax module that was converted, in evaluation mode; None for a function.
        thresholds: An `nnx.Param` for each population of neurons: a number, or one per channel.
        neurons: The layers of neurons, `Spiking`. An activation that is not zero below zero has
            two: one for positive spikes, then one for negative ones.
        islands: What is neither a neuron nor affine, with ``strict=False``: it acts on every step.
    """

    def __init__(self, ann: Callable[..., Any], shape: tuple[int, ...], v_init: float):
        self.ann = nnx.clone(ann) if isinstance(ann, nnx.Module) else None
        if self.ann is not None:
            self.ann.eval()
        self.arguments, self._call = _split(ann)
        self.features, self.v_init = shape[1:], v_init
        self.thresholds = nnx.List([])
        self.neurons: list[Spiking] = nnx.List([])
        self.islands: tuple[str, ...] = ()

    def init_state(self, shape, dtype: DType = jnp.float32) -> list[Any]:
        """The state before the first step: ``v_init`` of the threshold, for an input of a shape."""
        shape = tuple(shape)
        if shape[1:] != self.features:
            want = ", ".join(["N", *map(str, self.features)])
            raise ValueError(
                f"`SpikingANN.init_state(shape)` must be ({want}), the shape of one step of the "
                f"inputs that it was calibrated on, got {shape}."
            )
        program, _ = self._program(jax.ShapeDtypeStruct(shape, dtype))
        layers = zip(self.neurons, populations(program), strict=True)
        return [self._at_rest(layer, site, dtype) for layer, (site, _) in layers]

    def _at_rest(self, layer: Spiking, site: Site, dtype: DType) -> Any:
        state = layer.init_state(site.out.aval.shape, dtype)
        v = jnp.full(state.v.shape, self.v_init * layer.neuron.v_threshold, state.v.dtype)
        total = jnp.zeros(site.x.aval.shape, state.v.dtype) if site.pools else None
        return SiteState(state._replace(v=v), total)

    def __call__(self, state: Any, x: Array) -> tuple[Any, Array]:
        new, y = self._run(x, functools.partial(self._fire, state))
        return new, y

    def is_sequence(self, state: Any, x: Array) -> bool:
        """Whether ``x`` is ``[T, N, *]``."""
        return x.ndim == len(self.features) + 2

    def activations(self, x: Array) -> list[Array]:
        """The activations of the ANN, at most the largest value of a capped one.

        Args:
            x: One batch, ``[N, *]``.

        Returns:
            The values that each population of neurons stands for, none below zero.
        """

        def activate(k: int, site: Site, a: Array, sign: int) -> tuple[Array, Array]:
            rectified = _rectify(site, a, sign)
            return rectified, rectified

        return self._run(x, activate)[0]

    def rate_limit(self, x: Array) -> Array:
        """The mean output for a constant input as T grows: activations clipped at thresholds.

        Args:
            x: One batch, ``[N, *]``.
        """

        def activate(k: int, site: Site, a: Array, sign: int) -> tuple[Array, Array]:
            clipped = jnp.minimum(_rectify(site, a, sign), self.thresholds[k][...])
            return clipped, clipped

        return self._run(x, activate)[1]

    def _fire(self, state: Any, k: int, site: Site, a: Array, sign: int) -> tuple[Any, Scaled]:
        layer, theta = self.neurons[k], self.thresholds[k][...].astype(a.dtype)
        before, total = state[k]
        if site.pools:  # what the sum of inputs, pooled, gained: pooling the mean, not each step
            old, total = total, total + a.astype(total.dtype)
            a = (site.pool(total) - site.pool(old)).astype(a.dtype)
        unit = jnp.asarray(layer.neuron.v_threshold, a.dtype)
        new, z = layer(before, (a if sign > 0 else -a) * (unit / theta))
        return SiteState(new, total), scaled(z, theta)

    def _run(self, x: Array, activate: Callable[..., tuple[Any, Any]]) -> tuple[list, Array]:
        """What ``activate`` gives of every population, and the output of the ANN."""
        program, args = self._program(x)
        kept: list[Any] = []

        def site(site: Site, a: Array, slope: Array | None) -> Any:
            one, y = activate(len(kept), site, a, 1)
            kept.append(one)
            if slope is None:
                return y
            other, below = activate(len(kept), site, a, -1)
            kept.append(other)
            return plain(y) - jnp.asarray(slope, a.dtype) * plain(below)

        (y,) = program([*args, x], site)
        return kept, y

    def _program(self, x: Any) -> tuple[Program, list[Array]]:
        if self.ann is not None:
            graph, variables = nnx.split(self.ann)
            call, held = (lambda v, x: nnx.merge(graph, v)(x)), variables
        else:
            call, held = self._call, [a[...] for a in self.arguments]
        try:
            program, consts, out = read(call, held, x)
        except trace_context_error() as e:
            got = "one that changes Flax variables"
            raise ValueError(
                f"`spiking(ann)` must be in evaluation mode, got {got}. {_TO_EVALUATION}"
            ) from e
        if len(jax.tree.leaves(out)) != 1:
            raise TypeError("`spiking(ann)` must return one array. Take one output of it.")
        return program, [*consts, *jax.tree.leaves(held)]


def populations(program: Program) -> list[tuple[Site, int]]:
    """The sites and signs of the spikes of each layer of neurons."""
    return [(s, sign) for s in program.sites for sign in ((1,) if s.slope is None else (1, -1))]


def _rectify(site: Site, a: Array, sign: int) -> Array:
    a = site.pool(a)
    value = jnp.maximum(a if sign > 0 else -a, 0)
    return value if site.high is None else jnp.minimum(value, site.high)


def _split(ann: Callable[..., Any]) -> tuple[nnx.List, Callable[..., Any] | None]:
    """The arrays that a function holds as a pytree, and the function of them and of x."""
    if isinstance(ann, nnx.Module):
        return nnx.List([]), None
    is_partial = isinstance(ann, functools.partial)
    held: Tree = (ann.args, ann.keywords) if is_partial else ann
    leaves, tree = jax.tree.flatten(held)
    own = [isinstance(leaf, jax.Array) for leaf in leaves]

    def call(arrays: Sequence[Array], x: Array) -> Any:
        given = iter(arrays)
        filled = [next(given) if o else leaf for o, leaf in zip(own, leaves, strict=True)]
        rebuilt = jax.tree.unflatten(tree, filled)
        return ann.func(*rebuilt[0], x, **rebuilt[1]) if is_partial else rebuilt(x)

    arrays = [nnx.Param(leaf) for o, leaf in zip(own, leaves, strict=True) if o]
    return nnx.List(arrays), call


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
    are. Max pooling of an activation is exact too: the neurons get what the pooled sum of all
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
