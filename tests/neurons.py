"""The table of neuron models: every model has a row, and every law holds for every row."""

import dataclasses

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


ROWS = {
    "IF": Row(js.IF()),
    "IF-soft": Row(js.IF(v_threshold=0.8, v_reset=None)),
    "LIF": Row(js.LIF(), scale=3.0),
    "LIF-hard": Row(js.LIF(tau=3.7, v_reset=-0.3, decay_input=False, detach_reset=True)),
    "LIF-soft": Row(js.LIF(v_reset=None, surrogate=js.surrogate.ATan()), scale=3.0),
    "LI": Row(js.LI(), spikes=()),
}


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
