"""`Recurrent`: a layer whose last output is fed back to it."""

import operator
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from .._check import axes, instance, shown
from .._state import output_dtype
from .._types import Array, DType, Shape, Tree
from ..neurons import Neuron, SequenceNeuron
from .module import Layer, Spiking, SpikingModule, call_layer


class RecurrentState(NamedTuple):
    """State of the neuron or layer, its last output ``y``, ``[N, *]``, state of the feedback."""

    neuron: Tree
    y: Array
    feedback: Tree = ()


class Recurrent(SpikingModule):
    """A neuron whose last output is fed back to it: ``y_t = neuron(x_t + feedback(y_{t-1}))``.

    Args:
        neuron: A neuron, or a `SpikingModule`, such as a `Sequential` that ends in a neuron.
        feedback: A layer or function from ``y`` to a current of the shape of ``x``, such as
            ``nnx.Linear(n, n, use_bias=False, rngs=rngs)``; ``y`` is 0 before the first step. It
            may have a state of its own, such as a `Delay`, a `SynapseFilter`, or a `Sequential`
            of a `Delay` and a Linear layer.
        combine: Combines the two: a function of ``(x_t, feedback(y_{t-1}))`` that keeps the shape,
            instead of their sum.

    Raises:
        TypeError: If ``neuron`` is not a neuron or module with a state, or ``feedback`` or
            ``combine`` is not callable.
        ValueError: At the first call, if ``feedback`` or ``combine`` does not keep the shape.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> from flax import nnx
        >>> layer = js.nn.Recurrent(js.LIF(), nnx.Linear(8, 8, rngs=nnx.Rngs(0)))
        >>> state, spikes = layer(layer.init_state((4, 8)), jnp.ones((10, 4, 8)))

    SpikingJelly's ``ElementWiseRecurrentContainer(net, f)`` is
    ``Recurrent(net, lambda y: y, combine=lambda x, y: f(y, x))``; its
    ``LinearRecurrentContainer(net, n, m)`` is ``Sequential(nnx.Linear(n, n), Recurrent(net,
    nnx.Linear(m, n, use_bias=False)))``, the two halves of its weight.
    """

    neuron: SpikingModule

    def __init__(
        self,
        neuron: Neuron | SpikingModule,
        feedback: Layer,
        combine: Callable[[Array, Array], Array] = operator.add,
    ):
        fix = "Give `jaxspike.LIF()`."
        instance("`Recurrent(neuron=...)`", neuron, Neuron | SpikingModule, "a neuron", fix)
        if isinstance(feedback, SequenceNeuron) or not callable(feedback):
            raise TypeError(
                f"`Recurrent(feedback=...)` must be a layer that runs step by step, got "
                f"{shown(feedback)}. Give an nnx.Linear, a neuron or a function of y."
            )
        what = "a function of x and the feedback"
        instance("`Recurrent(combine=...)`", combine, Callable, what, "Give `operator.add`.")
        self.neuron = neuron  # type: ignore[assignment]
        self.feedback = feedback
        self.combine = combine

    def init_state(self, shape: Shape, dtype: DType = jnp.float32) -> RecurrentState:
        """State at rest, for one step of input of ``shape``."""
        state = self.neuron.init_state(shape, dtype)
        output = self._output_shape(state, shape)
        feedback: Tree = ()
        if isinstance(self.feedback, SpikingModule):
            feedback = self.feedback.init_state(output, dtype)
        return RecurrentState(state, jnp.zeros(output, dtype), feedback)

    def __call__(self, state: RecurrentState, x: Array) -> tuple[RecurrentState, Array]:
        """One step ``[N, *]``, or a sequence ``[T, N, *]``."""
        x = x.astype(output_dtype(x))
        feedback, back = call_layer(self.feedback, state.feedback, state.y.astype(x.dtype))
        fix = f"Give a layer with {x.shape[-1]} outputs."
        axes("`Recurrent(feedback=...)(y)`", back, *x.shape, fix=fix)
        x = self.combine(x, back)
        axes("`Recurrent(combine=...)(x, feedback(y))`", x, *back.shape)
        new, y = self.neuron(state.neuron, x)
        return RecurrentState(new, y.astype(state.y.dtype), feedback), y

    def _output_shape(self, state: Tree, shape: Shape) -> Shape:
        """The shape of one step of output for ``shape``; the neuron is not changed."""
        if isinstance(self.neuron, Spiking):
            return tuple(shape)
        graph, variables = nnx.split(self.neuron)

        def output():
            neuron = nnx.merge(graph, variables, copy=True)
            neuron.eval()
            return neuron(state, jnp.zeros(shape))[1]

        return jax.eval_shape(output).shape
