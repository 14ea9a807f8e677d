"""The results of `fit` and `evaluate`."""

from typing import NamedTuple


class Score(NamedTuple):
    """Means over samples.

    Attributes:
        loss: The loss.
        accuracy: The result of ``accuracy``, 0 to 1.
        firing_rate: Spikes per neuron and time step, over all spiking layers.
    """

    loss: float
    accuracy: float
    firing_rate: float


class Epoch(NamedTuple):
    """One pass over the data.

    Attributes:
        loss: Mean training loss over the samples.
        accuracy: Mean training accuracy, measured while training.
        test: The score of the network after the epoch; None without test data.
        seconds: The duration of the epoch, including the test.
    """

    loss: float
    accuracy: float
    test: Score | None
    seconds: float
