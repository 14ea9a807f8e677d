"""The network, how to train it and how to test it: the file to copy from."""

import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

import jaxspike as js

from .data import Array, Data


def network(pixels: int, hidden: int, *, rngs: nnx.Rngs) -> js.nn.Sequential:
    """Integrate-and-fire neurons, with the sigmoid surrogate; an output neuron for each digit."""
    return js.nn.Sequential(
        nnx.Linear(pixels, hidden, rngs=rngs),
        js.IF(),
        nnx.Linear(hidden, 10, rngs=rngs),
        js.IF(),
    )


def constant_current(images: Array | jax.Array, steps: int) -> jax.Array:
    """The pixels of ``[N, H, W]`` as an input current that lasts: ``[T, N, H * W]``."""
    return jnp.broadcast_to(images.reshape(len(images), -1), (steps, len(images), images[0].size))


def run(net: js.nn.SpikingModule, x_seq: jax.Array) -> jax.Array:
    """The spikes of ``net`` from rest, for a whole sequence: time and batch come first."""
    _, spikes = net(net.init_state(x_seq.shape[1:]), x_seq)
    return spikes


@nnx.jit
def train_step(net, optimizer, x_seq, labels):
    """One step of gradient descent; the spike counts are the logits."""

    def loss_of(net):
        counts = run(net, x_seq).sum(axis=0)
        return optax.softmax_cross_entropy_with_integer_labels(counts, labels).mean()

    loss, grads = nnx.value_and_grad(loss_of)(net)
    optimizer.update(net, grads)
    return loss


@nnx.jit
def activity(net, x_seq):
    """The spikes of the hidden and of the output layer, ``[T, N, hidden]`` and ``[T, N, 10]``."""
    first, second = js.nn.Sequential(*net.layers[:2]), js.nn.Sequential(*net.layers[2:])
    hidden = run(first, x_seq)
    return hidden, run(second, hidden)


class Score(NamedTuple):
    """Part of the digits read rightly, and spikes per neuron and time step in each layer."""

    accuracy: float
    hidden_rate: float
    output_rate: float


def evaluate(net, images: Array, labels: Array, *, steps: int, batch: int) -> Score:
    """Read every image, the last and smaller batch included."""
    right, hidden_rate, output_rate = 0, 0.0, 0.0
    for i in range(0, len(images), batch):
        x_seq, y = constant_current(images[i : i + batch], steps), labels[i : i + batch]
        hidden, output = activity(net, x_seq)
        right += int((output.sum(axis=0).argmax(axis=-1) == y).sum())
        hidden_rate += float(hidden.mean()) * len(y) / len(images)
        output_rate += float(output.mean()) * len(y) / len(images)
    return Score(right / len(images), hidden_rate, output_rate)


class Epoch(NamedTuple):
    """The mean training loss of an epoch, the score after it, and the seconds both took."""

    loss: float
    score: Score
    seconds: float


def train(
    net: js.nn.Sequential,
    data: Data,
    *,
    epochs: int,
    steps: int,
    batch: int,
    lr: float,
    seed: int,
    after_batch: Callable[[], object] = lambda: None,
) -> Iterator[Epoch]:
    """Train ``net`` in place, with Adam, its rate falling to zero as a cosine; yield each epoch."""
    batches = len(data.x_train) // batch
    schedule = optax.cosine_decay_schedule(lr, epochs * batches)
    optimizer = nnx.Optimizer(net, optax.adam(schedule), wrt=nnx.Param)
    rng = np.random.default_rng(seed)
    for _ in range(epochs):
        start, losses = time.perf_counter(), []
        # what is left over is too small for a batch; it is another part in every epoch
        for rows in rng.permutation(len(data.x_train))[: batches * batch].reshape(batches, batch):
            x_seq = constant_current(data.x_train[rows], steps)
            # float waits for the step, so that what goes wrong in it is heard of here
            losses.append(float(train_step(net, optimizer, x_seq, data.y_train[rows])))
            after_batch()
        score = evaluate(net, data.x_test, data.y_test, steps=steps, batch=batch)
        yield Epoch(float(np.mean(losses)), score, time.perf_counter() - start)
