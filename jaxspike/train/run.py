"""One training run: its step, its position, and its checkpoints."""

import functools
import itertools
from collections.abc import Iterator, Sized
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from .. import _check
from .._types import Array, Tree
from . import arguments, fingerprint
from .checkpoint import Checkpoints, keep_placement, named, placement, restore, snapshot
from .evaluate import Data, activity
from .fingerprint import Json
from .finite import has_nan, name_layers, not_finite
from .folder import Position
from .results import Epoch, Score


def _update(net, optimizer, state, x_seq, labels, *, loss, accuracy, placement):
    """An update on a sequence, or on a piece of one."""
    state = net.init_state(x_seq.shape[1:]) if state is None else state
    before = named(net, snapshot(net, optimizer))

    def lost(net):
        new, y = net(state, x_seq)
        return arguments.scalar("`fit(loss=...)`", loss(y, labels)), (new, y)

    wanted = nnx.DiffState(0, optimizer.wrt)
    (value, (new, y)), grads = nnx.value_and_grad(lost, argnums=wanted, has_aux=True)(net)
    optimizer.update(net, grads)
    keep_placement(net, optimizer, placement)
    right = arguments.scalar("`fit(accuracy=...)`", accuracy(y, labels))
    wrong = {
        "loss": {"": ~jnp.isfinite(value)},
        "state": {"": has_nan(new)},
        "gradient": not_finite(named(net, {0: nnx.to_pure_dict(grads), 1: {}})),
        "update": not_finite(named(net, snapshot(net, optimizer)), before),
    }
    return new, value, right, wrong, jnp.stack(jax.tree.leaves(wrong)).any()


_step: Any = nnx.jit(_update, static_argnames=("loss", "accuracy", "placement"))


