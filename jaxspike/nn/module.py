"""`SpikingModule`: a Flax module that takes its state and returns it."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from .._types import Array, Shape, Tree
from ..engine import scan
from ..neurons import Neuron, SequenceNeuron
from ..neurons.base import layout, shape_mismatch
from ._state import TO_BE_BUILT, SealedState, unseal


class SpikingModule(nnx.Module):
    """Base of every layer and network that has state: ``state, y = module(state, x)``.

    Write ``__call__`` once, for one time step. Given ``[N, *]`` the module does one step; given
    ``[T, N, *]`` it runs the sequence. The shapes of the state tell which.

    There are two kinds:

    * A *composite* has layers and no ``init_state``: its ``__call__`` hands the entries of the
      state on to its layers and returns the new ones in the same structure. It may index the state,
      not compute with it. ``init_state`` comes for free, and a sequence goes layer by layer.
    * A module *with a state of its own* defines ``init_state(shape, dtype)`` and may compute with
      the state. Its sequence call is a scan of its step; override ``sequence`` to do better.

    A neuron assigned to an attribute becomes a layer (`Spiking`).

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

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "__call__" in vars(cls):
            cls.__call__ = _with_state(vars(cls)["__call__"])  # type: ignore[method-assign]

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, Neuron | SequenceNeuron):
            from .spiking import Spiking  # a subclass of this class

            value = Spiking(value)
        super().__setattr__(name, value)

    def init_state(self, shape: Shape, dtype: Any = jnp.float32) -> Tree:
        """State at rest, found by tracing ``__call__`` in evaluation mode.

        Args:
            shape: Shape of one step of input, ``(N, *)``.
            dtype: Floating dtype of the state.
        """
        graph, variables = nnx.split(self)
        built: list[Any] = []

        def trace(x):
            net = nnx.merge(graph, variables, copy=True)  # else the trace writes into the real one
            net.eval()  # no statistics, no random keys
            state, y = net(TO_BE_BUILT, x)
            built.append(state)
            return y

        jax.eval_shape(trace, jax.ShapeDtypeStruct(tuple(shape), jnp.float32))

        def build(leaf):
            if not isinstance(leaf, _Pending):
                raise TypeError(
                    f"`{type(self).__name__}.__call__` must return the states of its layers, "
                    f"got a {type(leaf).__name__} among them. A module with a state of its own "
                    "must define `init_state(self, shape, dtype)`."
                )
            return leaf.layer.init_state(leaf.shape, dtype)

        return jax.tree.map(build, built[0])

    def sequence(self, state: Tree, xs: Array) -> tuple[Tree, Array]:
        """Run ``[T, N, *]``, for a module with a state of its own: a scan of its step."""
        return scan(_step_of(self), state, xs)

    def _trace_step(self, step: Callable[..., Any], x: Array) -> Array:
        """An output as that of one step, for the trace of ``init_state`` to go on with."""
        return step(self, self.init_state(x.shape), x)[1]


class _Pending:
    """A state to be built once the trace has told its shape."""

    def __init__(self, layer: SpikingModule, shape: Shape):
        self.layer, self.shape = layer, shape


def _step_of(module: SpikingModule) -> Callable[[Tree, Array], tuple[Tree, Array]]:
    call: Any = type(module).__call__

    def step(state, x):
        return call.__wrapped__(module, state, x)

    step.__name__ = type(module).__name__  # for errors
    return step


def _with_state(step: Callable[..., Any]) -> Callable[..., Any]:
    """Let ``step``, the ``__call__`` that the class defines, take steps and sequences."""

    @functools.wraps(step)
    def call(self, state, x, *args, **kwargs):
        own = type(self).init_state is not SpikingModule.init_state
        if isinstance(state, SealedState) and state is not TO_BE_BUILT:
            state = state._value
        if state is None:
            raise TypeError(
                f"`{type(self).__name__}(state=...)` must be a state, got None. "
                "Build it with `net.init_state(shape)`, the shape of one step `[N, *]`."
            )
        if state is TO_BE_BUILT:
            if not own:
                return step(self, state, x, *args, **kwargs)
            return _Pending(self, x.shape), self._trace_step(step, x)
        if own:
            new, y = _step_or_sequence(self, step, state, jnp.asarray(x), args, kwargs)
        else:
            new, y = step(self, SealedState(state), x, *args, **kwargs)
        new = unseal(new)
        if layout(new) != layout(state):
            raise ValueError(
                f"`{type(self).__name__}` must return a state of the structure and shapes that it "
                f"was given, {_say(state)}, got {_say(new)}. If the state is of another network, "
                "build it with `net.init_state(shape)`."
            )
        return new, y

    return call


def _step_or_sequence(self, step, state, x, args, kwargs):
    """The call of a module with a state of its own: the shapes of the state tell which."""

    def fits(shape):
        return layout(jax.eval_shape(lambda: self.init_state(shape))) == layout(state)

    if fits(x.shape):
        return step(self, state, x, *args, **kwargs)
    if x.ndim and fits(x.shape[1:]):
        return self.sequence(state, x)
    raise shape_mismatch(type(self).__name__, state, x.shape)


def _say(state: Tree) -> str:
    return str(jax.tree.map(jnp.shape, state))
