"""The cell types of Izhikevich, "Simple model of spiking neurons", 2003, figure 2.

Each function returns a `jaxspike.Izhikevich2003` with the a, b, c and d of the figure, and takes
its other ``fields`` by name, such as ``dt=0.5``.

>>> import jax.numpy as jnp, jaxspike as js
>>> neuron = js.presets.izhikevich.chattering()
>>> state, spikes = js.scan(neuron, neuron.init_state((1,)), 10 * jnp.ones((120, 1)))
>>> jnp.flatnonzero(spikes)
Array([  3,   6,   9,  13,  61,  65, 113, 117], dtype=int32)
"""

from ..neurons import Izhikevich2003

__all__ = [
    "chattering",
    "fast_spiking",
    "intrinsically_bursting",
    "low_threshold_spiking",
    "regular_spiking",
    "resonator",
    "thalamo_cortical",
]


def __dir__() -> list[str]:
    return __all__


def regular_spiking(**fields) -> Izhikevich2003:
    """Regular spiking (RS), the most common excitatory cell: intervals grow.

    Example:
        >>> import jaxspike as js
        >>> js.presets.izhikevich.regular_spiking()
        Izhikevich2003()
    """
    return Izhikevich2003(a=0.02, b=0.2, c=-65.0, d=8.0, **fields)


def intrinsically_bursting(**fields) -> Izhikevich2003:
    """Intrinsically bursting (IB): a burst at the onset, then single spikes.

    Example:
        >>> import jaxspike as js
        >>> js.presets.izhikevich.intrinsically_bursting()
        Izhikevich2003(c=-55.0, d=4.0)
    """
    return Izhikevich2003(a=0.02, b=0.2, c=-55.0, d=4.0, **fields)


def chattering(**fields) -> Izhikevich2003:
    """Chattering (CH): bursts of closely spaced spikes, again and again.

    Example:
        >>> import jaxspike as js
        >>> js.presets.izhikevich.chattering()
        Izhikevich2003(c=-50.0, d=2.0)
    """
    return Izhikevich2003(a=0.02, b=0.2, c=-50.0, d=2.0, **fields)


def fast_spiking(**fields) -> Izhikevich2003:
    """Fast spiking (FS), an inhibitory cell: high rates without adaptation.

    Example:
        >>> import jaxspike as js
        >>> js.presets.izhikevich.fast_spiking()
        Izhikevich2003(a=0.1, d=2.0)
    """
    return Izhikevich2003(a=0.1, b=0.2, c=-65.0, d=2.0, **fields)


def low_threshold_spiking(**fields) -> Izhikevich2003:
    """Low-threshold spiking (LTS), an inhibitory cell: high rates that adapt.

    Example:
        >>> import jaxspike as js
        >>> js.presets.izhikevich.low_threshold_spiking()
        Izhikevich2003(b=0.25, d=2.0)
    """
    return Izhikevich2003(a=0.02, b=0.25, c=-65.0, d=2.0, **fields)


def thalamo_cortical(**fields) -> Izhikevich2003:
    """Thalamo-cortical (TC): tonic firing, and a rebound burst after inhibition.

    Example:
        >>> import jaxspike as js
        >>> js.presets.izhikevich.thalamo_cortical()
        Izhikevich2003(b=0.25, d=0.05)
    """
    return Izhikevich2003(a=0.02, b=0.25, c=-65.0, d=0.05, **fields)


def resonator(**fields) -> Izhikevich2003:
    """Resonator (RZ): damped or sustained subthreshold oscillations.

    Example:
        >>> import jaxspike as js
        >>> js.presets.izhikevich.resonator()
        Izhikevich2003(a=0.1, b=0.26, d=2.0)
    """
    return Izhikevich2003(a=0.1, b=0.26, c=-65.0, d=2.0, **fields)
