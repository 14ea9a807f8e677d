"""`align` and `direct`: errors that propagate back through fixed random weights."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax

from .. import _check
from .._types import Array, DType, Shape, Tree
from .linear_layer import LinearLayer

Initializer = Callable[[Array, Shape, DType], Array]
KEEPS_SIZE: Initializer = jax.nn.initializers.variance_scaling(1.0, "fan_out", "normal")


class Feedback(nnx.Variable[Array]):
    """A fixed weight that errors propagate through: not an `nnx.Param`, and without a gradient."""


class Aligned(nnx.Module):
    """A linear layer with other weights for the errors, made by `align` from a Flax layer.

    Attributes:
        layer: The layer itself.
        feedback: The same layer with the fixed weights, as `Feedback`.
    """

    def __init__(self, layer: nnx.Module, feedback: nnx.Module):
        self.layer, self.feedback = layer, feedback

    def __call__(self, x: Array) -> Array:
        return _aligned(self.layer, self.feedback, x)


def align(
    layer: Any,
    feedback: Any,
    *,
    initializer: Initializer = KEEPS_SIZE,
) -> Callable[[Array], Array]:
    r"""A linear layer whose errors propagate through other, fixed weights: feedback alignment.

    Its output is that of the layer. The gradient of its weights is theirs too, but the one that it
    hands to its input ``x`` comes through the feedback weights ``B``:

    ``y = layer(stop_gradient(x)) + B (x - stop_gradient(x))``

    It is an edit of the network, so it goes with any gradient: backpropagation through time, and
    every credit of `cut` and `online`. A readout with random feedback and credit ``"local"`` is
    random e-prop. ``aligned.layer`` is the layer without the edit.

    Args:
        layer: A Flax layer that is linear in its weights and in its input, such as
            `flax.nnx.Linear` or `flax.nnx.Conv`; or an array ``w [m, n]``, for ``x @ w``.
        feedback: ``jax.random.key(seed)``, to draw the weights; or a layer or array like ``layer``
            that has them.
        initializer: How to draw them, ``(key, shape, dtype) -> array``, as those of
            `jax.nn.initializers`. The default keeps the size of an error in a layer of any width;
            e-prop has ``jax.nn.initializers.normal(1.0)``.

    Returns:
        A function from ``x`` to ``y``; of a Flax layer a Flax layer, whose fixed weights are
        variables of the kind `Feedback` and not `flax.nnx.Param`.

    Raises:
        TypeError: If ``layer`` is neither, or ``feedback`` is neither a key nor like it; at the
            first call, if the layer is not linear.
        ValueError: If the weights of ``feedback`` have other shapes.

    Example:
        >>> import jax, jax.numpy as jnp, jaxspike as js
        >>> from flax import nnx
        >>> readout = js.learning.align(nnx.Linear(4, 2, rngs=nnx.Rngs(0)), jax.random.key(0))
        >>> net = js.nn.Sequential(nnx.Linear(3, 4, rngs=nnx.Rngs(1)), js.LIF(), readout, js.LI())
        >>> readout(jnp.ones((1, 4))).shape
        (1, 2)

    Source: Lillicrap, Cownden, Tweed, Akerman, "Random synaptic feedback weights support error
    backpropagation for deep learning", 2016; Bellec et al., 2020, for e-prop.
    """
    _check.function("`align(initializer=...)`", initializer, of="(key, shape, dtype)")
    if not isinstance(layer, nnx.Module):
        known = isinstance(layer, jax.Array) and layer.ndim == 2
        if not known:
            got = f"an array {layer.shape}" if hasattr(layer, "shape") else _check.kind(layer)
            raise TypeError(
                f"`align(layer=...)` must be a layer of Flax or an array [m, n], got {got}."
            )
    if _is_key(feedback):
        feedback = _drawn(layer, feedback, initializer)
    _check_alike(layer, feedback)
    if isinstance(layer, nnx.Module):
        return Aligned(layer, _fixed(feedback))
    return lambda x: _aligned(layer, feedback, x)


def direct(y: Array, hidden: Sequence[Array], feedback: Sequence[Array]) -> Array:
    r"""The output ``y``, whose error goes straight to hidden layers: direct feedback alignment.

    ``y + sum_l (z_l - stop_gradient(z_l)) B_l``: the value of ``y``, with a gradient that reaches
    the spikes ``z_l`` of each hidden layer through its own fixed weights. The layers themselves
    read ``jax.lax.stop_gradient(z_l)``, so that no error comes through the layers above.

    Args:
        y: The output, or the current of the readout, ``[N, n]`` or ``[T, N, n]``.
        hidden: The spikes of the hidden layers, ``[N, *]`` or ``[T, N, *]``.
        feedback: Fixed weights for each, ``[*, n]``, such as ``jax.random.normal(key, (m, n))``.

    Raises:
        ValueError: If there are not as many weights as hidden layers, or a shape does not fit.

    Example:
        >>> import jax, jax.numpy as jnp, jaxspike as js
        >>> stop, lif = jax.lax.stop_gradient, js.LIF()
        >>> b = jax.random.normal(jax.random.key(0), (4, 2))
        >>> def step(params, state, x):
        ...     h, z = lif(state, x @ params["w"])
        ...     y = js.learning.direct(stop(z) @ params["out"], [z], [b])
        ...     return h, y.mean()

    Source: Nokland, "Direct feedback alignment provides learning in deep neural networks", 2016.
    """
    if len(hidden) != len(feedback):
        raise ValueError(
            "`direct(feedback=...)` must have weights for each hidden layer, got "
            f"{len(feedback)} for {len(hidden)}."
        )
    for i, (z, b) in enumerate(zip(hidden, feedback, strict=True)):
        batch, features = y.shape[:-1], z.shape[y.ndim - 1 :]
        _check.axes(f"`direct(hidden[{i}]=...)`", z, *batch, "...", fix="Give it as `y` has it.")
        _check.axes(f"`direct(feedback[{i}]=...)`", b, *features, y.shape[-1])
        error = z - lax.stop_gradient(z)
        y = y + jnp.tensordot(
            error.astype(y.dtype), lax.stop_gradient(b).astype(y.dtype), b.ndim - 1
        )
    return y


def _aligned(layer: Any, feedback: Any, x: Array) -> Array:
    linear = LinearLayer("align", feedback, x.shape, x.dtype)
    still = lax.stop_gradient(x)
    back = jax.tree.map(
        lambda b, is_weight: lax.stop_gradient(b) if is_weight else jnp.zeros_like(b),
        feedback,
        linear.is_weight,
    )
    y, error = _call(layer, still), _call(back, x - still)
    return y + error.astype(y.dtype)


def _call(layer: Any, x: Array) -> Array:
    return x @ layer if isinstance(layer, jax.Array) else layer(x)


def _is_key(value: object) -> bool:
    dtype = getattr(value, "dtype", None)
    return dtype is not None and jnp.issubdtype(dtype, jax.dtypes.prng_key)


def _drawn(layer: Any, key: Array, initializer: Initializer) -> Tree:
    """The layer with weights from an initializer, and zeros for its biases."""
    _check.key("`align(feedback=...)`", key)
    leaves, tree = jax.tree.flatten(layer)
    keys = jax.random.split(key, len(leaves))
    drawn = [
        initializer(k, a.shape, a.dtype) if a.ndim > 1 else jnp.zeros_like(a)
        for k, a in zip(keys, leaves, strict=True)
    ]
    return jax.tree.unflatten(tree, drawn)


def _check_alike(layer: Any, feedback: Any) -> None:
    where, what = "`align(feedback=...)`", _check.kind(layer)
    if isinstance(layer, nnx.Module):
        same = type(layer) is type(feedback)
    else:
        same = isinstance(feedback, jax.Array)
    if not same:
        raise TypeError(
            f"{where} must be a random key or {what}, got {_check.kind(feedback)}. "
            "Give `jax.random.key(seed)`."
        )
    shapes, given = ([w.shape for w in jax.tree.leaves(t)] for t in (layer, feedback))
    if shapes != given:
        raise ValueError(f"{where} must have weights of the shapes {shapes}, got {given}.")


def _fixed(layer: nnx.Module) -> nnx.Module:
    """A copy whose variables are `Feedback`."""
    copy = nnx.clone(layer)
    for _, module in list(nnx.iter_modules(copy)):
        for name, value in list(vars(module).items()):
            if isinstance(value, nnx.Variable):
                setattr(module, name, Feedback(value[...]))
    return copy
