"""Spiking neural networks as pure functions in JAX.

>>> import jax.numpy as jnp
>>> import jaxspike as js
>>> lif = js.LIF(tau=2.0)                                         # a neuron is a function
>>> state = lif.init_state((4, 8))                                # state is a value you hold
>>> state, spikes = lif(state, jnp.full((4, 8), 2.0))             # one time step
>>> state, spikes = js.scan(lif, state, jnp.ones((10, 4, 8)))     # ten of them
"""

import sys as _sys
import typing as _typing

from flax import nnx as _nnx

from . import (
    _completion,
    _elsewhere,
    convert as convert,
    cost as cost,
    data as data,
    debug as debug,
    encode as encode,
    field as field,
    learning as learning,
    losses as losses,
    models as models,
    neurons as neurons,
    nir as nir,
    nn as nn,
    plot as plot,
    presets as presets,
    readout as readout,
    statistics as statistics,
    surrogate as surrogate,
    train as train,
    units as units,
)
from ._types import Param as Param
from .debug import summary as summary
from .engine import Policy as Policy, scan as scan
from .neurons import (
    ALIF as ALIF,
    BRF as BRF,
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
    TCLIF as TCLIF,
    AdEx as AdEx,
    AdLIF as AdLIF,
    Alpha as Alpha,
    CubaLIF as CubaLIF,
    Delay as Delay,
    DiscreteLIF as DiscreteLIF,
    FixedPoint as FixedPoint,
    GatedLIF as GatedLIF,
    Izhikevich as Izhikevich,
    Izhikevich2003 as Izhikevich2003,
    MaskedPSN as MaskedPSN,
    MembraneNoise as MembraneNoise,
    Neuron as Neuron,
    Quantized as Quantized,
    Refractory as Refractory,
    ResonateAndFire as ResonateAndFire,
    SEAdLIF as SEAdLIF,
    SequenceNeuron as SequenceNeuron,
    SiLIF as SiLIF,
    SlidingPSN as SlidingPSN,
    Stochastic as Stochastic,
    SynapseFilter as SynapseFilter,
    TernaryIF as TernaryIF,
    TernaryLIF as TernaryLIF,
)

__version__ = "0.2.0"


def __dir__() -> list[str]:
    hidden = ("engine", "demo")  # the demo is a program: `python -m jaxspike.demo`
    return [name for name in globals() if not name.startswith("_") and name not in hidden]


if not _typing.TYPE_CHECKING:  # a type checker knows the names

    def __getattr__(name: str):
        rooms = (nn, neurons, field, surrogate, encode, readout, losses, learning)
        raise _elsewhere.no_attribute(
            _sys.modules[__name__],
            name,
            (*rooms, units, data, train, debug, nir, convert, models, plot, _nnx),
        )


_completion.hide_files(
    convert, cost, debug, learning, losses, models, neurons, nir, nn, plot, train
)
_completion.hide_files(data, but=(data.augment,))
