"""The loss, the accuracy and the metrics of the output of a network."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from .. import _check
from .._types import Array, Tree
from . import arguments

Measure = Callable[[Tree, Tree], Array]


class Measures(NamedTuple):
    """The loss, and functions of ``(output, labels)`` by their names."""

    caller: str
    loss: Measure
    others: tuple[tuple[str, Measure], ...]

    def value(self, name: str, f: Measure, y: Tree, labels: Tree) -> Array | float:
        """One of them, checked to be one number."""
        return arguments.scalar(f"`{self.caller}({name}=...)`", f(y, labels))

    def of(self, y: Tree, labels: Tree) -> dict[str, Array | float]:
        """All but the loss."""
        return {name: self.value(name, f, y, labels) for name, f in self.others}


def measures(
    caller: str, loss: Measure, accuracy: Measure | None, metrics: Mapping[str, Measure] | None
) -> Measures:
    """The checked `Measures` of a call."""
    where = f"`{caller}(metrics=...)`"
    metrics = {} if metrics is None else metrics
    fix = "Give `{'name': function}`."
    _check.instance(where, metrics, Mapping, "a dict from names to functions", fix, _check.kind)
    for name in ("loss", "accuracy"):
        if name in metrics:
            raise ValueError(f"{where} must have other names than {name!r}. Give `{name}={name}`.")
    others = ({} if accuracy is None else {"accuracy": accuracy}) | dict(metrics)
    for name, f in {"loss": loss, **others}.items():
        _check.function(f"`{caller}({name}=...)`", f, of="(output, labels)")
    return Measures(caller, loss, tuple(others.items()))


def means(sums: Mapping[str, float]) -> dict[str, float]:
    """The means of sums over samples, by name."""
    return {name: n / sums["samples"] for name, n in sums.items() if name != "samples"}
