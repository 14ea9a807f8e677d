"""How modules pass their states around: sealed in a composite, a rank where nothing is kept."""

from collections.abc import Callable
from typing import Any

import jax
from jax.tree_util import register_pytree_node, register_static


class SealedState:
    """The state of a composite as its ``__call__`` sees it: to be handed on, not computed with.

    In a sequence call the state is the first one only, and the state that a layer returns the last
    one; arithmetic on them would silently use it at every time step, so it is refused.

    Attributes:
        value: The state; ``TO_BE_BUILT`` while ``init_state`` traces the module for the first time.
        new: Whether a layer has just returned it.
    """

    def __init__(self, value: Any, new: bool = False):
        self.value, self.new = value, new

    def __getitem__(self, key: Any) -> "SealedState":
        return self._entry(lambda value: value[key], key)

    def __getattr__(self, name: str) -> "SealedState":
        if name.startswith("__") or name in ("value", "new"):  # protocols must find nothing
            raise AttributeError(name)
        return self._entry(lambda value: getattr(value, name), name)

    def _entry(self, get: Callable[[Any], Any], key: Any) -> "SealedState":
        if self.value is TO_BE_BUILT or is_owned(self.value):
            return self
        try:
            return SealedState(get(self.value), self.new)
        except (KeyError, IndexError, TypeError, AttributeError) as e:
            raise ValueError(
                f"The state must have an entry {key!r}, got {say(self.value)}. "
                "Build it with `net.init_state(shape)`, from a `__call__` that returns that entry."
            ) from e

    def __iter__(self) -> Any:
        if self.value is TO_BE_BUILT:
            raise TypeError(
                "`init_state` traces `__call__` before there is a state, so the state cannot be "
                "unpacked. Index it, as in `state['lif1']` or `state[0]`, or define `init_state`."
            )
        return (SealedState(entry, self.new) for entry in self.value)

    def __repr__(self) -> str:
        return f"SealedState({say(self.value)})"

    def _refuse(self, *_: Any, **__: Any) -> Any:
        raise TypeError(
            "A SpikingModule without an `init_state` of its own may only hand its state on to its "
            "layers. To read a membrane use `jaxspike.LI`, or scan a step that returns it; "
            "to compute with the state, define `init_state(self, shape, dtype)`."
        )

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = _refuse
    __rtruediv__ = __matmul__ = __rmatmul__ = __pow__ = __rpow__ = __neg__ = __abs__ = _refuse
    __floordiv__ = __mod__ = __lt__ = __le__ = __gt__ = __ge__ = __eq__ = __ne__ = _refuse
    __call__ = __setitem__ = __contains__ = __bool__ = __float__ = __jax_array__ = _refuse
    __len__ = _refuse
    __hash__ = None  # type: ignore[assignment]


# so that transformations of JAX, such as rematerialisation, can carry a sealed state
register_pytree_node(
    SealedState, lambda s: ((s.value,), s.new), lambda new, c: SealedState(*c, new)
)


@register_static
class _ToBeBuilt:
    """The state that ``init_state`` is about to build."""

    def __repr__(self) -> str:
        return "a state to be built"


TO_BE_BUILT = _ToBeBuilt()


@register_static
class Owned:
    """In place of the state of a layer: whose it is, and the shape of one step of its input.

    Several inputs have a tree of shapes. ``place`` is its position in the state of the network: a
    layer may be used in several places.
    """

    def __init__(self, owner: tuple[Any, ...], shape: Any, place: int | None = None):
        self.owner, self.shape, self.place = owner, shape, place

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Owned) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash((self.owner, self.place))

    def __repr__(self) -> str:
        where = "" if self.place is None else f" (entry {self.place})"
        return f"the state of `{'.'.join(map(str, self.owner))}`{where}"


def is_owned(leaf: Any) -> bool:
    """Whether ``leaf`` stands for the state of a layer."""
    return isinstance(leaf, Owned)


def unseal(state: Any) -> Any:
    """The state itself."""

    def sealed(leaf):
        return isinstance(leaf, SealedState)

    return jax.tree.map(lambda leaf: leaf.value if sealed(leaf) else leaf, state, is_leaf=sealed)


def refuse_sealed(y: Any) -> None:
    """Refuse an output with a state in it: in a sequence it would be the last one only."""
    for leaf in jax.tree.leaves(y, is_leaf=lambda leaf: isinstance(leaf, SealedState)):
        if isinstance(leaf, SealedState):
            leaf._refuse()


def say(state: Any) -> str:
    """A state as an error shows it: its structure and shapes."""
    return str(jax.tree.map(jax.numpy.shape, state))


@register_static
class Rank:
    """The state of a layer that remembers nothing but must tell ``[N, *]`` from ``[T, N, *]``.

    It has no leaves; in the state of a module of your own it tells steps from sequences where
    nothing else in the state has the shape of the input.

    Args:
        ndim: The number of axes of one step of input.

    Example:
        >>> import jaxspike as js
        >>> js.nn.Rank(3)
        Rank(3)
    """

    def __init__(self, ndim: int):
        self.ndim = ndim

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Rank) and other.ndim == self.ndim

    def __hash__(self) -> int:
        return hash((Rank, self.ndim))

    def __repr__(self) -> str:
        return f"Rank({self.ndim})"
