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
from ..nn import Spiking, SpikingModule
from .conversion_report import Activation, ConversionReport
from .scaled import Scaled, plain, scaled
from .sites import Program, Site, read

_TO_EVALUATION = "Call `net.eval()`: statistics and random numbers of training cannot be converted."
_TINY = 1e-12


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
        module = nnx.clone(ann) if isinstance(ann, nnx.Module) else None
        if module is not None:
            module.eval()
        self.ann = module
        arrays, self._call = _split(ann)
        self.arguments = nnx.List([nnx.Param(a) for a in arrays])
        self.features, self.v_init = shape[1:], v_init
        self.thresholds: nnx.List[nnx.Param[Array]] = nnx.List([])
        self.neurons: nnx.List[Spiking] = nnx.List([])
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
        state = layer.init_state(type_of(site.out).shape, dtype)
        v = jnp.full(state.v.shape, self.v_init * layer.neuron.v_threshold, state.v.dtype)
        total = jnp.zeros(type_of(site.x).shape, state.v.dtype) if site.pools else None
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

    def rate_limit(self, x: Array, *, clip: bool = True) -> Array:
        """The mean output for a constant input as T grows: activations clipped at thresholds.

        Args:
            x: One batch, ``[N, *]``.
            clip: False for the output of the ANN itself.
        """

        def activate(k: int, site: Site, a: Array, sign: int) -> tuple[Array, Array]:
            a = _rectify(site, a, sign)
            theta = self.thresholds[k][...].astype(a.dtype)
            return a, jnp.minimum(a, theta) if clip else a

        return self._run(x, activate)[1]

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
        program, _ = self._program(x)

        @nnx.jit
        def measure(snn: SpikingANN) -> Any:
            _, y, records = record(snn, state, x_seq)
            found = snn.activations(x)
            thresholds = [t[...] for t in snn.thresholds]
            rates = [records[f"neurons.{k}"]["output"].mean(0) for k in range(len(found))]
            rows = [
                (t.mean(), r.mean(), (a > t).mean(), abs(r * t - a).mean() / (a.mean() + _TINY))
                for t, r, a in zip(thresholds, rates, found, strict=True)
            ]
            return rows, abs(y.mean(0) - snn.rate_limit(x, clip=False)).max()

        rows, error = measure(self)
        found = populations(program)
        sizes = [math.prod(type_of(site.out).shape[1:]) for site, _ in found]
        lines = [site.line for site, _ in found]
        activations = tuple(
            Activation(line, size, *map(float, row))
            for line, size, row in zip(lines, sizes, rows, strict=True)
        )
        return ConversionReport(activations, steps, float(error), operations(self, state, x_seq))

    def _fire(self, state: Any, k: int, site: Site, a: Array, sign: int) -> tuple[Any, Scaled]:
        layer, theta = self.neurons[k], self.thresholds[k][...].astype(a.dtype)
        before, total = state[k]
        if site.pools:  # what the sum of inputs, pooled, gained: pooling the mean, not each step
            old, total = total, total + a.astype(total.dtype)
            a = (site.pool(total) - site.pool(old)).astype(a.dtype)
        unit = jnp.asarray(layer.neuron.v_threshold, a.dtype)
        new, z = layer(before, (a if sign > 0 else -a) * (unit / theta))
        return SiteState(new, total), scaled(z, theta)

    def _run(self, x: Array, activate: Callable[..., tuple[Any, Any]]) -> tuple[list[Any], Array]:
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


def _split(ann: Any) -> tuple[list[Array], Callable[..., Any]]:
    """The arrays that a function holds as a pytree, and the function of them and of x."""
    if isinstance(ann, nnx.Module):
        return [], lambda arrays, x: x  # a module is an attribute
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
