"""Training."""

import functools
import itertools
import time
from collections.abc import Iterator, Sized
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from .. import _check, losses
from .._types import Array, Tree
from ..nn import SpikingModule
from . import checks
from .checkpoint import Checkpoints, arrays, by_path, placement, put, stay
from .evaluate import Data, Encode, Measure, Score, activity, evaluate, has_nan
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
    On a mesh of devices every parameter stays as it was placed.

    Args:
        net: The network.
        optimizer: ``nnx.Optimizer(net, optax..., wrt=nnx.Param)``; `optax.MultiSteps` accumulates
            gradients, `optax.clip_by_global_norm` clips them.
        loss: ``loss(output, labels)`` of the network's output ``[T, N, *]``, a scalar.
        data: Batches ``(x_seq, labels)`` with x_seq ``[T, N, *]``, to be walked over every epoch;
            or a function of the number of the epoch, from 0, that returns them, such as
            ``lambda epoch: js.data.batches((x, y), 128, seed=0, epoch=epoch)``. What is walked
            over only once, such as a generator, is an error in the second epoch.
        epochs: How many there will have been at the end, those before a checkpoint included.
        key: ``jax.random.key(seed)``, needed if ``encode`` draws from it: it is given one key for
            each batch.
        encode: If given, the batches are ``(x, labels)`` and ``x_seq = encode(key, x)``,
            compiled: ``lambda key, x: js.encode.poisson(key, x, steps)``.
        accuracy: ``accuracy(output, labels)``, 0 to 1.
        test: Data to evaluate after every epoch; see `evaluate`.
        truncate: Truncated backpropagation: an update every ``truncate`` time steps, the state
            carried on without its gradient. ``loss`` sees as many steps at a time, and all labels.
        carry_state: Whether the state after a batch is that before the next, for batches that are
            consecutive pieces of N streams; every epoch begins at rest.
        checkpoints: A folder. After every epoch, and on Ctrl-C, the training is saved there; a
            training that finds one there goes on after it, with the same arguments. A killed write
            harms nothing.
        save_every: Save also every so many batches.
        progress: Whether to show a bar with loss, accuracy, spikes per second (of all layers,
            counted in every hundredth batch) and the time left of the epoch, from the second epoch
            on where the data have no ``len``.

    Returns:
        An `Epoch` for each, those before a checkpoint included.

    Raises:
        FloatingPointError: If the loss, a gradient, a state, a parameter or a number of the
            optimizer is not finite: the layer or the parameter is named, and ``net`` is as it was
            before that batch.
        ImportError: Without the packages of ``jaxspike[train]`` that ``checkpoints`` and
            ``progress`` need.
        TypeError: If an argument or a batch is not of the kind it should be.
        ValueError: If there is no data, a shape does not fit, a number is out of its range, ``key``
            is missing, or the checkpoint is of another training or damaged.

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
    checks.arguments("fit", net, encode, key, loss=loss, accuracy=accuracy)
    if not isinstance(optimizer, nnx.Optimizer):
        raise TypeError(
            f"`fit(optimizer=...)` must be an nnx.Optimizer, got a value of type "
            f"{type(optimizer).__name__}. "
            "Give `nnx.Optimizer(net, optax.adam(1e-3), wrt=nnx.Param)`."
        )
    if not jax.tree.leaves(nnx.state(net, optimizer.wrt)):
        raise ValueError(
            f"`fit(optimizer=...)` must have something to learn, got wrt={optimizer.wrt!r}, of "
            "which the network has none. Give `wrt=nnx.Param`."
        )
    epochs = _check.integer("`fit(epochs=...)`", epochs, low=0)
    for name, value in (("truncate", truncate), ("save_every", save_every)):
        if value is not None:
            _check.integer(f"`fit({name}=...)`", value, low=1)
    if save_every is not None and checkpoints is None:
        raise ValueError("`fit(save_every=...)` needs `checkpoints`, the folder to save in.")
    scoring: dict[str, Any] = {"accuracy": accuracy, "encode": encode, "key": key}
    run = _Run(net, optimizer, loss, accuracy, encode, key)
    saved = None if checkpoints is None else Checkpoints(checkpoints)
    net.train()
    try:
        if saved:
            run.resume(saved, epochs)
        total = None
        while run.epoch < epochs:
            batches = data(run.epoch) if callable(data) else data
            total = len(batches) if isinstance(batches, Sized) else total
            with Progress(run.epoch, epochs, run.batch, total, show=progress) as bar:
                begin = time.perf_counter()
                for n in run.batches(batches, bar, truncate, carry_state):
                    if saved and save_every and n % save_every == 0:
                        run.save(saved)
                total = run.batch
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


def _update(net, optimizer, state, x_seq, labels, *, loss, accuracy, placement):
    """An update on a sequence, or on a piece of one."""
    state = net.init_state(x_seq.shape[1:]) if state is None else state
    before = arrays(net, optimizer)

    def lost(net):
        new, y = net(state, x_seq)
        return checks.scalar("`fit(loss=...)`", loss(y, labels)), (new, y)

    wanted = nnx.DiffState(0, optimizer.wrt)
    (value, (new, y)), grads = nnx.value_and_grad(lost, argnums=wanted, has_aux=True)(net)
    optimizer.update(net, grads)
    stay(net, optimizer, placement)
    right = checks.scalar("`fit(accuracy=...)`", accuracy(y, labels))
    wrong = {
        "loss": {"": ~jnp.isfinite(value)},
        "state": {"": has_nan(new)},
        "gradient": _went_wrong({0: nnx.to_pure_dict(grads), 1: {}}),
        "update": _went_wrong(arrays(net, optimizer), before),
    }
    return new, value, right, wrong, jnp.stack(jax.tree.leaves(wrong)).any()


