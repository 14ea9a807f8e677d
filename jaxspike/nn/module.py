"""`SpikingModule`: a Flax module that takes and returns its state; `Spiking`: any neuron as one."""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from flax.nnx import reprlib

from .._check import instance, kind
from .._state import compute_dtype, layout, shape_mismatch
from .._types import Array, DType, Shape, Tree
from ..engine import api_boundary, batch_outermost, fold_batch, scan
from ..engine.network_size import inside_network
from ..field import from_raw, is_learned, is_static, to_raw
from ..neurons import Neuron, SequenceNeuron
from ..surrogate import Surrogate
from ._init_state import (
    NOT_BUILT as NOT_BUILT,
    STEPS_TRACED as STEPS_TRACED,
    Traced,
    is_placeholder as is_placeholder,
    refuse_other_axes,
    step_shape,
    trace_layer,
    trace_states,
)
from ._over_time import difference_left_open as difference_left_open
from ._sealed import SealedState, describe, refuse_sealed, unseal as unseal
from .empty_state import EmptyState
from .paths import Key, dotted, named_layers

Layer = Neuron | SequenceNeuron | Callable[..., Any]
CONVOLUTIONS = nnx.Conv, nnx.ConvTranspose  # which merge time and batch; a subclass may not


class SpikingModule(nnx.Module):
    """Base class of every layer and network that has state: ``state, y = module(state, x)``.

    Write ``__call__`` once, for a single time step, and index axes from the end: given ``[N, *]``
    the module does one step, given ``[T, N, *]`` it runs the sequence. The shapes of the state
    determine which.

    There are two kinds:

    * A *composite* has layers and no ``init_state``: its ``__call__`` passes each layer its part of
      the state and returns the new parts in the same structure. It may index the state, but not
      compute with it. ``init_state`` comes for free, and a sequence runs layer by layer.
    * A module *with a state of its own* defines ``init_state(shape, dtype)`` and may compute with
      the state. Its sequence call is a scan of its step; override ``sequence`` to do better.

    A neuron assigned to an attribute, alone or in a list, becomes a layer (`Spiking`). Transform
    calls with `nnx.jit`, or split the module: `jax.jit` of the module itself keeps the parameters
    of its first call.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> from flax import nnx
        >>> class Block(js.nn.SpikingModule):
        ...     def __init__(self, features, *, rngs):
        ...         self.linear = nnx.Linear(features, features, rngs=rngs)
        ...         self.lif = js.LIF()
        ...     def __call__(self, state, x):
        ...         new, y = self.lif(state["lif"], self.linear(x))
        ...         return {"lif": new}, x + y
        >>> block = Block(8, rngs=nnx.Rngs(0))
        >>> state = block.init_state((4, 8))
        >>> state, y = block(state, jnp.ones((4, 8)))
        >>> state, ys = block(state, jnp.ones((10, 4, 8)))
        >>> ys.shape
        (10, 4, 8)
    """

    _path: str | None = None  # in the network; set on the copy that `init_state` traces
    _calls_with_sequences = False  # whether `sequence` calls its inner layers with whole sequences

    def __init_subclass__(cls, **kwargs) -> None:
        super().__init_subclass__(**kwargs)
        if "sequence" in vars(cls):
            cls._calls_with_sequences = vars(cls).get("_calls_with_sequences", False)
        if "__call__" in vars(cls):
            if "sequence" not in vars(cls):  # that of a parent would run the parent's step
                cls.sequence = SpikingModule.sequence  # type: ignore[method-assign]
            cls.__call__ = takes_steps_and_sequences(vars(cls)["__call__"])  # type: ignore[method-assign]

    def __setattr__(self, name: str, value) -> None:
        if isinstance(value, list | tuple | nnx.List) and any(map(_is_neuron, value)):
            value = Layers(value)
        value = _as_layer(value)
        is_class = isinstance(value, type) and name != "__class__"
        if is_class and issubclass(value, Neuron | SequenceNeuron | SpikingModule):
            where, got = f"`{type(self).__name__}.{name}`", value.__name__
            raise TypeError(f"{where} must be a layer, got the class {got}. Give `{got}(...)`.")
        super().__setattr__(name, value)

    def init_state(self, shape, dtype: DType = jnp.float32, *args, **kwargs) -> Tree:
        """State at rest, found by tracing ``__call__`` in evaluation mode.

        Args:
            shape: Shape of ONE step of input, ``(N, *)``, without a time axis. A dictionary of
                shapes if ``__call__`` takes a dictionary of inputs.
            dtype: Floating dtype of the state.
            *args: Further arguments of ``__call__``.
            **kwargs: Further arguments of ``__call__``.

        Raises:
            TypeError: If ``__call__`` does not return the states of its layers.
            ValueError: If it passes a layer the state of another one, or indexes axes from the
                front where that changes a shape, so that a sequence would not run as its steps do.
        """
        layers = named_layers(self)
        return jax.tree.map(
            lambda s: layers[s.owner].init_state(s.shape, dtype),
            _state_placeholders(self, shape, args, kwargs),
            is_leaf=is_placeholder,
        )

    def sequence(self, state: Tree, xs: Tree, *args, **kwargs) -> tuple[Tree, Tree]:
        """Run ``[T, N, *]`` as a scan of the step, for a module with a state of its own.

        Args:
            state: The first state.
            xs: The inputs, ``[T, N, *]``.
            *args: Further arguments of the call, the same at every step.
            **kwargs: Further arguments of the call, the same at every step.
        """
        call: Any = type(self).__call__

        def step(state, x):
            return call.__wrapped__(self, state, x, *args, **kwargs)

        step.__name__ = type(self).__name__  # for errors
        return scan(step, state, xs)

    def is_sequence(self, state: Tree, x) -> bool:
        """Whether ``x`` is a sequence for a module whose own state is ``state``, or one step."""
        return _is_sequence(self, state, x)

    def _trace_step(self, step: Callable[..., Any], x: Tree, *args, **kwargs) -> Tree:
        """The output of one step, so that the trace of ``init_state`` can continue."""
        state = self.init_state(jax.tree.map(np.shape, x))
        return _pair(type(self).__name__, step(self, state, x, *args, **kwargs))[1]


