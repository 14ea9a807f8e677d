"""`SpikingModule`: a Flax module that takes its state and returns it."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from .._types import Array, Shape, Tree
from ..engine import scan
from ..engine.network_size import inside_network
from ..neurons import Neuron, SequenceNeuron
from ..neurons.base import check_shape, layout, shape_mismatch
from ._state import TO_BE_BUILT, Owned, SealedState, is_owned, refuse_sealed, say, unseal


class SpikingModule(nnx.Module):
    """Base of every layer and network that has state: ``state, y = module(state, x)``.

    Write ``__call__`` once, as for one time step, and count axes from the end: given ``[N, *]`` the
    module does one step, given ``[T, N, *]`` it runs the sequence. The shapes of the state tell
    which.

    There are two kinds:

    * A *composite* has layers and no ``init_state``: its ``__call__`` hands the entries of the
      state on to its layers and returns the new ones in the same structure. It may index the state,
      not compute with it. ``init_state`` comes for free, and a sequence goes layer by layer.
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

    _path: Any = None  # set while `init_state` traces: where the module is in the network

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "__call__" in vars(cls):
            if "sequence" not in vars(cls):  # that of a parent would run the parent's step
                cls.sequence = SpikingModule.sequence  # type: ignore[method-assign]
            cls.__call__ = _with_state(vars(cls)["__call__"])  # type: ignore[method-assign]

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, list | tuple | nnx.List) and any(map(_is_neuron, value)):
            value = nnx.List([_as_layer(item) for item in value])
        value = _as_layer(value)
        if isinstance(value, type) and issubclass(value, Neuron | SequenceNeuron | SpikingModule):
            raise TypeError(
                f"`{type(self).__name__}.{name}` must be a layer, got the class {value.__name__}. "
                f"Give an instance: `{value.__name__}(...)`."
            )
        super().__setattr__(name, value)

    def init_state(self, shape: Any, dtype: Any = jnp.float32, *args: Any, **kwargs: Any) -> Tree:
        """State at rest, found by tracing ``__call__`` in evaluation mode.

        Args:
            shape: Shape of ONE step of input, ``(N, *)``: no time axis. A dictionary of them if
                ``__call__`` takes a dictionary of inputs.
            dtype: Floating dtype of the state.
            *args: What else ``__call__`` takes.
            **kwargs: What else ``__call__`` takes.

        Raises:
            TypeError: If ``__call__`` does not return the states of its layers.
            ValueError: If it hands a layer the state of another, or counts axes from the front
                where that changes a shape, so that a sequence would not run as its steps do.
        """
        name = type(self).__name__
        if isinstance(shape, dict):
            shape = {key: check_shape(name, s) for key, s in shape.items()}
        else:
            shape = check_shape(name, shape)
        refuse_time_blind(self)
        modules = {path: m for path, m in nnx.iter_modules(self) if isinstance(m, SpikingModule)}
        graph, variables = nnx.split(self)
        found: list[Any] = []

        def trace(state, x):
            net = evaluated(graph, variables)
            new, y = net(SealedState(state), x, *args, **kwargs)
            found.append(unseal(new))
            return y

        def output_shapes(state, *time):
            def array(shape):
                return jax.ShapeDtypeStruct((*time, *shape), jnp.float32)

            x = _each_shape(array, shape)
            out = jax.eval_shape(lambda x: trace(state, x), x)
            return [leaf.shape for leaf in jax.tree.leaves(out)]

        one_step = output_shapes(TO_BE_BUILT)
        state = found[0]
        for leaf in jax.tree.leaves(state, is_leaf=_stands_for_a_state):
            if not is_owned(leaf):
                got = "an entry that no layer used" if leaf is TO_BE_BUILT else _kind(leaf)
                raise TypeError(
                    f"`{name}.__call__` must return the states that its layers "
                    f"return, got {got} among them. A module with a state of its own must "
                    "define `init_state(self, shape, dtype)`."
                )
        # once more with the states in place, as a sequence: does every layer get its own?
        owned, structure = jax.tree.flatten(state, is_leaf=is_owned)
        places = [Owned(s.owner, s.shape, i) for i, s in enumerate(owned)]
        state = jax.tree.unflatten(structure, places)
        over_time = output_shapes(state, 3)
        for want, got in zip([(3, *s) for s in one_step], over_time, strict=True):
            if want != got:
                raise ValueError(
                    f"`{name}.__call__` must give a sequence of T = 3 steps the "
                    f"shape {want}, got {got}. "
                    "Count axes from the end: `[T, N, *]` has one more."
                )
        return jax.tree.map(
            lambda s: modules[s.owner].init_state(s.shape, dtype), state, is_leaf=is_owned
        )

    def sequence(self, state: Tree, xs: Array, *args: Any, **kwargs: Any) -> tuple[Tree, Array]:
        """Run ``[T, N, *]``, for a module with a state of its own: a scan of its step.

        Args:
            state: The first state.
            xs: The inputs, ``[T, N, *]``.
            *args: What else the call was given, the same at every step.
            **kwargs: What else the call was given, the same at every step.
        """
        call: Any = type(self).__call__

        def step(state, x):
            return call.__wrapped__(self, state, x, *args, **kwargs)

        step.__name__ = type(self).__name__  # for errors
        return scan(step, state, xs)

    def _trace_step(self, step: Callable[..., Any], x: Array, *args: Any, **kwargs: Any) -> Array:
        """An output as that of one step, for the trace of ``init_state`` to go on with."""
        state = self.init_state(jax.tree.map(jnp.shape, x))
        return _pair(type(self).__name__, step(self, state, x, *args, **kwargs))[1]


