"""Spiking neural networks as pure functions in JAX.

>>> import jax.numpy as jnp
>>> import jaxspike as js
>>> lif = js.LIF(tau=2.0)                                         # a neuron is a function
>>> state = lif.init_state((4, 8))                                # state is a value you hold
>>> state, spikes = lif(state, jnp.full((4, 8), 2.0))             # one time step
>>> state, spikes = js.scan(lif, state, jnp.ones((10, 4, 8)))     # ten of them
"""

from . import (
    encode as encode,
    losses as losses,
    nn as nn,
    readout as readout,
    surrogate as surrogate,
)
from ._pytree import greater_than as greater_than, positive as positive, static as static
from ._types import Param as Param
from .engine import scan as scan
from .neurons import (
    IF as IF,
    LI as LI,
    LIF as LIF,
    IFState as IFState,
    LIFState as LIFState,
    LIState as LIState,
    Neuron as Neuron,
)

__version__ = "0.1.0"
