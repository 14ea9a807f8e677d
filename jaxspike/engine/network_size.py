"""How many loops the surrounding network will compile, which one call of `scan` cannot know.

A network compiles a loop for each of its layers, all in one program. This is the only ambient state
of the library: a user's ``__call__``, which stands between a network and `scan`, cannot pass it.
"""

import contextlib
import contextvars
import functools
from collections.abc import Callable, Iterator

_n_loops: contextvars.ContextVar[Callable[[], int] | None] = contextvars.ContextVar(
    "n_loops", default=None
)


@contextlib.contextmanager
def inside_network(n_loops: Callable[[], int]) -> Iterator[None]:
    """Calls of `scan` inside belong to a network of ``n_loops()`` loops; the outermost one wins."""
    if _n_loops.get() is not None:
        yield
        return
    token = _n_loops.set(functools.cache(n_loops))
    try:
        yield
    finally:
        _n_loops.reset(token)


def n_loops_of_network() -> int:
    """The number of loops of the network that is being called; 1 outside of any."""
    n_loops = _n_loops.get()
    return n_loops() if n_loops else 1
