"""`online`: a step that returns its gradient, with memory that does not grow with time."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from .. import _check
from .._state import layout
from .._types import Array, Tree
from ..engine.program import has_convolution, with_fast_convolutions
from .plan import Plan, zeros_like
from .traced import check_loss, check_params, check_places, paths, trace
from .window import Window, size_of, zeros

Credit = Literal["full", "layer", "local", "none"] | tuple[str, str]
MOST_GIB = 16
CREDITS = ("full", "layer", "local", "none", *(("full", c) for c in ("layer", "local", "none")))


class OnlineState(NamedTuple):
    """The state of the network, and the traces for the gradient of its parameters."""

    state: Tree
    traces: Tree


@dataclasses.dataclass(frozen=True, eq=False)
class OnlineStep:
    """A step that returns its gradient, as made by `online`.

    Attributes:
        step: ``step(params, state, x) -> (state, loss)``.
        credit: What carries gradients within a window, and from window to window.
        window: The number of time steps per call.
        has_aux: Whether the step returns ``(state, (loss, aux))``.
        decay: The decay of factored traces; None if traces are exact.
    """

    step: Callable[..., tuple[Any, Any]]
    credit: tuple[str, str]
    window: int
    has_aux: bool = False
    decay: float | None = None

    def init_state(self, params: Tree, state: Tree, x: Tree) -> OnlineState:
        """The state before the first step.

        Args:
            params: The parameters.
            state: The first state of the network.
            x: The input of one time step; only its shapes matter.

        Raises:
            ValueError: If the derivatives of all states by all parameters would take more than 16
                GiB.
        """
        plan = self.plan(params, state, x).plan
        gib = size_of(plan) / 2**30
        if plan.is_dense and gib > MOST_GIB:
            raise ValueError(
                f"`online(step, credit={self._credit!r})` must have derivatives of states by "
                f"parameters of at most {MOST_GIB} GiB, got {gib:,.0f} GiB. Use `jax.vmap` over "
                'samples, the credit "local" or ("full", "local"), or `cut` in reverse mode.'
            )
        return OnlineState(state, zeros(plan))

    @property
    def _credit(self) -> Credit:
        within, across = self.credit
        return self.credit if within != across else within  # type: ignore[return-value]

    def reset(self, state: OnlineState, done: Array, rest: Tree) -> OnlineState:
        """Restart some samples of the batch.

        Args:
            state: The state.
            done: Which samples, Boolean ``[N]``; N is the first axis of every array of the state.
            rest: The state of the network that they start from, for the whole batch.

        Raises:
            TypeError: If ``state`` is not that of an online step, or ``done`` is not Boolean.
            ValueError: If ``done`` or an array of the state does not have these axes, or ``rest``
                is the state of another network or batch.
        """
        what, fix = "the state of `online.init_state`", "Call it first."
        _check.instance("`reset(state=...)`", state, OnlineState, what, fix, _check.kind)
        done = jnp.asarray(done)
        if done.dtype != bool:
            raise TypeError(f"`reset(done=...)` must be Boolean, got {done.dtype}.")
        _check.axes("`reset(done=...)`", done, "N")
        want, got = (jax.tree.map(jnp.shape, t) for t in (state.state, rest))
        if layout(state.state) != layout(rest):
            raise ValueError(
                f"`reset(rest=...)` must be like the state of the network, {want}, got {got}. "
                "Give the one that `init_state` was given."
            )
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
    ) -> tuple[OnlineState, tuple[Tree, Tree]]:
        """One window: ``(params, state, x) -> (state, (loss, grads))``.

        Args:
            params: The parameters, a pytree of floating-point arrays.
            state: The state, from `init_state` or from the previous call.
            x: The input of one time step; of ``window`` steps, as axis 0, if that is more than 1.

        Returns:
            The state, the loss (summed over the steps of a window), and the gradient of the loss
            with respect to the parameters; with ``has_aux``, ``(state, ((loss, aux), grads))``.
        """
        return self.follow(self.plan(params, *self._checked(state, x)), params, state, x)

    def follow(
        self, planned: "Planned", params: Tree, state: OnlineState, x: Tree
    ) -> tuple[OnlineState, tuple[Tree, Tree]]:
        """The same with a plan that is known."""
        run = functools.partial(self._follow, planned)
        fast = has_convolution(planned.plan.step.eqns)
        return (with_fast_convolutions(run) if fast else run)(params, state, x)

    def _follow(self, planned: "Planned", params: Tree, state: OnlineState, x: Tree):
        plan, consts, aux = planned
        _check_traces(plan, state.traces)
        window = Window(plan, consts, jax.tree.leaves(params), jax.tree.leaves(state.state), x)
        found = window.results(state.traces)
        loss: Tree = found.loss
        if self.has_aux:
            loss = loss, jax.tree.unflatten(aux, found.aux)
        new = jax.tree.unflatten(jax.tree.structure(state.state), found.state)
        grads = jax.tree.unflatten(jax.tree.structure(params), found.grads)
        return OnlineState(new, found.kept), (loss, grads)

    def plan(self, params: Tree, state: Tree, x: Tree) -> "Planned":
        """The plan of the traces for the input of one time step, and the constants of the step."""
        check_params("online(step)", params)
        step, consts, out = trace("online", self.step, params, state, x)
        check_loss("online", out[1], has_aux=self.has_aux)
        within, across = self.credit
        names = paths("params", params)
        make = functools.partial(
            Plan, step, len(names), window=self.window, within=within, across=across
        )
        plan = make(decay=self.decay)
        if plan.not_followed():
            folded = make(decay=self.decay, fold=True)
            plan = plan if folded.not_followed() else folded
        where = f"`online(step, credit={self._credit!r})`"
        if across in ("layer", "local"):
            learned = plan.reached_by(set(plan.parameters))
            learns = [k for k in sorted(plan.remembered) if step.state[k] in learned]
            check_places(where, plan.flow, paths("state", state), learns)
        for v, operation in plan.not_followed():
            (name, *_) = [names[i] for i in sorted(plan.sources[v])]
            raise ValueError(
                f"{where} must have parameters that are added to a neuron's input or multiply it "
                f"as a matrix, got {name}, which enters through {operation}. Use neurons with "
                "`v_reset=None, detach_reset=True`, or another credit."
            )
        return Planned(plan, consts, jax.tree.structure(out[1][1] if self.has_aux else ()))

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


class Planned(NamedTuple):
    """The plan of a step, the values of its constants, and the structure of its ``aux``."""

    plan: Plan
    consts: list[Array]
    aux: Any


def online(
    step: Callable[..., tuple[Any, Any]],
    *,
    credit: Credit = "local",
    traces: Literal["exact", "factored"] = "exact",
    decay: float | None = None,
    window: int = 1,
    has_aux: bool = False,
) -> OnlineStep:
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
    - The *Jacobian*, with the credits "layer" and "full": as many numbers as states times
      parameters, where all samples of a batch count as states. For small networks; `jax.vmap` over
      samples, each a batch of 1, takes less.

    Args:
        step: ``step(params, state, x) -> (state, loss)``, one time step and its loss, a scalar.
            ``params`` is a pytree of floating-point arrays, such as that of ``nnx.split``.
        credit: What carries gradients, as in `cut`: ``"full"`` (real-time recurrent learning),
            ``"layer"``, ``"local"`` or ``"none"``. A pair is the credit within a window and the one
            from window to window: ``("full", "local")`` is truncated backpropagation with memory,
            ``("full", "none")`` without.
        traces: ``"exact"``, or ``"factored"`` (ES-D-RTRL): instead of the traces per synapse, a
            running mean of the inputs and one of the derivatives, ``N (m + n)`` numbers. It is an
            approximation, for any linear operation before any neuron; what can be stored per neuron
            or as the operand stays exact.
        decay: The decay of both means of factored traces, from 0 to 1; 0.95 by default.
        window: The number of time steps per call. ``x`` has them as axis 0 if more than 1; the loss
            is their sum. With one credit the gradient is the same for every window, and a longer
            one is faster: its traces are updated once, with one matrix product.
        has_aux: Whether the step returns ``(state, (loss, aux))``, as in `jax.value_and_grad`: the
            result is then ``(state, ((loss, aux), grads))``, and ``aux`` of a window has time as
            axis 0.

    Returns:
        An `OnlineStep`: a function of ``(params, state, x)``, with ``init_state`` and ``reset``.

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
    pair = check_credit("online", credit)
    window = _check.integer("`online(window=...)`", window, low=1)
    return OnlineStep(
        step, pair, window, bool(has_aux), check_traces("online", pair, window, traces, decay)
    )


def check_credit(call: str, credit: Credit) -> tuple[str, str]:
    """The credit within a window and from window to window."""
    _check.one_of(f"`{call}(credit=...)`", credit, CREDITS)
    return (credit, credit) if isinstance(credit, str) else credit


def check_traces(
    call: str, credit: tuple[str, str], window: int, traces: str, decay: float | None
) -> float | None:
    """The decay of factored traces; None for exact ones."""
    _check.one_of(f"`{call}(traces=...)`", traces, ("exact", "factored"))
    if traces == "exact":
        if decay is not None:
            raise ValueError(
                f"`{call}(decay=...)` must be None with exact traces, got {decay}. "
                'Give `traces="factored"`.'
            )
        return None
    where = f'`{call}(traces="factored")`'
    if credit != ("local", "local") or window != 1:
        raise ValueError(
            f'{where} must have the credit "local" and a window of 1, got {credit[0]!r} and '
            f"{window}. Its numbers would depend on the window."
        )
    return _check.number(f"`{call}(decay=...)`", 0.95 if decay is None else decay, above=0, below=1)


def accumulate(online: OnlineStep) -> Callable[..., tuple[OnlineState, tuple[Tree, Tree]]]:
    """The gradient of a whole sequence, with the memory of one window.

    Args:
        online: What `online` returned.

    Returns:
        A function ``(params, state, xs) -> (state, (loss, grads))`` of a sequence ``xs`` with time
        as axis 0, whose length is a multiple of the window; the loss and gradients are summed over
        time, and ``aux`` has time as axis 0.

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
    _check.instance("`accumulate(online=...)`", online, OnlineStep, what, fix, _check.kind)

    def accumulated(params: Tree, state: OnlineState, xs: Tree):
        windows = jax.tree.map(lambda a: _in_windows(a, online.window), xs)
        one = jax.tree.map(lambda a: a[0], windows)
        planned = online.plan(params, *online._checked(state, one))
        loss = zeros_like(planned.plan.step.ys[0])

        def body(carry, x):
            state, total = carry
            state, found = online.follow(planned, params, state, x)
            aux = found[0][1] if online.has_aux else None
            return (state, jax.tree.map(jnp.add, total, summed(found))), aux

        zero = loss, jax.tree.map(jnp.zeros_like, params)
        (state, (loss, grads)), aux = lax.scan(body, (state, zero), windows)
        if not online.has_aux:
            return state, (loss, grads)
        aux = jax.tree.map(lambda a: a if online.window == 1 else a.reshape(-1, *a.shape[2:]), aux)
        return state, ((loss, aux), grads)

    def summed(found):
        return (found[0][0], found[1]) if online.has_aux else found

    return accumulated


def _in_windows(a: Array, window: int) -> Array:
    _check.axes("`accumulate(online)(params, state, xs)`", jnp.asarray(a), "T", "...")
    if len(a) % window or not len(a):
        raise ValueError(
            f"`accumulate(online)(params, state, xs)` must have a number of time steps divisible "
            f"by window={window}, got {len(a)}. Pad the sequence or change the window."
        )
    return a if window == 1 else a.reshape(len(a) // window, window, *a.shape[1:])


def _check_traces(plan: Plan, traces: Tree) -> None:
    want, got = (jax.tree.map(lambda a: (a.shape, a.dtype.name), t) for t in (zeros(plan), traces))
    if want != got:
        raise ValueError(
            "`online(step)(params, state, x)` must be given a state of this step, got traces "
            "of another step, batch, window or credit. Call `online.init_state`."
        )
