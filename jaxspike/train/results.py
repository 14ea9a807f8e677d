"""The results of `fit` and `evaluate`."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

NOTHING: Mapping[str, float] = MappingProxyType({})


class Score(NamedTuple):
    """Means over samples.

    Attributes:
        loss: The loss.
        accuracy: The result of ``accuracy``, 0 to 1; None without one.
        firing_rate: Spikes per neuron and time step, over all spiking layers.
        metrics: The results of ``metrics``, by name.
    """

    loss: float
    accuracy: float | None
    firing_rate: float
    metrics: Mapping[str, float] = NOTHING


class Epoch(NamedTuple):
    """One pass over the data.

    Attributes:
        loss: Mean training loss over the samples.
        accuracy: Mean training accuracy, measured while training; None without ``accuracy``.
        test: The score of the network after the epoch; None without test data.
        seconds: The duration of the epoch, including the test.
        metrics: The means of ``metrics``, measured while training, by name.
    """

    loss: float
    accuracy: float | None
    test: Score | None
    seconds: float
    metrics: Mapping[str, float] = NOTHING

    def as_lists(self) -> list[Any]:
        """As JSON has it."""
        test = self.test and [*self.test[:3], dict(self.test.metrics)]
        return [self.loss, self.accuracy, test, self.seconds, dict(self.metrics)]

    @classmethod
    def of_lists(cls, lists: list[Any]) -> "Epoch":
        """From what `as_lists` returned."""
        loss, accuracy, test, seconds, metrics = lists
        return cls(loss, accuracy, test and Score(*test), seconds, metrics)
