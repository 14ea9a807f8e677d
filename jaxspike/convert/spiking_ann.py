"""`SpikingANN`: the equations of an ANN, in which activations are neurons."""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from .. import _check
from .._types import Array, DType, Tree
from ..cost import operations
from ..debug.record import record
from ..engine.program import trace_context_error, type_of
from ..nn import QCFS, Spiking, SpikingModule
from .conversion_report import Activation, ConversionReport
from .program import Program, read
from .scaled import Scaled, plain, scaled
from .sites import Site

_TO_EVALUATION = "Call `net.eval()`: statistics and random numbers of training cannot be converted."
_TINY = 1e-12
_NO_BRANCHES = "`spiking(ann)` must not choose a Python branch by the values of x. Use `jnp.where`."
_NO_NUMPY = "`spiking(ann)` must be made of functions of JAX, which can be traced. Use `jnp`."


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

    With signed spikes the output is the sum of all spikes so far, :math:`y_t = \theta / L
    \sum_{s \le t} z_s`, and so :math:`a_t` is the input for all of them.

    Attributes:
        ann: The Flax module that was converted, in evaluation mode; None for a function.
        code: "rate" or "signed".
        thresholds: An `nnx.Param` for each population of neurons: a number, or one per channel, in
            a shape that broadcasts against ``[N, *]``.
        v_init: An `nnx.Variable` for each population: the first potential in units of the
            threshold, a number or one per neuron.
        neurons: The layers of neurons, `Spiking`. An activation that is not zero below zero has
            two: one for positive spikes, then one for negative ones.
        islands: What is neither a neuron nor affine, with ``strict=False``: it acts on every step.
        preprocessing: What depends on the input alone and is not affine: it acts on every step.
    """

    def __init__(self, ann: Callable[..., Any], x: Array, code: str):
        module = nnx.clone(ann) if isinstance(ann, nnx.Module) else None
        if module is not None:
            module.eval()
        self.ann = module
        arrays, self._call = _split(ann)
        self.arguments = nnx.List([_variable(a) for a in arrays])
        self.code, self.features = code, x.shape[1:]
        self._dtype = x.dtype.name
        self.thresholds: nnx.List[nnx.Param[Array]] = nnx.List([])
        self.v_init: nnx.List[nnx.Variable[Array]] = nnx.List([])
        self.neurons: nnx.List[Spiking] = nnx.List([])
        self.n_populations: int | None = None  # until it is known
        self.islands: tuple[str, ...] = ()
        self.preprocessing: tuple[str, ...] = ()

    def init_state(self, shape, dtype: DType = jnp.float32) -> list[Any]:
        """The state before the first step: ``v_init`` of the threshold, for an input of a shape."""
        shape = tuple(shape)
        if shape[1:] != self.features:
            want = ", ".join(["N", *map(str, self.features)])
            raise ValueError(
                f"`SpikingANN.init_state(shape)` must be ({want}), the shape of one step of the "
                f"inputs that it was calibrated on, got {shape}."
            )
        program, _ = self._program(jax.ShapeDtypeStruct(shape, self._dtype))
        found = populations(program)
        return [self._at_rest(k, site, dtype) for k, (site, _) in enumerate(found)]

    def _at_rest(self, k: int, site: Site, dtype: DType) -> Any:
        layer = self.neurons[k]
        state = layer.init_state(type_of(site.out).shape, dtype)
        if self.code == "signed":
            return SiteState(state, None)
        v = self.v_init[k][...].astype(state.v.dtype) * layer.neuron.v_threshold
        total = jnp.zeros(type_of(site.x).shape, state.v.dtype) if site.pools else None
        v = jnp.broadcast_to(v, state.v.shape).astype(state.v.dtype)
        return SiteState(state._replace(v=v), total)

    def __call__(self, state: Any, x: Array) -> tuple[Any, Array]:
        entries = state if isinstance(state, list | tuple) else ()
        if [isinstance(s, SiteState) for s in entries] != [True] * len(self.neurons):
            raise TypeError(
                f"`SpikingANN(state=...)` must be its own state, a list of {len(self.neurons)} "
                f"SiteState, got {_check.kind(state)}. Build it with `net.init_state(shape)`."
            )
        new, y = self.evaluate(x, functools.partial(self._fire, state))
        return new, y

    def is_sequence(self, state: Any, x: Array) -> bool:
        """Whether ``x`` is ``[T, N, *]``."""
        n = x.ndim - len(self.features)
        if n not in (1, 2) or x.shape[n:] != self.features:
            want = ", ".join(["N", *map(str, self.features)])
            raise ValueError(
                f"`SpikingANN(x=...)` must be [{want}], one step of the inputs that it was "
                f"calibrated on, or [T, {want}], got the shape {x.shape}."
            )
        return n == 2

    def estimates(self, y_seq: Array, *, skip: int = 0) -> Array:
        """The output of the ANN as estimated after each step.

        Rates are averaged over the steps so far, in at least float32; the output for signed spikes
        is a sum already.

        Args:
            y_seq: The outputs ``[T, N, *]``.
            skip: The number of first steps to leave out, from 0 to T - 1: deep layers are silent or
                uneven in them.

        Returns:
            ``[T - skip, N, *]``, the last of which is the best.
        """
        skip = _check.integer("`estimates(skip=...)`", skip, low=0, high=len(y_seq) - 1)
        y_seq = y_seq[skip:]
        if self.code == "signed":
            return y_seq
        y_seq = _check.at_least_float32(y_seq)
        steps = jnp.arange(1, len(y_seq) + 1, dtype=y_seq.dtype)
        return jnp.cumsum(y_seq, 0) / steps.reshape(-1, *[1] * (y_seq.ndim - 1))

    def activations(self, x: Array) -> list[Array]:
        """The activations of the ANN, at most the largest value of a capped one.

        Args:
            x: One batch, ``[N, *]``.

        Returns:
            The values that each population of neurons stands for, none below zero.
        """

        def activate(k: int, site: Site, a: Array, sign: int, theta: Array | None) -> Any:
            return (rectify(site, a, sign, theta),) * 2

        return self.evaluate(x, activate)[0]

    def learned_thresholds(self, x: Array) -> list[Array | None]:
        """For each population the largest value of its activation, if it is an array; else None.

        That of `QCFS` is the threshold of its neurons.

        Args:
            x: One batch, ``[N, *]``, whose values do not matter.
        """
        found = populations(self.program(x))
        if all(site.threshold is None for site, _ in found):
            return [None] * len(found)

        def activate(k: int, site: Site, a: Array, sign: int, theta: Array | None) -> Any:
            return theta, rectify(site, a, sign, theta)

        return self.evaluate(x, activate)[0]

    def rate_limit(self, x: Array, *, clip: bool = True) -> Array:
        """The output that `estimates` approach for a constant input as T grows.

        That is the ANN with activations clipped at thresholds, of `QCFS` without levels; or, with
        signed spikes, the ANN itself.

        Args:
            x: One batch, ``[N, *]``.
            clip: False for the output of the ANN itself.
        """

        def activate(k: int, site: Site, a: Array, sign: int, theta: Array | None) -> Any:
            y = rectify(site, a, sign, theta)
            if clip and self.code == "rate":
                limit = self.thresholds[k][...].astype(a.dtype)
                y = jnp.minimum(jnp.maximum(site.pool(a), 0) if site.levels else y, limit)
            return y, y

        return self.evaluate(x, activate)[1]

    def report(self, x: Array, steps: int = 32) -> ConversionReport:
        """What the neurons do for a constant input, beside the activations of the ANN.

        Args:
            x: One batch, ``[N, *]``.
            steps: The number of time steps T.

        Returns:
            A `ConversionReport`, which prints as a table.
        """
        steps = _check.integer("`report(steps=...)`", steps, low=1)
        x_seq = jnp.broadcast_to(x, (steps, *x.shape))
        state = self.init_state(x.shape)
        sites = [site for site, _ in populations(self._program(x)[0])]

        @nnx.jit
        def measure(snn: SpikingANN) -> Any:
            _, y, records = record(snn, state, x_seq)
            found = [_check.at_least_float32(a) for a in snn.activations(x)]
            thresholds = [
                t[...].astype(a.dtype) for t, a in zip(snn.thresholds, found, strict=True)
            ]
            rows = []
            for k, (t, a) in enumerate(zip(thresholds, found, strict=True)):
                spikes = _check.at_least_float32(records[f"neurons.{k}"]["output"])
                value = spikes.sum(0) * (t / self._counted(sites[k], steps))
                error = abs(value - a).mean() / (a.mean() + _TINY)
                rows.append((t.mean(), abs(spikes).mean(), (a > t).mean(), error))
            last = snn.estimates(y)[-1]
            want = snn.rate_limit(x, clip=False).astype(last.dtype)
            return rows, abs(last - want).max()

        rows, error = measure(self)
        sizes = [math.prod(type_of(site.out).shape) // len(x) for site in sites]
        activations = tuple(
            Activation(site.line, size, *map(float, row))
            for site, size, row in zip(sites, sizes, rows, strict=True)
        )
        counted = operations(self, state, x_seq)
        analog = self.preprocessing + self.islands
        return ConversionReport(activations, steps, float(error), counted, analog)

    def _counted(self, site: Site, steps: int) -> int:
        """The number of spikes in so many steps that stands for a threshold."""
        return site.levels if self.code == "signed" and site.levels else steps

    def _fire(
        self, state: Any, k: int, site: Site, a: Array, sign: int, _: Array | None
    ) -> tuple[Any, Scaled]:
        layer, (before, total), dtype = self.neurons[k], state[k], a.dtype
        a = _check.at_least_float32(a)  # in 16 bits 1 / theta may be infinite
        theta = self.thresholds[k][...].astype(a.dtype)
        if self.code == "signed":
            assert site.levels is not None
            new, _ = layer(before, site.pool(a) * (site.levels / theta))
            level, step = new.level.astype(dtype), (theta / site.levels).astype(dtype)
            return SiteState(new, None), scaled(level, step)
        if site.pools:  # what the sum of inputs, pooled, gained: pooling the mean, not each step
            old, total = total, total + a.astype(total.dtype)
            a = (site.pool(total) - site.pool(old)).astype(a.dtype)
        unit = jnp.asarray(layer.neuron.v_threshold, a.dtype)
        new, z = layer(before, (a if sign > 0 else -a) * (unit / theta))
        return SiteState(new, total), scaled(z.astype(dtype), theta.astype(dtype))

    def evaluate(
        self, x: Array, activate: Callable[..., tuple[Any, Any]]
    ) -> tuple[list[Any], Array]:
        """Evaluate the equations of the ANN with other activations.

        Args:
            x: One batch, ``[N, *]``.
            activate: ``activate(k, site, a, sign, threshold)`` returns what to keep of population
                ``k`` and its output, for the input ``a`` before max pooling.

        Returns:
            What was kept of every population, and the output.
        """
        if x.shape[1:] != self.features:
            want = ", ".join(["N", *map(str, self.features)])
            raise ValueError(
                f"`SpikingANN(x=...)` must be [{want}], one step of the inputs that it was "
                f"calibrated on, got the shape {x.shape}."
            )
        program, args = self._program(x)
        kept: list[Any] = []

        def site(site: Site, a: Array, slope: Array | None, theta: Array | None) -> Any:
            one, y = activate(len(kept), site, a, 1, theta)
            kept.append(one)
            if slope is None:
                return y
            other, below = activate(len(kept), site, a, -1, theta)
            kept.append(other)
            return plain(y) - jnp.asarray(slope, a.dtype) * plain(below)

        (y,) = program([*args, x], site)
        return kept, y

    def program(self, x: Array | jax.ShapeDtypeStruct) -> Program:
        """The equations of the ANN for a batch, its activations, and what lies between them."""
        return self._program(x)[0]

    def _program(self, x: Any) -> tuple[Program, list[Array]]:
        held: Any = [a[...] for a in self.arguments]
        call = self._call
        if self.ann is not None:
            graph, held = nnx.split(self.ann)

            def call(variables: Any, x: Array) -> Any:
                net: Any = nnx.merge(graph, variables)
                return net(x)

        try:
            program, consts, out = read(call, held, x)
        except trace_context_error() as e:
            got = "one that changes Flax variables"
            raise ValueError(
                f"`spiking(ann)` must be in evaluation mode, got {got}. {_TO_EVALUATION}"
            ) from e
        except jax.errors.ConcretizationTypeError as e:
            e.add_note(_NO_BRANCHES)
            raise
        except jax.errors.TracerArrayConversionError as e:
            e.add_note(_NO_NUMPY)
            raise
        if not isinstance(out, jax.ShapeDtypeStruct):
            got = _check.kind(out)
            raise TypeError(f"`spiking(ann)` must return one array, got {got}. Take one of them.")
        n, want = len(populations(program)), self.n_populations
        if want not in (None, n):
            raise ValueError(
                f"`spiking(ann)` must have the same activations for all batches, got {n} for the "
                f"shape {x.shape} and {want} before. Use `jax.vmap` instead of a loop over "
                "samples; to export a converted network, trace it first with `jax.make_jaxpr`."
            )
        return program, [*consts, *jax.tree.leaves(held)]


def populations(program: Program) -> list[tuple[Site, int]]:
    """The sites and signs of the spikes of each layer of neurons."""
    return [(s, sign) for s in program.sites for sign in ((1,) if s.slope is None else (1, -1))]


def batch_axes(snn: SpikingANN, x: Array) -> list[set[int]]:
    """The axes of each population's activation that are longer for a larger batch."""
    larger = jax.ShapeDtypeStruct((len(x) + 1, *x.shape[1:]), x.dtype)
    found = []
    for pair in zip(populations(snn.program(x)), populations(snn.program(larger)), strict=True):
        a, b = (type_of(site.out).shape for site, _ in pair)
        found.append({i for i, (m, n) in enumerate(zip(a, b, strict=True)) if m != n})
    return found


