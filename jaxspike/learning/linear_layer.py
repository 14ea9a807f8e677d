"""`LinearLayer`: any linear layer, as plasticity rules use it."""

from collections.abc import Callable
from typing import cast

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Jaxpr, Literal, Var

from .. import _check
from .._state import compute_dtype, is_float
from .._types import Array, DType, Shape, Tree
from ..engine.program import flatten, is_var, prune

FIX = "Give a layer that is linear in its weights and in its input, or an array [m, n]."


class LinearLayer:
    """A layer with weights, and how it pairs a signal at its input with one at its output.

    Attributes:
        given: The layer, a callable pytree, or its weight ``w`` as an array, which is the
            layer ``x @ w``.
        arrays: The same with its arrays in the dtype that rules compute in.
        is_weight: Whether each array is a weight, which connects two neurons, and not a bias.
        pre: Shape and dtype of one step of input, ``[N, *]``.
        post: Shape and dtype of one step of output.

    Args:
        name: The rule, for errors.
        layer: The layer.
        shape: The shape of one step of input.
        dtype: The dtype that rules compute in, at least float32.

    Raises:
        TypeError: If the layer has no weights, or is not linear in them and in its input.
    """

    def __init__(self, name: str, layer: Tree, shape: Shape, dtype: DType):
        where, dtype = f"`{name}(layer=...)`", compute_dtype([jnp.dtype(dtype)])
        leaves, known = jax.tree.leaves(layer), _is_array(layer) or callable(layer)
        if not known or not leaves or not all(map(is_float, leaves)):
            got = f"an array {layer.dtype}" if _is_array(layer) else _check.kind(layer)
            raise TypeError(f"{where} must be a layer with weights, got {got}. {FIX}")
        self.given = layer
        self.arrays = jax.tree.map(lambda w: w.astype(dtype), layer)
        self.pre = jax.ShapeDtypeStruct(shape, dtype)
        post = jax.eval_shape(lambda x: _call(self.arrays, x), self.pre)
        self.post = jax.ShapeDtypeStruct(post.shape, dtype)
        self.is_weight = self._weights(where)

    def correlate(self, pre: Array, post: Array) -> Tree:
        """The sum of ``pre * post`` over all connections that share a weight, for each weight.

        It is the layer's vector-Jacobian product: for a dense layer the product ``pre.T @ post``,
        for a convolution a sum over positions.
        """
        y, pull = jax.vjp(lambda arrays: _call(arrays, pre), self.arrays)
        return pull(post.astype(y.dtype))[0]

    def _weights(self, where: str) -> Tree:
        """Which arrays are weights, read off the equations of the vector-Jacobian product."""
        leaves, tree = jax.tree.flatten(self.arrays)

        def backward(leaves: list[Array], x: Array):
            y, pull = jax.vjp(lambda ws, x: _call(jax.tree.unflatten(tree, ws), x), leaves, x)
            return pull(jnp.ones_like(y))

        jaxpr, consts, _ = flatten(backward, leaves, self.pre)
        *weights, x = jaxpr.invars[len(consts) :]
        *changes, dx = [_inputs_of(jaxpr, out) for out in jaxpr.outvars]
        if x in dx or any(reads & set(weights) for reads in changes):
            raise TypeError(f"{where} must be linear, got {_check.kind(self.given)}. {FIX}")
        return jax.tree.unflatten(tree, [x in reads for reads in changes])


def _call(layer: Tree, x: Array) -> Array:
    return x @ layer if _is_array(layer) else cast(Callable[[Array], Array], layer)(x)


def _is_array(layer: Tree) -> bool:
    return isinstance(layer, jax.Array | np.ndarray)


def _inputs_of(jaxpr: Jaxpr, out: Var | Literal) -> set[Var]:
    """The inputs of a jaxpr that one of its outputs depends on."""
    eqns = prune(jaxpr.eqns, [out], effects=False)
    read = [out, *(v for e in eqns for v in e.invars)]
    return {v for v in read if is_var(v)} & set(jaxpr.invars)