def _is_neuron(value) -> bool:
    return isinstance(value, Neuron | SequenceNeuron)


def _as_layer(value):
    return Spiking(value) if _is_neuron(value) else value


class Layers(nnx.List[Any]):
    """A list of layers, in which neurons become layers, also when assigned or appended."""

    def __setattr__(self, name: str, value) -> None:
        super().__setattr__(name, _as_layer(value))


def call_layer(layer: Callable[..., Any], state: Tree, x) -> tuple[Tree, Any]:
    """The state and the output of any layer; ``()`` is the state of one without a state."""
    if isinstance(layer, SpikingModule):
        return layer(state, x)
    if type(layer) is nnx.Linear:
        return (), fold_batch(layer, x)
    if isinstance(layer, nnx.Conv | nnx.ConvTranspose) and type(layer) in CONVOLUTIONS:
        return (), batch_outermost(layer, x, len(layer.kernel_size) + 1)
    return (), layer(x)


_MISSING = object()
BUILD = "Build it with `net.init_state(shape)`, the shape of one step `[N, *]`."
STATE_FIRST = "State comes first: `state, y = net(net.init_state(x.shape), x)` for one step x."


def takes_steps_and_sequences(step: Callable[..., Any]) -> Callable[..., Any]:
    """Let ``step``, the ``__call__`` that the class defines, take steps and sequences."""

    @functools.wraps(step)
    def call(self, state, x=_MISSING, *args, **kwargs):
        _check_arguments(self, state, x)
        return run(self, state, x, *args, **kwargs)

    @api_boundary
    def run(self, state, x, *args, **kwargs):
        name = type(self).__name__
        sealed = isinstance(state, SealedState)
        value = state.value if sealed else state
        if not owns_state(self):
            with inside_network(functools.partial(_loops, self)):
                new, y = _pair(name, step(self, SealedState(value), x, *args, **kwargs))
            refuse_sealed(y)
        elif is_placeholder(value):
            new, y = trace_layer(self, step, value, x, args, kwargs)
        else:
            x = jax.tree.map(jnp.asarray, x)
            if self.is_sequence(value, x):
                new, y = self.sequence(value, x, *args, **kwargs)
            else:
                new, y = _pair(name, step(self, value, x, *args, **kwargs))
        new = unseal(new)
        if value is not NOT_BUILT and layout(new) != layout(value):
            raise ValueError(
                f"`{name}` must return a state of the structure and shapes that it was given, "
                f"{describe(value)}, got {describe(new)}. {BUILD}"
            )
        return SealedState(new, new=True) if sealed else new, y

    return call


