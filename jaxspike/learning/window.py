"""One window of time steps: its loss, its gradient, and the memory for the next window."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from .. import engine
from .._types import Array, Tree
from ..engine.program import function, outputs_of, unique
from . import jacobian, traces
from .flow import Edge
from .plan import Env, Plan, zeros_like
from .stop_gradients import evaluate_stopped


class Found(NamedTuple):
    """The results of a window: arrays in the order of the state and of the parameters."""

    loss: Array
    aux: list[Array]
    state: list[Array]
    kept: Tree
    grads: list[Array]


class Ran(NamedTuple):
    """The results of a window other than its loss; ``record`` has the values that traces need."""

    state: list[Array]
    record: list[Array]
    aux: list[Array]


def zeros(plan: Plan) -> Tree:
    """The memory before the first window."""
    return jacobian.zeros(plan.flow, plan.groups) if plan.is_dense else traces.zeros(plan)


def size_of(plan: Plan) -> int:
    """The bytes of the memory."""
    kept = jax.tree.leaves(jax.eval_shape(lambda: zeros(plan)))
    return sum(a.size * a.dtype.itemsize for a in kept)


class Window:
    """A window, given the values of the constants, the parameters, the state and the inputs."""

    def __init__(self, plan: Plan, consts: list[Array], leaves, state: list[Array], x: Tree):
        step = plan.step
        self.plan, self.x = plan, jax.tree.leaves(x)
        self.start: Env = dict(zip(step.state, state, strict=True))
        known = {step.state[k]: self.start[step.state[k]] for k in plan.flow.graph.unchanged}
        known.update(zip(step.consts, consts, strict=False))

        def constants(leaves) -> Env:
            return _constants(plan, {**known, **dict(zip(plan.params, leaves, strict=True))})

        def parameters(leaves) -> list[Array]:
            env = constants(leaves)
            return [env[v] for v in plan.parameters]

        self.env = constants(leaves)
        self.values, self._to_params = jax.vjp(parameters, leaves)
        self.moving = [step.state[k] for k in plan.flow.states]
        self.shifted = traces.shifted(plan)
        self.fixed = {(i, v): self.env[v] for i, v in plan.summed}

    def run(
        self,
        values: Sequence[Array],
        moved: Sequence[Array],
        shifts: Sequence[Array] = (),
        credit: str = "",
    ) -> tuple[Array, Ran]:
        """The loss, for some parameters and states; its gradient is that of a credit."""
        plan = self.plan
        env = {**self.env, **dict(zip(plan.parameters, values, strict=True))}
        before = {**self.start, **dict(zip(self.moving, moved, strict=True))}
        given = [before[v] for v in plan.step.state]
        added = dict(zip(self.shifted, shifts, strict=False))
        return _loss(plan, env, given, self.x, credit or plan.within, added, self.fixed)

    def results(self, kept: Tree) -> Found:
        """The loss, its gradient with the memory of the past, and the new memory."""
        plan = self.plan
        before = [self.start[v] for v in self.moving]
        shifts = [zeros_like(v) for v in self.shifted]
        loss, back, ran = jax.vjp(self.run, self.values, before, shifts, has_aux=True)
        grads, by_state, entering = back(jnp.ones_like(loss))
        signals = dict(zip(plan.flow.states, by_state, strict=True))
        record = dict(zip(traces.recorded(plan), ran.record, strict=True))
        if plan.is_dense:
            past = jacobian.gradients(plan.groups, signals, kept)
            start = {**dict(zip(plan.parameters, self.values, strict=True)), **self.start}
            new = jacobian.move(plan.groups, self._states_after, start, plan.step.state, kept)
        else:
            now = record, dict(zip(self.shifted, entering, strict=True))
            past = traces.gradients(plan, self.env, signals, kept, *now)
            new = traces.move(plan, {**self.env, **self.start}, record, kept)
        total = [
            g + past[v] if v in past else g for v, g in zip(plan.parameters, grads, strict=True)
        ]
        return Found(loss, ran.aux, ran.state, new, self._to_params(total)[0])

    def _states_after(self, other: Env, which: Sequence[int]) -> list[Array]:
        """Some states after the window, with the gradient that traces follow."""
        given = {**dict(zip(self.plan.parameters, self.values, strict=True)), **self.start, **other}
        values, moved = ([given[v] for v in names] for names in (self.plan.parameters, self.moving))
        state = self.run(values, moved, credit=self.plan.across)[1].state
        return [state[k] for k in which]


def _constants(plan: Plan, env: Env) -> Env:
    """The values of everything that is the same at every step."""
    eqns = plan.constant_eqns
    ins, outs = list(env), unique(v for e in eqns for v in outputs_of([e]))
    return {**env, **dict(zip(outs, function(ins, outs, eqns)(*env.values()), strict=True))}


def _loss(
    plan: Plan,
    env: Env,
    state: list[Array],
    xs: list[Array],
    credit: str,
    shifts: Env,
    fixed: Mapping[Edge, Array],
) -> tuple[Array, Ran]:
    """The loss of a window, and its other results."""
    step, record, stops = plan.step, traces.recorded(plan), plan.pools.stops(credit)

    def one(s, x):
        given = {**env, **dict(zip([*step.state, *step.xs], [*s, *x], strict=True))}
        if credit == "none":
            given.update({v: lax.stop_gradient(given[v]) for v in step.state})
        new, (loss, *aux), seen = evaluate_stopped(step, given, *stops, record, shifts, fixed)
        return new, (loss, seen, aux)

    if plan.window == 1:
        new, (loss, seen, aux) = one(state, xs)
        return loss, Ran(new, seen, aux)
    new, (losses, seen, aux) = engine.scan(one, state, xs)
    return losses.sum(), Ran(new, seen, aux)
