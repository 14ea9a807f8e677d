"""`sparse`: an optimizer under which most weights are zero, the same ones or changing ones."""

import jax
import jax.numpy as jnp
import optax
from jax import lax

from .. import _check
from .._types import Array, Tree

_INFINITY = float("inf")


def sparse(
    optimizer: optax.GradientTransformation,
    sparsity: float,
    *,
    every: int | None = None,
    regrow: float = 0.3,
) -> optax.GradientTransformation:
    """An optimizer under which a share of the weights of every layer is, and stays, zero.

    Before its first update it prunes every parameter with at least two axes, such as a kernel, to
    its largest weights; biases, scales and parameters of neurons are left alone. Pruned weights are
    not trained. With ``every``, the masks move as in RigL: every so many updates the smallest
    weights, a share ``regrow`` of those that are left, are pruned, and as many others with the
    largest gradient take their place, starting at zero.

    Args:
        optimizer: Any transformation of Optax that computes updates.
        sparsity: Share of the weights that are pruned, from 0 to below 1.
        every: Updates between moves of the masks; None to keep them.
        regrow: Share of the weights that move, between 0 and 1.

    Returns:
        A transformation of Optax for `flax.nnx.Optimizer` or ``optax.apply_updates``.

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If an argument is outside its range, or `update` is called without the
            parameters.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js, optax
        >>> w = jnp.array([[0.1, -2.0], [1.0, 0.3]])
        >>> optimizer = js.train.sparse(optax.sgd(0.1), 0.5)
        >>> updates, state = optimizer.update(jnp.ones((2, 2)), optimizer.init(w), w)
        >>> optax.apply_updates(w, updates)
        Array([[ 0. , -2.1],
               [ 0.9,  0. ]], dtype=float32)

    Source: Zhu and Gupta, "To prune, or not to prune", 2017, for pruning by magnitude; Evci et al.,
    "Rigging the lottery: making all tickets winners", ICML 2020, for ``every``.
    """
    _check.instance(
        "`sparse(optimizer=...)`",
        optimizer,
        optax.GradientTransformation,
        "a transformation of Optax",
        "Give one such as `optax.adam(1e-3)`.",
    )
    where = "`sparse(sparsity=...)`"
    _check.in_range(where, _check.number(where, sparsity), low=0)
    _check.in_range(where, sparsity, below=1)
    _check.number("`sparse(regrow=...)`", regrow, above=0, below=1)
    if every is not None:
        _check.integer("`sparse(every=...)`", every, low=1)

    def kept(p: Array) -> int:
        return max(1, round(p.size * (1 - sparsity)))

    def first(p: Array) -> Array:
        return _largest(abs(p), kept(p)) if p.ndim > 1 else jnp.ones(p.shape, bool)

    def moved(mask: Array, p: Array, g: Array) -> Array:
        if p.ndim < 2:
            return mask
        stay = _largest(jnp.where(mask, abs(p), -1), kept(p) - int(regrow * kept(p)))
        return _largest(jnp.where(stay, _INFINITY, abs(g)), kept(p))

    def init(params: Tree) -> tuple[Tree, Array, Tree]:
        return jax.tree.map(first, params), jnp.zeros((), jnp.int32), optimizer.init(params)

    def update(grads: Tree, state: tuple[Tree, Array, Tree], params: Tree = None):
        if params is None:
            raise ValueError(
                "`sparse(...).update` must get the parameters, got None. "
                "Call `optimizer.update(grads, state, params)`."
            )
        masks, count, inner = state
        updates, inner = optimizer.update(grads, inner, params)
        if every is not None:
            masks = lax.cond(
                (count + 1) % every == 0,
                lambda: jax.tree.map(moved, masks, params, grads),
                lambda: masks,
            )
        updates = jax.tree.map(lambda u, p, m: jnp.where(m, u, -p), updates, params, masks)
        return updates, (masks, count + 1, inner)

    return optax.GradientTransformation(init, update)


def _largest(score: Array, n: int) -> Array:
    """Where the ``n`` largest entries are; of equal ones, the first."""
    _, at = lax.top_k(score.ravel(), n)
    return jnp.zeros(score.size, bool).at[at].set(True).reshape(score.shape)
