"""The report of `operations`: a pytree of counts that prints as a table."""

import dataclasses
import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import jax
import numpy as np

from .. import _check
from .._types import Array, Shape, Tree
from . import counters
from .products import Product

_CLASSES = "ac", "multi", "mac"


class Size(NamedTuple):
    """A parameter or a leaf of the state: its path, shape and bytes per element."""

    name: str
    shape: Shape
    itemsize: int

    @property
    def elements(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        """The bytes of all elements."""
        return self.elements * self.itemsize


class Row(NamedTuple):
    """Operations of one parameter, or of one product of activations, over all samples and steps.

    Attributes:
        name: The path of the parameter; of a product of activations, that of the parameter before
            it, and its line.
        ac: Accumulations of activations in {-1, 0, 1}.
        multi: Accumulations of other whole numbers.
        mac: Multiply-accumulates.
        effective: Pairs of nonzero operands.
        dense: All pairs.
        spike_fan_out: Pairs with a spike, whatever the weight, where activations are in {0, 1}.
        dense_mac: All pairs where they are not.
        activation_sparsity: The fraction of the activations that is zero.
        activation_bytes: The bytes of the activations, as they are stored.
        parameter_bytes: The bytes of the parameter; 0 for a product of activations.
        spikes: The activations that are one, where activations are in {0, 1}.
        elements: The activations.
        dense_elements: Those where they are not all in {0, 1}.
        outputs: The results.
    """

    name: str
    ac: int
    multi: int
    mac: int
    effective: int
    dense: int
    spike_fan_out: int
    dense_mac: int
    activation_sparsity: float
    activation_bytes: int
    parameter_bytes: int
    spikes: int
    elements: int
    dense_elements: int
    outputs: int


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, repr=False)
class Operations:
    """The operations of a network (see `operations`). Prints as a table, per sample.

    All numbers are totals over samples and steps; divide by ``samples``, or use `per_sample`.
    """

    products: dict[str, Product]
    arithmetic: dict[str, Array]
    uncounted: dict[str, Array]
    updates: dict[str, Array]
    weights: dict[str, Array]
    turns: Array
    parameters: tuple[Size, ...] = dataclasses.field(metadata={"static": True})
    states: tuple[Size, ...] = dataclasses.field(metadata={"static": True})
    batch: int = dataclasses.field(metadata={"static": True})

    @property
    def samples(self) -> int:
        """The number of samples: the batch, times what `jax.vmap` adds."""
        return self.batch * self.turns[..., 0].size

    @property
    def steps(self) -> int:
        """The number of time steps."""
        return self.turns.shape[-1]

    ac = property(lambda self: self._sum("ac"), doc="Accumulations of activations in {-1, 0, 1}.")
    multi = property(lambda self: self._sum("multi"), doc="Accumulations of other whole numbers.")
    mac = property(lambda self: self._sum("mac"), doc="Multiply-accumulates.")
    effective = property(lambda self: self._sum("effective"), doc="Pairs of nonzero operands.")
    dense = property(lambda self: self._sum("dense"), doc="All pairs, without those of padding.")
    spike_fan_out = property(
        lambda self: self._sum("spike_fan_out"),
        doc="Pairs with a spike, whatever the weight, where activations are in {0, 1}.",
    )
    dense_mac = property(
        lambda self: self._sum("dense_mac"), doc="All pairs where activations are not in {0, 1}."
    )

    @property
    def membrane_updates(self) -> int:
        """The elements of the state that changed in a step."""
        return sum(map(counters.integer, self.updates.values()))

    @property
    def state_reads(self) -> int:
        """The elements of the state, once in every step; as many are written."""
        return self._over_steps(s.elements for s in self.states)

    @property
    def state_bytes(self) -> int:
        """The bytes of `state_reads`."""
        return self._over_steps(s.bytes for s in self.states)

    @property
    def activation_bytes(self) -> int:
        """The bytes of the activations that enter products, as they are stored."""
        return self._sum("bytes")

    @property
    def footprint(self) -> int:
        """Bytes of all parameters."""
        return sum(s.bytes for s in self.parameters)

    @property
    def connection_sparsity(self) -> float:
        """The fraction of the weights in products that is zero."""
        sizes = {s.name: s.elements for s in self.parameters if s.name in self.products}
        nonzero = sum(counters.integer(self.weights[n]) for n in sizes)
        copies = self.samples // self.batch
        return _share_of_zeros(nonzero, copies * sum(sizes.values()))

    @property
    def activation_sparsity(self) -> float:
        """The fraction of the activations in products that is zero."""
        return _share_of_zeros(self._sum("nonzeros"), self._sum("elements"))

    def rows(self) -> list[Row]:
        """One row for each parameter in a product and each product of activations."""
        rows, sizes = [], {p.name: p.bytes for p in self.parameters}
        for name, product in self.products.items():
            counts = {k: counters.integer(v) for k, v in product._asdict().items()}
            stored = counts.pop("bytes")
            sparsity = _share_of_zeros(counts.pop("nonzeros"), counts["elements"])
            row = Row(
                name,
                **counts,
                activation_sparsity=sparsity,
                activation_bytes=stored,
                parameter_bytes=sizes.get(name, 0),
            )
            rows.append(row)
        return rows

    def per_step(self) -> dict[str, np.ndarray]:
        """AC, multi and MAC of each time step, over all samples: arrays ``[T]``."""

        def of(name: str) -> np.ndarray:
            counts = [getattr(p, name) for p in self.products.values()]
            steps = [counters.integers(c.reshape(-1, 2)) for c in counts]
            return np.asarray(np.reshape(steps, (-1, self.steps)).sum(0), np.float64)

        return {k: of(k) for k in _CLASSES}

    def per_sample(self) -> dict[str, float]:
        """AC, multi, MAC, effective, dense and membrane updates of one sample."""
        names = (*_CLASSES, "effective", "dense", "membrane_updates")
        return {k: getattr(self, k) / self.samples for k in names}

    def to_dict(self) -> dict[str, Any]:
        """Everything as numbers, strings and dictionaries, for `json.dump`."""
        return {
            "samples": self.samples,
            "steps": self.steps,
            "products": {r.name: r._asdict() for r in self.rows()},
            "arithmetic": {k: counters.integer(v) for k, v in self.arithmetic.items()},
            "uncounted": {k: counters.integer(v) for k, v in self.uncounted.items()},
            "membrane_updates": {k: counters.integer(v) for k, v in self.updates.items()},
            "state_reads": self.state_reads,
            "state_bytes": self.state_bytes,
            "activation_bytes": self.activation_bytes,
            "footprint": self.footprint,
            "connection_sparsity": self.connection_sparsity,
            "activation_sparsity": self.activation_sparsity,
        }

    def __str__(self) -> str:
        if any(isinstance(x, jax.core.Tracer) for x in jax.tree.leaves(self)):
            return f"Operations(<traced>, parameters={len(self.parameters)})"
        header = "", "AC", "multi", "MAC", "dense", "sparsity"
        rows = [
            (
                r.name,
                *(_short(n / self.samples) for n in (r.ac, r.multi, r.mac, r.dense)),
                f"{r.activation_sparsity:.1%}",
            )
            for r in self.rows()
        ]
        total = [_short(n / self.samples) for n in (self.ac, self.multi, self.mac, self.dense)]
        table = [header, *rows, ("total", *total, f"{self.activation_sparsity:.1%}")]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines = [
            "  ".join(
                f"{c:{'>' if i else '<'}{w}}"
                for i, (c, w) in enumerate(zip(row, widths, strict=True))
            )
            for row in table
        ]
        others = sum(map(counters.integer, self.arithmetic.values())) / self.samples
        return "\n".join(
            [
                f"operations per sample ({self.samples} samples, {self.steps} steps)",
                *lines,
                f"other arithmetic: {_short(others)}; "
                f"membrane updates: {_short(self.membrane_updates / self.samples)}",
                f"parameters: {self.footprint:,} bytes; "
                f"activations: {_short(self.activation_bytes / self.samples)} bytes; "
                f"states: {_short(self.state_bytes / self.samples)} bytes read and written; "
                f"zero weights: {self.connection_sparsity:.1%}",
                *(f"not counted: {name}" for name in self.uncounted),
            ]
        )

    __repr__ = __str__

    def _over_steps(self, sizes: Iterable[int]) -> int:
        return self.steps * sum(sizes) * (self.samples // self.batch)

    def _sum(self, name: str) -> int:
        return sum(counters.integer(getattr(p, name)) for p in self.products.values())


def recorded(where: str, spikes: Tree) -> list[np.ndarray]:
    """The arrays of the outputs of neurons, which must be there and be finite numbers."""
    leaves = jax.tree.leaves(spikes)
    fix = "Give what `js.debug.record` recorded."
    arrays = [np.asarray(_check.numbers(where, x, fix)) for x in leaves]
    if not sum(x.size for x in arrays):
        raise ValueError(f"{where} must have the outputs of a neuron, got none. {fix}")
    if not all(np.isfinite(x.astype(np.float32)).all() for x in arrays):
        raise ValueError(f"{where} must be finite, got a NaN or an infinity. {fix}")
    return arrays


def _share_of_zeros(nonzeros: int, elements: int) -> float:
    """The fraction that is zero; of nothing, none is."""
    return 1 - nonzeros / elements if elements else 0.0


def _short(n: float) -> str:
    """A number with thousands separated."""
    return f"{n:,.0f}" if n == round(n) or n >= 1000 else f"{n:,.2f}"
