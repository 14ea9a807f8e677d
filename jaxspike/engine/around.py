"""What one call of `scan` cannot see: how many loops there are in the network that it is a part of.

The loops of a program are compiled together, and a network makes one for each of its layers.
"""

import contextlib
import contextvars
import functools
from collections.abc import Callable, Iterator

_network: contextvars.ContextVar[Callable[[], int] | None] = contextvars.ContextVar(
    "network", default=None
)


@contextlib.contextmanager
def network(loops: Callable[[], int]) -> Iterator[None]:
    """Calls of `scan` inside belong to a network of ``loops()`` loops; the outermost one counts."""
    if _network.get() is not None:
        yield
        return
    token = _network.set(functools.cache(loops))
    try:
        yield
    finally:
        _network.reset(token)


def network_loops() -> int:
    """The number of loops of the network that is being called; 1 outside of any."""
    count = _network.get()
    return count() if count else 1
