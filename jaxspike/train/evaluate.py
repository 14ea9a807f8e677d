"""Scoring a network on data."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from .. import debug, losses
from .._types import Array, Tree
from ..nn import Spiking, SpikingModule
from . import arguments
from .finite import has_nan, name_layers
from .measures import Measure, Measures, means, measures
from .results import Score

Batches = Iterable[Sequence[Tree]]
Data = Batches | Callable[[int], Batches]
Encode = Callable[[Array, Array], Array]


def evaluate(
    net: SpikingModule,
    data: Data,
    loss: Measure,
    *,
    accuracy: Measure | None = losses.accuracy,
    metrics: Mapping[str, Measure] | None = None,
    encode: Encode | None = None,
    key: Array | None = None,
) -> Score:
    """Score a network in evaluation mode, without changing it.

    Args:
        net: The network.
        data: Batches ``(x_seq, labels)``, with x_seq ``[T, N, *]`` and labels of any structure; or
            a function of the epoch, here 0, that returns them. The last batch may be smaller.
        loss: ``loss(output, labels)`` of the network's output ``[T, N, *]``, a scalar.
        accuracy: ``accuracy(output, labels)``, 0 to 1; None to leave it out, as in regression.
        metrics: More such functions by name, each a scalar.
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
        Score(loss=1.098..., accuracy=0.5, firing_rate=1.0, metrics={})
    """
    arguments.check("evaluate", net, encode, key)
    of = measures("evaluate", loss, accuracy, metrics)
    copy = nnx.clone(net)
    copy.eval()
    total: Any = None
    samples = 0
    batches = arguments.pairs("evaluate", data(0) if callable(data) else data)
    for i, (x, labels) in enumerate(batches):
        here = None if key is None else jax.random.fold_in(key, i)
        n, sums, known = _score(copy, x, labels, here, of=of, encode=encode)
        if not known:
            x_seq = jnp.asarray(x if encode is None or here is None else encode(here, x))
            stopped = f"`evaluate` stopped at batch {i}: a state is NaN"
            name_layers(stopped, copy, None, x_seq)
            raise FloatingPointError(f"{stopped}, in a layer that is not a neuron.")
        samples += int(n)
        total = sums if total is None else jax.tree.map(jnp.add, total, sums)
    arguments.at_least_one_batch("evaluate", samples)
    total = {name: float(value) for name, value in total.items()}
    spikes, slots = total.pop("spikes"), total.pop("slots")
    mean = means({**total, "samples": samples})
    rate = spikes / slots if slots else 0.0
    return Score(mean.pop("loss"), mean.pop("accuracy", None), rate, mean)


def _sums(net, x, labels, key, *, of: Measures, encode):
    x_seq = arguments.sequence("evaluate", x if encode is None else encode(key, x), encode)
    y, spikes, slots, known, _ = activity(net, x_seq)
    found = {"loss": of.value("loss", of.loss, y, labels), **of.of(y, labels)}
    sums = {name: x_seq.shape[1] * value for name, value in found.items()}
    return x_seq.shape[1], {**sums, "spikes": spikes, "slots": slots}, known


_score: Any = nnx.jit(_sums, static_argnames=("of", "encode"))


@nnx.jit
def activity(net, x_seq):
    """Run a network from rest: its output, and what its neurons did.

    Returns the output, the number of spikes, the number of opportunities to spike, whether the
    final state is free of NaN, and the firing rate of each layer. A layer whose outputs are not
    integers is graded and has no spikes; its rate is NaN.
    """
    state = net.init_state(x_seq.shape[1:])
    records: dict[str, Any] = {}
    if any(isinstance(layer, Spiking) for _, layer in nnx.iter_modules(net)):
        state, y, records = debug.record(net, state, x_seq)
    else:
        state, y = net(state, x_seq)
    spikes, slots, rates = jnp.zeros(()), jnp.zeros(()), {}
    for name, record in records.items():
        out = record["output"].astype(jnp.float32)
        whole = (out == jnp.round(out)).all()
        spikes += jnp.where(whole, (out != 0).sum(dtype=jnp.float32), 0.0)
        slots += jnp.where(whole, float(out.size), 0.0)
        rates[name] = jnp.where(whole, (out != 0).mean(), jnp.nan)
    return y, spikes, slots, ~has_nan(state), rates
