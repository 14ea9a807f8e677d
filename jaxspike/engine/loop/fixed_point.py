"""The states of a recurrence that is affine given its decisions, for all steps at once."""

import dataclasses
import functools
import operator
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from ..._types import Array
from ..program.affine import Affine
from .affine_scan import affine_scan, before, transposed

Arrays = list[Array]
ROUNDING = 64  # units in the last place of the largest state by which a step may miss the next one
HEAD_START = 4  # iterations that the loop would have for nothing


class Guess(NamedTuple):
    """Where the iteration is.

    Attributes:
        turns: The number of iterations.
        decisions: What the true step decides at the states, ``[T, *]`` each.
        states: The states after every step, ``[T, *]`` each.
        known: The number of steps before the first of which the decisions are not those that the
            states were computed with; T if they repeat.
    """

    turns: Array
    decisions: Arrays
    states: Arrays
    known: Array


@dataclasses.dataclass(frozen=True, eq=False)
class Recurrence:
    """An affine recurrence and the values of its arguments.

    Attributes:
        affine: The recurrence.
        length: The number of steps T.
        consts: Values of its constants.
        first: The first state.
        xs: The inputs, ``[T, *]`` each.
    """

    affine: Affine
    length: int
    consts: Arrays
    first: Arrays
    xs: Arrays

    def states(self) -> Arrays:
        """The states after every step, ``[T, *]`` each: those of the loop over time.

        Without decisions they are one `affine_scan`. With decisions, `guessed` finds them. If the
        guess falls behind a loop, or if the true step does not lead from each state found to the
        next one up to rounding, a loop computes the states instead.
        """
        if not self.affine.has_decisions:
            return self.given([])
        guess = self.guessed()
        certain = (guess.known == self.length) & self._is_consistent(guess.states)
        # a loop of at most one turn: under `vmap` a `cond` would compute both branches
        found = lax.while_loop(
            lambda c: ~c[0],
            lambda c: (jnp.ones_like(c[0]), self._by_a_loop()),
            (certain, guess.states),
        )
        return found[1]

    def guessed(self) -> Guess:
        """Guess the decisions of all steps, solve for the states, decide there, until it repeats.

        The first guess is what the true step decides at the first state. Given decisions d[1], ...,
        d[T], the states s[1], ..., s[T] are an `affine_scan`; the next guess for d[t] is what the
        true step decides at s[t - 1].

        A guess that repeats is right, and the iteration ends. *Claim*: after k iterations, d[1],
        ..., d[k + 1] are the decisions of the loop. They are for k = 0, since s[0] is given. If
        they are for k, the next states s[1], ..., s[k + 1], which depend on no later guess, are
        those of the loop, so that the true step decides as in the loop at each of them, and d[1],
        ..., d[k + 2] are right. Thus all are after T - 1 iterations at the latest; and a guess that
        repeats once does so for ever, so it is the one after T - 1 iterations.

        An iteration is given up when it falls behind a loop: when the steps that are known are
        fewer than the loop takes while the passes of the iterations so far wait for one another.

        In floating point the states are those of the loop to rounding, as sums are in another
        order. The spikes are what the true step decides at them, and can be others than the loop's
        only from where a potential misses the threshold by no more than that.
        """
        states = [jnp.broadcast_to(a, (self.length, *a.shape)) for a in self.first]
        decisions = self.decided(states)
        none = _known(decisions, decisions) * 0

        def improved(guess: Guess) -> Guess:
            states = self.given(guess.decisions)
            new = self.decided(before(self.first, states))
            return Guess(guess.turns + 1, new, states, _known(new, guess.decisions))

        def is_ahead(guess: Guess) -> Array:
            by_a_loop = (guess.turns - HEAD_START) * 2 * self.length.bit_length()
            return (guess.known < self.length) & (guess.known >= by_a_loop)

        return lax.while_loop(is_ahead, improved, Guess(none, decisions, states, none))

    def given(self, decisions: Arrays) -> Arrays:
        """The states after every step if these are the decisions, ``[T, *]`` each."""
        consts, zeros = self._consts, [jnp.zeros_like(a) for a in self.first]

        def coefficients(x):
            def new_state(*state):
                return self.affine.decided(consts, state, x)[0]

            columns = []
            for j, zero in enumerate(zeros):
                along = [*zeros[:j], jnp.ones_like(zero), *zeros[j + 1 :]]
                b, column = jax.jvp(new_state, zeros, along)
                columns.append(column)
            return transposed(columns), b

        a, b = self._over_time(coefficients)([*self.xs, *decisions])
        return affine_scan(a, b, self.first)

    @property
    def _consts(self) -> Arrays:
        return [*self.affine.values, *self.consts]

    def _over_time(self, f: Callable[..., Any]) -> Callable[..., Any]:
        return jax.vmap(f, axis_size=self.length)

    def _true(self, state: Arrays, x: Arrays) -> tuple[Arrays, Arrays]:
        """The state after a true step, and its decisions."""
        return self.affine.deciding(self._consts, state, x)

    def decided(self, states: Arrays) -> Arrays:
        """What the true step decides at the states before it, ``[T, *]`` each."""
        return self._over_time(lambda s, x: self._true(s, x)[1])(states, self.xs)

    def _is_consistent(self, states: Arrays) -> Array:
        """Whether a true step leads from each state to the next one, up to rounding."""
        after, _ = self._over_time(self._true)(before(self.first, states), self.xs)
        return functools.reduce(operator.and_, map(_is_close, after, states))

    def _by_a_loop(self) -> Arrays:
        def step(state, x):
            return (self._true(state, x)[0],) * 2

        return lax.scan(step, self.first, self.xs, length=self.length)[1]


def _known(decisions: Arrays, guess: Arrays) -> Array:
    """The number of steps before the first one that is not as guessed."""
    axes = [tuple(range(1, a.ndim)) for a in decisions]
    same = [(a == b).all(i) for a, b, i in zip(decisions, guess, axes, strict=True)]
    every = functools.reduce(operator.and_, same)
    return jnp.where(every.all(), len(every), every.argmin()).astype(jnp.int32)


def _is_close(a: Array, b: Array) -> Array:
    """Whether sequences are equal up to rounding."""
    return (abs(a - b) <= ROUNDING * jnp.finfo(a.dtype).eps * abs(b).max(0)).all()