def _check_arguments(self: SpikingModule, state, x) -> None:
    name = type(self).__name__
    if x is _MISSING:
        raise TypeError(
            f"`{name}(state, x)` must get a state and an input, got one argument. {STATE_FIRST}"
        )
    if state is None:
        raise TypeError(f"`{name}(state=...)` must be a state, got None. {BUILD}")
    inputs = x.values() if isinstance(x, dict) else [x]
    if hasattr(type(state), "dtype") and any(isinstance(a, list | tuple | dict) for a in inputs):
        raise TypeError(f"`{name}(state, x)` must get the state first, got an array. {STATE_FIRST}")
    if isinstance(x, list | tuple) and owns_state(self):
        got = f"a {type(x).__name__}. Stack it: `jnp.stack(x)`, time first."
        raise TypeError(f"`{name}(x=...)` must be an array, got {got}")
    if isinstance(state, SealedState) and state.new:
        raise TypeError(
            f"`{name}(state=...)` must be an entry of the state, got what a layer has just "
            "returned. A layer can run once per step; use a second layer for a second run."
        )


def _is_sequence(self: SpikingModule, state: Tree, x) -> bool:
    """Whether ``x`` is a sequence for a module whose own state is ``state``, or one step."""
    name, shape = type(self).__name__, jax.tree.map(np.shape, x)
    one, given = jax.tree.map(lambda a: a.shape[1:], x), layout(state)
    shapes = [shape, one] if all(a.ndim for a in jax.tree.leaves(x)) else [shape]
    at_rest = [layout(s) for s in jax.eval_shape(lambda: [self.init_state(s) for s in shapes])]
    if at_rest == [given, given]:
        raise ValueError(
            f"`{name}.init_state(shape)` must tell a step from a sequence, got the same state for "
            f"{shape} and {one}. Put `jaxspike.nn.EmptyState(len(shape))` into the state."
        )
    if given in at_rest:
        return given != at_rest[0]
    structures = [structure for structure, _ in at_rest]
    if given[0] not in structures:
        raise TypeError(
            f"`{name}(state=...)` must be a state of this layer, {structures[0]}, got {given[0]}. "
            f"{BUILD}"
        )
    raise shape_mismatch(name, state, shape)


def eval_copy(graph, variables):
    """A copy of a split network, in evaluation mode, to trace; its layers know their paths."""
    net = nnx.merge(graph, variables, copy=True)  # else the trace writes into the real one
    net.eval()  # no statistics, no random keys
    for path, module in named_layers(net).items():
        if isinstance(module, SpikingModule):
            module._path = path
    return net


def call_without_state(net, x, *args):
    """The output of one step of an `eval_copy`, traced before there is a state."""
    return net(SealedState(NOT_BUILT), x, *args)[1]


def trace_composite(net: SpikingModule, shape, args, kwargs) -> Traced:
    """Placeholders for the states of the layers of a composite, and what it does between them."""
    name = type(net).__name__
    shape = step_shape(name, shape)
    check_keeps_time(net)
    graph, variables = nnx.split(net)

    def call(state, x):
        new, y = eval_copy(graph, variables)(SealedState(state), x, *args, **kwargs)
        return unseal(new), y

    return trace_states(name, call, shape)


