"""Shared by the examples: the command line, one training run per seed, and the report."""

import argparse
from pathlib import Path

import jax
import numpy as np
import optax
from flax import nnx

import jaxspike as js


def arguments(doc, *, epochs, batch, lr, weight_decay=0.0):
    """A command line with the options that all examples share."""
    parser = argparse.ArgumentParser(description=doc.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=epochs)
    parser.add_argument("--batch", type=int, default=batch)
    parser.add_argument("--lr", type=float, default=lr, help="peak learning rate")
    parser.add_argument("--weight-decay", type=float, default=weight_decay)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--checkpoints", type=Path, help="folder to save in and resume from")
    return parser


def schedule(peak, steps):
    """The learning rate: a short rise to its peak, then half a cosine to zero."""
    return optax.warmup_cosine_decay_schedule(0.0, peak, steps // 20, steps)


def adamw(options, steps):
    """AdamW with the options of the command line."""
    return optax.adamw(schedule(options.lr, steps), weight_decay=options.weight_decay)


def run(
    options,
    make,
    train,
    test,
    encode,
    *,
    readout=js.readout.rate,
    learning=None,
    clip=None,
    update_rule=adamw,
    done=None,
):
    """Train ``make(rngs)`` once per seed; print each result, and their mean and spread.

    Args:
        options: The options that `arguments` parsed.
        make: A function of ``nnx.Rngs`` that returns the network.
        train: Data and labels to train on.
        test: Data and labels to test on.
        encode: ``encode(key, x, train)`` turns a batch into a sequence ``[T, N, *]``.
        readout: The readout of the output, for the loss and the accuracy.
        learning: How to learn online; None for backpropagation through time.
        clip: The largest norm of a gradient; None for any.
        update_rule: The optimizer, by the options and the number of updates.
        done: Called with the seed, the trained network, its score and the number of epochs.
    """

    def loss(out, labels):
        return js.losses.cross_entropy(out, labels, readout)

    def accuracy(out, labels):
        return js.losses.accuracy(out, labels, readout)

    rows = []
    for seed in options.seeds:
        net, folder = make(nnx.Rngs(seed)), options.checkpoints
        steps = options.epochs * (len(train[1]) // options.batch)
        rule = update_rule(options, steps)
        if clip:
            rule = optax.chain(optax.clip_by_global_norm(clip), rule)
        optimizer = nnx.Optimizer(net, rule, wrt=nnx.Param)

        def batches(epoch, seed=seed):
            return js.data.batches(train, options.batch, seed=seed, epoch=epoch, drop_last=True)

        history = js.train.fit(
            net,
            optimizer,
            loss,
            batches,
            options.epochs,
            key=jax.random.key(seed),
            encode=lambda key, x: encode(key, x, True),
            accuracy=accuracy,
            learning=learning,
            checkpoints=folder and folder / str(seed),
        )
        score = js.train.evaluate(
            net,
            js.data.batches(test, 100),
            loss,
            accuracy=accuracy,
            encode=lambda key, x: encode(key, x, False),
            key=jax.random.key(seed),
        )
        seconds = sum(epoch.seconds for epoch in history)
        rows.append((100 * score.accuracy, 100 * score.firing_rate, seconds))
        print(
            f"seed {seed}: test accuracy {rows[-1][0]:.2f} % after epoch {len(history)}, "
            f"training loss {history[-1].loss:.4f}, firing rate {rows[-1][1]:.1f} %, "
            f"{seconds:.0f} s",
            flush=True,
        )
        if done:
            done(seed, net, score, len(history))
    means = np.mean(rows, 0)
    print(
        f"{len(rows)} seeds: test accuracy {means[0]:.2f} +- {np.std(rows, 0)[0]:.2f} %, "
        f"firing rate {means[1]:.1f} %, {means[2]:.0f} s each"
    )
