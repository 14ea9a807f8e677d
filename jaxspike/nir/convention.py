"""How the equations of NIR, which are continuous in time, run in steps: each library's way."""

import dataclasses

from .. import _check

CHOICES = {
    "method": ("euler", "exact"),
    "fires": (">", ">="),
    "reset": ("hard", "subtract", "subtract_delayed", "subtract_once"),
    "if_convention": ("auto", "per_step", "per_second"),
    "start": ("v_leak", "v_reset", "zero"),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Convention:
    """How the equations of NIR, which are continuous in time, run in time steps.

    The default is NIR as specified. `EXACT` solves the equations exactly; `SNNTORCH`, `NORSE`,
    `SPIKINGJELLY` and `SINABS` read the files of these libraries.

    Args:
        dt: Length of a time step, in the unit of the time constants of the file, usually seconds.
        method: "euler", or "exact": the solution for an input that is constant during a step.
        fires: ">" or ">=": whether a neuron exactly at its threshold fires.
        reset: "hard", to ``v_reset``; "subtract", by ``v_threshold``; "subtract_delayed", in the
            step after the spike, as snnTorch does; "subtract_once", as snnTorch does with
            ``reset_delay=False``.
        max_spike_count: Largest number of spikes of a neuron in a step. None for no limit: as many
            as the threshold fits into the potential.
        if_convention: What an IF or I adds in a step: "per_step" ``r x``; "per_second" ``r dt x``;
            "auto" the first for an IF whose ``r`` is 1, with a warning, if ``dt`` is below 0.1.
        start: First potential: "v_leak", "v_reset", "zero" or a number; an IF leaks to 0.

    Raises:
        TypeError: If ``dt`` is not a number, or ``max_spike_count`` not an integer.
        ValueError: If a choice is unknown or a number out of range.

    Example:
        >>> import jaxspike as js
        >>> js.nir.SPIKINGJELLY.replace(dt=1e-3).fires
        '>='
    """

    dt: float = 1e-4
    method: str = "euler"
    fires: str = ">"
    reset: str = "hard"
    max_spike_count: int | None = 1
    if_convention: str = "auto"
    start: str | float = "v_leak"

    def __post_init__(self) -> None:
        _check.number("`Convention(dt=...)`", self.dt, above=0)
        for name, choices in CHOICES.items():
            value = getattr(self, name)
            if name != "start" or isinstance(value, str):
                _check.one_of(f"`Convention({name}=...)`", value, choices)
        if not isinstance(self.start, str):
            _check.number("`Convention(start=...)`", self.start)
        if self.max_spike_count is not None:
            _check.integer("`Convention(max_spike_count=...)`", self.max_spike_count, low=1)

    def replace(self, **changes: str | float | None) -> "Convention":
        """The same convention but for some fields."""
        return dataclasses.replace(self, **changes)  # type: ignore[arg-type]


#: The solution of the equations for an input that is constant during a step.
EXACT = Convention(method="exact")

#: snnTorch's ``Leaky`` and ``Synaptic``; ``.replace(reset="hard")`` for ``reset_mechanism="zero"``,
#: ``.replace(reset="subtract_once")`` for ``reset_delay=False``.
SNNTORCH = Convention(reset="subtract_delayed")

#: Norse's ``LIFBoxCell``, ``LIBoxCell``, ``LIFCell`` and ``IAFCell``.
NORSE = Convention(dt=1e-3, if_convention="per_step")

#: SpikingJelly's ``LIFNode``, ``IFNode`` and ``CUBALIFNode``; ``dt`` is that of its export.
SPIKINGJELLY = Convention(fires=">=", if_convention="per_second", start="v_reset")

#: Sinabs's ``LIF`` and ``IAF``, which count time in steps.
SINABS = Convention(
    dt=1.0,
    method="exact",
    fires=">=",
    reset="subtract",
    max_spike_count=None,
    if_convention="per_step",
)
