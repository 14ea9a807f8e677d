"""`online`: a step that returns its gradient, with memory that does not grow with time."""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from .. import _check, engine
from .._types import Array, Tree
from ..engine.program import function, outputs_of, unique
from . import traces as _traces
from .plan import Env, Plan
from .stop_gradients import evaluate_stopped
from .traced import check_loss, check_params, check_places, paths, trace

CREDITS = ("local", "none", ("full", "local"), ("full", "none"))


class OnlineState(NamedTuple):
    """The state of the network, and the traces for the gradient of its parameters."""

    state: Tree
    traces: Tree


@dataclasses.dataclass(frozen=True, eq=False)
class Online:
    """A step that returns its gradient, as made by `online`.

    Attributes:
        step: ``step(params, state, x) -> (state, loss)``.
        credit: What carries gradients within a window, and from window to window.
        window: The number of time steps per call.
    """

    step: Callable[..., tuple[Any, Any]]
    credit: tuple[str, str]
    window: int

    def init_state(self, params: Tree, state: Tree, x: Tree) -> OnlineState:
        """The state before the first step.

        Args:
            params: The parameters.
            state: The first state of the network.
            x: The input of one time step; only its shapes matter.
        """
        return OnlineState(state, _traces.zeros(self.plan(params, state, x)[0]))

    def reset(self, state: OnlineState, done: Array, rest: Tree) -> OnlineState:
        """Restart some samples of the batch.

        Args:
            state: The state.
            done: Which samples, ``[N]``; N is the first axis of every array of the state.
            rest: The state of the network that they start from, for the whole batch.
        """
        _check.axes("`reset(done=...)`", done, "N")
        for a in jax.tree.leaves(state):
            fix = "The batch must be the first axis of every state."
            _check.axes("`reset(state=...)`", a, len(done), "...", fix=fix)

        def pick(old: Array, new: Array) -> Array:
            return jnp.where(done.reshape(-1, *[1] * (old.ndim - 1)), new, old)

        return OnlineState(
            jax.tree.map(pick, state.state, rest),
            jax.tree.map(lambda a: pick(a, jnp.zeros_like(a)), state.traces),
        )

    def __call__(
        self, params: Tree, state: OnlineState, x: Tree
    ) -> tuple[OnlineState, tuple[Array, Tree]]:
        """One window: ``(params, state, x) -> (state, (loss, grads))``.

        Args:
            params: The parameters, a pytree of floating-point arrays.
            state: The state, from `init_state` or from the previous call.
            x: The input of one time step; of ``window`` steps, as axis 0, if that is more than 1.

        Returns:
            The state, the loss (summed over the steps of a window), and the gradient of the loss
            with respect to the parameters.
        """
        plan, consts = self.plan(params, *self._checked(state, x))
        _check_traces(plan, state.traces)
        step, leaves = plan.step, jax.tree.leaves(params)
        start: Env = dict(zip(step.state, jax.tree.leaves(state.state), strict=True))
        known = {step.state[k]: start[step.state[k]] for k in plan.flow.graph.unchanged}
        known.update(zip(step.consts, consts, strict=False))

        def constants(leaves) -> Env:
            return _constants(plan, {**known, **dict(zip(plan.params, leaves, strict=True))})

        def parameters(leaves) -> list[Array]:
            env = constants(leaves)
            return [env[v] for v in plan.parameters]

        env, moving = constants(leaves), [step.state[k] for k in plan.flow.states]
        values, to_params = jax.vjp(parameters, leaves)

        def run(values, moved):
            given = {**env, **dict(zip(plan.parameters, values, strict=True))}
            before = {**start, **dict(zip(moving, moved, strict=True))}
            loss, *rest = _window(plan, given, [before[v] for v in step.state], x)
            return loss, rest

        loss, back, (new, record) = jax.vjp(run, values, [start[v] for v in moving], has_aux=True)
        direct, signals = back(jnp.ones_like(loss))
        by_state = dict(zip(plan.flow.states, signals, strict=True))
        past = _traces.gradients(plan, env, by_state, state.traces)
        total = [
            g + past[v] if v in past else g for v, g in zip(plan.parameters, direct, strict=True)
        ]
        grads = jax.tree.unflatten(jax.tree.structure(params), to_params(total)[0])
        seen = dict(zip(_traces.recorded(plan), record, strict=True))
        traces = _traces.move(plan, {**env, **start}, seen, state.traces)
        new = jax.tree.unflatten(jax.tree.structure(state.state), new)
        return OnlineState(new, traces), (loss, grads)

    def plan(self, params: Tree, state: Tree, x: Tree) -> tuple[Plan, list[Array]]:
        """The plan of the traces for the input of one time step, and the constants of the step."""
        check_params("online(step)", params)
        step, consts, _ = trace("online", self.step, params, state, x)
        check_loss("online", step)
        within, across = self.credit
        names = paths("params", params)
        plan = Plan(step, len(names), window=self.window, within=within, across=across)
        where = f"`online(step, credit={self.credit if within != across else within!r})`"
        if across == "local":
            learned = plan.reached_by(set(plan.parameters))
            learns = [k for k in sorted(plan.remembered) if step.state[k] in learned]
            check_places(where, plan.flow, paths("state", state), learns)
        for v, operation in plan.not_followed():
            (name, *_) = [names[i] for i in sorted(plan.sources[v])]
            raise ValueError(
                f"{where} must have parameters that are added to a neuron's input or multiply it "
                f"as a matrix, got {name}, which enters through `{operation}`. Use neurons with "
                "`v_reset=None, detach_reset=True`, or another credit."
            )
        return plan, consts

    def _checked(self, state: OnlineState, x: Tree) -> tuple[Tree, Tree]:
        """The state of the network and the input of its first step."""
        what, fix = "the state of `online.init_state`", "Call it first."
        _check.instance(
            "`online(step)(params, state, x)`", state, OnlineState, what, fix, _check.kind
        )
        if self.window == 1:
            return state.state, x
        for a in jax.tree.leaves(x):
            where = f"`online(step, window={self.window})(params, state, x)`"
            _check.axes(where, jnp.asarray(a), self.window, "...")
        return state.state, jax.tree.map(lambda a: a[0], x)


