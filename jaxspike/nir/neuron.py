"""The neuron behind I, IF, LI, LIF, CubaLI and CubaLIF, and its parameters from theirs."""

import dataclasses
import zlib

import jax.numpy as jnp
import numpy as np

from .._types import Param, Shape
from ..field import number
from ..neurons import DiscreteLIF, DiscreteLIFState
from ..neurons.equations import at_rest
from ..surrogate import Surrogate
from .convention import Convention
from .file import Tree
from .graph import Node
from .layout import channels_last
from .shapes import Array, full_parameter

RESET_TIMES = {"subtract_delayed": "after_charge", "subtract_once": "immediate_once"}
Parameters = Tree  # arrays, some of them NumPy scalars


class NIRNeuron(DiscreteLIF):
    """A neuron of a NIR file in discrete form: a `jaxspike.DiscreteLIF` with an initial potential.

    Decays are not limited: a forward Euler step may be longer than the time constant.

    Args:
        v_start: Initial potential.

    Example:
        >>> import jax.numpy as jnp, jaxspike as js
        >>> v = dict(v_leak=-65.0, v_start=-65.0, v_reset=-65.0, v_threshold=-50.0)
        >>> neuron = js.nir.NIRNeuron(v_decay=0.5, **v)
        >>> neuron.init_state((1,)).v
        Array([-65.], dtype=float32)
    """

    _: dataclasses.KW_ONLY
    c_decay: Param | None = number(default=None)
    v_decay: Param = number(default=0.9)
    v_start: Param = 0.0

    def init_state(self, shape: Shape, dtype=jnp.float32) -> DiscreteLIFState:
        v = at_rest(self.v_start, shape, dtype, "v_start")
        return super().init_state(shape, dtype)._replace(v=v)


def neuron_parameters(node: Node, shape: Shape) -> Parameters:
    """The parameters of a neuron in full shape, with those that a file may leave out."""
    p = {field: full_parameter(node, field, shape) for field in node.fields}
    if node.kind.startswith("Cuba"):
        p.setdefault("w_in", np.ones(shape))
    if "v_threshold" in p:
        p.setdefault("v_reset", np.zeros(shape))  # files before nir 1.0.5 have none
    return p


def checksum(kind: str, dt: float, p: Parameters) -> int:
    """A checksum of a node in full shape, which shows whether a hint for it is still valid."""
    crc = zlib.crc32(f"{kind} {np.float32(dt)}".encode())
    for name in sorted(p):
        crc = zlib.crc32(name.encode() + np.asarray(p[name], "<f4").tobytes(), crc)
    return crc


def discretize(kind: str, p: Parameters, convention: Convention, surrogate: Surrogate) -> NIRNeuron:
    """The discrete neuron of a NIR node.

    Euler, with ``k = dt / tau``: ``v + k (v_leak - v + r x)``. Exact, with the input held during a
    step: the same with ``k = 1 - exp(-dt / tau)``. A synaptic current is updated first, and the
    membrane receives the new one; the exact membrane integrates the current as it decays.

    Args:
        kind: Type of the node.
        p: Its parameters, in full shape.
        convention: How to discretize.
        surrogate: Derivative of the spike.
    """
    dt, exact = convention.dt, convention.method == "exact"

    def decay_share(tau):
        """The share of its way to equilibrium that the potential covers in a step."""
        return -np.expm1(-dt / tau) if exact else dt / tau

    zero = np.zeros_like(p["r"])
    leak = p.get("v_leak", zero)
    fields: Parameters = {"v_leak": leak}
    if kind in ("I", "IF"):
        per_step = per_step_r(kind, p["r"], convention)
        fields |= {"v_decay": zero + 1, "v_gain": p["r"] * (1 if per_step else dt)}
    elif kind in ("LI", "LIF"):
        k = decay_share(p["tau"])
        fields |= {"v_decay": 1 - k, "v_gain": k * p["r"]}
    else:
        k, k_syn = decay_share(p["tau_mem"]), decay_share(p["tau_syn"])
        fields |= {"c_decay": 1 - k_syn, "c_gain": k_syn * p["w_in"], "v_decay": 1 - k}
        if exact:
            mean = _current_share(p["tau_syn"], p["tau_mem"], dt) / (1 - k_syn)
            fields |= {"v_gain": p["r"] * mean, "x_gain": p["r"] * p["w_in"] * (k - mean)}
        else:
            fields["v_gain"] = k * p["r"]
    starts = {"v_leak": leak, "v_reset": p.get("v_reset", leak), "zero": zero}
    start = convention.start
    fields["v_start"] = starts[start] if isinstance(start, str) else np.asarray(start)
    if "v_threshold" in p:
        fields["v_threshold"] = p["v_threshold"]
        if convention.reset == "hard":
            fields["v_reset"] = p.get("v_reset", zero)
    settings: Tree = {"v_threshold": None, "v_reset": None}
    settings |= {name: _parameter(name, value) for name, value in fields.items()}
    return NIRNeuron(
        **settings,
        surrogate=surrogate,
        fires=convention.fires,
        reset_time=RESET_TIMES.get(convention.reset, "immediate"),
        max_spike_count=convention.max_spike_count,
    )


def per_step_r(kind: str, r: Array, convention: Convention) -> bool:
    """Whether an integrator adds ``r x`` in a step rather than ``r dt x``.

    Libraries that count time in steps write ``r = 1`` whatever ``dt`` is.
    """
    if convention.if_convention != "auto" or kind == "I":
        return convention.if_convention == "per_step"
    return bool(np.all(r == 1)) and convention.dt < 0.1


def _current_share(tau_syn: Array, tau_mem: Array, dt: float) -> Array:
    """The share of a decaying current that the membrane holds at the end of a step."""
    same = np.isclose(tau_syn, tau_mem, rtol=1e-9, atol=0)
    other = np.where(same, 2 * tau_mem, tau_syn)  # of no effect: keeps the division finite
    ratio = other / (other - tau_mem) * (np.exp(-dt / other) - np.exp(-dt / tau_mem))
    return np.where(same, dt / tau_mem * np.exp(-dt / tau_mem), ratio)


def _parameter(name: str, value: Array) -> float | Array:
    """One number if all are equal, else float32 with the channels last."""
    if name.endswith("gain"):  # a file in float32 can miss the 1 that was meant
        value = np.where(np.isclose(value, 1, rtol=0, atol=3e-7), 1.0, value)
    if value.size and np.all(value == value.flat[0]):
        return float(value.flat[0])
    return channels_last(value).astype(np.float32)
