"""Training."""

import functools
import itertools
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from .. import _check, debug, losses
from .._types import Array, Tree
from ..nn import SpikingModule
from .checkpoint import Checkpoints, arrays, put
from .evaluate import Data, Encode, Measure, Score, activity, evaluate
from .progress import Progress


class Epoch(NamedTuple):
    """One pass over the data.

    Attributes:
        loss: Mean of the training loss over the samples.
        accuracy: Mean of the training accuracy, while it trained.
        test: What the network scored after the epoch; None without test data.
        seconds: What the epoch took, the test included.
    """

    loss: float
    accuracy: float
    test: Score | None
    seconds: float


def fit(
    net: SpikingModule,
    optimizer: nnx.Optimizer[Any],
    loss: Measure,
    data: Data,
    epochs: int,
    *,
    key: Array | None = None,
    encode: Encode | None = None,
    accuracy: Measure = losses.accuracy,
    test: Data | None = None,
    truncate: int | None = None,
    carry_state: bool = False,
    checkpoints: str | Path | None = None,
    save_every: int | None = None,
    progress: bool = True,
) -> list[Epoch]:
    """Train a network in place; the step is compiled once per shape.

    Each batch is ``loss, grads = value_and_grad(loss(net(state, x_seq)[1], labels))`` and
    ``optimizer.update(net, grads)``, from rest, in training mode. A seed gives the same numbers
    twice, and so does a training that was stopped and goes on: whatever is random comes from
    ``key`` and the number of the batch, or from the keys inside the network, which are saved.

    Args:
        net: The network.
        optimizer: ``nnx.Optimizer(net, optax..., wrt=nnx.Param)``; `optax.MultiSteps` accumulates
            gradients, `optax.clip_by_global_norm` clips them.
        loss: ``loss(output, labels)`` of the network's output ``[T, N, *]``, a scalar.
        data: Batches ``(x_seq, labels)`` with x_seq ``[T, N, *]``, to be walked over every epoch;
            or a function of the number of the epoch, from 0, that returns them, such as
            ``lambda epoch: js.data.batches((x, y), 128, seed=0, epoch=epoch)``.
        epochs: How many there will have been at the end, those before a checkpoint included.
        key: The random key of ``encode``; None is ``jax.random.key(0)``.
        encode: If given, the batches are ``(x, labels)`` and ``x_seq = encode(key, x)``,
            compiled: ``lambda key, x: js.encode.poisson(key, x, steps)``.
        accuracy: ``accuracy(output, labels)``, 0 to 1.
        test: Data to evaluate after every epoch; see `evaluate`.
        truncate: Truncated backpropagation: an update every ``truncate`` time steps, the state
            carried on without its gradient. ``loss`` sees as many steps at a time.
        carry_state: Whether the state after a batch is that before the next, for batches that are
            consecutive pieces of N streams; every epoch begins at rest.
        checkpoints: A folder. After every epoch, and on Ctrl-C, the training is saved there; a
            training that finds one there goes on after it. A killed write harms nothing.
        save_every: Save also every so many batches.
        progress: Whether to show a bar with loss, accuracy, spikes per second (of all layers, as
            in the first batch of the epoch) and the time left.

    Returns:
        An `Epoch` for each, those before a checkpoint included.

    Raises:
        FloatingPointError: If the loss or a gradient is not finite: the layer is named, and ``net``
            is as it was before that batch.
        ImportError: Without the packages of ``jaxspike[train]`` that ``checkpoints`` and
            ``progress`` need.
        ValueError: If there is no data, or a number is out of its range.

    Example:
        >>> import jax, jax.numpy as jnp, jaxspike as js, jaxspike.train, optax
        >>> from flax import nnx
        >>> net = js.nn.Sequential(nnx.Linear(4, 3, rngs=nnx.Rngs(0)), js.IF())
        >>> optimizer = nnx.Optimizer(net, optax.adam(0.03), wrt=nnx.Param)
        >>> data = [(jnp.tile(jnp.eye(4)[:3], (8, 1, 1)), jnp.arange(3))]
        >>> history = js.train.fit(
        ...     net, optimizer, js.losses.cross_entropy, data, epochs=40, progress=False
        ... )
        >>> history[-1].accuracy
        1.0
    """
    epochs = _check.integer("`fit(epochs=...)`", epochs, low=0)
    for name, value in (("truncate", truncate), ("save_every", save_every)):
        if value is not None:
            _check.integer(f"`fit({name}=...)`", value, low=1)
    if save_every is not None and checkpoints is None:
        raise ValueError("`fit(save_every=...)` needs `checkpoints`, the folder to save in.")
    key = jax.random.key(0) if key is None else key
    scoring: dict[str, Any] = {"accuracy": accuracy, "encode": encode, "key": key}
    run = _Run(net, optimizer, loss, accuracy, encode, key)
    saved = None if checkpoints is None else Checkpoints(checkpoints)
    net.train()
    try:
        if saved:
            run.resume(saved)
        while run.epoch < epochs:
            batches = data(run.epoch) if callable(data) else data
            with Progress(run.epoch, epochs, batches, show=progress) as bar:
                begin = time.perf_counter()
                for n in run.batches(batches, bar, truncate, carry_state):
                    if saved and save_every and n % save_every == 0:
                        run.save(saved)
                result = None if test is None else evaluate(net, test, loss, **scoring)
                run.finish(result, time.perf_counter() - begin)
                bar.finish(run.history[-1])
            if saved:
                run.save(saved)
    except BaseException as e:
        run.undo()
        if saved and isinstance(e, KeyboardInterrupt):
            run.save(saved)
        raise
    finally:
        if saved:
            saved.close()
    return run.history