def online(
    step: Callable[..., tuple[Any, Any]],
    *,
    credit: Literal["local", "none"] | tuple[str, str] = "local",
    window: int = 1,
) -> Online:
    r"""The same step with its gradient, computed forward in time.

    ``(params, state, x) -> (state, loss)`` becomes
    ``(params, state, x) -> (state, (loss, grads))``. The sum of the gradients over all steps is
    the gradient of ``cut(step, credit)`` in reverse mode, to rounding. It is again a step: the body
    of a `jax.lax.scan`, under `jax.jit` and `jax.vmap`. Its memory does not depend on the number
    of time steps, and parameters may be updated between any two calls.

    With the notation of `cut`, the gradient of a step is
    ``dl_t/dw + dl_t/dh_{t-1} P_{t-1}``. How ``P`` is stored follows from the network:

    - *Per neuron*, for parameters that are added to the input of a neuron or that it reads: a bias,
      a learned time constant or threshold.
    - *Per synapse*, for a matrix before neurons of any kind: ``N m n`` numbers for each state of
      the neurons, and as many for a leaky readout after them. That is more than backpropagation
      through time needs for short sequences: see `explain`.
    - The *operand*, filtered, if all neurons of a layer filter alike at all times, as those of a
      `jaxspike.LIF` with ``v_reset=None, detach_reset=True`` do: ``N m`` numbers. This works for
      matrices and convolutions, also if linear layers such as pooling follow them.

    Args:
        step: ``step(params, state, x) -> (state, loss)``, one time step and its loss, a scalar.
            ``params`` is a pytree of floating-point arrays, such as that of ``nnx.split``.
        credit: What carries gradients, as in `cut`: ``"local"`` or ``"none"``. A pair is the credit
            within a window and the one from window to window: ``("full", "local")`` is truncated
            backpropagation with memory, ``("full", "none")`` without.
        window: The number of time steps per call. ``x`` has them as axis 0 if more than 1; the loss
            is their sum. With one credit the gradient is the same for every window, and a longer
            one is faster: its traces are updated once, with one matrix product.

    Returns:
        An `Online`: a function of ``(params, state, x)``, with ``init_state`` and ``reset``.

    Raises:
        TypeError: If ``step`` is not callable; at the first call, if it does not return its state
            and a scalar loss, or if a parameter or the state is not what it must be.
        ValueError: If ``credit`` or ``window`` is not one of the above; at the first call, if no
            trace can follow a parameter (a convolution before neurons that do not all filter alike,
            a BatchNorm in training mode), or if the step moves the entries of a state (`jnp.roll`).
            Nothing is approximated silently.

    Example:
        Learn at every time step:

        >>> import jax, jax.numpy as jnp, jaxspike as js
        >>> lif = js.LIF(v_reset=None, detach_reset=True)
        >>> def step(params, state, x):
        ...     state, y = lif(state, x @ params["w"])
        ...     return state, jnp.mean((y - 1.0) ** 2)
        >>> params = {"w": jnp.full((3, 4), 0.5)}
        >>> online = js.learning.online(step)
        >>> state = online.init_state(params, lif.init_state((2, 4)), jnp.ones((2, 3)))
        >>> def train(carry, x):
        ...     params, state = carry
        ...     state, (loss, grads) = online(params, state, x)
        ...     return (jax.tree.map(lambda p, g: p - 0.1 * g, params, grads), state), loss
        >>> (params, state), losses = jax.lax.scan(train, (params, state), jnp.ones((50, 2, 3)))
        >>> bool(losses[-1] < losses[0])
        True

    Source: Bellec et al., 2020; Xiao et al., 2022; Meng et al., 2023; see `cut`.
    """
    _check.function("`online(step=...)`", step, "Give `step(params, state, x) -> (state, loss)`.")
    _check.one_of("`online(credit=...)`", credit, CREDITS)
    window = _check.integer("`online(window=...)`", window, low=1)
    return Online(step, (credit, credit) if isinstance(credit, str) else credit, window)


