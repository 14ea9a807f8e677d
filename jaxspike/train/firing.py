"""Warn of layers that do not fire, or always do."""

import contextlib
import warnings

from .._types import Array
from ..nn import SpikingModule
from .evaluate import activity

SATURATED = 0.95  # a firing rate, as in `jaxspike.debug.firing_rates`
FIX = "`jaxspike.train.scale_to_firing_rate(net, x_seq)` gives a network that fires to start from."


class FiringWarnings:
    """Warns once of each layer."""

    def __init__(self) -> None:
        self.told: set[str] = set()

    def check(self, net: SpikingModule, x_seq: Array, epoch: int) -> None:
        """Warn of layers that never or nearly always fire at ``x_seq``, after an epoch."""
        rates: dict[str, float] = {}
        with contextlib.suppress(TypeError):  # layers inside a transformation of JAX
            rates = {name: float(rate) for name, rate in activity(net, x_seq)[-1].items()}
        silent = [name for name, rate in rates.items() if rate == 0]
        saturated = [name for name, rate in rates.items() if rate > SATURATED]
        for layers, what in (
            (silent, "not fire"),
            (saturated, f"fire in over {SATURATED:.0%} of the time steps"),
        ):
            new = [name for name in layers if name not in self.told]
            self.told.update(new)
            if new:
                which = f"layer{'s' if len(new) > 1 else ''} {', '.join(new)}"
                does = "do" if len(new) > 1 else "does"
                text = f"`fit`: after epoch {epoch} {which} {does} {what} at its first batch. {FIX}"
                warnings.warn(text, stacklevel=3)
