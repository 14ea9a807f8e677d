"""`SealedState`: the state of a composite, which may pass it on but not compute with it."""

from collections.abc import Callable
from typing import Any

import jax
from jax.tree_util import register_pytree_node

from ._init_state import NOT_BUILT, is_placeholder


class SealedState:
    """The state of a composite as its ``__call__`` sees it: to be passed on, not computed with.

    In a sequence call it is the first state only, and what a layer returns is the last one;
    arithmetic would silently use these at every time step, so it is refused.

    Attributes:
        value: The state; ``NOT_BUILT`` while ``init_state`` traces the module for the first time.
        new: Whether a layer has just returned it.
    """

    def __init__(self, value, new: bool = False):
        self.value, self.new = value, new

    def __getitem__(self, key) -> "SealedState":
        return self._entry(lambda value: value[key], key)

    def __getattr__(self, name: str) -> "SealedState":
        if name.startswith("__") or name in ("value", "new"):  # protocols must find nothing
            raise AttributeError(name)
        return self._entry(lambda value: getattr(value, name), name)

    def _entry(self, get: Callable[[Any], Any], key) -> "SealedState":
        if is_placeholder(self.value):
            return self
        try:
            return SealedState(get(self.value), self.new)
        except (KeyError, IndexError, TypeError, AttributeError) as e:
            raise ValueError(
                f"The state must have an entry {key!r}, got {describe(self.value)}. "
                "Build it with `net.init_state(shape)`, from a `__call__` that returns that entry."
            ) from e

    def __iter__(self):
        if self.value is NOT_BUILT:
            raise TypeError(
                "`init_state` traces `__call__` before there is a state, so the state cannot be "
                "unpacked. Index it, as in `state['lif1']` or `state[0]`, or define `init_state`."
            )
        return (SealedState(entry, self.new) for entry in self.value)

    def __repr__(self) -> str:
        return f"SealedState({describe(self.value)})"

    def __setitem__(self, key, value) -> None:
        raise TypeError(
            f"The state must not be changed, got `state[{key!r}] = ...`. "
            "Build a new dict or tuple of what the layers return, with the same entries."
        )

    def _refuse(self, *_, **__):
        raise TypeError(
            "A SpikingModule without an `init_state` of its own may only pass its state on to its "
            "layers. To read a membrane use `jaxspike.debug.record`, or scan a step that returns "
            "it; to compute with the state, define `init_state(self, shape, dtype)`."
        )

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = _refuse
    __rtruediv__ = __matmul__ = __rmatmul__ = __pow__ = __rpow__ = __neg__ = __abs__ = _refuse
    __floordiv__ = __mod__ = __lt__ = __le__ = __gt__ = __ge__ = __eq__ = __ne__ = _refuse
    __call__ = __contains__ = __bool__ = __float__ = __jax_array__ = _refuse
    __len__ = _refuse
    __hash__ = None  # type: ignore[assignment]


# so that transformations of JAX, such as rematerialization, can carry a sealed state
register_pytree_node(
    SealedState, lambda s: ((s.value,), s.new), lambda new, c: SealedState(*c, new)
)


def unseal(state):
    """The state itself."""

    def sealed(leaf):
        return isinstance(leaf, SealedState)

    return jax.tree.map(lambda leaf: leaf.value if sealed(leaf) else leaf, state, is_leaf=sealed)


def refuse_sealed(y) -> None:
    """Refuse an output with a state in it: in a sequence it would be the last state only."""
    for leaf in jax.tree.leaves(y, is_leaf=lambda leaf: isinstance(leaf, SealedState)):
        if isinstance(leaf, SealedState):
            leaf._refuse()


def describe(state) -> str:
    """The structure and the shapes of a state, for errors."""
    return str(jax.tree.map(jax.numpy.shape, state))
