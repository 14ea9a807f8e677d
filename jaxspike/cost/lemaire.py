"""`Lemaire2022`: the energy of arithmetic, addressing and memories of a network of IF or LIF."""

import dataclasses
import math

import jax
import numpy as np

from .. import _check
from .._types import Tree
from .energy import Part
from .report import Operations, Row, Size, recorded

_WORD = 4  # bytes of a weight, a membrane potential and a message
_ADD, _MULTIPLY = 0.1, 3.1  # pJ in int32
# pJ of an access to a word in an SRAM of so many bytes; linear in between
_SRAM_BYTES, _SRAM_PJ = (0, 8 * 1024, 32 * 1024, 1024 * 1024), (0.0, 10.0, 20.0, 100.0)
_MESSAGES = 1000  # that the queue between two layers holds


def _access(words: float) -> float:
    """Picojoules of an access to a memory of this many words; the largest is 1 MiB."""
    return float(np.interp(_WORD * words, _SRAM_BYTES, _SRAM_PJ))


@dataclasses.dataclass(frozen=True)
class Lemaire2022:
    """The analytical model of Lemaire et al.: integers of 32 bits in 45 nm, with all memories.

    Each layer has memories of its own, of the size that it needs: a word of its weights is read for
    every operation, the membrane of a neuron is read and written for every spike that arrives and
    once per step, and spikes pass through queues of 1,000 messages. An access costs between 0 and
    100 pJ, growing with the memory up to 1 MiB; an addition 0.1 and a multiplication 3.1 pJ. A
    spike also costs the additions that address its targets, in a convolution two multiplications
    too, an output spike the addition of its reset, and a leaky neuron a multiplication and an
    addition per step. Where the activations are not all 0 or 1, a layer is computed densely.

    The operations of a spike are those that `operations` counted, at the borders of an image too,
    where the paper estimates them from the size of the kernel.

    Args:
        spikes: The outputs of all neurons, any pytree, such as the recordings of
            `jaxspike.debug.record`.
        leaky: Whether the neurons leak.

    Raises:
        TypeError: If ``spikes`` are not numbers, or ``leaky`` is not a bool.
        ValueError: If there are no ``spikes``, or one is a NaN; by `energy`, if the network has
            what the model does not know: products of two activations, equations that are not
            counted, or states other than membranes ``v``.

    Example:
        >>> import functools, jax.numpy as jnp, jaxspike as js
        >>> lif = js.LIF()
        >>> net = functools.partial(lambda w, state, x: lif(state, x @ w), jnp.ones((3, 4)))
        >>> state, x_seq = lif.init_state((2, 4)), jnp.ones((5, 2, 3))
        >>> report = js.cost.operations(net, state, x_seq)
        >>> _, spikes = js.scan(net, state, x_seq)
        >>> round(js.cost.energy(report, js.cost.Lemaire2022(spikes)).total, 2)
        255.54

    Source: Lemaire, Cordone, Castagnetti, Novac, Courtois, Miramond, "An analytical estimation of
    spiking neural networks energy efficiency", ICONIP 2022, arXiv:2210.13107; where the paper
    leaves a choice, SpikingJelly 2.0.0 ``LemaireEnergyProfiler``.
    """

    spikes: Tree
    leaky: bool = True
    name: str = dataclasses.field(default="Lemaire et al. 2022, int32 with memories", init=False)
    source: str = dataclasses.field(default="ICONIP 2022, 45 nm", init=False)

    def __post_init__(self) -> None:
        recorded("`Lemaire2022(spikes=...)`", self.spikes)
        _check.instance(
            "`Lemaire2022(leaky=...)`", self.leaky, bool, "a bool", "Give True or False."
        )

    def parts(self, report: Operations) -> list[Part]:
        """The lines of the energy of a report."""
        _refuse(report)
        sizes = {p.name: p for p in report.parameters}
        layers = [_Layer(report, row, sizes) for row in report.rows()]
        n_spikes = sum(int(np.count_nonzero(x)) for x in jax.tree.leaves(self.spikes))
        neuron_steps = report.state_reads
        add, mac = _ADD, _ADD + _MULTIPLY
        macs = sum(layer.row.dense_mac for layer in layers) + neuron_steps * self.leaky
        return [
            Part("AC", sum(layer.accumulations for layer in layers) + n_spikes, add),
            Part("MAC", macs, mac),
            Part("address AC", sum(layer.address_ac for layer in layers), add),
            Part("address MAC", sum(layer.address_mac for layer in layers), mac),
            *(part for layer in layers for part in layer.memory()),
            *(
                Part(
                    f"{s.name} per step",
                    2 * s.elements * report.steps * (report.samples // report.batch),
                    _access(s.elements / report.batch),
                    "words",
                )
                for s in report.states
            ),
            Part("output spikes", n_spikes, _access(_MESSAGES), "words"),
        ]


class _Layer:
    """The counts of the model for one weight and its bias."""

    def __init__(self, report: Operations, row: Row, sizes: dict[str, Size]):
        weight = sizes[row.name]
        bias = sizes.get(f"{row.name.rpartition('.')[0]}.bias")
        inputs = report.steps * report.samples
        self.row, self.is_conv, self.n_weights = row, len(weight.shape) > 2, weight.elements
        self.n_weights += bias.elements if bias else 0
        self.biases = row.outputs if bias else 0
        self.n_inputs, self.n_outputs = row.elements / inputs, row.outputs / inputs
        dense = row.dense_elements / row.elements  # the share of steps that are dense
        self.dense_outputs = round(row.outputs * dense)
        self.kernels = round(inputs * dense) * weight.shape[-1] * math.prod(weight.shape[:-2])

    @property
    def accumulations(self) -> int:
        return self.row.spike_fan_out + self.biases

    @property
    def address_ac(self) -> int:
        dense = self.row.dense_elements + self.dense_outputs
        if self.is_conv:
            dense += self.kernels
        return self.row.spike_fan_out + dense

    @property
    def address_mac(self) -> int:
        return 2 * self.row.spikes if self.is_conv else 0

    def memory(self) -> list[Part]:
        row, name = self.row, self.row.name
        dense_reads = row.dense_mac if self.is_conv else row.dense_elements
        uses = row.spike_fan_out + row.dense_mac + self.biases
        return [
            Part(f"{name}: spikes", row.spikes, _access(_MESSAGES), "words"),
            Part(f"{name}: inputs", dense_reads, _access(self.n_inputs), "words"),
            Part(f"{name}: weights", uses, _access(self.n_weights), "words"),
            Part(f"{name}: membranes", 2 * row.spike_fan_out, _access(self.n_outputs), "words"),
        ]


def _refuse(report: Operations) -> None:
    names = {p.name for p in report.parameters}
    products = [row.name for row in report.rows() if row.name not in names]
    states = [s.name for s in report.states if s.name.rpartition(".")[2] != "v"]
    for what, found in (
        ("products of a weight alone", products),
        ("IF and LIF neurons alone", states),
        ("counted equations alone", list(report.uncounted)),
    ):
        if found:
            raise ValueError(
                f"`energy(model=Lemaire2022(...))` must be of a network of {what}, got "
                f"{', '.join(found)}. Give another model, such as `js.cost.Horowitz45nm()`."
            )
