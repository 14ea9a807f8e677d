"""The meter: operations, energy and memory of a network, from its equations and real data."""

from .energy import (
    Energy as Energy,
    EnergyModel as EnergyModel,
    Horowitz45nm as Horowitz45nm,
    SpikingJellySimple as SpikingJellySimple,
    energy as energy,
)
from .neurobench import neurobench as neurobench
from .operations import operations as operations
from .report import Operations as Operations, Row as Row
