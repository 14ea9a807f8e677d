"""Spiking neural networks as pure functions in JAX.

>>> import jax.numpy as jnp
>>> import jaxspike as js
>>> lif = js.LIF(tau=2.0)                                         # a neuron is a function
>>> state = lif.init_state((4, 8))                                # state is a value you hold
>>> state, spikes = lif(state, jnp.full((4, 8), 2.0))             # one time step
>>> state, spikes = js.scan(lif, state, jnp.ones((10, 4, 8)))     # ten of them
"""

from . import (
    convert as convert,
    data as data,
    debug as debug,
    encode as encode,
    losses as losses,
    nir as nir,
    nn as nn,
    plot as plot,
    presets as presets,
    readout as readout,
    surrogate as surrogate,
    train as train,
)
from ._pytree import (
    between as between,
    count as count,
    function as function,
    greater_than as greater_than,
    learned as learned,
    negative as negative,
    positive as positive,
    static as static,
)
from ._types import Param as Param
from .engine import scan as scan
from .neurons import (
    ALIF as ALIF,
    CLIF as CLIF,
    EIF as EIF,
    IF as IF,
    ILIF as ILIF,
    KLIF as KLIF,
    LI as LI,
    LIAF as LIAF,
    LIF as LIF,
    PSN as PSN,
    QIF as QIF,
    AdEx as AdEx,
    AdExState as AdExState,
    ALIFState as ALIFState,
    Alpha as Alpha,
    AlphaState as AlphaState,
    CLIFState as CLIFState,
    CubaLIF as CubaLIF,
    CubaLIFState as CubaLIFState,
    Delay as Delay,
    DelayState as DelayState,
    DiscreteLIF as DiscreteLIF,
    DiscreteLIFState as DiscreteLIFState,
    EIFState as EIFState,
    GatedLIF as GatedLIF,
    GatedLIFState as GatedLIFState,
    IFState as IFState,
    ILIFState as ILIFState,
    Izhikevich as Izhikevich,
    IzhikevichState as IzhikevichState,
    KLIFState as KLIFState,
    LIAFState as LIAFState,
    LIFState as LIFState,
    LIState as LIState,
    MaskedPSN as MaskedPSN,
    Neuron as Neuron,
    QIFState as QIFState,
    Refractory as Refractory,
    RefractoryState as RefractoryState,
    ResonateAndFire as ResonateAndFire,
    ResonateAndFireState as ResonateAndFireState,
    SequenceNeuron as SequenceNeuron,
    SlidingPSN as SlidingPSN,
    SynapseFilter as SynapseFilter,
    SynapseFilterState as SynapseFilterState,
    TernaryIF as TernaryIF,
    TernaryIFState as TernaryIFState,
    TernaryLIF as TernaryLIF,
    TernaryLIFState as TernaryLIFState,
)

__version__ = "0.1.0"
