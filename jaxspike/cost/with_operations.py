"""`with_operations`: a step that also returns its number of operations, to train for fewer."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend.core import JaxprEqn

from .. import _check
from .._types import Array, State, Tree
from ..engine.device import portable
from .interpret import Meter, Origin, interpret, opened
from .parameters import parameters_of
from .products import pairs


def with_operations(
    step: Callable[..., tuple[State, Tree]],
) -> Callable[[State, Tree], tuple[State, tuple[Tree, Array]]]:
    r"""A step that also returns the number of its operations, differentiable through its spikes.

    The number is that of `operations`: accumulations, those of whole numbers and
    multiply-accumulates of all matrix products and convolutions, summed over the batch, but in
    float32. With activations :math:`a` and weights :math:`w`, a product of spikes, or of other
    whole numbers, is :math:`\sum |a_i| [w_{ij} \ne 0]`, whose derivative is the fan-out of a
    spike: with the surrogate of the neuron that sent it, it lowers the rate of the neurons whose
    spikes cost most. Where activations are real the number is a constant, as it is in the weights.

    The result is a step, for `jaxspike.scan` or one call: ``state, (y, n) = step(state, x)``. A
    network may be given a whole sequence, ``(state, x_seq)``: its operations are then one number,
    and a product is of whole numbers if it is so at all time steps.

    Args:
        step: A network in evaluation mode, a neuron, or any function ``(state, x) -> (state, y)``.

    Raises:
        TypeError: If ``step`` is not callable; when it runs, if it does not return a pair, or
            changes the structure or a shape of the state.
        ValueError: When it runs, if the step changes a variable, such as the statistics of a
            BatchNorm in training mode: the change would be lost.

    Example:
        >>> import functools, jax, jax.numpy as jnp, jaxspike as js
        >>> lif = js.LIF()
        >>> def net(w, state, x):
        ...     first, z = lif(state[0], x @ w[0])
        ...     second, y = lif(state[1], z @ w[1])
        ...     return (first, second), y
        >>> def loss(w):
        ...     step = js.cost.with_operations(functools.partial(net, w))
        ...     state = lif.init_state((1, 4)), lif.init_state((1, 2))
        ...     _, (y_seq, n) = js.scan(step, state, jnp.ones((6, 1, 3)))
        ...     return n.sum()
        >>> w = [0.5 * jnp.ones((3, 4)), jnp.ones((4, 2))]
        >>> loss(w)  # 6 * 12 of the input, 3 * 8 of the spikes
        Array(96., dtype=float32)
        >>> bool((jax.grad(loss)(w)[0] > 0).all())  # smaller weights, fewer spikes
        True
    """
    _check.function("`with_operations(step=...)`", step)
    arrays, names, call = parameters_of("with_operations", step)

    def counted(state: State, x: Tree) -> tuple[State, tuple[Tree, Array]]:
        with portable():  # a sparse layer is a product
            trace = jax.make_jaxpr(lambda *a: call(*a), return_shape=True)
            closed, shapes = trace(arrays, state, x)
        given = jax.tree.leaves((state, x))
        before = jax.eval_shape(lambda s: s, state)
        _check.step_form("with_operations(step=...)", before, shapes, "x")
        known = [*(Origin(name=n) for n in names), *[Origin(is_data=True)] * len(given)]
        leaves, _, tally = interpret(_EXPECTED, *opened(closed, [*arrays, *given], known))
        new, y = jax.tree.unflatten(jax.tree.structure(shapes), leaves)
        return new, (y, sum(tally.products.values(), start=jnp.float32(0)))

    return counted


def _measure(eqn: JaxprEqn, operands: list[Array], is_data: list[bool]) -> Array:
    """The operations of a product, differentiable in operands that are whole numbers."""
    present = [lax.stop_gradient((v != 0).astype(jnp.float32)) for v in operands]
    sent = [_magnitude(v) for v in operands]
    whole = jnp.stack([(v == jnp.round(v)).all() for v in sent]) & jnp.asarray(is_data)
    binary = whole & jnp.stack([(v <= 1).all() for v in sent])
    first_whole = jnp.arange(2) == jnp.argmax(whole)
    counted = jnp.where(binary.any(), binary, whole & first_whole)
    a, b = (jnp.where(c, s, p) for c, s, p in zip(counted, sent, present, strict=True))
    return pairs(eqn, a, b).sum()


def _magnitude(v: Array) -> Array:
    """The absolute value, with the derivative 1 where a spike may come: at 0."""
    v = v.astype(jnp.float32)
    return jnp.where((v >= 0).all(), v, abs(v))


_EXPECTED = Meter(_measure, jnp.float32, jnp.add, lambda counts: counts.sum(0))
