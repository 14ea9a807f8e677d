"""`Residual`: a layer with a shortcut around it."""

import operator
from collections.abc import Callable
from typing import Any

from .._check import function
from .._types import Tree
from .module import Layer, SpikingModule, call_layer, check_keeps_time


class Residual(SpikingModule):
    """A layer with a shortcut around it: ``y = combine(branch(x), shortcut(x))``.

    With a ``branch`` that ends in a neuron it is the spike-element-wise (SEW) block. Its three
    functions of the spikes ``a`` of the branch and ``b`` of the shortcut are ``combine``:
    `operator.add`, ``lambda a, b: a * b`` (AND), and ``lambda a, b: (1 - a) * b`` (IAND).

    The state is a dict with the entries ``"branch"`` and ``"shortcut"``, ``()`` for a layer without
    a state.

    Args:
        branch: A neuron, a module such as a `Sequential`, a Flax layer, or a function.
        shortcut: The same, such as a `Sequential` of a convolution of size 1 and a neuron where the
            shape changes; None for the input itself.
        combine: A function of the two outputs.

    Raises:
        TypeError: If an argument is not callable, or a layer would take the time axis for an axis
            of the image.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> from flax import nnx
        >>> rngs = nnx.Rngs(0)
        >>> def conv():
        ...     layers = nnx.Conv(16, 16, (3, 3), rngs=rngs), nnx.BatchNorm(16, rngs=rngs)
        ...     return *layers, js.IF()
        >>> block = js.nn.Residual(js.nn.Sequential(*conv(), *conv()))
        >>> state, y = block(block.init_state((2, 8, 8, 16)), jnp.ones((4, 2, 8, 8, 16)))
        >>> y.shape
        (4, 2, 8, 8, 16)

    Source: Fang et al., "Deep residual learning in spiking neural networks", NeurIPS 2021.
    """

    def __init__(
        self,
        branch: Layer,
        shortcut: Layer | None = None,
        combine: Callable[[Any, Any], Any] = operator.add,
    ):
        function("`Residual(branch=...)`", branch, "Give a layer, such as a `Sequential`.")
        if shortcut is not None:
            function("`Residual(shortcut=...)`", shortcut, "Give a layer, or None.")
        function("`Residual(combine=...)`", combine, "Give `operator.add`.")
        self.branch, self.shortcut, self.combine = branch, shortcut, combine
        check_keeps_time(self)

    def __call__(self, state: Tree, x):
        """One step ``[N, *]``, or a sequence ``[T, N, *]``."""
        branch, y = call_layer(self.branch, state["branch"], x)
        shortcut = ()
        if self.shortcut is not None:
            shortcut, x = call_layer(self.shortcut, state["shortcut"], x)
        return {"branch": branch, "shortcut": shortcut}, self.combine(y, x)
