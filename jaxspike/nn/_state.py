"""How a module sees a state: sealed in a composite, a bare rank where nothing is remembered."""

from typing import Any

import jax


class SealedState:
    """The state of a composite as its ``__call__`` sees it: to be handed on, not computed with.

    In a sequence call the state is the first one only; arithmetic on it would silently use that
    first state at every time step, so it is refused. The same class stands for the state that does
    not exist yet while ``init_state`` traces the module: any entry of ``TO_BE_BUILT`` is itself.
    """

    def __init__(self, value: Any):
        self._value = value

    def __getitem__(self, key: Any) -> "SealedState":
        return self._entry(lambda value: value[key], key)

    def __getattr__(self, name: str) -> "SealedState":
        if name.startswith("__"):  # protocols such as __array__ must find nothing
            raise AttributeError(name)
        return self._entry(lambda value: getattr(value, name), name)

    def _entry(self, get: Any, key: Any) -> "SealedState":
        if self is TO_BE_BUILT:
            return self
        try:
            return SealedState(get(self._value))
        except (KeyError, IndexError, TypeError, AttributeError) as e:
            raise ValueError(
                f"The state has no entry {key!r}: it must be a state of this network, "
                f"got {jax.tree.structure(self._value)}. Build it with `net.init_state(shape)`."
            ) from e

    def __iter__(self) -> Any:
        if self is TO_BE_BUILT:
            raise TypeError(
                "`init_state` traces `__call__` before there is a state, so the state cannot be "
                "unpacked. Index it, as in `state['lif1']` or `state[0]`, or define `init_state`."
            )
        return map(SealedState, self._value)

    def _refuse(self, *_: Any) -> Any:
        raise TypeError(
            "A SpikingModule without an `init_state` of its own may only hand its state on to "
            "jaxspike.nn layers (a neuron elsewhere than in an attribute: wrap it in `Spiking`). "
            "To compute with the state, define `init_state(self, shape, dtype)`."
        )

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = _refuse
    __rtruediv__ = __matmul__ = __rmatmul__ = __pow__ = __rpow__ = __neg__ = __bool__ = _refuse
    __lt__ = __le__ = __gt__ = __ge__ = __len__ = __float__ = __jax_array__ = _refuse


TO_BE_BUILT = SealedState(None)


def unseal(state: Any) -> Any:
    """The state itself."""
    return jax.tree.map(
        lambda leaf: (
            leaf._value if isinstance(leaf, SealedState) and leaf is not TO_BE_BUILT else leaf
        ),
        state,
    )


@jax.tree_util.register_static
class Rank:
    """The state of a layer that remembers nothing but must tell ``[N, *]`` from ``[T, N, *]``."""

    def __init__(self, ndim: int):
        self.ndim = ndim

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Rank) and other.ndim == self.ndim

    def __hash__(self) -> int:
        return hash((Rank, self.ndim))

    def __repr__(self) -> str:
        return f"Rank({self.ndim})"
