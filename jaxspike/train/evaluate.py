"""How good a network is on data."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from .. import debug, losses
from .._types import Array, Tree
from ..nn import SpikingModule
from . import checks

Data = Iterable[tuple[Any, Any]] | Callable[[int], Iterable[tuple[Any, Any]]]
Encode = Callable[[Array, Any], Array]
Measure = Callable[[Any, Any], Array]


class Score(NamedTuple):
    """Means over samples.

    Attributes:
        loss: The loss.
        accuracy: What ``accuracy`` measured, 0 to 1.
        firing_rate: Spikes per neuron and time step, over all layers that fire.
    """

    loss: float
    accuracy: float
    firing_rate: float


def evaluate(
    net: SpikingModule,
    data: Data,
    loss: Measure,
    *,
    accuracy: Measure = losses.accuracy,
    encode: Encode | None = None,
    key: Array | None = None,
) -> Score:
    """Score a network in evaluation mode; ``net`` stays as it is.

    Args:
        net: The network.
        data: Batches ``(x_seq, labels)``, with x_seq ``[T, N, *]``; or a function of the number of
            the epoch, here 0, that returns them. The last may be smaller.
        loss: ``loss(output, labels)`` of the network's output ``[T, N, *]``, a scalar.
        accuracy: The same, 0 to 1.
        encode: If given, the batches are ``(x, labels)`` and ``x_seq = encode(key, x)``.
        key: ``jax.random.key(seed)``, needed if ``encode`` draws from it: it is given one key for
            each batch.

    Returns:
        The means, each batch counted by its number of samples N.

    Raises:
        FloatingPointError: If a state is NaN, which spikes and the loss would hide; the layer is
            named.
        TypeError: If an argument or a batch is not of the kind it should be.
        ValueError: If there is no data, a shape does not fit, or ``key`` is missing.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js, jaxspike.train
        >>> data = [(jnp.ones((8, 4, 3)), jnp.array([0, 0, 1, 2]))]
        >>> js.train.evaluate(js.nn.Sequential(js.IF()), data, js.losses.cross_entropy)
        Score(loss=1.098..., accuracy=0.5, firing_rate=1.0)
    """
    checks.arguments("evaluate", net, encode, key, loss=loss, accuracy=accuracy)
    copy = nnx.clone(net)
    copy.eval()
    total, samples = None, 0
    for i, (x, labels) in enumerate(checks.pairs("evaluate", data(0) if callable(data) else data)):
        key = checks.encoder_key("evaluate", encode, key, x)
        here = jax.random.fold_in(key, i)
        n, sums, known = _score(copy, x, labels, here, loss=loss, accuracy=accuracy, encode=encode)
        if not known:
            x_seq = jnp.asarray(x) if encode is None else encode(here, x)
            stopped = f"`evaluate` stopped at batch {i}: a state is NaN"
            checks.layers(stopped, copy, None, x_seq)
            raise FloatingPointError(f"{stopped}, in a layer that is no neuron.")
        samples += int(n)
        total = sums if total is None else jax.tree.map(jnp.add, total, sums)
    if total is None:
        raise ValueError(
            "`evaluate(data=...)` must have at least one batch, got none. An iterator has them "
            "once: give a list, or a function of the epoch."
        )
    lost, right, spikes, slots = (float(a) for a in total)
    return Score(lost / samples, right / samples, spikes / slots if slots else 0.0)


def _sums(net, x, labels, key, *, loss, accuracy, encode):
    x_seq = checks.sequence("evaluate", x if encode is None else encode(key, x), encode)
    y, spikes, slots, known = activity(net, x_seq)
    n, lost = x_seq.shape[1], checks.scalar("`evaluate(loss=...)`", loss(y, labels))
    right = checks.scalar("`evaluate(accuracy=...)`", accuracy(y, labels))
    return n, (n * lost, n * right, spikes, slots), known


_score: Any = nnx.jit(_sums, static_argnames=("loss", "accuracy", "encode"))


@nnx.jit
def activity(net, x_seq):
    """The output of a network from rest, its spikes, how many there could have been, and no NaN.

    A layer whose outputs are not whole numbers is graded, and has no spikes.
    """
    state, y, records = debug.record(net, net.init_state(x_seq.shape[1:]), x_seq)
    spikes, slots = jnp.zeros(()), jnp.zeros(())
    for record in records.values():
        out = record["output"].astype(jnp.float32)
        whole = (out == jnp.round(out)).all()
        spikes += jnp.where(whole, (out != 0).sum(dtype=jnp.float32), 0.0)
        slots += jnp.where(whole, float(out.size), 0.0)
    return y, spikes, slots, ~has_nan(state)


def has_nan(state: Tree) -> Array:
    """Whether a state is NaN anywhere; infinite it may be, such as the time since a spike."""
    leaves = [a for a in jax.tree.leaves(state) if jnp.issubdtype(a.dtype, jnp.floating)]
    return jnp.array([jnp.isnan(a).any() for a in leaves]).any()