def evaluated(graph: Any, variables: Any) -> Any:
    """A copy of a split network to trace with a state to be built: its layers know their paths."""
    net = nnx.merge(graph, variables, copy=True)  # else the trace writes into the real one
    net.eval()  # no statistics, no random keys
    for path, module in nnx.iter_modules(net):
        if isinstance(module, SpikingModule):
            module._path = path
    return net


def _is_neuron(value: Any) -> bool:
    return isinstance(value, Neuron | SequenceNeuron)


def _as_layer(value: Any) -> Any:
    from .spiking import Spiking  # a subclass of the class above

    return Spiking(value) if _is_neuron(value) else value


_MISSING = object()


def _with_state(step: Callable[..., Any]) -> Callable[..., Any]:
    """Let ``step``, the ``__call__`` that the class defines, take steps and sequences."""

    @functools.wraps(step)
    def call(self, state, x=_MISSING, *args, **kwargs):
        name = type(self).__name__
        if x is _MISSING:
            raise TypeError(
                f"`{name}(state, x)` must get a state and an input, got one argument. "
                "State comes first: `state, y = net(net.init_state(x.shape), x)` for one step x."
            )
        if state is None:
            raise TypeError(
                f"`{name}(state=...)` must be a state, got None. "
                "Build it with `net.init_state(shape)`, the shape of one step `[N, *]`."
            )
        if isinstance(x, list | tuple) and owns_state(self):
            raise TypeError(
                f"`{name}(x=...)` must be an array, got a {type(x).__name__}. "
                "Stack it: `jnp.stack(x)`, time first."
            )
        sealed = isinstance(state, SealedState)
        if sealed and state.new:
            raise TypeError(
                f"`{name}(state=...)` must be an entry of the state, got what a layer has just "
                "returned. A layer can run once a step; give a second layer for a second run."
            )
        value = state.value if sealed else state
        if not owns_state(self):
            with inside_network(functools.partial(_loops, self)):
                new, y = _pair(name, step(self, SealedState(value), x, *args, **kwargs))
            refuse_sealed(y)
        elif value is TO_BE_BUILT or is_owned(value):
            new, y = _trace_layer(self, step, value, x, args, kwargs)
        else:
            x = jax.tree.map(jnp.asarray, x)
            new, y = _step_or_sequence(self, step, value, x, args, kwargs)
        new = unseal(new)
        if value is not TO_BE_BUILT and layout(new) != layout(value):
            raise ValueError(
                f"`{name}` must return a state of the structure and shapes that it was given, "
                f"{say(value)}, got {say(new)}. If the state is of another network, build it with "
                "`net.init_state(shape)`."
            )
        return SealedState(new, new=True) if sealed else new, y

    return call


def owns_state(module: SpikingModule) -> bool:
    """Whether ``module`` has a state of its own; else it is a composite."""
    return type(module).init_state is not SpikingModule.init_state


def _loops(network: SpikingModule) -> int:
    """How many layers have a state: about as many loops as they make on a sequence."""
    layers = (child for _, child in nnx.iter_modules(network))
    return sum(isinstance(child, SpikingModule) and owns_state(child) for child in layers)