def _went_wrong(tree, before=None):
    """Which floating arrays are not finite, by path; what was infinite ``before`` may stay so."""
    old = {} if before is None else by_path(before)
    return {
        name: ~(jnp.isfinite(a) | (a == old[name] if old else False)).all()
        for name, a in by_path(tree).items()
        if jnp.issubdtype(a.dtype, jnp.floating)
    }


_step: Any = nnx.jit(_update, static_argnames=("loss", "accuracy", "placement"))


class _Run:
    """A training between two batches: everything that a checkpoint holds."""

    def __init__(self, net, optimizer, loss, accuracy, encode, key):
        self.net, self.optimizer = net, optimizer
        options = {"loss": loss, "accuracy": accuracy, "placement": placement(net, optimizer)}
        self.step = functools.partial(_step, net, optimizer, **options)
        self.encode, self.key = None if encode is None else jax.jit(encode), key
        self.epoch, self.batch, self.count = 0, 0, 0
        self.sums = [0.0, 0.0, 0.0]  # loss, accuracy and samples of the epoch so far
        self.state: list[Array] | None = None  # the leaves of the state that is carried on
        self.history: list[Epoch] = []
        self.whole = self._snapshot()  # replaced at once, after a batch

    def batches(self, batches, bar, truncate, carry) -> Iterator[int]:
        """Train on the batches of the epoch that are left; how many were done, after each."""
        batches = checks.pairs("fit", batches)
        done = sum(1 for _ in itertools.islice(batches, self.batch))
        if done < self.batch:
            raise ValueError(
                f"`fit(data=...)` must have the {self.batch} batches of epoch {self.epoch} that "
                f"were trained on before the checkpoint, got {done}. Give the same data."
            )
        for x, labels in batches:
            self.key = checks.encoder_key("fit", self.encode, self.key, x)
            key = jax.random.fold_in(self.key, self.count)
            x_seq = x if self.encode is None else self.encode(key, x)
            x_seq = checks.sequence("fit", x_seq, self.encode)
            if bar.wants_spikes:
                bar.spikes(float(activity(self.net, x_seq)[1]))
            self._train(x_seq, jnp.asarray(labels), truncate, carry)
            self.whole = self._snapshot()
            bar.update(self.sums)
            yield self.batch
        if not self.batch:
            raise ValueError(
                f"`fit(data=...)` must have a batch in epoch {self.epoch}, got none. An iterator "
                "has them once: give a list, or a function of the epoch."
            )

    def _train(self, x_seq, labels, truncate, carry):
        (length, samples), state = x_seq.shape[:2], self._first(x_seq.shape[1:])
        sums, times = list(self.sums), range(0, length, truncate or length)
        for t in times:
            before = arrays(self.net, self.optimizer)
            now, part = state, x_seq[t : t + (truncate or length)]
            state, value, right, wrong, stop = self.step(now, part, labels)
            if stop:
                put(self.net, self.optimizer, before)
                self._explain(now, part, float(value), wrong)
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

    def _explain(self, state, x_seq, value, wrong):
        where = f"`fit` stopped in epoch {self.epoch}, batch {self.batch}"
        bad = {what: [name for name, is_bad in of.items() if is_bad] for what, of in wrong.items()}
        if bad["loss"]:
            what = f"the loss is {value}"
        elif bad["state"]:
            what = "a state is NaN"
        elif bad["gradient"]:
            what = f"the gradient is not finite of {', '.join(bad['gradient'])}"
        else:
            what = f"the update made {', '.join(bad['update'])} not finite"
        checks.layers(f"{where}: {what}", self.net, state, x_seq)
        fix = (
            "Look at what comes after them: at what the loss divides by or takes a root or "
            "logarithm of, and for labels that are no class."
            if bad["loss"] or bad["gradient"]
            else "Look at the optimizer, its learning rate first, and for inputs that are huge."
        )
        raise FloatingPointError(
            f"{where}: {what}, and everything in the layers of neurons is finite. {fix}"
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

    def resume(self, saved: Checkpoints, epochs: int) -> None:
        """Go on after the last checkpoint, if there is one."""
        found = saved.latest(self.whole[1])
        if found is None:
            return
        tree, progress = found
        (epoch, batch, count), history = progress["position"], progress["history"]
        if (epoch, batch) > (epochs, 0):
            raise ValueError(
                f"`fit(epochs=...)` must be at least {epoch + bool(batch)}, the epochs in the "
                f"checkpoint in {saved.folder}, got {epochs}. Give more epochs or another folder."
            )
        put(self.net, self.optimizer, tree["training"])
        self.epoch, self.batch, self.count = epoch, batch, count
        self.state, self.sums = tree["state"] or None, progress["sums"]
        self.history = [
            Epoch(loss, accuracy, test and Score(*test), seconds)
            for loss, accuracy, test, seconds in history
        ]
        self.whole = self._snapshot()
