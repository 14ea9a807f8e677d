"""States on no cycle: their sources, delayed by some steps.

A queue of n arrays is a chain of n such states. Nested concatenations of them would be too deep for
XLA: each is made of the first rows of its chain and of the rows that enter it.
"""

import bisect
import dataclasses
import functools
import itertools
from collections.abc import Callable

import jax.numpy as jnp
from jax import lax

from ..._types import Array
from ..program.jaxpr import Atom, is_var
from .graph import Graph
from .partition import Part


@dataclasses.dataclass(frozen=True)
class Chain:
    """States of which each feeds the one before it: their first rows, then the source.

    Attributes:
        states: Their positions in the step; the last of the chain, which comes out, is first.
        blocks: The rows of each, the next to come out first; then those that enter, ``[T, *]``.
        taps: The number of states that are read.
    """

    states: list[int]
    blocks: list[Array]
    taps: int

    @functools.cached_property
    def starts(self) -> list[int]:
        """The number of rows before each block."""
        return [0, *itertools.accumulate(map(len, self.blocks))]

    @functools.cached_property
    def whole(self) -> Array:
        """All rows as one array."""
        return jnp.concatenate(self.blocks)

    def rows(self, start: int, length: int) -> Array:
        """``length`` rows from row ``start``."""
        found, stop = [], start + length
        for i in range(bisect.bisect_right(self.starts, start) - 1, len(self.blocks)):
            a, before = self.blocks[i], self.starts[i]
            if before >= stop:
                break
            found.append(lax.slice_in_dim(a, max(start - before, 0), min(stop - before, len(a))))
        return jnp.concatenate(found) if len(found) > 1 else found[0]


class Shifts:
    """The states of a step that only shift a sequence.

    Args:
        graph: The graph of the step.
        parts: Its parts.
        state: The first state.
        length: The number of steps T.
        over_time: The rows, ``[T, *]``, of an atom that is not such a state.
    """

    def __init__(
        self,
        graph: Graph,
        parts: list[Part],
        state: list[Array],
        length: int,
        over_time: Callable[[Atom], Array],
    ):
        self.graph, self.state, self.length, self.over_time = graph, state, length, over_time
        self.states = {k for part in parts if part.kind == "shift" for k in part.states}
        at = {graph.step.state[k]: k for k in self.states}
        news = {k: graph.step.new_state[k] for k in self.states}
        self.sources = {k: at[v] for k, v in news.items() if is_var(v) and v in at}
        self.end_of: dict[int, int] = {}  # the last state of the chain that each is in
        self.chains: dict[int, Chain] = {}  # by their last state
        for last in self.states - set(self.sources.values()):
            for k in self._chain(last):
                self.end_of.setdefault(k, last)

    def is_read(self, k: int) -> bool:
        """Whether anything but such a state reads state ``k``."""
        graph, v = self.graph, self.graph.step.state[k]
        readers = {n - graph.n_eqns for n in graph.consumers.get(v, ())}
        return v in graph.results or not readers <= self.states

    def values(self, k: int) -> Array:
        """State ``k`` before every step, ``[T, *]``."""
        chain, start = self._place(k)
        if chain.taps == 1:
            return chain.rows(start, self.length)
        return lax.slice_in_dim(chain.whole, start, start + self.length)

    def last(self, k: int) -> Array:
        """State ``k`` after the last step."""
        chain, start = self._place(k)
        found = chain.rows(start + self.length, self.graph.step.delays.get(k, 1))
        return found if k in self.graph.step.delays else found[0]

    def _place(self, k: int) -> tuple[Chain, int]:
        """The chain that state ``k`` is in, and the number of rows before its own."""
        end = self.end_of[k]
        if end not in self.chains:
            states, delays = self._chain(end), self.graph.step.delays
            rows = [self.state[s] if s in delays else self.state[s][None] for s in states]
            source = self.over_time(self.graph.step.new_state[states[-1]])
            source = source if source.dtype == rows[0].dtype else source.astype(rows[0].dtype)
            taps = sum(map(self.is_read, states))
            self.chains[end] = Chain(states, [*rows, source], taps)
        chain = self.chains[end]
        return chain, chain.starts[chain.states.index(k)]

    def _chain(self, last: int) -> list[int]:
        states = [last]
        while states[-1] in self.sources:
            states.append(self.sources[states[-1]])
        return states
