"""Gradients in time, as cuts of one step: online, local and exact.

A learning rule is a step with some of its gradients stopped. `cut` makes that step, for reverse
mode; `online` computes the same gradient forward in time, with memory that does not grow.
"""

from .cut import cut
from .explain import Explanation, Memory, explain
from .online import Online, OnlineState, accumulate, online

__all__ = [
    "Explanation",
    "Memory",
    "Online",
    "OnlineState",
    "accumulate",
    "cut",
    "explain",
    "online",
]


def __dir__() -> list[str]:
    return __all__
