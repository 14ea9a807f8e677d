"""The table of neuron models: every model has a row, and every law holds for every row."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

import jaxspike as js

T, N, C = 7, 3, 5


@dataclasses.dataclass(frozen=True)
class Row:
    """A neuron, and a scale of normal input at which it fires."""

    neuron: js.Neuron
    scale: float = 1.5
    spiking: bool = True


ROWS = {
    "IF": Row(js.IF()),
    "IF-soft": Row(js.IF(v_threshold=0.8, v_reset=None)),
    "LIF": Row(js.LIF(), scale=3.0),
    "LIF-hard": Row(js.LIF(tau=3.7, v_reset=-0.3, decay_input=False, detach_reset=True)),
    "LIF-soft": Row(js.LIF(v_reset=None, surrogate=js.surrogate.ATan()), scale=3.0),
    "LI": Row(js.LI(), spiking=False),
}


def inputs(row: Row, shape=(T, N, C), seed=0):
    return row.scale * (0.3 + jax.random.normal(jax.random.key(seed), shape))


def parameters(neuron):
    """Names of the parameter leaves that the forward pass depends on."""
    return [
        f.name
        for f in dataclasses.fields(neuron)
        if not f.metadata.get("static") and isinstance(getattr(neuron, f.name), float)
    ]


def channels(neuron):
    """The neuron with every parameter an array of one value a channel, all different."""
    spread = np.linspace(1.0, 1.2, C, dtype=np.float32)
    new = {name: jnp.asarray(getattr(neuron, name) * spread) for name in parameters(neuron)}
    return dataclasses.replace(neuron, **new)
