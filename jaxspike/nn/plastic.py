"""`Plastic`: a layer whose weights change by a plasticity rule while it runs."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from flax.nnx import reprlib
from jax.typing import ArrayLike

from .. import _check
from .._state import output_dtype
from .._types import Array, DType, Shape, Tree
from ..engine import scan
from ..learning import ModulatedRule, PlasticityRule
from ..learning.linear_layer import LinearLayer
from ..neurons import Neuron
from .module import Constant, SpikingModule


class PlasticState(NamedTuple):
    """The weights by name, such as "kernel", the traces of the rule, the state of the neuron."""

    weights: dict[str, Array]
    traces: Tree
    neuron: Tree


class Plastic(SpikingModule):
    """A layer and the neuron that it feeds, whose spikes change the weights of the layer.

    ``y_t = neuron(layer(x_t))``, then ``w = w + dw`` with the change that the rule derives from
    ``x_t`` and ``y_t``. The weights are part of the state, shared by the samples of a batch, and at
    least float32; they start as those of the layer, whose bias stays a parameter. What was learned
    is ``state.weights``: a new sample starts from
    ``layer.init_state(shape)._replace(weights=state.weights)``.

    After ``net.eval()`` the weights stay as they are.

    Args:
        layer: A linear layer, such as `flax.nnx.Linear` or `flax.nnx.Conv`.
        neuron: A neuron, or a `SpikingModule` that ends in one, such as a `Recurrent`.
        rule: A rule of `jaxspike.learning`. If it is modulated, the call takes the reward as its
            third argument: ``layer(state, x, reward)``, a number or ``[N]`` for one step, ``[T]``
            or ``[T, N]`` for a sequence.

    Raises:
        TypeError: If an argument is not of its kind, or the layer is not linear.
        ValueError: In a call, if the reward is missing, or given to a rule that takes none.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> from flax import nnx
        >>> rule = js.learning.STDP(weight_dependence=js.learning.PowerLaw())
        >>> layer = js.nn.Plastic(nnx.Linear(8, 4, rngs=nnx.Rngs(0)), js.LIF(), rule)
        >>> state = layer.init_state((2, 8))
        >>> state, spikes = layer(state, jnp.ones((10, 2, 8)))
        >>> state.weights["kernel"].shape
        (8, 4)
    """

    neuron: SpikingModule

    def __init__(
        self,
        layer: nnx.Module,
        neuron: Neuron | SpikingModule,
        rule: PlasticityRule | ModulatedRule,
    ):
        fix = "Give an nnx.Linear."
        _check.instance("`Plastic(layer=...)`", layer, nnx.Module, "a layer", fix)
        fix = "Give `jaxspike.LIF()`."
        _check.instance("`Plastic(neuron=...)`", neuron, Neuron | SpikingModule, "a neuron", fix)
        rules, fix = PlasticityRule | ModulatedRule, "Give `jaxspike.learning.STDP()`."
        _check.instance("`Plastic(rule=...)`", rule, rules, "a plasticity rule", fix)
        self.layer = layer
        self.neuron = neuron  # type: ignore[assignment]
        leaves, self.structure = jax.tree.flatten(rule)  # as in `Spiking`: by value
        self.numbers = tuple(leaf if isinstance(leaf, float) else None for leaf in leaves)
        self.arrays = nnx.List([Constant(a) for a in leaves if not isinstance(a, float)])
        self.deterministic = False  # what `net.eval()` and `net.train()` set

    @property
    def rule(self) -> PlasticityRule | ModulatedRule:
        """The rule: a plain pytree."""
        arrays = iter(self.arrays)
        leaves = [next(arrays)[...] if number is None else number for number in self.numbers]
        return jax.tree.unflatten(self.structure, leaves)

    def init_state(self, shape: Shape, dtype: DType = jnp.float32) -> PlasticState:
        """The weights of the layer, silent traces, and the neuron at rest.

        Args:
            shape: Shape of one step of input, ``(N, *)``.
            dtype: Floating dtype of the state of the neuron; traces and weights have at least
                float32.
        """
        linear = LinearLayer("Plastic", self.layer, shape, dtype)
        weights, is_weight = _by_name(linear.arrays), _by_name(linear.is_weight)
        return PlasticState(
            {name: w for name, w in weights.items() if is_weight[name]},
            self.rule.init_traces(self.layer, shape, dtype),
            self.neuron.init_state(linear.post.shape, dtype),
        )

    def __call__(
        self, state: PlasticState, x: Array, *reward: ArrayLike
    ) -> tuple[PlasticState, Array]:
        """One step ``[N, *]``, or a sequence ``[T, N, *]``."""
        rule = self.rule
        name, modulated = type(rule).__name__, isinstance(rule, ModulatedRule)
        if len(reward) != modulated:
            call, got = f"layer(state, x{', reward' * modulated})", f"{2 + len(reward)} arguments"
            raise TypeError(f"`Plastic` with {name} must be called as `{call}`, got {got}.")
        x = x.astype(output_dtype(x))
        layer = _with_weights(self.layer, state.weights)
        in_its_dtypes = jax.tree.map(lambda w, own: w.astype(own.dtype), layer, self.layer)
        neuron, y = self.neuron(state.neuron, in_its_dtypes(x).astype(x.dtype))
        if self.deterministic:
            return state._replace(neuron=neuron), y
        traces, dw = rule(state.traces, layer, x, y, *reward)
        changes = _by_name(dw)
        weights = {name: w + changes[name] for name, w in state.weights.items()}
        return PlasticState(weights, traces, neuron), y

    def sequence(
        self, state: PlasticState, xs: Array, *rewards: Array
    ) -> tuple[PlasticState, Array]:
        """Scan the step over ``[T, N, *]``, and over the rewards if the rule is modulated."""
        call: Any = type(self).__call__

        def step(state, xs):
            return call.__wrapped__(self, state, *xs)

        step.__name__ = type(self).__name__  # for errors
        return scan(step, state, (xs, *rewards))

    def __nnx_repr__(self) -> Iterator[reprlib.Object | reprlib.Attr]:
        yield reprlib.Object(type(self))
        for name in ("layer", "neuron", "rule"):
            yield reprlib.Attr(name, getattr(self, name))


def _name(path: Any) -> str:
    """The name of an array of a layer: "kernel" of ``.kernel.value``."""
    return jax.tree_util.keystr(path[:-1], simple=True, separator=".")


def _by_name(layer: Tree) -> dict[str, Any]:
    return {_name(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(layer)}


def _with_weights(layer: Any, weights: dict[str, Array]) -> Any:
    """A copy of a layer with other weights."""
    return jax.tree_util.tree_map_with_path(lambda p, w: weights.get(_name(p), w), layer)
