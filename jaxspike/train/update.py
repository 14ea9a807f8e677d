"""One update of a network: from the gradient of a sequence, or forward in time."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from .. import _check, learning as _learning
from .._types import Array, Tree
from ..learning import Online
from ..nn import SpikingModule
from ..nn.paths import dotted
from .checkpoint import keep_placement, named, snapshot
from .finite import has_nan, not_finite


def _backward(net, optimizer, state, x_seq, labels, *, of, placement, learning):
    """An update on a sequence, or on a piece of one, by backpropagation through time."""
    state = net.init_state(x_seq.shape[1:]) if state is None else state
    before = named(net, snapshot(net, optimizer))

    def lost(net):
        new, y = net(state, x_seq)
        return of.value("loss", of.loss, y, labels), (new, y)

    wanted = nnx.DiffState(0, optimizer.wrt)
    (value, (new, y)), grads = nnx.value_and_grad(lost, argnums=wanted, has_aux=True)(net)
    optimizer.update(net, grads)
    keep_placement(net, optimizer, placement)
    found = {"loss": value, **of.of(y, labels)}
    wrong = _wrong(net, optimizer, before, value, new, _not_finite(net, grads))
    return new, found, wrong, _any(wrong)


def _forward(net, optimizer, state, x_seq, labels, *, of, placement, learning):
    """The updates on a sequence, or on a piece of one, as `jaxspike.learning.Online` says."""
    before = named(net, snapshot(net, optimizer))
    by_window = learning.update == "window"
    steps = learning.window if by_window else len(x_seq)
    online = _online_step(net, optimizer, labels, of, learning, steps)
    inputs = _inputs(learning, x_seq, labels)
    state = _at_rest(online, net, optimizer, x_seq, inputs) if state is None else state
    learn = online if by_window else _learning.accumulate(online)
    graph, arrays = nnx.split((net, optimizer))

    def one(carry, x):
        arrays, state = carry
        net, optimizer = nnx.merge(graph, arrays)
        params = nnx.state(net, optimizer.wrt)
        state, ((loss, y), grads) = learn(params, state, x)
        optimizer.update(net, grads)
        keep_placement(net, optimizer, placement)
        return (nnx.state((net, optimizer)), state), (loss, y, _not_finite(net, grads))

    if by_window:
        length, parts = learning.window, len(x_seq) // learning.window
        if length > 1:
            cut = functools.partial(_in_windows, parts, length)
            inputs = jax.tree.map(cut, inputs)
        (arrays, state), (losses, y, wrong) = jax.lax.scan(one, (arrays, state), inputs)
        y = jax.tree.map(lambda a: a if length == 1 else a.reshape(-1, *a.shape[2:]), y)
        value, wrong = losses.mean(), jax.tree.map(lambda a: a.any(0), wrong)
    else:
        (arrays, state), (value, y, wrong) = one((arrays, state), inputs)
    nnx.update((net, optimizer), arrays)
    found = {"loss": value, **of.of(y, labels)}
    wrong = _wrong(net, optimizer, before, value, state.state, wrong)
    return state, found, wrong, _any(wrong)


def _inputs(learning: Online, x_seq, labels):
    """The inputs of all steps: with each, its labels, if every step has its own."""
    if learning.labels == "sequence":
        return x_seq, None
    return x_seq, jax.tree.map(jnp.asarray, labels)


def _in_windows(parts: int, length: int, a: Array) -> Array:
    return a.reshape(parts, length, *a.shape[1:])


def _online_step(net, optimizer, labels, of, learning: Online, steps: int):
    """The step of a network whose losses sum to the mean over ``steps``."""
    parts: Any = nnx.split(net, optimizer.wrt, ...)
    graph, _, rest = parts

    def step(params, state, x):
        x, mine = x
        state, y = nnx.merge(graph, params, rest)(state, x)
        one, mine = jax.tree.map(lambda a: a[None], (y, mine))  # a sequence of one step
        shown = labels if learning.labels == "sequence" else mine
        return state, (of.value("loss", of.loss, one, shown) / steps, y)

    return _learning.online(
        step,
        credit=learning.credit,
        window=learning.window,
        traces=learning.traces,
        decay=learning.decay,
        has_aux=True,
    )


def _at_rest(online, net, optimizer, x_seq, inputs):
    params, state = nnx.state(net, optimizer.wrt), net.init_state(x_seq.shape[1:])
    return online.init_state(params, state, jax.tree.map(lambda a: a[0], inputs))


def _not_finite(net, grads) -> dict[str, Array]:
    return not_finite(named(net, {0: nnx.to_pure_dict(grads), 1: {}}))


def _wrong(net, optimizer, before, value, state: Tree, gradient) -> dict[str, dict[str, Array]]:
    """Whether each array is not finite, by kind and name."""
    return {
        "loss": {"": ~jnp.isfinite(value)},
        "state": {"": has_nan(state)},
        "gradient": gradient,
        "update": not_finite(named(net, snapshot(net, optimizer)), before),
    }


def _any(wrong: Tree) -> Array:
    return jnp.stack(jax.tree.leaves(wrong)).any()


STATIC = ("of", "placement", "learning")
backward: Any = nnx.jit(_backward, static_argnames=STATIC)
forward: Any = nnx.jit(_forward, static_argnames=STATIC)


def rest_of(net, optimizer, x_seq, labels, *, of, learning: Online | None) -> Tree:
    """The shapes of the state before the first batch."""

    def at_rest():
        if learning is None:
            return net.init_state(x_seq.shape[1:])
        online = _online_step(net, optimizer, labels, of, learning, 1)
        return _at_rest(online, net, optimizer, x_seq, _inputs(learning, x_seq, labels))

    return jax.eval_shape(at_rest)


def check_learning(net: SpikingModule, learning: object, truncate: int | None) -> None:
    """Refuse arguments and networks that cannot learn forward in time."""
    if learning is None:
        return
    where, fix = "`fit(learning=...)`", "Give `js.learning.Online()`."
    _check.instance(where, learning, Online, "a `jaxspike.learning.Online`", fix)
    if truncate is not None:
        raise ValueError(
            f"`fit(truncate=...)` must be None with `learning`, got {truncate}. "
            "Use the window of `Online`."
        )
    kinds = (nnx.BatchStat, nnx.RngState)
    for path, value in nnx.to_flat_state(nnx.state(net, nnx.Any(*kinds))):
        what = "statistics of batches" if isinstance(value, nnx.BatchStat) else "random keys"
        raise ValueError(
            f"{where} must have a network whose variables change by learning only, got {what} in "
            f"{dotted(net, path)}. Use `js.nn.WSLinear` or `js.nn.WSConv` for a BatchNorm, and no "
            "Dropout."
        )


def check_steps(learning: Online | None, steps: int, labels: Tree) -> None:
    """Refuse a window that does not divide the number of time steps, and labels of other steps."""
    if learning is None:
        return
    for a in jax.tree.leaves(labels) if learning.labels == "step" else ():
        if jnp.shape(a)[:1] != (steps,):
            raise ValueError(
                f'`fit(learning=Online(labels="step"))` must have labels of {steps} time steps, '
                f"got the shape {jnp.shape(a)}. Give labels with time as axis 0."
            )
    if steps % learning.window:
        raise ValueError(
            f"`fit(learning=Online(window={learning.window}))` must divide the number of time "
            f"steps of a batch, got {steps}. Pad the batch or change the window."
        )
