"""`Spiking`: any neuron as a layer."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from .._types import Array, Shape, Tree
from ..engine import scan
from ..field import from_raw, is_learned, is_static, to_raw
from ..neurons import Neuron, SequenceNeuron
from ..surrogate import Surrogate
from ._state import Rank
from .module import SpikingModule


class Constant(nnx.Variable[Array]):
    """A parameter array of a neuron that is not learned: not an `nnx.Param`, and no gradient."""


class Spiking(SpikingModule):
    """A neuron as a layer, with some of its parameters learnable.

    A learned field ``tau`` lives in the `nnx.Param` ``tau_raw`` as the unconstrained value (see
    `jaxspike.field.greater_than`), so no optimizer step can leave its range; ``layer.neuron.tau``
    is tau itself. Every other field is a constant, also under `jax.grad` of the whole module: a
    number belongs to the structure, an array is a `Constant`.

    A `SequenceNeuron`, such as a `jaxspike.PSN`, has no step: the layer takes ``[T, N, *]`` only.
    Its weights are `nnx.Param` under their own names, without being asked for.

    Args:
        neuron: The neuron, of any model.
        learn: Names of the fields to learn. ``learn=("tau",)`` makes a `LIF` the parametric LIF.

    Raises:
        TypeError: If ``neuron`` is not a neuron.
        ValueError: If ``learn`` names something that is not a parameter of it, or one that is
            infinite.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> layer = js.nn.Spiking(js.LIF(tau=3.0), learn=("tau",))
        >>> layer.tau_raw[...]                                       # log(tau - 1)
        Array(0.6931472, dtype=float32)
        >>> state, spikes = layer(layer.init_state((4, 8)), jnp.ones((10, 4, 8)))
    """

    def __init__(self, neuron: Neuron | SequenceNeuron, learn: Sequence[str] = ()):
        if not isinstance(neuron, Neuron | SequenceNeuron):
            raise TypeError(
                f"`Spiking(neuron=...)` must be a neuron, got {neuron!r}. "
                "Give an instance, such as `jaxspike.LIF()`."
            )
        leaves, self.structure = jax.tree.flatten(neuron)
        self.names = tuple(
            jax.tree_util.keystr(path, simple=True, separator="_")
            for path, _ in jax.tree_util.tree_leaves_with_path(neuron)
        )
        self.learn = (learn,) if isinstance(learn, str) else _names(learn)
        fields = _fields(neuron)
        learnable = [n for n in self.names if n in fields and not is_learned(fields[n])]
        for name in self.learn:
            if name not in learnable:
                raise ValueError(
                    f"`Spiking(learn=...)` must name parameters of `{type(neuron).__name__}`, "
                    f"got {name!r}. Use some of: {', '.join(learnable)}."
                )
        # by value, not as the neuron itself: layers of equal structure must compare equal
        self.numbers = tuple(
            leaf if isinstance(leaf, float) and name not in self.learn else None
            for name, leaf in zip(self.names, leaves, strict=True)
        )
        for name, leaf in zip(self.names, leaves, strict=True):
            dtype = jnp.promote_types(getattr(leaf, "dtype", jnp.float32), jnp.float32)
            if name in self.learn:
                raw = to_raw(fields[name], jnp.asarray(leaf, dtype))
                if not isinstance(raw, jax.core.Tracer) and not np.all(np.isfinite(raw)):
                    raise ValueError(
                        f"`Spiking(learn={self.learn})` must start from finite values inside their "
                        f"range, got {name}={leaf}."
                    )
                setattr(self, f"{name}_raw", nnx.Param(raw))
            elif name in fields and is_learned(fields[name]):
                setattr(self, name, nnx.Param(jnp.asarray(leaf, dtype)))
            elif not isinstance(leaf, float):
                setattr(self, name, Constant(jnp.asarray(leaf)))

    @property
    def neuron(self) -> Any:
        """The neuron with its learned fields as they are now: a plain pytree."""
        fields = _fields(jax.tree.unflatten(self.structure, self.numbers))
        leaves: list[Any] = []
        for name, number in zip(self.names, self.numbers, strict=True):
            if name in self.learn:
                leaves.append(from_raw(fields[name], getattr(self, f"{name}_raw")[...]))
            elif name in fields and is_learned(fields[name]):
                leaves.append(getattr(self, name)[...])
            elif number is None:
                leaves.append(jax.lax.stop_gradient(getattr(self, name)[...]))
            else:
                leaves.append(number)
        return jax.tree.unflatten(self.structure, leaves)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in vars(self).get("names", ()) and not isinstance(value, nnx.Variable):
            raise AttributeError(
                f"`Spiking.{name}` cannot be set: the neuron is immutable. Set the Param of a "
                f"learned field, `layer.{name}_raw[...] = value`, or make a new layer."
            )
        super().__setattr__(name, value)

    def __getattr__(self, name: str) -> Any:
        if name in vars(self).get("names", ()):
            raise AttributeError(
                f"`Spiking.{name}` is not an attribute of the layer. Read `layer.neuron.{name}`."
            )
        raise AttributeError(f"`{type(self).__name__}` has no attribute {name!r}.")

    def init_state(self, shape: Shape, dtype: Any = jnp.float32) -> Tree:
        """State of the neuron at rest, for one step of input of ``shape``."""
        if isinstance(self.neuron, SequenceNeuron):
            return Rank(len(shape))
        return self.neuron.init_state(tuple(shape), dtype)

    def __call__(self, state: Tree, x: Array) -> tuple[Tree, Array]:
        """One step ``[N, *]``, or a sequence ``[T, N, *]``."""
        return self.neuron(state, x)

    def sequence(self, state: Tree, xs: Array) -> tuple[Tree, Array]:
        """Scan the neuron over ``[T, N, *]``, or give it the whole if it is a `SequenceNeuron`."""
        if isinstance(self.neuron, SequenceNeuron):
            return state, self.neuron(xs)
        return scan(self.neuron, state, xs)

    def _trace_step(self, step: Callable[..., Any], x: Array, *args: Any, **kwargs: Any) -> Array:
        if isinstance(self.neuron, SequenceNeuron):
            return x
        return super()._trace_step(step, x, *args, **kwargs)


def _fields(neuron: Neuron | SequenceNeuron, prefix: str = "") -> dict[str, dataclasses.Field[Any]]:
    """The fields of a neuron, and of one inside it, by the names of their leaves."""
    found: dict[str, dataclasses.Field[Any]] = {}
    for field in dataclasses.fields(neuron):
        name, value = prefix + field.name, getattr(neuron, field.name)
        if isinstance(value, Neuron):
            found |= _fields(value, f"{name}_")
        elif not is_static(field) and not isinstance(value, Surrogate):
            found[name] = field
    return found


def _names(learn: Any) -> tuple[str, ...]:
    if not isinstance(learn, tuple | list) or not all(isinstance(name, str) for name in learn):
        raise TypeError(
            f"`Spiking(learn=...)` must be names of fields, got {learn!r}. "
            'Give a tuple, such as ("tau",).'
        )
    return tuple(learn)