def _state_placeholders(net: SpikingModule, shape, args, kwargs) -> Tree:
    """Placeholders for the states of the layers of a composite, in the structure of its state."""
    traced = trace_composite(net, shape, args, kwargs)
    refuse_other_axes(type(net).__name__, traced)
    return traced.states


def states_by_layer(net: SpikingModule, shape, state: Tree, *args) -> list[tuple[str, Tree]]:
    """The path of the layer and its state, for each entry of the state of a network.

    Args:
        net: The network.
        shape: The shape of one step of input.
        state: A state for it.
        *args: Further arguments of the network.
    """
    if owns_state(net):
        return [(dotted(net, ()), state)]
    found: list[tuple[str, Tree]] = []
    places = _state_placeholders(net, shape, args, {})
    jax.tree.map(lambda p, s: found.append((p.owner, s)), places, state, is_leaf=is_placeholder)
    return found


def owns_state(module: SpikingModule) -> bool:
    """Whether ``module`` has a state of its own; else it is a composite."""
    return type(module).init_state is not SpikingModule.init_state


def _loops(network: SpikingModule) -> int:
    """The number of layers with a state: about the number of loops they make on a sequence."""
    layers = (child for _, child in nnx.iter_modules(network))
    return sum(isinstance(child, SpikingModule) and owns_state(child) for child in layers)


def _pair(name: str, out) -> tuple[Tree, Tree]:
    if not isinstance(out, tuple | list) or len(out) != 2:
        raise TypeError(f"`{name}.__call__` must return `(state, y)`, got {kind(out)}.")
    return out[0], out[1]


def check_keeps_time(module: nnx.Module) -> None:
    """Refuse layers that would silently normalize over the time axis of ``[T, N, *]``."""
    inside: list[tuple[Key, ...]] = []
    for path, child in nnx.iter_modules(module):
        if isinstance(child, SpikingModule) and owns_state(child):
            inside.append(path)  # folded, or run step by step
    for path, child in nnx.iter_modules(module):
        within = any(path[: len(p)] == p for p in inside)
        if isinstance(child, nnx.GroupNorm | nnx.InstanceNorm) and not within:
            norm = f"nnx.{type(child).__name__}"
            raise TypeError(
                f"`{type(module).__name__}.{dotted(module, path)}` must keep time steps apart, got "
                f"{norm}, which normalizes over time. Give `jaxspike.nn.fold_time({norm}(...))`."
            )


class Constant(nnx.Variable[Array]):
    """A parameter array of a neuron that is not learned: not an `nnx.Param`, and no gradient."""


class Gain(nnx.Variable[Array]):
    """A factor that is not learned, but may be set to bring neurons to a firing rate."""


