"""The report of a converted ANN: what its neurons do, beside the activations they stand for."""

import dataclasses
from typing import Any, NamedTuple

from ..cost import Operations


class Activation(NamedTuple):
    """A population of neurons.

    Attributes:
        line: Where its activation stands in the user's code.
        neurons: The number of neurons for one sample.
        threshold: The mean threshold.
        rate: The mean number of spikes per step, of either sign.
        clipped: The fraction of the ANN's activations above the threshold, which no rate reaches.
        error: The mean distance between the value of the spikes (rate times threshold) and the
            activation, divided by the mean activation.
    """

    line: str
    neurons: int
    threshold: float
    rate: float
    clipped: float
    error: float


@dataclasses.dataclass(frozen=True)
class ConversionReport:
    """What `SpikingANN.report` returns; it prints as a table.

    Attributes:
        activations: One `Activation` for each population of neurons.
        steps: The number of steps.
        error: The largest distance between the output, as estimated after all steps, and that of
            the ANN.
        operations: The operations on these steps, see `jaxspike.cost.operations`.
        analog: What is computed without spikes and is not affine: equations of the input alone,
            and those that ``strict=False`` kept.
    """

    activations: tuple[Activation, ...]
    steps: int
    error: float
    operations: Operations
    analog: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The numbers as plain Python values."""
        return {
            "activations": [row._asdict() for row in self.activations],
            "steps": self.steps,
            "error": self.error,
            "operations": self.operations.to_dict(),
            "analog": list(self.analog),
        }

    def __str__(self) -> str:
        head = ("activation", "neurons", "threshold", "rate", "clipped", "error")
        rows = [
            (
                *(a.line, f"{a.neurons:,}", f"{a.threshold:.3g}"),
                *(f"{share:.1%}" for share in (a.rate, a.clipped, a.error)),
            )
            for a in self.activations
        ]
        widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
        lines = [
            "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])])
            for row in (head, *rows)
        ]
        samples = self.operations.samples
        kinds = ("ac", "multi", "mac")
        counts = (f"{getattr(self.operations, k) / samples:,.0f} {k.upper()}" for k in kinds)
        lines += [
            f"largest error of the output after {self.steps} steps: {self.error:.3g}",
            f"operations per sample: {', '.join(counts)}",
        ]
        if self.analog:
            lines.append(f"without spikes: {', '.join(self.analog)}")
        return "\n".join(lines)

    __repr__ = __str__
