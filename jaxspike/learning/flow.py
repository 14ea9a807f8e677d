"""How a gradient can flow through one step, from the states and from the parameters."""

import functools
import math

import jax.numpy as jnp
from jax.extend.core import JaxprEqn, Var

from ..engine.order import Graph, components
from ..engine.program import (
    CONTRACTIONS,
    Atom,
    Step,
    has_gradient,
    is_elementwise,
    is_var,
    location,
    scales,
    type_of,
    unique,
)

NOTHING: frozenset[int] = frozenset()
Edge = tuple[int, Var]  # an equation, by position, and a variable that it reads


def is_inexact(atom: Atom) -> bool:
    """Whether an atom can have a gradient."""
    return bool(jnp.issubdtype(type_of(atom).dtype, jnp.inexact))


class Flow:
    """The paths of a gradient within one step.

    An edge is *pointwise* if every neuron reads only its own entry of an array that varies over
    time; through the other edges neurons read each other.

    Attributes:
        memory: For every variable, the states that reach it through pointwise edges.
        weighted: The variables over time that depend on an array that is the same at every step,
            which may be a parameter.
        stale: The variables that are pointwise functions of old states alone.
        folded: The equations that count as part of the convolution before them, by position.
    """

    def __init__(self, step: Step, *, fold: bool = False):
        """The paths of ``step``.

        Args:
            step: The step.
            fold: Whether what scales and shifts the result of a convolution by constants, such as a
                BatchNorm in evaluation mode, is part of the convolution, and not of the neurons.
        """
        self.step, self.graph = step, Graph(step)
        self.folded: set[int] = self._folded() if fold else set()
        self.memory: dict[Var, frozenset[int]] = {}
        self.weighted: set[Var] = set()
        self.stale: set[Var] = set()
        for k in self.states:
            self.memory[step.state[k]] = frozenset([k])
            self.stale.add(step.state[k])
        for i, e in enumerate(step.eqns):
            self._follow(i, e)

    def _follow(self, i: int, e: JaxprEqn) -> None:
        read = [v for v in unique(e.invars) if is_inexact(v)]
        timed = [v for v in unique(e.invars) if self.varies(v)]
        if not timed or not has_gradient(e):
            return
        outs = [v for v in e.outvars if is_inexact(v)]
        if any(v in self.weighted or not self.varies(v) for v in read):
            self.weighted.update(outs)
        near = [v for v in timed if self.is_pointwise(i, v)]
        states = NOTHING.union(*(self.memory.get(v, NOTHING) for v in near))
        if states:
            self.memory.update(dict.fromkeys(outs, states))
            if len(near) == len(timed) and self.stale.issuperset(timed):
                self.stale.update(outs)

    def _folded(self) -> set[int]:
        found, images = set[int](), set[Var]()
        for i, e in enumerate(self.step.eqns):
            at = [j for j, v in enumerate(e.invars) if self.varies(v)]
            if e.primitive.name == "conv_general_dilated":
                images.update(e.outvars)
            elif len(at) == 1 and e.invars[at[0]] in images and scales(e, at) is not None:
                found.add(i)
                images.update(e.outvars)
        return found

    @functools.cached_property
    def states(self) -> list[int]:
        """The states that change and can have a gradient."""
        return [k for k in self.graph.changing if is_inexact(self.step.state[k])]

    def varies(self, atom: Atom) -> bool:
        """Whether an atom varies over time."""
        return is_var(atom) and atom in self.graph.time_varying

    def is_pointwise(self, i: int, v: Var) -> bool:
        """Whether every neuron of equation ``i`` reads only its own entry of ``v``."""
        e = self.step.eqns[i]
        if i in self.folded:
            return False
        shape = type_of(v).shape
        return is_elementwise(e) and all(type_of(o).shape == shape for o in e.outvars)

    def between_neurons(self) -> list[Edge]:
        """The edges between time-varying variables that are not pointwise."""
        return [
            (i, v)
            for i, e in enumerate(self.step.eqns)
            for v in unique(e.invars)
            if self.varies(v) and is_inexact(v) and not self.is_pointwise(i, v)
        ]

    def is_contraction(self, i: int) -> bool:
        """Whether equation ``i`` is a matrix product or a convolution."""
        return self.step.eqns[i].primitive.name in CONTRACTIONS

    @functools.cached_property
    def cycle_of(self) -> dict[int, int]:
        """The strongly connected component of every node of the graph."""
        found = components(self.graph.successors())
        return {node: c for c, nodes in enumerate(found) for node in nodes}

    def in_a_cycle(self, edge: Edge) -> bool:
        """Whether an edge is part of a cycle through time."""
        i, v = edge
        producer = self.graph.producer.get(v)
        return producer is not None and self.cycle_of[producer] == self.cycle_of[i]

    def moved_by(self, k: int) -> str | None:
        """The operation that moves the entries of state ``k`` to other positions, and its line.

        Sums, matrix products and convolutions do not move entries: they are synapses.
        """
        step = self.step
        moved: dict[Var, str] = {}
        for i, e in enumerate(step.eqns):
            read = [v for v in unique(e.invars) if is_inexact(v)]
            far = [v for v in read if k in self.memory.get(v, NOTHING)]
            far = [v for v in far if not self.is_pointwise(i, v)]
            names = [moved[v] for v in read if v in moved] + [location(e) for _ in far]
            if names and has_gradient(e) and not _is_synapse(e):
                moved.update(dict.fromkeys(e.outvars, names[0]))
        new = step.new_state[k]
        return moved.get(new) if is_var(new) else None

    def reaches(self, targets: list[Atom], stops: frozenset[Edge] = frozenset()) -> set[Var]:
        """The variables whose gradient reaches ``targets``, with some edges stopped."""
        found = set(unique(targets))
        for i in reversed(range(len(self.step.eqns))):
            e = self.step.eqns[i]
            if has_gradient(e) and any(v in found for v in e.outvars):
                found.update(v for v in unique(e.invars) if is_inexact(v) and (i, v) not in stops)
        return found

    def emissions(self, v: Var, pool: set[int]) -> tuple[set[Var], set[int]] | None:
        """The outputs of neurons outside a pool that reach ``v`` through constant linear equations.

        Returns:
            The variables of those neurons and the equations in between, or None if there are
            others.
        """
        live = self._from_states
        sent: set[Var] = set()
        between: set[int] = set()
        todo = [v]
        while todo:
            a = todo.pop()
            if self.memory.get(a):
                if self.memory[a] & pool:
                    return None
                sent.add(a)
            elif a in live:
                i = self.graph.producer[a]
                if i in between:
                    continue
                between.add(i)
                read = self._linear_operands(i, live)
                if read is None:
                    return None
                todo += read
        return (sent, between) if sent else None

    def _linear_operands(self, i: int, live: set[Var]) -> list[Var] | None:
        """The ``live`` operands of equation ``i`` if it is linear in them, else None."""
        e = self.step.eqns[i]
        at = [j for j, v in enumerate(e.invars) if is_var(v) and v in live]
        factors = scales(e, at)
        if factors is None or any(self.varies(e.invars[j]) for j in factors):
            return None
        return unique(e.invars[j] for j in at)

    @functools.cached_property
    def _from_states(self) -> set[Var]:
        """The variables that depend on a state."""
        found = {self.step.state[k] for k in self.states}
        for e in self.step.eqns:
            if has_gradient(e) and any(v in found for v in unique(e.invars)):
                found.update(v for v in e.outvars if is_inexact(v))
        return found


def _is_synapse(e: JaxprEqn) -> bool:
    """Whether an equation gives neurons a sum, a maximum or another reduction of others."""
    name, sizes = e.primitive.name, [math.prod(type_of(v).shape) for v in (*e.invars, *e.outvars)]
    spreads = name == "broadcast_in_dim" and sizes[0] != sizes[-1]
    return spreads or name in CONTRACTIONS or name.startswith(("reduce_", "cum", "arg"))
