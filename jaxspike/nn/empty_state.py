"""`EmptyState`: the state of a layer that remembers nothing."""

from jax.tree_util import register_static


@register_static
class EmptyState:
    """The state of a layer that remembers nothing but must tell ``[N, *]`` from ``[T, N, *]``.

    It has no leaves. Put it into the state of your own module if nothing else in that state has the
    shape of the input.

    Args:
        ndim: The number of axes of one step of input.

    Example:
        >>> import jaxspike as js
        >>> js.nn.EmptyState(3)
        EmptyState(3)
    """

    def __init__(self, ndim: int):
        self.ndim = ndim

    def __eq__(self, other: object) -> bool:
        return isinstance(other, EmptyState) and other.ndim == self.ndim

    def __hash__(self) -> int:
        return hash((EmptyState, self.ndim))

    def __repr__(self) -> str:
        return f"EmptyState({self.ndim})"
