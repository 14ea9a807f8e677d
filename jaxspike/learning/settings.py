"""`Online`: how a training loop learns while a sequence runs."""

import dataclasses
from typing import Literal

from .. import _check
from .online import Credit, check_credit, check_traces

UPDATES = ("sequence", "window")
LABELS = ("sequence", "step")


@dataclasses.dataclass(frozen=True)
class Online:
    """How `jaxspike.train.fit` learns forward in time: ``fit(..., learning=Online())``.

    The loss of a batch is the mean over its time steps of the loss of the output of each, given to
    it as a sequence of one step. Its gradient is that of `online`; memory does not depend on the
    number of time steps.

    Args:
        credit: What carries gradients, as in `online`.
        window: How many time steps are computed at a time, as in `online`. It must divide the
            number of time steps of a batch.
        update: ``"sequence"``: one update per batch, with the gradient of all time steps;
            ``"window"``: one after every window, with that of its steps.
        traces: ``"exact"`` or ``"factored"``, as in `online`.
        decay: The decay of factored traces.
        labels: ``"sequence"``: the loss of every step is given all labels of the batch; ``"step"``:
            labels have time as axis 0, and the loss of a step is given those of that step, also as
            a sequence of one.

    Raises:
        TypeError, ValueError: If an argument is none of these.

    Example:
        >>> import jaxspike as js
        >>> js.learning.Online(credit="local", window=10).update
        'sequence'
    """

    credit: Credit = "local"
    window: int = 1
    update: Literal["sequence", "window"] = "sequence"
    traces: Literal["exact", "factored"] = "exact"
    decay: float | None = None
    labels: Literal["sequence", "step"] = "sequence"

    def __post_init__(self) -> None:
        pair = check_credit("Online", self.credit)
        window = _check.integer("`Online(window=...)`", self.window, low=1)
        check_traces("Online", pair, window, self.traces, self.decay)
        _check.one_of("`Online(update=...)`", self.update, UPDATES)
        _check.one_of("`Online(labels=...)`", self.labels, LABELS)
