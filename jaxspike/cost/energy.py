"""`energy`: the energy of counted operations, under a model that states its assumptions."""

import dataclasses
from typing import NamedTuple, Protocol, runtime_checkable

from .. import _check
from .report import Operations


class Part(NamedTuple):
    """One term of an energy: a kind of operation, its number over all samples, and its cost.

    Attributes:
        name: The kind of operation.
        n: How often.
        cost: In pJ.
        unit: The unit of the number, if it is not operations.
    """

    name: str
    n: float
    cost: float
    unit: str = ""


@runtime_checkable
class Model(Protocol):
    """The interface of a model that `energy` uses."""

    @property
    def name(self) -> str:
        """Its name in reports."""

    @property
    def source(self) -> str:
        """Where the numbers come from."""

    def parts(self, report: Operations) -> list[Part]:
        """The lines of the energy of a report."""


@dataclasses.dataclass(frozen=True)
class EnergyModel:
    """The cost of each operation in picojoules: a table, such as one for your own chip.

    Args:
        name: Its name in reports.
        source: Where the numbers come from.
        ac: An accumulation.
        mac: A multiply-accumulate.
        read: Reading a byte of a weight, once for every effective operation (a whole number of
            several spikes reads it once), or with ``dense`` for every operation.
        state: Reading or writing a byte of the state; each is read and written in every step.
        dense: Whether operations with a weight of zero, and in a MAC with an activation of zero,
            cost as much as others. With False only effective operations count.

    Raises:
        TypeError: If a cost is not a number, or ``dense`` is not a bool.
        ValueError: If a cost is below zero; by `energy`, if ``read`` is not zero and a weight is
            not a parameter of the step.

    Example:
        >>> import jaxspike as js
        >>> js.cost.EnergyModel("my chip", "its data sheet", ac=0.1, mac=0.5, state=1.0).ac
        0.1
    """

    name: str
    source: str
    ac: float
    mac: float
    read: float = 0.0
    state: float = 0.0
    dense: bool = False

    def __post_init__(self):
        for field in ("ac", "mac", "read", "state"):
            where = f"`EnergyModel({field}=...)`"
            _check.in_range(where, _check.number(where, getattr(self, field)), low=0)
        _check.instance(
            "`EnergyModel(dense=...)`", self.dense, bool, "a bool", "Give True or False."
        )

    def parts(self, report: Operations) -> list[Part]:
        """The lines of the energy of a report."""
        ac, multi, mac = report.ac, report.multi, report.mac
        if self.dense:
            ac, multi, mac = report.spike_fan_out, 0, report.dense_mac
        sizes = {p.name: p.itemsize for p in report.parameters}
        held = [r.name for r in report.rows() if r.name not in sizes and " at " in r.name]
        held = [name for name in held if not name.startswith("activations")]
        if held and self.read:
            raise ValueError(
                "`energy(model=...)` with the cost of reading weights must be of parameters of the "
                f"step, got others in {', '.join(held)}. Give `js.cost.operations` a network, or a "
                "`functools.partial` of a function over its parameters."
            )
        read = sum(
            (row.spike_fan_out + row.dense_mac if self.dense else row.effective) * sizes[row.name]
            for row in report.rows()
            if row.name in sizes
        )
        return [
            Part("AC", ac, self.ac),
            Part("multi", multi, self.ac),
            Part("MAC", mac, self.mac),
            Part("weight reads", read, self.read, "bytes"),
            Part("state", 2 * report.state_bytes, self.state, "bytes"),
        ]


_HOROWITZ = "Horowitz, Computing's energy problem, ISSCC 2014"
# additions and multiplications in pJ; a MAC is one of each
_ADD = {"float32": 0.9, "float16": 0.4, "int32": 0.1, "int8": 0.03}
_MULTIPLY = {"float32": 3.7, "float16": 1.1, "int32": 3.1, "int8": 0.2}


def Horowitz45nm(dtype: str = "float32") -> EnergyModel:  # noqa: N802, the name of a model
    """Arithmetic of a 45 nm process at 0.9 V, without memory.

    An accumulation is one addition, a multiply-accumulate a multiplication and an addition: 0.9 and
    4.6 pJ in float32, 0.4 and 1.5 in float16, 0.1 and 3.2 in int32, 0.03 and 0.23 in int8.

    Raises:
        ValueError: If ``dtype`` is not one of these.

    Example:
        >>> import jaxspike as js
        >>> js.cost.Horowitz45nm("float16").mac
        1.5

    Source: Horowitz, "Computing's energy problem (and what we can do about it)", ISSCC 2014.
    """
    _check.one_of("`Horowitz45nm(dtype=...)`", dtype, tuple(_ADD))
    mac = round(_ADD[dtype] + _MULTIPLY[dtype], 2)
    return EnergyModel(f"45 nm, {dtype}, arithmetic alone", _HOROWITZ, _ADD[dtype], mac)