class Run:
    """A training run between two batches: everything that a checkpoint holds."""

    def __init__(self, net, optimizer, loss, accuracy, encode, key, data):
        self.net, self.optimizer = net, optimizer
        options = {"loss": loss, "accuracy": accuracy, "placement": placement(net, optimizer)}
        self.step = functools.partial(_step, net, optimizer, **options)
        self.measures = {"loss": loss, "accuracy": accuracy}
        self.encode, self.key = None if encode is None else jax.jit(encode), key
        self.epoch, self.batch, self.count = 0, 0, 0
        self.sums = [0.0, 0.0, 0.0]  # loss, accuracy and samples of this epoch so far
        self.state: list[Array] | None = None  # the leaves of a state that is carried over
        self.history: list[Epoch] = []
        self.repeatable = callable(data) or isinstance(data, list | tuple)  # the same each time
        self.call: dict[str, Json] = {}  # what a checkpoint says of the call
        self.last_good = self._checkpoint()  # replaced as a whole, after a batch

    def batches(self, batches, bar, truncate, carry) -> Iterator[int]:
        """Train on the remaining batches of the epoch; yields the number done, after each."""
        all_of_them, batches = batches, arguments.pairs("fit", batches)
        done = sum(1 for _ in itertools.islice(batches, self.batch))
        where = f"The number of batches of `fit(data=...)` in epoch {self.epoch}"
        _check.integer(where, done, low=self.batch, of=", those done before the checkpoint")
        for x, labels in batches:
            x_seq = self._x_seq(x, self.count)
            if bar.wants_spikes:
                bar.spikes(float(activity(self.net, x_seq)[1]))
            self._train(x_seq, jnp.asarray(labels), truncate, carry)
            if self.call and self.count == 1:
                self._describe(all_of_them, x, labels)
            self.last_good = self._checkpoint()
            bar.update(self.sums)
            yield self.batch
        arguments.at_least_one_batch("fit", self.batch, self.epoch)

    def _x_seq(self, x, count):
        if self.encode is not None:
            x = self.encode(jax.random.fold_in(self.key, count), x)
        return arguments.sequence("fit", x, self.encode)

    def _describe(self, batches, *first):
        """Note the data in the description of the call."""
        copy = nnx.clone(self.net)
        copy.eval()
        options = {"truncate": self.call["truncate"], "repeatable": self.repeatable}
        found = fingerprint.of_batch(
            copy, first, self._x_seq(first[0], 0), self.measures, **options
        )
        known = {"batches": len(batches)} if isinstance(batches, Sized) else {}
        self.call["data"] = {**known, "first batch": found}

    def _train(self, x_seq, labels, truncate, carry):
        (length, samples), state = x_seq.shape[:2], self._first(x_seq.shape[1:])
        sums, times = list(self.sums), range(0, length, truncate or length)
        for t in times:
            before = snapshot(self.net, self.optimizer)
            now, part = state, x_seq[t : t + (truncate or length)]
            state, value, right, wrong, stop = self.step(now, part, labels)
            if stop:
                restore(self.net, self.optimizer, before)
                self._explain(now, part, float(value), wrong)
            sums[0] += float(value) * samples / len(times)
            sums[1] += float(right) * samples / len(times)
        sums[2] += samples
        self.state = jax.tree.leaves(state) if carry else None
        self.sums, self.batch, self.count = sums, self.batch + 1, self.count + 1

    def _first(self, shape):
        """The state before a batch; None means at rest."""
        if self.state is None:
            return None
        rest = jax.eval_shape(lambda: self.net.init_state(shape))
        leaves, shapes = self.state, [a.shape for a in jax.tree.leaves(rest)]
        if [a.shape for a in leaves] != shapes:
            got = f"another after batch {self.batch}: {shape}. Leave out a smaller last batch"
            raise ValueError(f"`fit(carry_state=True)` must have batches of one shape, got {got}.")
        return jax.tree.unflatten(jax.tree.structure(rest), leaves)

    def _explain(self, state, x_seq, value, wrong):
        where = f"`fit` stopped in epoch {self.epoch}, batch {self.batch}"
        bad = {what: [name for name, is_bad in of.items() if is_bad] for what, of in wrong.items()}
        if bad["loss"]:
            what = f"the loss is {value}"
        elif bad["state"]:
            what = "a state is NaN"
        elif bad["gradient"]:
            what = f"the gradient of {', '.join(bad['gradient'])} is not finite"
        else:
            what = f"the update made {', '.join(bad['update'])} not finite"
        name_layers(f"{where}: {what}", self.net, state, x_seq)
        fix = (
            "Look at what comes after them: divisions, roots and logarithms in the loss, and "
            "labels that are not a class."
            if bad["loss"] or bad["gradient"]
            else "Look at the optimizer, first at its learning rate, and for huge inputs."
        )
        what += ", and everything in the layers of neurons is finite"
        raise FloatingPointError(f"{where}: {what}. {fix}")

    def end_epoch(self, test: Score | None, seconds: float) -> None:
        """End an epoch."""
        loss, accuracy, samples = self.sums
        self.history.append(Epoch(loss / samples, accuracy / samples, test, seconds))
        self.epoch, self.batch, self.sums, self.state = self.epoch + 1, 0, [0.0, 0.0, 0.0], None
        self.last_good = self._checkpoint()

    def _checkpoint(self) -> tuple[Position, Tree, dict[str, Json]]:
        """The position of a checkpoint, its arrays, and everything else."""
        tree = {"training": snapshot(self.net, self.optimizer), "state": self.state or []}
        progress = {"count": self.count, "sums": self.sums, "history": list(self.history)}
        return (self.epoch, self.batch), tree, progress

    def rollback(self) -> None:
        """Return the network to where it was after the last complete batch."""
        restore(self.net, self.optimizer, self.last_good[1]["training"])

    def save(self, saved: Checkpoints) -> None:
        """Write a checkpoint of the last complete batch, whenever an interrupt comes."""
        saved.save(*self.last_good, self.call)

    def resume(
        self, saved: Checkpoints, epochs: int, data: Data, call: Json, *, anyway: bool
    ) -> Data:
        """Continue from the last checkpoint, if there is one; returns the data to go on with."""
        self.call = fingerprint.of_call(self.net, self.optimizer, call)
        found = saved.latest(self.net, self.last_good[1])
        if found is None:
            return data
        (epoch, batch), tree, progress, saved_call = found
        of = f", the epochs in the checkpoint in {saved.folder.path}"
        _check.integer("`fit(epochs=...)`", epochs, low=epoch + bool(batch), of=of)
        batches = data(0) if callable(data) else data
        for first in itertools.islice(arguments.pairs("fit", batches), 1):
            self._describe(batches, *first)
            if isinstance(data, Iterator):
                data = itertools.chain([first], data)
        if not anyway:
            fingerprint.check(saved_call, self.call, saved.folder.path)
        restore(self.net, self.optimizer, tree["training"])
        self.epoch, self.batch, self.count = epoch, batch, progress["count"]
        self.state, self.sums = tree["state"] or None, progress["sums"]
        self.history = [
            Epoch(loss, accuracy, test and Score(*test), seconds)
            for loss, accuracy, test, seconds in progress["history"]
        ]
        self.last_good = self._checkpoint()
        return data
