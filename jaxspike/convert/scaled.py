"""Spikes beside their threshold: a product multiplies its weights by it and reads spikes."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.extend.core import JaxprEqn

from .._types import Array
from ..engine.program import Atom, is_var, type_of, value

Evaluate = Callable[[JaxprEqn, list[Array]], Sequence[Array]]


class Scaled(NamedTuple):
    """The array ``spikes * scale``, not multiplied yet.

    Attributes:
        spikes: ``[N, *]``.
        scale: An array of as many axes, of size 1 where the scale is the same.
    """

    spikes: Array
    scale: Array


def scaled(spikes: Array, scale: Array) -> Scaled:
    """Spikes times what broadcasts against them."""
    return Scaled(spikes, scale.reshape(*[1] * (spikes.ndim - scale.ndim), *scale.shape))


def plain(x: Array | Scaled) -> Array:
    """The array, multiplied."""
    return x.spikes * x.scale if isinstance(x, Scaled) else x


def apply(
    eqn: JaxprEqn, inputs: list[Array | Scaled], evaluate: Evaluate
) -> Sequence[Array | Scaled]:
    """Evaluate an equation, some inputs of which are `Scaled`, on spikes if it can be.

    Args:
        eqn: An equation.
        inputs: Its inputs.
        evaluate: ``evaluate(eqn, inputs)`` are the outputs for arrays.
    """
    at = [i for i, v in enumerate(inputs) if isinstance(v, Scaled)]
    if len(at) == 1:
        (i,) = at
        spikes, scale = inputs[i]
        name = eqn.primitive.name
        if name in ("dot_general", "conv_general_dilated"):
            other = inputs[1 - i]
            assert not isinstance(other, Scaled)
            weights = _weights(eqn, i, scale, other)
            if weights is not None:
                return evaluate(eqn, [spikes, weights] if i == 0 else [weights, spikes])
        elif name == "mul" and (factor := number(eqn.invars[1 - i])) is not None:
            return [Scaled(spikes, scale * factor)]
        elif name == "div" and i == 0 and (factor := number(eqn.invars[1])) is not None:
            return [Scaled(spikes, scale / factor)]
        elif (moved := _moved(eqn, spikes.shape, scale)) is not None:
            return [Scaled(z, moved) for z in evaluate(eqn, [spikes])]
    return evaluate(eqn, [plain(v) for v in inputs])


def _weights(eqn: JaxprEqn, i: int, scale: Array, weights: Array) -> Array | None:
    """The weights of a product times the scale, if that varies only where the product sums."""
    wide = [axis for axis, n in enumerate(scale.shape) if n > 1]
    numbers = eqn.params["dimension_numbers"]
    if eqn.primitive.name == "conv_general_dilated":
        groups = eqn.params["feature_group_count"] * eqn.params["batch_group_count"]
        pairs = {numbers.lhs_spec[1]: numbers.rhs_spec[1]} if i == 0 and groups == 1 else {}
    else:
        pairs = dict(zip(numbers[0][i], numbers[0][1 - i], strict=True))
    if any(axis not in pairs for axis in wide):
        return None
    wide.sort(key=pairs.__getitem__)
    shape = [1] * weights.ndim
    for axis in wide:
        shape[pairs[axis]] = scale.shape[axis]
    rest = [axis for axis in range(scale.ndim) if axis not in wide]
    return weights * jnp.transpose(scale, [*wide, *rest]).reshape(shape)


def _moved(eqn: JaxprEqn, shape: tuple[int, ...], scale: Array) -> Array | None:
    """The scale of the output of an equation that moves entries or adds them up."""
    name, out = eqn.primitive.name, type_of(eqn.outvars[0]).shape
    if name not in ("reshape", "reduce_window_sum", "reduce_sum", "transpose", "squeeze"):
        return None
    if scale.size == 1:
        return scale.reshape([1] * len(out))
    if name == "reduce_window_sum":
        window = zip(eqn.params["window_dimensions"], scale.shape, out, strict=True)
        return scale if all(n in (1, m) and (n == 1 or w == 1) for w, n, m in window) else None
    if name == "reduce_sum" and all(scale.shape[axis] == 1 for axis in eqn.params["axes"]):
        return jnp.squeeze(scale, eqn.params["axes"])
    if name == "reshape" and out[0] == shape[0] and scale.shape[0] == 1:
        return jnp.broadcast_to(scale, (1, *shape[1:])).reshape(1, *out[1:])
    return None


def number(atom: Atom) -> float | None:
    """The number that a literal is."""
    if is_var(atom):
        return None
    literal = value({}, atom)
    return float(literal) if np.ndim(literal) == 0 else None