class Spiking(SpikingModule):
    """A neuron as a layer, with some of its parameters learnable.

    A learned field ``tau`` lives in the `nnx.Param` ``tau_raw`` as the unconstrained value (see
    `jaxspike.field.greater_than`), so no optimizer step can leave its range; ``layer.neuron.tau``
    is tau itself. Every other field is a constant, also under `jax.grad` of the whole module: a
    number belongs to the structure, an array is a `Constant`.

    A `SequenceNeuron`, such as a `jaxspike.PSN`, has no step: the layer takes ``[T, N, *]`` only.
    Its weights are always learned, as `nnx.Param` under their own names.

    Args:
        neuron: A neuron of any model.
        learn: Names of the fields to learn. ``learn=("tau",)`` makes a `LIF` the parametric LIF.

    Raises:
        TypeError: If ``neuron`` is not a neuron.
        ValueError: If ``learn`` names something that is not a parameter of the neuron, or a
            parameter that is infinite.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> layer = js.nn.Spiking(js.LIF(tau=3.0), learn=("tau",))
        >>> layer.tau_raw[...]                                       # log(tau - 1)
        Array(0.6931472, dtype=float32)
        >>> state, spikes = layer(layer.init_state((4, 8)), jnp.ones((10, 4, 8)))
    """

    def __init__(self, neuron: Neuron | SequenceNeuron, learn: Sequence[str] = ()):
        fix = "Give an instance, such as `jaxspike.LIF()`."
        instance("`Spiking(neuron=...)`", neuron, Neuron | SequenceNeuron, "a neuron", fix)
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
                    f"got {name!r}. {_choice(learnable)}"
                )
        # by value, not as the neuron itself: layers of equal structure must compare equal
        self.numbers = tuple(
            leaf if isinstance(leaf, float) and name not in self.learn else None
            for name, leaf in zip(self.names, leaves, strict=True)
        )
        for name, leaf in zip(self.names, leaves, strict=True):
            dtype = compute_dtype([jnp.dtype(getattr(leaf, "dtype", jnp.float32))])
            if name in self.learn:
                others = _beside(fields, name, dict(zip(self.names, leaves, strict=True)).get)
                raw = to_raw(fields[name], jnp.asarray(leaf, dtype), others)
                if not isinstance(raw, jax.core.Tracer) and not np.all(np.isfinite(raw)):
                    where = f"`Spiking(learn={self.learn})`"
                    raise ValueError(f"{where} must start inside the range, got {name}={leaf}.")
                setattr(self, f"{name}_raw", nnx.Param(raw))
            elif name in fields and is_learned(fields[name]):
                setattr(self, name, nnx.Param(jnp.asarray(leaf, dtype)))
            elif not isinstance(leaf, float):
                setattr(self, name, Constant(jnp.asarray(leaf)))

    @property
    def neuron(self):
        """The neuron with the current values of its learned fields: a plain pytree."""
        fields = self._fields()
        return jax.tree.unflatten(self.structure, [self._leaf(fields, name) for name in self.names])

    def _leaf(self, fields: dict[str, dataclasses.Field[Any]], name: str):
        """The leaf ``name`` of the neuron; None if it has no such leaf."""
        if name not in self.names:
            return None
        number = self.numbers[self.names.index(name)]
        if number is not None:
            return number
        if name in self.learn:
            others = _beside(fields, name, functools.partial(self._leaf, fields))
            return from_raw(fields[name], getattr(self, f"{name}_raw")[...], others)
        value = getattr(self, name)[...]
        learned = name in fields and is_learned(fields[name])
        return value if learned else jax.lax.stop_gradient(value)

    def _fields(self) -> dict[str, dataclasses.Field[Any]]:
        return _fields(jax.tree.unflatten(self.structure, self.numbers))

    def __setattr__(self, name: str, value) -> None:
        if name in vars(self).get("names", ()) and not isinstance(value, nnx.Variable):
            raise AttributeError(
                f"`Spiking.{name}` cannot be set: the neuron is immutable. Set the Param of a "
                f"learned field, `layer.{name}_raw[...] = value`, or make a new layer of "
                f"`layer.neuron.replace({name}=value)`."
            )
        super().__setattr__(name, value)

    def __getattr__(self, name: str):
        if name in vars(self).get("names", ()):
            raise AttributeError(
                f"`Spiking.{name}` is not an attribute of the layer. Read `layer.neuron.{name}`."
            )
        raise AttributeError(f"`{type(self).__name__}` has no attribute {name!r}.")

    def __nnx_repr__(self) -> Iterator[reprlib.Object]:
        """The neuron and its learned fields: ``Spiking(LIF(tau=3.0), learn=('tau',))``."""
        fields = self._fields()

        def leaf(name, number):
            if number is not None:
                return number
            value = vars(self)[f"{name}_raw" if name in self.learn else name].get_value()
            known = isinstance(value, jax.Array | np.ndarray) and np.ndim(value) == 0
            if not known or isinstance(value, jax.core.Tracer):
                return value
            value = self._leaf(fields, name) if name in self.learn else value
            return value if isinstance(value, jax.core.Tracer) else float(str(value))

        content = repr(jax.tree.unflatten(self.structure, map(leaf, self.names, self.numbers)))
        if self.learn:
            content += f", learn={self.learn}"
        yield reprlib.Object(type(self), empty_repr=content)

    def __treescope_repr__(self, path: str, subtree_renderer):
        """The same for notebooks, where treescope renders modules."""
        import treescope

        line = treescope.rendering_parts.text(repr(self))
        return treescope.rendering_parts.build_one_line_tree_node(line, path)

    def init_state(self, shape: Shape, dtype: DType = jnp.float32) -> Tree:
        """State of the neuron at rest, for one step of input of ``shape``."""
        if isinstance(self.neuron, SequenceNeuron):
            return EmptyState(len(shape))
        return self.neuron.init_state(tuple(shape), dtype)

    def __call__(self, state: Tree, x: Array) -> tuple[Tree, Array]:
        """One step ``[N, *]``, or a sequence ``[T, N, *]``."""
        return self.neuron(state, x)

    def sequence(self, state: Tree, xs: Array) -> tuple[Tree, Array]:
        """Scan the neuron over ``[T, N, *]``, or give a `SequenceNeuron` all of it."""
        if isinstance(self.neuron, SequenceNeuron):
            return state, self.neuron(xs)
        return scan(self.neuron, state, xs)

    def _trace_step(self, step: Callable[..., Any], x: Tree, *args, **kwargs) -> Tree:
        if isinstance(self.neuron, SequenceNeuron):
            return x
        own: Any = Spiking.__call__
        if step is own.__wrapped__ and isinstance(x, jax.Array) and _is_hashable(self.structure):
            arrays = [a for a in jax.tree.leaves(self.neuron) if not isinstance(a, float)]
            return _output(self.structure, self.numbers, arrays, x)
        return super()._trace_step(step, x, *args, **kwargs)