def rectify(site: Site, a: Array, sign: int, theta: Array | None) -> Array:
    """The activation of the ANN that a population of positive or negative spikes stands for."""
    a = site.pool(a)
    if site.levels is not None:
        return QCFS.function(a, theta, float(site.levels))
    value, number = jnp.maximum(a if sign > 0 else -a, 0), site.high if sign > 0 else site.low
    largest = theta if number is None else number
    return value if largest is None else jnp.minimum(value, largest)


def _variable(a: Array) -> nnx.Variable[Array]:
    """A parameter, unless it has no gradient: indices, keys."""
    return (nnx.Param if jnp.issubdtype(a.dtype, jnp.inexact) else nnx.Variable)(a)


def _of_attribute(arrays: Sequence[Array], x: Array) -> Array:
    """Of a module, which is an attribute; one function for all, so that `nnx.jit` compiles once."""
    return x


def _split(ann: Any) -> tuple[list[Array], Callable[..., Any]]:
    """The arrays that a function holds as a pytree, and the function of them and of x."""
    if isinstance(ann, nnx.Module):
        return [], _of_attribute
    is_partial = isinstance(ann, functools.partial)
    held: Tree = (ann.args, ann.keywords) if is_partial else ann
    leaves, tree = jax.tree.flatten(held)
    own = [isinstance(leaf, jax.Array) for leaf in leaves]

    def call(arrays: Sequence[Array], x: Array) -> Any:
        given = iter(arrays)
        filled = [next(given) if o else leaf for o, leaf in zip(own, leaves, strict=True)]
        rebuilt = jax.tree.unflatten(tree, filled)
        return ann.func(*rebuilt[0], x, **rebuilt[1]) if is_partial else rebuilt(x)

    return [leaf for o, leaf in zip(own, leaves, strict=True) if o], call
