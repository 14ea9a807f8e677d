"""`init_state` of a composite: its `__call__`, traced with placeholders for the states."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import register_static

from .._state import check_shape
from .._types import Shape, Tree
from ._over_time import Glue, enters, glue, inside, leaves, refuse

STEPS_TRACED = 3  # time steps of the sequence that is traced: rarely the size of another axis


@register_static
class _NotBuilt:
    """The state that ``init_state`` is about to build."""

    def __repr__(self) -> str:
        return "a state to be built"


NOT_BUILT = _NotBuilt()


@register_static
class StatePlaceholder:
    """Stands for the state of a layer: the layer's path, and the shape of one step of its input.

    For several inputs, a tree of shapes. ``place`` is the position in the state of the network: one
    layer may be used in several places.
    """

    def __init__(self, owner: str, shape, place: int | None = None):
        self.owner, self.shape, self.place = owner, shape, place

    def __eq__(self, other: object) -> bool:
        return isinstance(other, StatePlaceholder) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash((self.owner, self.place))

    def __repr__(self) -> str:
        where = "" if self.place is None else f" (entry {self.place})"
        return f"the state of `{self.owner}`{where}"


def is_placeholder(leaf) -> bool:
    """Whether ``leaf`` stands for a state that does not exist yet."""
    return leaf is NOT_BUILT or isinstance(leaf, StatePlaceholder)


def each_shape(f: Callable[[Shape], Tree], shape):
    """``f`` of a shape, or of each of several inputs."""
    return jax.tree.map(f, shape, is_leaf=lambda s: isinstance(s, tuple))


def step_shape(name: str, shape):
    """The checked shape of one step of input, or a dictionary of them."""
    if isinstance(shape, dict):
        return {key: check_shape(name, s) for key, s in shape.items()}
    return check_shape(name, shape)


class Traced(NamedTuple):
    """A placeholder for the state of each layer of a composite, and what it does between layers."""

    states: Tree
    step: Glue
    sequence: Glue


def trace_states(name: str, call: Callable[[Tree, Tree], tuple[Tree, Tree]], shape) -> Traced:
    """A placeholder for the state of each layer, in the structure in which ``call`` returns them.

    ``call(state, x)`` is traced twice: on one step, to see which layer owns which entry; then on a
    sequence, with the placeholders in place, to see that every layer gets its own entry back and
    that axes are counted from the end: that the equations are the same but for the axis of time.

    Args:
        name: The name of the network, for errors.
        call: The call of the network, which returns the new state and the output.
        shape: The shape of one step of input, or a dictionary of them.
    """
    found: list[Tree] = []

    def traced(state, *time):
        def output(x):
            new, y = call(state, x)
            found.append(new)
            return y

        x = each_shape(lambda s: jax.ShapeDtypeStruct((*time, *s), jnp.float32), shape)
        with jax.numpy_dtype_promotion("standard"):  # weights may have any dtype: shapes are asked
            return glue(output, x)

    one_step = traced(NOT_BUILT)
    entries, structure = jax.tree.flatten(found[0], is_leaf=is_placeholder)
    for entry in entries:
        if not isinstance(entry, StatePlaceholder):
            kind = "an array" if hasattr(entry, "dtype") else type(entry).__name__
            got = "an entry that no layer used" if entry is NOT_BUILT else kind
            raise TypeError(
                f"`{name}.__call__` must return the states that its layers return, got {got} among "
                "them. A module with a state of its own must define `init_state(shape, dtype)`."
            )
    placed = [StatePlaceholder(s.owner, s.shape, i) for i, s in enumerate(entries)]
    states = jax.tree.unflatten(structure, placed)
    try:
        over_time = traced(states, STEPS_TRACED)
    except (TypeError, ValueError) as e:
        e.add_note(
            f"It is raised for a sequence of T = {STEPS_TRACED} steps, not for one step: "
            "`[T, N, *]` has one axis more in front. Count axes from the end, as in "
            "`jaxspike.nn.Flatten()`."
        )
        raise
    for one, got in zip(*map(jax.tree.leaves, (one_step.out, over_time.out)), strict=True):
        want = (STEPS_TRACED, *one.shape)
        _check_over_time(f"`{name}.__call__`", "return", want, got.shape)
    return Traced(states, one_step, over_time)


def refuse_other_axes(name: str, traced: Traced) -> None:
    """Refuse a composite whose sequences differ from their steps."""
    refuse(name, traced.step, traced.sequence, STEPS_TRACED)


def _check_over_time(where: str, verb: str, want, got) -> None:
    """Refuse shapes that have another size than the sequence that is traced."""
    if want != got:
        raise ValueError(
            f"{where} must {verb} {want} in a sequence of T = {STEPS_TRACED} steps, got {got}. "
            "Count axes from the end: `[T, N, *]` has one more."
        )


def trace_layer(layer, step, value, x, args, kwargs):
    """The call of a layer with a state of its own while ``init_state`` of a network traces it."""
    name = type(layer).__name__
    if layer._path is None:
        raise TypeError(
            f"`{name}` must be a layer of the network, got one that is made in its `__call__`. "
            "Make it in `__init__` and keep it as an attribute."
        )
    if value is NOT_BUILT:
        shape = jax.tree.map(np.shape, x)
        x = inside(layer._path, enters(layer._path, x))
        y = layer._trace_step(step, x, *args, **kwargs)
        return StatePlaceholder(layer._path, shape), leaves(layer._path, y)
    if value.owner != layer._path:
        raise ValueError(
            f"The layer `{layer._path}` must be given its own entry of the state, got {value!r}. "
            "Return the state of every layer under the entry that it is read from."
        )
    want = each_shape(lambda s: (STEPS_TRACED, *s), value.shape)
    _check_over_time(f"The layer `{layer._path}`", "get", want, jax.tree.map(np.shape, x))
    x = jax.tree.map(lambda a: a[0], enters(layer._path, x))
    y = layer._trace_step(step, inside(layer._path, x), *args, **kwargs)
    y = jax.tree.map(lambda a: jnp.broadcast_to(a, (STEPS_TRACED, *a.shape)), y)
    return value, leaves(layer._path, y)