def _update(net, optimizer, state, x_seq, labels, *, loss, accuracy):
    """An update on a sequence, or on a piece of one."""
    state = net.init_state(x_seq.shape[1:]) if state is None else state

    def lost(net):
        new, y = net(state, x_seq)
        return loss(y, labels), (new, y)

    wanted = nnx.DiffState(0, optimizer.wrt)
    (value, (new, y)), grads = nnx.value_and_grad(lost, argnums=wanted, has_aux=True)(net)
    optimizer.update(net, grads)
    finite = [jnp.isfinite(a).all() for a in (value, *jax.tree.leaves(grads))]
    membranes = [a for a in jax.tree.leaves(new) if jnp.issubdtype(a.dtype, jnp.floating)]
    finite += [~jnp.isnan(a).any() for a in membranes]
    return new, value, accuracy(y, labels), jnp.stack(finite).all()


_step: Any = nnx.jit(_update, static_argnames=("loss", "accuracy"))


class _Run:
    """A training between two batches: everything that a checkpoint holds."""

    def __init__(self, net, optimizer, loss, accuracy, encode, key):
        self.net, self.optimizer = net, optimizer
        self.step = functools.partial(_step, net, optimizer, loss=loss, accuracy=accuracy)
        self.encode, self.key = None if encode is None else jax.jit(encode), key
        self.epoch, self.batch, self.count = 0, 0, 0
        self.sums = [0.0, 0.0, 0.0]  # loss, accuracy and samples of the epoch so far
        self.state: list[Array] | None = None  # the leaves of the state that is carried on
        self.history: list[Epoch] = []
        self.whole = self._snapshot()  # replaced at once, after a batch

    def batches(self, batches, bar, truncate, carry) -> Iterator[int]:
        """Train on the batches of the epoch that are left; how many were done, after each."""
        for x, labels in itertools.islice(batches, self.batch, None):
            key = jax.random.fold_in(self.key, self.count)
            x_seq = jnp.asarray(x) if self.encode is None else self.encode(key, x)
            if bar.wants_spikes:
                copy = nnx.clone(self.net)
                copy.eval()
                bar.spikes(float(activity(copy, x_seq)[1]))
            self._train(x_seq, jnp.asarray(labels), truncate, carry)
            self.whole = self._snapshot()
            bar.update(self.sums)
            yield self.batch
        if not self.batch:
            raise ValueError(f"`fit(data=...)` must have a batch in epoch {self.epoch}, got none.")

    def _train(self, x_seq, labels, truncate, carry):
        (length, samples), state = x_seq.shape[:2], self._first(x_seq.shape[1:])
        sums, times = list(self.sums), range(0, length, truncate or length)
        for t in times:
            before = arrays(self.net, self.optimizer)
            now, part = state, x_seq[t : t + (truncate or length)]
            state, value, right, finite = self.step(now, part, labels)
            if not finite:
                put(self.net, self.optimizer, before)
                self._explain(now, part, float(value))
            sums[0] += float(value) * samples / len(times)
            sums[1] += float(right) * samples / len(times)
        sums[2] += samples
        self.state = jax.tree.leaves(state) if carry else None
        self.sums, self.batch, self.count = sums, self.batch + 1, self.count + 1

    def _first(self, shape):
        """The state before a batch; None is rest."""
        if self.state is None:
            return None
        rest = jax.eval_shape(lambda: self.net.init_state(shape))
        leaves, shapes = self.state, [a.shape for a in jax.tree.leaves(rest)]
        if [a.shape for a in leaves] != shapes:
            raise ValueError(
                "`fit(carry_state=True)` must have batches of one shape, got another after "
                f"batch {self.batch}: {shape}. Leave out a last one that is smaller."
            )
        return jax.tree.unflatten(jax.tree.structure(rest), leaves)

    def _explain(self, state, x_seq, value):
        where = f"`fit` stopped in epoch {self.epoch}, batch {self.batch}"
        what = (
            "a gradient or a state is not finite"
            if math.isfinite(value)
            else f"the loss is {value}"
        )
        try:
            state = self.net.init_state(x_seq.shape[1:]) if state is None else state
            debug.check_finite(self.net, state, x_seq)
        except FloatingPointError as e:
            raise FloatingPointError(f"{where}: {what}.\n{e}") from None
        raise FloatingPointError(
            f"{where}: {what}, and everything in the layers of neurons is finite. Look at what "
            "comes after them, and at what the loss divides by or takes a root or logarithm of."
        )

    def finish(self, test: Score | None, seconds: float) -> None:
        """End an epoch."""
        loss, accuracy, samples = self.sums
        self.history.append(Epoch(loss / samples, accuracy / samples, test, seconds))
        self.epoch, self.batch, self.sums, self.state = self.epoch + 1, 0, [0.0, 0.0, 0.0], None
        self.whole = self._snapshot()

    def _snapshot(self) -> tuple[int, Tree, dict[str, Any]]:
        """The number, the arrays and the rest of a checkpoint."""
        tree = {"training": arrays(self.net, self.optimizer), "state": self.state or []}
        position, history = [self.epoch, self.batch, self.count], list(self.history)
        progress = {"position": position, "sums": self.sums, "history": history}
        return self.epoch * 10**9 + self.batch, tree, progress

    def undo(self) -> None:
        """Give the network what it had after the last whole batch."""
        put(self.net, self.optimizer, self.whole[1]["training"])

    def save(self, saved: Checkpoints) -> None:
        """Write a checkpoint of the last whole batch; an interrupt comes between any two lines."""
        saved.save(*self.whole)

    def resume(self, saved: Checkpoints) -> None:
        """Go on after the last checkpoint, if there is one."""
        found = saved.latest({"training": arrays(self.net, self.optimizer)})
        if found is None:
            return
        tree, progress = found
        put(self.net, self.optimizer, tree["training"])
        self.epoch, self.batch, self.count = progress["position"]
        self.state, self.sums = tree["state"] or None, progress["sums"]
        self.history = [
            Epoch(loss, accuracy, test and Score(*test), seconds)
            for loss, accuracy, test, seconds in progress["history"]
        ]
        self.whole = self._snapshot()
