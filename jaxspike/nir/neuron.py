"""The neuron behind I, IF, LI, LIF, CubaLI and CubaLIF, and its parameters from theirs."""

import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np

from .._types import Param, Shape
from ..field import number
from ..neurons import DiscreteLIF, DiscreteLIFState
from ..neurons.equations import at_rest
from ..surrogate import Surrogate
from .layout import channels_last


class NIRNeuron(DiscreteLIF):
    """A neuron of a NIR file in discrete form: a `jaxspike.DiscreteLIF` with a start of its own.

    Decays have no limits: a forward Euler step longer than the time constant is taken as it is.

    Args:
        v_start: Potential at the start.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js, jaxspike.nir
        >>> neuron = js.nir.NIRNeuron(v_decay=0.5, v_leak=-65.0, v_start=-65.0, v_threshold=-50.0)
        >>> neuron.init_state((1,)).v
        Array([-65.], dtype=float32)
    """

    _: dataclasses.KW_ONLY
    c_decay: Param | None = number(default=None)
    v_decay: Param = number(default=0.9)
    v_start: Param = 0.0

    def init_state(self, shape: Shape, dtype: Any = jnp.float32) -> DiscreteLIFState:
        v = at_rest(self.v_start, shape, dtype, "v_start")
        return super().init_state(shape, dtype)._replace(v=v)


@dataclasses.dataclass(frozen=True)
class Convention:
    """How the equations of NIR, which are continuous in time, are run in steps."""

    dt: float = 1e-4
    method: str = "euler"
    fire: str = ">"
    reset: str = "hard"
    max_spike_count: int | None = 1
    if_convention: str = "auto"
    start: str | float = "v_leak"


CHOICES: dict[str, tuple[str, ...]] = {
    "method": ("euler", "exact"),
    "fire": (">", ">="),
    "reset": ("hard", "subtract", "subtract_delayed"),
    "if_convention": ("auto", "per_step", "per_second"),
    "start": ("v_leak", "v_reset", "zero"),
}


def discretise(
    kind: str, p: dict[str, Any], convention: Convention, surrogate: Surrogate
) -> NIRNeuron:
    """The discrete neuron of a NIR node.

    Euler, with ``k = dt / tau``: ``v + k (v_leak - v + r x)``; exact, with the input held during a
    step: the same with ``k = 1 - exp(-dt / tau)``. A synaptic current is updated first and the
    membrane hears the new one; exactly, it hears the current as it moves during the step.

    Args:
        kind: Type of the node.
        p: Its parameters, in full shape.
        convention: How to discretise.
        surrogate: Derivative of the spike.
    """
    dt, exact = convention.dt, convention.method == "exact"

    def moved(tau: Any) -> Any:
        """What share of the way to its end the potential goes in a step."""
        return -np.expm1(-dt / tau) if exact else dt / tau

    zero = np.zeros_like(p["r"])
    leak = p.get("v_leak", zero)
    fields: dict[str, Any] = {"v_leak": leak}
    if kind in ("I", "IF"):
        per_step = per_step_r(kind, p["r"], convention)
        fields |= {"v_decay": zero + 1, "v_gain": p["r"] * (1 if per_step else dt)}
    elif kind in ("LI", "LIF"):
        k = moved(p["tau"])
        fields |= {"v_decay": 1 - k, "v_gain": k * p["r"]}
    else:
        k, k_syn = moved(p["tau_mem"]), moved(p["tau_syn"])
        fields |= {"c_decay": 1 - k_syn, "c_gain": k_syn * p["w_in"], "v_decay": 1 - k}
        if exact:
            mean = _heard(p["tau_syn"], p["tau_mem"], dt) / (1 - k_syn)
            fields |= {"v_gain": p["r"] * mean, "x_gain": p["r"] * p["w_in"] * (k - mean)}
        else:
            fields["v_gain"] = k * p["r"]
    fires = "v_threshold" in p
    fields["v_threshold"] = p["v_threshold"] if fires else None
    soft = convention.reset != "hard"
    fields["v_reset"] = p.get("v_reset", zero) if fires and not soft else None
    starts = {"v_leak": leak, "v_reset": p.get("v_reset", leak), "zero": zero}
    start = convention.start
    fields["v_start"] = starts[start] if isinstance(start, str) else float(start)
    return NIRNeuron(
        **{name: _parameter(name, value) for name, value in fields.items()},
        surrogate=surrogate,
        fires=convention.fire,
        reset_time="after_charge" if convention.reset == "subtract_delayed" else "immediate",
        max_spike_count=convention.max_spike_count,
    )


def per_step_r(kind: str, r: Any, convention: Convention) -> bool:
    """Whether an integrator adds ``r x`` in a step, and not ``r dt x``.

    Libraries that count time in steps write ``r = 1`` whatever ``dt`` is.
    """
    if convention.if_convention != "auto" or kind == "I":
        return convention.if_convention == "per_step"
    return bool(np.all(r == 1)) and convention.dt < 0.1


def _heard(tau_syn: Any, tau_mem: Any, dt: float) -> Any:
    """The share of a decaying current that the membrane holds at the end of a step."""
    same = np.isclose(tau_syn, tau_mem, rtol=1e-9, atol=0)
    other = np.where(same, 2 * tau_mem, tau_syn)  # of no effect: keeps the division finite
    ratio = other / (other - tau_mem) * (np.exp(-dt / other) - np.exp(-dt / tau_mem))
    return np.where(same, dt / tau_mem * np.exp(-dt / tau_mem), ratio)


def _parameter(name: str, value: Any) -> Any:
    """One number if all are equal, else float32 with the channels last."""
    if value is None or isinstance(value, int | float):
        return value
    if name.endswith("gain"):  # a file in float32 can miss the 1 that was meant
        value = np.where(np.isclose(value, 1, rtol=0, atol=3e-7), 1.0, value)
    if value.size and np.all(value == value.flat[0]):
        return float(value.flat[0])
    return channels_last(value).astype(np.float32)