def SpikingJellySimple() -> EnergyModel:  # noqa: N802, the name of a model
    """SpikingJelly's simple model: arithmetic in float32, and 24.96 pJ for each byte of memory.

    A weight is read for every operation that uses it, a state is read and written in every step.
    Weights that are zero count too, and a product whose activations are not all 0 or 1 is dense.
    SpikingJelly also counts elementwise operations, the reads of biases and, in dense convolutions,
    the padding; here only products count.

    Example:
        >>> import jaxspike as js
        >>> js.cost.SpikingJellySimple().read
        24.96

    Source: SpikingJelly 2.0.0 ``op_counter.SimpleEnergyCostConfig``, after Horowitz 2014 and STEP
    (Shen et al., NeurIPS 2025).
    """
    return EnergyModel("SpikingJelly's simple model", _HOROWITZ, 0.9, 4.6, 24.96, 24.96, dense=True)


@dataclasses.dataclass(frozen=True, repr=False)
class Energy:
    """Picojoules per sample (see `energy`). Prints as a table, with the operations.

    Attributes:
        model: The model.
        operations: Operations, or bytes, per sample, by part.
        parts: Their energy in pJ, by part.
        ann: The energy in pJ of one dense pass in int8 through the same weights.
        ann_operations: The multiply-accumulates of this pass.
    """

    model: Model
    operations: dict[str, float]
    parts: dict[str, float]
    ann: float
    ann_operations: float
    _lines: tuple[Part, ...] = ()
    _uncounted: tuple[str, ...] = ()

    @property
    def total(self) -> float:
        """The energy of one sample in pJ."""
        return sum(self.parts.values())

    def __str__(self) -> str:
        width = max(12, *(len(part.name) for part in self._lines))
        rows = [
            f"{part.name:<{width}}  {part.n:>18,.2f} {part.unit + ' x' if part.unit else 'x'} "
            f"{part.cost:.9g} pJ = {part.n * part.cost:,.1f} pJ"
            for part in self._lines
            if part.cost
        ]
        return "\n".join(
            [
                f"energy per sample: {self.model.name} ({self.model.source})",
                *rows,
                f"total {self.total:,.1f} pJ",
                *(f"not counted: {name}" for name in self._uncounted),
                f"the same weights as an ANN, one dense pass in int8: {self.ann_operations:,.1f} x "
                f"{Horowitz45nm('int8').mac:g} pJ = {self.ann:,.1f} pJ, arithmetic alone",
            ]
        )

    __repr__ = __str__


def energy(report: Operations, model: Model | None = None) -> Energy:
    """The energy of the operations of a report, per sample.

    It is the sum of the numbers of operations times their costs, which anyone can check with the
    printed table. It is not a measurement: if memory is not in the model, neither is the energy of
    moving weights and spikes, which on most hardware is the larger part. For comparison it prints
    the dense ANN with the same weights, quantized to 8 bits, which computes each product of one
    step once.

    Args:
        report: What `operations` counted.
        model: The costs, an `EnergyModel` or a `Lemaire2022`; `Horowitz45nm` in float32 by default.
            Whole numbers of several spikes cost an accumulation for each spike.

    Returns:
        An `Energy`.

    Raises:
        TypeError: If an argument is of another type.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> def step(state, x):
        ...     return state, x @ jnp.ones((3, 4))
        >>> report = js.cost.operations(step, (), jnp.ones((5, 2, 3)))
        >>> round(js.cost.energy(report).total, 1)  # 60 accumulations
        54.0
    """
    _check.instance(
        "`energy(report=...)`", report, Operations, "an `Operations`", "Call `js.cost.operations`."
    )
    chosen: Model = Horowitz45nm() if model is None else model
    _check.instance(
        "`energy(model=...)`",
        chosen,
        Model,
        "an `EnergyModel`",
        "Give `js.cost.Horowitz45nm()` or a table of your own.",
    )
    lines = [p._replace(n=p.n / report.samples) for p in chosen.parts(report)]
    once = report.dense / report.steps / report.samples
    return Energy(
        chosen,
        {p.name: p.n for p in lines},
        {p.name: p.n * p.cost for p in lines},
        ann=once * Horowitz45nm("int8").mac,
        ann_operations=once,
        _lines=tuple(lines),
        _uncounted=tuple(report.uncounted),
    )
