"""Warnings about layers that do not fire, or always do."""

import contextlib
import warnings

from .._types import Array
from ..nn import SpikingModule
from .evaluate import activity

SATURATED = 0.95  # a firing rate, as in `jaxspike.debug.firing_rates`
FIX = "`jaxspike.train.scale_to_firing_rate(net, x_seq)` gives a network that fires to start from."


class FiringWarnings:
    """Warns about each layer once."""

    def __init__(self) -> None:
        self.warned: set[str] = set()

    def check(self, net: SpikingModule, x_seq: Array, epoch: int) -> None:
        """Warn about layers that never or nearly always fire for ``x_seq``, after an epoch."""
        rates: dict[str, float] = {}
        with contextlib.suppress(TypeError):  # layers inside a transformation of JAX
            rates = {name: float(rate) for name, rate in activity(net, x_seq)[-1].items()}
        silent = [name for name, rate in rates.items() if rate == 0]
        saturated = [name for name, rate in rates.items() if rate > SATURATED]
        often = f"in over {SATURATED:.0%} of the time steps"
        for layers, one, many in (
            (silent, "does not fire", "do not fire"),
            (saturated, f"fires {often}", f"fire {often}"),
        ):
            new = [name for name in layers if name not in self.warned]
            self.warned.update(new)
            if new:
                which = (
                    f"layer {new[0]} {one}" if len(new) == 1 else f"layers {', '.join(new)} {many}"
                )
                warnings.warn(
                    f"`fit`: after epoch {epoch} {which} at its first batch. {FIX}", stacklevel=3
                )
