"""The table of neuron models: every model has a row, and every law holds for every row."""

import dataclasses
import functools

import jax
import jax.numpy as jnp

import jaxspike as js

T, N, C = 7, 3, 5


@dataclasses.dataclass(frozen=True)
class Row:
    """A neuron, and a scale of normal input at which it fires."""

    neuron: js.Neuron
    scale: float = 1.5
    spikes: tuple[float, ...] = (0.0, 1.0)  # what it puts out; empty if not spikes
    flat: tuple[str, ...] = ()  # leaves of the state that no gradient reaches
    slow: bool = False  # whether its laws are among the slow tests; its oracle never is


ROWS = {
    "IF": Row(js.IF()),
    "IF-soft": Row(js.IF(v_threshold=0.8, v_reset=None)),
    "LIF": Row(js.LIF(), scale=3.0),
    "LIF-hard": Row(js.LIF(tau=3.7, v_reset=-0.3, decay_input=False, detach_reset=True)),
    "LIF-rest": Row(js.LIF(tau=3.0, v_rest=-0.2, v_reset=-0.4), scale=3.0),
    "LIF-soft": Row(js.LIF(v_reset=None, surrogate=js.surrogate.ATan()), scale=3.0),
    "LI": Row(js.LI(), spikes=()),
    "CubaLIF": Row(js.CubaLIF(surrogate=js.surrogate.ATan())),
    "CubaLIF-soft": Row(js.CubaLIF(v_reset=None, surrogate=js.surrogate.ATan())),
    "ALIF": Row(js.ALIF(v_decay=0.75, a_decay=0.8, beta=0.4)),
    "ALIF-hard": Row(js.ALIF(v_decay=0.75, a_decay=0.8, v_reset=-0.1, detach_reset=True)),
    "DiscreteLIF": Row(js.DiscreteLIF(v_decay=0.75, v_leak=0.1, v_min=-0.4, x_gain=0.2)),
    "DiscreteLIF-synapse": Row(
        js.DiscreteLIF(
            c_decay=0.6,
            v_decay=0.75,
            v_leak=0.1,
            reset_time="before_charge",
            spike_delay=True,
            surrogate=js.surrogate.ATan(),
        )
    ),
    "DiscreteLIF-count": Row(
        js.DiscreteLIF(
            v_decay=0.75,
            v_leak=0.1,
            v_reset=None,
            fires=">",
            reset_time="after_charge",
            max_spike_count=2,
        ),
        spikes=(0.0, 1.0, 2.0),
    ),
    "QIF": Row(js.QIF(), scale=3.0),
    "EIF": Row(js.EIF(), scale=3.0),
    "Izhikevich": Row(js.Izhikevich(a=0.2, b=0.1), scale=3.0),
    "Izhikevich-soft": Row(js.Izhikevich(v_reset=None, w_rest=0.1, a=0.2, b=0.1), scale=2.0),
    "Izhikevich2003": Row(js.Izhikevich2003(surrogate=js.surrogate.ATan(0.2)), scale=60.0),
    "AdEx": Row(js.AdEx(a=0.2, b=0.1, w_rest=0.1), scale=3.0),
    "KLIF": Row(js.KLIF(), scale=3.0),
    "KLIF-scaled": Row(js.KLIF(scale_reset=True, k=1.5, v_reset=None), scale=2.0),
    "CLIF": Row(js.CLIF(surrogate=js.surrogate.ATan())),
    "ILIF": Row(js.ILIF(max_spike_count=2), scale=1.2, spikes=(0.0, 1.0, 2.0)),
    "TernaryIF": Row(js.TernaryIF(), spikes=(-1.0, 0.0, 1.0)),
    "TernaryLIF": Row(js.TernaryLIF(v_reset=None), scale=3.0, spikes=(-1.0, 0.0, 1.0)),
    "ResonateAndFire": Row(js.ResonateAndFire(), scale=2.0),
    "SynapseFilter": Row(js.SynapseFilter(tau=3.0), spikes=()),
    "Delay": Row(js.Delay(steps=2), spikes=(), flat=("next",)),
    "Refractory": Row(js.Refractory(js.LIF(), steps=2), scale=3.0, flat=("left",)),
    "Refractory-ternary": Row(
        js.Refractory(js.TernaryIF(v_reset=None)), spikes=(-1.0, 0.0, 1.0), flat=("left",)
    ),
    "Quantized": Row(js.Quantized(js.LIF(decay_input=False), bits=6)),
    "FixedPoint": Row(js.FixedPoint(js.CubaLIF(v_reset=None), fraction_bits=6, state_bits=24)),
    "Alpha": Row(js.Alpha(exc_decay=0.8, inh_decay=0.5), scale=2.5),
    "LIAF": Row(js.LIAF(jax.nn.tanh), scale=3.0, spikes=()),
    "AdLIF": Row(js.AdLIF(0.5, a=0.1), scale=3.0, slow=True),
    "SiLIF": Row(js.SiLIF(150.0, a=0.1), scale=3.0, slow=True),
    "SEAdLIF": Row(js.SEAdLIF(0.5, a=1.0, b=2.0), scale=3.0, slow=True),
    "BRF": Row(js.BRF(30.0), scale=80.0, slow=True),
    "TCLIF": Row(js.TCLIF(), slow=True),
    "GatedLIF": Row(js.GatedLIF(), scale=1.0),
}


RANDOM = {"MembraneNoise", "Stochastic"}  # with keys in their state: laws of their own


@functools.cache
def inputs(row: Row, shape=(T, N, C), seed=0):
    return row.scale * (0.3 + jax.random.normal(jax.random.key(seed), shape))


def named(tree):
    """The leaves of a neuron or a state by name."""
    paths = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(p, simple=True, separator="_"): leaf for p, leaf in paths}


def parameters(neuron):
    """Names of the leaves that the forward pass depends on."""
    return [name for name in named(neuron) if "surrogate" not in name]


def scaled(neuron, factor):
    """The neuron with every parameter times a factor."""
    leaves = [v * factor if k in parameters(neuron) else v for k, v in named(neuron).items()]
    return jax.tree.unflatten(jax.tree.structure(neuron), leaves)


def channels(neuron):
    """The neuron with every parameter an array of one value a channel, all different."""
    return scaled(neuron, jnp.linspace(1.0, 1.2, C, dtype=jnp.float32))
