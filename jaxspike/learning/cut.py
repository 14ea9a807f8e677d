"""`cut`: a step whose gradient in reverse mode is a learning rule."""

import functools
from collections.abc import Callable
from typing import Any, Literal

import jax
from jax import lax

from .. import _check
from .pools import Pools
from .stop_gradients import evaluate_stopped
from .traced import check_places, paths, trace

Credit = Literal["full", "layer", "local", "none"]
CREDITS = ("full", "layer", "local", "none")


def cut(
    step: Callable[..., tuple[Any, Any]], credit: Credit = "local"
) -> Callable[..., tuple[Any, Any]]:
    r"""The same step with some of its gradients stopped: its reverse-mode gradient is the rule.

    The step computes the same numbers. Scan it with `jaxspike.scan` or `jax.lax.scan` and
    differentiate any loss: the result is the gradient of a learning rule, at the speed of
    backpropagation through time. `online` computes the same gradient forward in time.

    Which gradients are kept determines the rule. A *pool* is a group of states connected by
    elementwise equations, such as the membrane and the current of a layer of neurons; all other
    equations (matrix products, convolutions, sums over neurons) are synapses.

    - ``"full"``: everything. Backpropagation through time.
    - ``"layer"``: everything within a recurrent layer, including its recurrent weights; between
      layers, only what reaches the loss in the same step (OSTL).
    - ``"local"``: within a pool, each neuron's own memory; from pool to pool, only what reaches the
      loss in the same step, and nothing through spikes that are fed back. With a leaky readout
      after the last pool, whose memory is also kept, this is e-prop with symmetric feedback; with a
      soft, detached reset, OTTT; for any elementwise neuron, D-RTRL.
    - ``"none"``: no memory (SLTT).

    The next states and the output are computed from the same old states, but with different
    gradients stopped: ``dL/dw = sum_t [dy_t/dw + dy_t/dh_{t-1} P_{t-1}]`` with
    ``P_t = dh_t/dh_{t-1} P_{t-1} + dh_t/dw``. With ``"local"``, only the diagonal of
    ``dh_t/dh_{t-1}`` within each pool is kept.

    Args:
        step: ``step(state, x) -> (state, y)``, or with parameters in front,
            ``step(params, state, x) -> (state, y)``: a function, a neuron or a network.
        credit: What carries gradients, one of the above.

    Returns:
        A step with the arguments and results of ``step``.

    Raises:
        TypeError: If ``step`` is not callable, or does not return a pair that begins with a state
            like the one given.
        ValueError: If ``credit`` is not one of the above; or, with "layer" and "local", if the step
            moves the entries of a state (`jnp.roll`) or changes Flax variables.

    Example:
        E-prop for a recurrent layer, in reverse mode:

        >>> import jax, jax.numpy as jnp, jaxspike as js
        >>> lif, readout = js.LIF(), js.LI(tau=20.0)
        >>> def step(params, state, x):
        ...     h, z, r = state
        ...     h, z = lif(h, x @ params["in"] + z @ params["rec"])
        ...     r, y = readout(r, z @ params["out"])
        ...     return (h, z, r), y
        >>> params = {"in": jnp.ones((3, 4)), "rec": -jnp.eye(4), "out": jnp.ones((4, 2))}
        >>> state = lif.init_state((1, 4)), jnp.zeros((1, 4)), readout.init_state((1, 2))
        >>> eprop = js.learning.cut(step, "local")
        >>> def loss(params, xs):
        ...     return js.scan(lambda s, x: eprop(params, s, x), state, xs)[1].sum()
        >>> jax.grad(loss)(params, jnp.ones((10, 1, 3)))["rec"].shape
        (4, 4)

    Source: Bellec et al., "A solution to the learning dilemma for recurrent networks of spiking
    neurons", 2020; Xiao et al., "Online training through time for spiking neural networks", 2022;
    Bohnstingl et al., "Online spatio-temporal learning in deep neural networks", 2023; Meng et
    al., "Towards memory- and time-efficient backpropagation for training spiking neural
    networks", 2023.
    """
    _check.function("`cut(step=...)`", step, "Give a step function, a neuron or a network.")
    _check.one_of("`cut(credit=...)`", credit, CREDITS)
    if credit == "full":
        return step

    @functools.wraps(step, updated=())
    def cut_step(*args):
        if len(args) < 2:
            raise TypeError(
                f"`cut(step)` must be called as `(state, x)` or `(params, state, x)`, got "
                f"{len(args)} argument(s)."
            )
        *params, state, x = args
        if credit == "none":
            return step(*params, jax.tree.map(lax.stop_gradient, state), x)
        traced, consts, out = trace("cut", lambda p, s, a: step(*p, s, a), params, state, x)
        pools = Pools(traced)
        check_places(
            f'`cut(step, "{credit}")`', pools.flow, paths("state", state), pools.flow.states
        )
        names = [*traced.consts, *traced.state, *traced.xs]
        values = [*consts, *jax.tree.leaves((params, state, x))]
        env = dict(zip(names, values, strict=True))
        new, ys, _ = evaluate_stopped(traced, env, *pools.stops(credit))
        return jax.tree.unflatten(jax.tree.structure(out), [*new, *ys])

    return cut_step