def _is_hashable(structure: Any) -> bool:
    """Whether the static fields of a neuron, and of what is in it, are no arrays or the like."""
    try:
        hash(structure.node_data())
    except TypeError:
        return False
    return all(map(_is_hashable, structure.children()))


@functools.partial(jax.jit, static_argnums=(0, 1))  # equal neurons are traced once
def _output(structure: Any, numbers: Any, arrays: list[Array], x: Array) -> Array:
    """The output of the first step of a neuron, whose numbers stay numbers."""
    rest = iter(arrays)
    leaves = [next(rest) if number is None else number for number in numbers]
    neuron = jax.tree.unflatten(structure, leaves)
    return neuron(neuron.init_state(x.shape), x)[1]


def _fields(neuron: Neuron | SequenceNeuron, prefix: str = "") -> dict[str, dataclasses.Field[Any]]:
    """The fields of a neuron, and of a neuron inside it, by the names of their leaves."""
    found: dict[str, dataclasses.Field[Any]] = {}
    for field in dataclasses.fields(neuron):
        name, value = prefix + field.name, getattr(neuron, field.name)
        if isinstance(value, Neuron):
            found |= _fields(value, f"{name}_")
        elif not is_static(field) and not isinstance(value, Surrogate):
            found[name] = field
    return found


def _beside(fields: dict[str, dataclasses.Field[Any]], name: str, leaf: Callable[[str], Any]):
    """The leaves of the neuron that has the leaf ``name``, by their fields."""
    prefix = name.removesuffix(fields[name].name)
    return lambda other: leaf(prefix + other)


def _choice(learnable: list[str]) -> str:
    return f"Use some of: {', '.join(learnable)}." if learnable else "It has none to choose."


def _names(learn) -> tuple[str, ...]:
    if not isinstance(learn, tuple | list) or not all(isinstance(name, str) for name in learn):
        raise TypeError(f"`Spiking(learn=...)` must be names such as ('tau',), got {learn!r}.")
    return tuple(learn)