def _stands_for_a_state(leaf: Any) -> bool:
    return is_owned(leaf) or leaf is TO_BE_BUILT


def _kind(leaf: Any) -> str:
    return "an array" if hasattr(leaf, "dtype") else type(leaf).__name__


def _pair(name: str, out: Any) -> tuple[Any, Any]:
    if not isinstance(out, tuple | list) or len(out) != 2:
        raise TypeError(
            f"`{name}.__call__` must return a pair `(state, y)`, got {type(out).__name__}."
        )
    return out[0], out[1]


def _trace_layer(self, step, value, x, args, kwargs):
    """The call of a layer with a state of its own while ``init_state`` of a network traces it."""
    name = type(self).__name__
    if self._path is None:
        raise TypeError(
            f"`{name}` must be a layer of the network, got one that is made in its `__call__`. "
            "Make it in `__init__` and keep it as an attribute."
        )
    if value is TO_BE_BUILT:
        shape = jax.tree.map(jnp.shape, x)
        return Owned(self._path, shape), self._trace_step(step, x, *args, **kwargs)
    where = ".".join(map(str, self._path)) or name
    if value.owner != self._path:
        raise ValueError(
            f"The layer `{where}` must be given its own entry of the state, got {value!r}. "
            "Return the state of every layer under the entry that it is read from."
        )
    want = _each_shape(lambda s: (3, *s), value.shape)
    if (shape := jax.tree.map(jnp.shape, x)) != want:
        raise ValueError(
            f"The layer `{where}` must get {want} in a sequence of T = 3 steps, "
            f"got {shape}. Count axes from the end: `[T, N, *]` has one more."
        )
    y = self._trace_step(step, jax.tree.map(lambda a: a[0], x), *args, **kwargs)
    return value, jax.tree.map(lambda a: jnp.broadcast_to(a, (3, *a.shape)), y)


def _each_shape(f: Callable[[Shape], Any], shape: Any) -> Any:
    """``f`` of a shape, or of each of several inputs."""
    return jax.tree.map(f, shape, is_leaf=lambda s: isinstance(s, tuple))


def _step_or_sequence(self, step, state, x, args, kwargs):
    """The call of a module with a state of its own: the shapes of the state tell which."""
    name, shape = type(self).__name__, jax.tree.map(jnp.shape, x)
    one = jax.tree.map(lambda a: a.shape[1:], x)

    def at_rest(shape):
        return layout(jax.eval_shape(lambda: self.init_state(shape)))

    one_step = at_rest(shape) == layout(state)
    has_time = all(a.ndim > 0 for a in jax.tree.leaves(x))
    sequence = has_time and at_rest(one) == layout(state)
    if one_step and sequence:
        raise ValueError(
            f"`{name}.init_state(shape)` must tell a step from a sequence, got the same state for "
            f"{shape} and {one}. Put `jaxspike.nn.Rank(len(shape))` into the state."
        )
    if one_step:
        return _pair(name, step(self, state, x, *args, **kwargs))
    if sequence:
        return self.sequence(state, x, *args, **kwargs)
    want = at_rest(shape)[0]
    if layout(state)[0] not in (want, at_rest(one)[0]):
        raise TypeError(
            f"`{name}(state=...)` must be a state of this layer, {want}, got {layout(state)[0]}. "
            "Build it with `net.init_state(shape)`, the shape of one step `[N, *]`."
        )
    raise shape_mismatch(name, state, shape)


def refuse_time_blind(module: nnx.Module) -> None:
    """Refuse layers that would silently normalise over the time axis of ``[T, N, *]``."""
    inside: list[Any] = []
    for path, child in nnx.iter_modules(module):
        if isinstance(child, SpikingModule) and owns_state(child):
            inside.append(path)  # folded, or run step by step
    for path, child in nnx.iter_modules(module):
        within = any(path[: len(p)] == p for p in inside)
        if isinstance(child, nnx.GroupNorm | nnx.InstanceNorm) and not within:
            kind = type(child).__name__
            raise TypeError(
                f"`{type(module).__name__}.{'.'.join(map(str, path))}` must keep time steps apart, "
                f"got nnx.{kind}, which normalises over the time axis of `[T, N, *]`. "
                f"Give `jaxspike.nn.fold_time(nnx.{kind}(...))`."
            )