def accumulate(online: Online) -> Callable[..., tuple[OnlineState, tuple[Array, Tree]]]:
    """The gradient of a whole sequence, with the memory of one window.

    Args:
        online: What `online` returned.

    Returns:
        A function ``(params, state, xs) -> (state, (loss, grads))`` of a sequence ``xs`` with time
        as axis 0, whose length is a multiple of the window; the loss and gradients are summed over
        time.

    Raises:
        TypeError: If ``online`` is something else.
        ValueError: When called, if the window does not divide the number of time steps.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> def step(params, state, x):
        ...     state, y = js.ALIF()(state, x * params)
        ...     return state, y.mean()
        >>> online = js.learning.online(step, window=5)
        >>> params, rest = jnp.full(3, 0.5), js.ALIF().init_state((2, 3))
        >>> state = online.init_state(params, rest, jnp.ones((2, 3)))
        >>> total = js.learning.accumulate(online)
        >>> state, (loss, grads) = total(params, state, jnp.ones((20, 2, 3)))
        >>> grads.shape
        (3,)
    """
    what, fix = "made by `online`", "Call `online(step)` first."
    _check.instance("`accumulate(online=...)`", online, Online, what, fix, _check.kind)

    def accumulated(params: Tree, state: OnlineState, xs: Tree):
        windows = jax.tree.map(lambda a: _in_windows(a, online.window), xs)
        _, shapes = jax.eval_shape(online, params, state, jax.tree.map(lambda a: a[0], windows))

        def body(carry, x):
            state, total = carry
            state, found = online(params, state, x)
            return (state, jax.tree.map(jnp.add, total, found)), None

        zero = jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), shapes)
        return lax.scan(body, (state, zero), windows)[0]

    return accumulated


def _in_windows(a: Array, window: int) -> Array:
    if len(a) % window or not len(a):
        raise ValueError(
            f"`accumulate(online)(params, state, xs)` must have a number of time steps divisible "
            f"by window={window}, got {len(a)}. Pad the sequence or change the window."
        )
    return a if window == 1 else a.reshape(len(a) // window, window, *a.shape[1:])


def _constants(plan: Plan, env: Env) -> Env:
    """The values of everything that is the same at every step."""
    eqns = plan.constant_eqns
    ins, outs = list(env), unique(v for e in eqns for v in outputs_of([e]))
    return {**env, **dict(zip(outs, function(ins, outs, eqns)(*env.values()), strict=True))}


def _window(
    plan: Plan, env: Env, state: list[Array], x: Tree
) -> tuple[Array, list[Array], list[Array]]:
    """The loss of one window, the state after it, and what the traces need from each step."""
    step, record = plan.step, _traces.recorded(plan)
    stops = plan.pools.stops(plan.within)

    def one(s, x):
        given = {**env, **dict(zip([*step.state, *step.xs], [*s, *x], strict=True))}
        if plan.within == "none":
            given.update({v: lax.stop_gradient(given[v]) for v in step.state})
        new, (loss,), seen = evaluate_stopped(step, given, *stops, record)
        return new, (loss, seen)

    xs = jax.tree.leaves(x)
    if plan.window == 1:
        new, (loss, seen) = one(state, xs)
        return loss, new, seen
    new, (losses, seen) = engine.scan(one, state, xs)
    return losses.sum(), new, seen


def _check_traces(plan: Plan, traces: Tree) -> None:
    want, got = (
        jax.tree.map(lambda a: (a.shape, a.dtype.name), t) for t in (_traces.zeros(plan), traces)
    )
    if want != got:
        raise ValueError(
            f"`online(step)(params, state, x)` must be given a state of this step, got traces "
            f"{got} for {want}. Call `online.init_state`."
        )
