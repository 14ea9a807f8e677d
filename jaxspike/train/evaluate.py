"""How good a network is on data."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from .. import debug, losses
from .._types import Array
from ..nn import SpikingModule

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
        key: The random key of ``encode``; None is ``jax.random.key(0)``.

    Returns:
        The means, each batch counted by its number of samples N.

    Raises:
        ValueError: If there is no data.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js, jaxspike.train
        >>> data = [(jnp.ones((8, 4, 3)), jnp.array([0, 0, 1, 2]))]
        >>> js.train.evaluate(js.nn.Sequential(js.IF()), data, js.losses.cross_entropy)
        Score(loss=1.098..., accuracy=0.5, firing_rate=1.0)
    """
    copy = nnx.clone(net)
    copy.eval()
    key = jax.random.key(0) if key is None else key
    total, samples = None, 0
    for i, (x, labels) in enumerate(data(0) if callable(data) else data):
        here = jax.random.fold_in(key, i)
        n, sums = _score(copy, x, labels, here, loss=loss, accuracy=accuracy, encode=encode)
        samples += int(n)
        total = sums if total is None else jax.tree.map(jnp.add, total, sums)
    if total is None:
        raise ValueError("`evaluate(data=...)` must have at least one batch, got none.")
    lost, right, spikes, slots = (float(a) for a in total)
    return Score(lost / samples, right / samples, spikes / slots if slots else 0.0)


def _sums(net, x, labels, key, *, loss, accuracy, encode):
    x_seq = x if encode is None else encode(key, x)
    y, spikes, slots = activity(net, x_seq)
    n = x_seq.shape[1]
    return n, (n * loss(y, labels), n * accuracy(y, labels), spikes, slots)


_score: Any = nnx.jit(_sums, static_argnames=("loss", "accuracy", "encode"))


@nnx.jit
def activity(net, x_seq):
    """The output of a network from rest, its spikes, and how many there could have been.

    A layer whose outputs are not whole numbers is graded, and has no spikes.
    """
    state = net.init_state(x_seq.shape[1:])
    _, y, records = debug.record(net, state, x_seq)
    spikes, slots = jnp.zeros(()), jnp.zeros(())
    for record in records.values():
        out = record["output"].astype(jnp.float32)
        whole = (out == jnp.round(out)).all()
        spikes += jnp.where(whole, (out != 0).sum(dtype=jnp.float32), 0.0)
        slots += jnp.where(whole, float(out.size), 0.0)
    return y, spikes, slots
