"""The training loop."""

import functools
import time
from collections.abc import Callable, Mapping, Sized
from pathlib import Path
from typing import Any, Literal

import jax
from flax import nnx

from .. import _check, losses
from .._types import Array
from ..learning import Online
from ..nn import SpikingModule
from . import arguments
from .checkpoint import Checkpoints
from .evaluate import Data, Encode, evaluate
from .measures import Measure, measures
from .progress import Progress
from .results import Epoch
from .run import Run
from .update import check_learning


def fit(
    net: SpikingModule,
    optimizer: nnx.Optimizer[Any],
    loss: Measure,
    data: Data,
    epochs: int,
    *,
    key: Array | None = None,
    encode: Encode | None = None,
    accuracy: Measure | None = losses.accuracy,
    metrics: Mapping[str, Measure] | None = None,
    test: Data | None = None,
    learning: Online | None = None,
    truncate: int | None = None,
    carry_state: bool = False,
    checkpoints: str | Path | None = None,
    resume: Literal["exact", "anyway"] = "exact",
    save_every: int | None = None,
    keep_best: Callable[[Epoch], float] | None = None,
    callback: Callable[[list[Epoch]], bool | None] | None = None,
    progress: bool = True,
) -> list[Epoch]:
    """Train a network in place; the step is compiled once per shape.

    Each batch is ``loss, grads = value_and_grad(loss(net(state, x_seq)[1], labels))`` and
    ``optimizer.update(net, grads)``, from rest, in training mode. The same seed gives the same
    numbers, also in a run that was stopped and resumed: all randomness comes from ``key`` and the
    number of the batch, or from the keys inside the network, which are saved. On a mesh of devices
    every parameter stays where it was placed.

    Args:
        net: The network.
        optimizer: ``nnx.Optimizer(net, optax..., wrt=nnx.Param)``; `optax.MultiSteps` accumulates
            gradients, `optax.clip_by_global_norm` clips them.
        loss: ``loss(output, labels)`` of the network's output ``[T, N, *]``, a scalar.
        data: Batches ``(x_seq, labels)`` with x_seq ``[T, N, *]``, iterated over in every epoch; or
            a function of the epoch, from 0, that returns them, such as
            ``lambda epoch: js.data.batches((x, y), 128, seed=0, epoch=epoch)``. A one-shot
            iterable, such as a generator, raises in the second epoch. Labels may have any
            structure: a dict of labels and a mask goes to ``loss`` as it is.
        epochs: Total number of epochs, counting those before a resumed checkpoint.
        key: ``jax.random.key(seed)``, needed if ``encode`` is given, which gets a new key for each
            batch.
        encode: If given, the batches are ``(x, labels)`` and ``x_seq = encode(key, x)``,
            compiled: ``lambda key, x: js.encode.poisson(key, x, steps)``.
        accuracy: ``accuracy(output, labels)``, 0 to 1; None to leave it out, as in regression.
        metrics: More such functions by name, each a scalar.
        test: Data to evaluate after every epoch; see `evaluate`.
        learning: How gradients are computed: None for backpropagation through time, or
            `jaxspike.learning.Online` to learn forward in time, in memory that does not depend on
            T: e-prop, OTTT, SLTT by the network. ``loss`` then gets the output of one time step at
            a time, ``[1, N, *]``, with all labels, and the loss of a batch is the mean over time.
        truncate: Truncated backpropagation: an update every ``truncate`` time steps, with the state
            carried over without its gradient. ``loss`` gets that many steps at a time, and all
            labels.
        carry_state: Carry the final state of each batch into the next, for batches that are
            consecutive pieces of N streams; every epoch starts from rest. The traces of
            ``learning`` are carried too.
        checkpoints: A folder, new or empty at first. After every epoch, and on Ctrl-C, the run is
            saved there, and resumes from there if called again with the same arguments. An
            interrupted write is harmless. The last two checkpoints are kept.
        resume: ``"exact"`` refuses a checkpoint of a different call, since the result would be that
            of neither; ``"anyway"`` continues with the arguments of this one.
        save_every: Also save after every ``save_every`` batches.
        keep_best: A function of an `Epoch`, such as ``lambda epoch: epoch.test.accuracy``. At the
            end ``net`` gets the weights and statistics of the epoch where it was highest, instead
            of the last ones. (``nnx.state(net)`` is not a copy: it changes with ``net``.)
        callback: A function of the history so far, called after every epoch; what it changes in
            ``net`` is saved. If it returns True the run ends there, early and for good.
        progress: Show a bar with loss, accuracy, spikes per second (of all layers, counted in every
            hundredth batch) and the time left of the epoch; if the data have no ``len``, the time
            left is shown from the second epoch.

    Before the first batch it runs `jaxspike.debug.check_sequence`. After every epoch it warns, once
    per layer, about layers that did not fire or were saturated at the first batch of the epoch.

    Returns:
        An `Epoch` for each, including those before a checkpoint.

    Raises:
        FloatingPointError: If the loss, a gradient, a state, a parameter or a number of the
            optimizer is not finite. The error names the layer or the parameter, and ``net`` is as
            it was before that batch.
        ImportError: If ``checkpoints`` or ``progress`` need a package of ``jaxspike[train]`` that
            is missing.
        TypeError: If an argument or a batch is of the wrong kind, or ``key`` is missing.
        ValueError: If there is no data, a shape does not fit, a number is out of range, or the
            checkpoint is of another network or call, or damaged.
        OSError: If a checkpoint cannot be written.

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
    arguments.check("fit", net, encode, key)
    _check_optimizer(net, optimizer)
    epochs = _check.integer("`fit(epochs=...)`", epochs, low=0)
    _check_steps(net, learning, truncate, keep_best, callback)
    call: dict[str, object] = {"loss": loss, "accuracy": accuracy, "encode": encode, "key": key}
    call |= {"learning": learning, "truncate": truncate, "carry_state": carry_state}
    call |= {"metrics": metrics, "keep_best": keep_best}
    score = functools.partial(evaluate, loss=loss, accuracy=accuracy, metrics=metrics)
    of = measures("fit", loss, accuracy, metrics)
    run = Run(net, optimizer, of, encode, key, data, keep_best, learning)
    saved = _checkpoints(checkpoints, save_every, resume)
    net.train()
    try:
        if saved:
            data = run.resume(saved, epochs, data, call, anyway=resume == "anyway")
        total = None
        while run.epoch < epochs and not run.stopped:
            batches, begin = data(run.epoch) if callable(data) else data, time.perf_counter()
            total = len(batches) if isinstance(batches, Sized) else total
            with Progress(run.epoch, epochs, run.batch, total, show=progress) as bar:
                for n in run.batches(batches, bar, truncate, carry_state):
                    if saved and save_every and n % save_every == 0:
                        run.save(saved)
                total = run.batch
                tested = None if test is None else score(net, test, encode=encode, key=key)
                run.end_epoch(tested, time.perf_counter() - begin, callback)
                bar.end_epoch(run.history[-1])
            if saved:
                run.save(saved)
    except BaseException as e:
        run.rollback()
        if saved and isinstance(e, KeyboardInterrupt):
            run.save(saved)
        raise
    finally:
        if saved:
            saved.close()
    return run.use_best()


def _check_steps(
    net: SpikingModule,
    learning: Online | None,
    truncate: int | None,
    keep_best: object,
    callback: object,
) -> None:
    check_learning(net, learning, truncate)
    if truncate is not None:
        _check.integer("`fit(truncate=...)`", truncate, low=1)
    if keep_best is not None:
        _check.function("`fit(keep_best=...)`", keep_best, of="an `Epoch`")
    if callback is not None:
        _check.function("`fit(callback=...)`", callback, of="the history")


def _checkpoints(
    checkpoints: str | Path | None, save_every: object, resume: str
) -> Checkpoints | None:
    _check.one_of("`fit(resume=...)`", resume, ("exact", "anyway"))
    if save_every is not None:
        _check.integer("`fit(save_every=...)`", save_every, low=1)
        if checkpoints is None:
            raise ValueError("`fit(save_every=...)` needs `checkpoints`, the folder to save in.")
    return None if checkpoints is None else Checkpoints(checkpoints)


def _check_optimizer(net: SpikingModule, optimizer: nnx.Optimizer[Any]) -> None:
    where, fix = "`fit(optimizer=...)`", "`nnx.Optimizer(net, optax.adam(1e-3), wrt=nnx.Param)`"
    _check.instance(
        where, optimizer, nnx.Optimizer, "an nnx.Optimizer", f"Give {fix}.", _check.kind
    )
    wrt = optimizer.wrt
    if not jax.tree.leaves(nnx.state(net, wrt)):
        raise ValueError(f"{where} must learn what the network has, got wrt={wrt!r}. Give {fix}.")
