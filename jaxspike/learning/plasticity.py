"""`PlasticityRule`: the base class of rules without a loss."""

import abc
from collections.abc import Callable
from dataclasses import KW_ONLY

import jax
import jax.numpy as jnp

from .. import _check
from .._pytree import Pytree
from .._state import compute_dtype, layout
from .._types import Array, DType, Shape, Tree
from ..field import static
from .linear_layer import LinearLayer
from .weight_dependence import Additive, WeightDependence

#: A signal at the input of a layer and one at its output, which each weight multiplies.
Pair = tuple[Array, Array]


class PlasticityRule(Pytree, abc.ABC):
    """Base class of rules that change weights according to the spikes before and after a layer.

    A rule is a pure function ``traces, dw = rule(traces, layer, pre, post)``, called at every time
    step. At each step it yields one pair of signals for potentiation and one for depression, each
    with a signal at the input of the layer and one at its output, and

    ``dw = f_plus(w) * sum(plus_pre * plus_post) - f_minus(w) * sum(minus_pre * minus_post)``

    with the sums over all connections that share the weight, and the factors of
    ``weight_dependence``. Each sum is the layer's own vector-Jacobian product, so a rule serves any
    linear layer: `flax.nnx.Linear`, `flax.nnx.Conv` with any stride, padding, dilation and groups,
    `flax.nnx.Einsum`, or an array ``[m, n]``. A bias does not change.

    To write your own rule, subclass it and define ``at_rest`` and ``step``.

    Args:
        weight_dependence: How changes depend on the weight, and its bounds.
        reduction: "sum" or "mean", which combines the changes of the samples of a batch. Sums over
            positions, as in a convolution, stay sums.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> class Hebb(js.learning.PlasticityRule):
        ...     rate: js.Param = 0.1
        ...     def at_rest(self, pre, post):
        ...         return pre
        ...     def step(self, trace, pre, post):
        ...         trace = 0.5 * trace + pre
        ...         return trace, (trace, self.rate * post), None
        >>> rule, w = Hebb(), jnp.zeros((2, 3))
        >>> trace = rule.init_traces(w, (1, 2))
        >>> trace, dw = rule(trace, w, jnp.array([[1.0, 0.0]]), jnp.array([[0.0, 1.0, 1.0]]))
        >>> dw
        Array([[0. , 0.1, 0.1],
               [0. , 0. , 0. ]], dtype=float32)
    """

    _: KW_ONLY
    weight_dependence: WeightDependence = Additive()
    reduction: str = static(default="sum", choices=("sum", "mean"))

    @abc.abstractmethod
    def at_rest(self, pre: Array, post: Array) -> Tree:
        """Traces before the first step.

        Args:
            pre: Zeros in the shape of the input of the layer, ``[N, *]``.
            post: Zeros in the shape of its output.
        """

    @abc.abstractmethod
    def step(self, traces: Tree, pre: Array, post: Array) -> tuple[Tree, Pair, Pair | None]:
        """One time step: the new traces, and the pairs of potentiation and of depression.

        Args:
            traces: The traces of the previous step.
            pre: Input of the layer, ``[N, *]``, in the dtype of the traces.
            post: Spikes of the neurons that the layer feeds, in the shape of its output.
        """

    def init_traces(self, layer: Tree, shape: Shape, dtype: DType = jnp.float32) -> Tree:
        """Traces at rest.

        Args:
            layer: The layer whose weights the rule changes.
            shape: Shape of one step of its input, ``(N, *)``.
            dtype: Floating dtype of the traces; lower precision than float32 becomes float32, since
                a bfloat16 trace does not decay if its time constant is over 256 steps.

        Raises:
            TypeError: If the layer is not linear.
        """
        layer = LinearLayer(type(self).__name__, layer, shape, dtype)
        return self.at_rest(*(jnp.zeros(a.shape, a.dtype) for a in (layer.pre, layer.post)))

    def __call__(self, traces: Tree, layer: Tree, pre: Array, post: Array) -> tuple[Tree, Tree]:
        """The change of the weights at one time step.

        Args:
            traces: The traces from ``init_traces`` or from the previous step.
            layer: The layer, a callable pytree, such as `flax.nnx.Linear`, or its weight as an
                array ``[m, n]``.
            pre: Input of the layer at this step, ``[N, *]``.
            post: Spikes of the neurons that the layer feeds, at this step, in the shape of its
                output.

        Returns:
            The new traces, and the change ``dw``, in the structure and the dtypes of ``layer``.

        Raises:
            TypeError: If the layer is not linear, or a signal is complex.
            ValueError: If the shapes of the traces, ``pre`` and ``post`` do not fit together.
        """
        layer, pre, post = receive(type(self).__name__, self.init_traces, traces, layer, pre, post)
        traces, plus, minus = self.step(traces, pre, post)
        return traces, self.finish(layer, self.change(layer, plus, minus))

    def change(self, layer: LinearLayer, plus: Pair, minus: Pair | None) -> Tree:
        """The change of all arrays for two pairs of signals, summed over the batch."""
        sums = [layer.correlate(*pair) for pair in (plus, minus) if pair is not None]

        def one(w: Array, plus: Array, minus: Array | float = 0.0) -> Array:
            f_plus, f_minus = self.weight_dependence.factors(w)
            return f_plus * plus - f_minus * minus

        return jax.tree.map(one, layer.arrays, *sums)

    def finish(self, layer: LinearLayer, change: Tree) -> Tree:
        """The change to return: of weights only, reduced over the batch, and within bounds."""
        n = layer.pre.shape[0] if self.reduction == "mean" else 1

        def one(w: Array, dw: Array, is_weight: bool, given: Array) -> Array:
            bounded = self.weight_dependence.bound(w, dw / n) if is_weight else jnp.zeros_like(w)
            return bounded.astype(given.dtype)

        return jax.tree.map(one, layer.arrays, change, layer.is_weight, layer.given)


def receive(
    name: str,
    init_traces: Callable[[Tree, Shape], Tree],
    traces: Tree,
    layer: Tree,
    pre: Array,
    post: Array,
) -> tuple[LinearLayer, Array, Array]:
    """The arguments of a rule, checked, and the signals in the dtype of the traces."""
    pre = _check.as_real(f"`{name}(pre=...)`", pre)
    post = _check.as_real(f"`{name}(post=...)`", post)
    _check.axes(f"`{name}(pre=...)`", pre, "N", "features", "...")
    want = jax.eval_shape(lambda: init_traces(layer, pre.shape))
    if layout(traces) != layout(want):
        got, fix = jax.tree.map(jnp.shape, traces), "`rule.init_traces(layer, pre.shape)`"
        raise ValueError(f"`{name}(traces=...)` must be those of {fix}, got {got}.")
    dtype = compute_dtype([leaf.dtype for leaf in jax.tree.leaves(traces)])
    linear = LinearLayer(name, layer, pre.shape, dtype)
    fix = "Give the spikes of the neurons that the layer feeds."
    _check.axes(f"`{name}(post=...)`", post, *linear.post.shape, fix=fix)
    return linear, pre.astype(dtype), post.astype(dtype)
