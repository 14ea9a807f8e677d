"""One training run: its step, its position, and its checkpoints."""

import functools
import itertools
from collections.abc import Iterator, Sized

import jax
from flax import nnx

from .. import _check, debug
from .._types import Array, Tree
from ..learning import OnlineState
from . import arguments, fingerprint, update
from .checkpoint import Checkpoints, placement, restore, snapshot
from .evaluate import Data, activity
from .fingerprint import Json
from .finite import name_layers
from .firing import FiringWarnings
from .folder import Position
from .measures import Measures, means
from .results import Epoch, Score


def _arrays(net) -> Tree:
    return nnx.to_pure_dict(nnx.state(net))


class Run:
    """A training run between two batches: everything that a checkpoint holds."""

    def __init__(self, net, optimizer, of: Measures, encode, key, data, keep_best, learning):
        self.net, self.optimizer, self.learning = net, optimizer, learning
        options = {"of": of, "placement": placement(net, optimizer), "learning": learning}
        step = update.backward if learning is None else update.forward
        self.step = functools.partial(step, net, optimizer, **options)
        self.rest = functools.partial(update.rest_of, net, optimizer, of=of, learning=learning)
        self.measures = {"loss": of.loss, **dict(of.others)}
        self.encode, self.key = None if encode is None else jax.jit(encode), key
        self.epoch, self.batch, self.count = 0, 0, 0
        self.names = ("loss", *(name for name, _ in of.others), "samples")
        self.sums = dict.fromkeys(self.names, 0.0)  # of this epoch so far
        self.state: list[Array] | None = None  # the leaves of a state that is carried over
        self.history: list[Epoch] = []
        self.stopped, self.firing = False, FiringWarnings()
        self.keep_best = keep_best
        self.best = {} if keep_best is None else _arrays(net)  # the arrays of the best epoch
        self.repeatable = callable(data) or isinstance(data, list | tuple)  # the same each time
        self.call: dict[str, Json] = {}  # what a checkpoint says of the call
        self.last_good = self._checkpoint()  # replaced as a whole, after a batch

    def batches(self, batches, bar, truncate, carry) -> Iterator[int]:
        """Train on the remaining batches of the epoch; yields the number done, after each."""
        all_of_them, batches = batches, arguments.pairs("fit", batches)
        done = sum(1 for _ in itertools.islice(batches, self.batch))
        where = f"The number of batches of `fit(data=...)` in epoch {self.epoch}"
        _check.integer(where, done, low=self.batch, of=", those done before the checkpoint")
        first = None
        for x, labels in batches:
            x_seq = self._x_seq(x, self.count)
            if bar.wants_spikes:
                bar.spikes(float(activity(self.net, x_seq)[1]))
            first = x_seq if first is None else first
            if self.count == 0:
                debug.check_sequence(self.net, x_seq.shape[1:])
            self._train(x_seq, labels, truncate, carry)
            if self.call and self.count == 1:
                self._describe(all_of_them, x, labels)
            self.last_good = self._checkpoint()
            bar.update(self.sums)
            yield self.batch
        arguments.at_least_one_batch("fit", self.batch, self.epoch)
        if first is not None:
            self.firing.check(self.net, first, self.epoch)

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
        (length, samples), state = x_seq.shape[:2], self._first(x_seq, labels)
        update.check_steps(self.learning, length, labels)
        sums, times = dict(self.sums), range(0, length, truncate or length)
        for t in times:
            before = snapshot(self.net, self.optimizer)
            now, part = state, x_seq[t : t + (truncate or length)]
            state, found, wrong, stop = self.step(now, part, labels)
            if stop:
                restore(self.net, self.optimizer, before)
                self._explain(now, part, float(found["loss"]), wrong)
            for name, value in found.items():
                sums[name] += float(value) * samples / len(times)
        sums["samples"] += samples
        self.state = jax.tree.leaves(state) if carry else None
        self.sums, self.batch, self.count = sums, self.batch + 1, self.count + 1

    def _first(self, x_seq, labels):
        """The state before a batch; None means at rest."""
        if self.state is None:
            return None
        rest, shape = self.rest(x_seq, labels), x_seq.shape[1:]
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
        state = state.state if isinstance(state, OnlineState) else state
        name_layers(f"{where}: {what}", self.net, state, x_seq)
        fix = (
            "Look at what comes after them: divisions, roots and logarithms in the loss, and "
            "labels that are not a class."
            if bad["loss"] or bad["gradient"]
            else "Look at the optimizer, first at its learning rate, and for huge inputs."
        )
        what += ", and everything in the layers of neurons is finite"
        raise FloatingPointError(f"{where}: {what}. {fix}")

    def end_epoch(self, test: Score | None, seconds: float, callback) -> None:
        """End an epoch."""
        mean = means(self.sums)
        loss, accuracy = mean.pop("loss"), mean.pop("accuracy", None)
        self.history.append(Epoch(loss, accuracy, test, seconds, mean))
        self.epoch, self.batch, self.state = self.epoch + 1, 0, None
        self.sums = dict.fromkeys(self.names, 0.0)
        if self.keep_best is not None and self._best_epoch() == len(self.history) - 1:
            self.best = _arrays(self.net)
        if callback is not None:
            self.stopped = bool(callback(list(self.history)))
        self.last_good = self._checkpoint()

    def _best_epoch(self) -> int:
        """The first of the epochs of the highest score."""
        where = "The result of `fit(keep_best=...)`"
        scores = [_check.number(where, self.keep_best(epoch)) for epoch in self.history]
        return scores.index(max(scores))

    def use_best(self) -> list[Epoch]:
        """Give the network the weights of its best epoch; returns the history."""
        if self.best and self.history:
            nnx.update(self.net, self.best)
        return self.history

    def _checkpoint(self) -> tuple[Position, Tree, dict[str, Json]]:
        """The position of a checkpoint, its arrays, and everything else."""
        training = snapshot(self.net, self.optimizer)
        tree = {"training": training, "best": self.best, "state": self.state or []}
        progress = {
            "count": self.count,
            "sums": self.sums,
            "history": [epoch.as_lists() for epoch in self.history],
            "stopped": self.stopped,
        }
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
        """Continue from the last checkpoint, if there is one; returns the data to continue with."""
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
        if self.keep_best is not None and progress["history"] and not tree["best"]:
            raise ValueError(
                "`fit(keep_best=...)` must be given from the first epoch on, got a checkpoint in "
                f"{saved.folder.path} without best weights. Give another folder."
            )
        self.best = {} if self.keep_best is None else tree["best"]
        self.stopped = progress["stopped"]
        self.history = [Epoch.of_lists(lists) for lists in progress["history"]]
        self.last_good = self._checkpoint()
        return data
