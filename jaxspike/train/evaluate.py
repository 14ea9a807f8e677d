"""Scoring a network on data."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import ArrayLike

from .. import debug, losses
from .._types import Array
from ..nn import SpikingModule
from . import arguments
from .finite import has_nan, name_layers
from .results import Score

Batches = Iterable[Sequence[ArrayLike]]
Data = Batches | Callable[[int], Batches]
Encode = Callable[[Array, Array], Array]
Measure = Callable[[Array, Array], Array]


def evaluate(
    net: SpikingModule,
    data: Data,
    loss: Measure,
    *,
    accuracy: Measure = losses.accuracy,
    encode: Encode | None = None,
    key: Array | None = None,
) -> Score:
    """Score a network in evaluation mode, without changing it.

    Args:
        net: The network.
        data: Batches ``(x_seq, labels)``, with x_seq ``[T, N, *]``; or a function of the
            epoch, here 0, that returns them. The last batch may be smaller.
        loss: ``loss(output, labels)`` of the network's output ``[T, N, *]``, a scalar.
        accuracy: ``accuracy(output, labels)``, 0 to 1.
        encode: If given, the batches are ``(x, labels)`` and ``x_seq = encode(key, x)``.
        key: ``jax.random.key(seed)``, needed if ``encode`` is given, which gets a new key for each
            batch.

    Returns:
        The means, each batch weighted by its number of samples N.

    Raises:
        FloatingPointError: If a state is NaN, which spikes and the loss would hide; the error
            names the layer.
        TypeError: If an argument or a batch is of the wrong kind, or ``key`` is missing.
        ValueError: If there is no data, or a shape does not fit.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js, jaxspike.train
        >>> data = [(jnp.ones((8, 4, 3)), jnp.array([0, 0, 1, 2]))]
        >>> js.train.evaluate(js.nn.Sequential(js.IF()), data, js.losses.cross_entropy)
        Score(loss=1.098..., accuracy=0.5, firing_rate=1.0)
    """
    arguments.check("evaluate", net, encode, key, loss=loss, accuracy=accuracy)
    copy = nnx.clone(net)
    copy.eval()
    total, samples = None, 0
    batches = arguments.pairs("evaluate", data(0) if callable(data) else data)
    for i, (x, labels) in enumerate(batches):
        here = None if key is None else jax.random.fold_in(key, i)
        n, sums, known = _score(copy, x, labels, here, loss=loss, accuracy=accuracy, encode=encode)
        if not known:
            x_seq = jnp.asarray(x if encode is None or here is None else encode(here, x))
            stopped = f"`evaluate` stopped at batch {i}: a state is NaN"
            name_layers(stopped, copy, None, x_seq)
            raise FloatingPointError(f"{stopped}, in a layer that is not a neuron.")
        samples += int(n)
        total = sums if total is None else jax.tree.map(jnp.add, total, sums)
    arguments.at_least_one_batch("evaluate", samples)
    lost, right, spikes, slots = map(float, jax.tree.leaves(total))
    return Score(lost / samples, right / samples, spikes / slots if slots else 0.0)


def _sums(net, x, labels, key, *, loss, accuracy, encode):
    x_seq = arguments.sequence("evaluate", x if encode is None else encode(key, x), encode)
    y, spikes, slots, known = activity(net, x_seq)
    n, lost = x_seq.shape[1], arguments.scalar("`evaluate(loss=...)`", loss(y, labels))
    right = arguments.scalar("`evaluate(accuracy=...)`", accuracy(y, labels))
    return n, (n * lost, n * right, spikes, slots), known


_score: Any = nnx.jit(_sums, static_argnames=("loss", "accuracy", "encode"))


@nnx.jit
def activity(net, x_seq):
    """The output of a network from rest, its spikes, their greatest number, and if it has no NaN.

    A layer whose outputs are not integers is graded and has no spikes.
    """
    state, y, records = debug.record(net, net.init_state(x_seq.shape[1:]), x_seq)
    spikes, slots = jnp.zeros(()), jnp.zeros(())
    for record in records.values():
        out = record["output"].astype(jnp.float32)
        whole = (out == jnp.round(out)).all()
        spikes += jnp.where(whole, (out != 0).sum(dtype=jnp.float32), 0.0)
        slots += jnp.where(whole, float(out.size), 0.0)
    return y, spikes, slots, ~has_nan(state)
